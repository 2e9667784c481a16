"""A partition's first request waits at a leader that moves away, and is refused there: what goes to the new leader
first is that request once more, whatever else waits for it (R1)."""

import threading
import time

import pytest

from cluster import Cluster
from job import Job
from proxy import Api, Proxy, answer, let_pass
from wire import produce_refusal, produced

RECORDS, SIZE = 9000, 1000      # several requests for each of three partitions
MOVES_MAX = 50
HEARD_S = 1.5                   # the producer asks every 200 ms who leads


@pytest.fixture(scope="module")
def brokers():
    with Cluster(proxied=True) as cluster, Proxy(cluster.nodes) as proxy:
        yield cluster, proxy


@pytest.mark.parametrize("in_flight", [None, 1])
def test_what_waits_for_the_first_request_does_not_overtake_it_at_a_new_leader(brokers, peer, tmp_path, name,
                                                                               in_flight):
    cluster, proxy = brokers
    proxy.clear()
    topics = peer.at(cluster.bootstrap)
    job = Job(topics, tmp_path, name, settings={
        "bootstrap.servers": cluster.proxied_bootstrap, "delivery.mode": "idempotent",
        "topic.metadata.refresh.interval.ms": 200,
        **({"max.in.flight.requests.per.connection": in_flight} if in_flight else {})})
    output = next(iter(job.outputs))
    moved = threading.Event()

    def refuse(request):
        moved.wait(30)
        return produce_refusal(request)

    def leader():
        return topics("leaders", topics=[output])[output]["0"]["leader"]

    try:
        first = proxy.add(answer(refuse), api=Api.PRODUCE, client=job.name,
                          when=lambda request: produced(request)["partition"] == 0)
        passed = proxy.add(let_pass(), api=Api.PRODUCE, client=job.name, times=None)
        job.feed(RECORDS, size=SIZE, style="plain")
        job.service.start()
        first.await_hits()
        time.sleep(1)                       # more of its partition is there, and the others' are on their way
        old = leader()
        for seed in range(MOVES_MAX):
            if leader() != old:
                break
            topics("move_leaders", topics=[output], seed=seed)
        time.sleep(HEARD_S)
        before = len(passed.hits)
        moved.set()
        job.await_relayed(RECORDS)
        job.service.stop()
        refused = produced(first.hits[0])
        later = [produced(request) for request in passed.hits if produced(request)["partition"] == 0]
        print(f"\n{refused}\n" + "\n".join(map(str, later)))
        assert leader() != old
        assert later[0] == refused and len(later) > 1
        assert all(produced(request)["partition"] != 0 for request in passed.hits[:before])
        job.assert_exactly_once(RECORDS)
    finally:
        moved.set()
        job.close()
        proxy.clear()
