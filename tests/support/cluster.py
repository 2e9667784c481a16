"""Three Kafka nodes on one machine, each broker and controller: replication 3, two in sync at least.

    with Cluster() as cluster:
        cluster.bootstrap                       # all three
        cluster.nodes[0].kill(); cluster.nodes[0].start()
        cluster.nodes[1].pause(); cluster.nodes[1].resume()

With Cluster(proxied=True), Proxy(cluster.nodes) stands before them (proxy.py), at cluster.proxied_bootstrap.
"""

import signal

from kafka import Kafka

NODES = 3
INTERNAL = ["__consumer_offsets", "__transaction_state"]


class Node(Kafka):
    READY_S_MAX = 150       # three of them start at once, and elect a leader

    def pause(self):
        """Its process stands still; its connections stay."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)


class Cluster:
    def __init__(self, memory="384m", proxied=False, **properties):
        self.nodes = [Node(memory=memory, proxied=proxied) for _ in range(NODES)]
        voters = ",".join(f"{number}@127.0.0.1:{node.controller_port}"
                          for number, node in enumerate(self.nodes, 1))
        for number, node in enumerate(self.nodes, 1):
            node.configure(**{
                "node.id": number,
                "controller.quorum.voters": voters,
                "default.replication.factor": NODES,
                "min.insync.replicas": 2,
                "offsets.topic.replication.factor": NODES,
                "offsets.topic.num.partitions": 3,
                "transaction.state.log.replication.factor": NODES,
                "transaction.state.log.min.isr": 2,
                "transaction.state.log.num.partitions": 3,
                "controller.quorum.election.timeout.ms": 2000,
                "controller.quorum.fetch.timeout.ms": 4000,
                "broker.session.timeout.ms": 4000,
                "replica.lag.time.max.ms": 4000,
                **properties})
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)
        self.proxied_bootstrap = ",".join(node.proxied_bootstrap for node in self.nodes)

    def __enter__(self):
        try:
            for node in self.nodes:
                node.format()
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.await_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.__exit__()
