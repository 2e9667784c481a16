"""Speculation: a range whose leader is slow is read by a second consumer too, and of each record the first
copy is taken, once.

Three brokers, each the leader of one input partition, behind a proxy that delays one of them. With
ONCESINK_FULL=1 without headers too.
"""

import re
import time

import pytest

from cluster import Cluster
from conftest import FULL
from job import MODES
from peer import PeerError
from proxy import Proxy
from slow import slow_at_times, slow_broker, slow_connection

CHOSEN = [mode for mode in MODES if FULL or mode != "positions"]
SLOW_S = 2
RATE = 3000
COUNT = 6_000
ENDED = re.compile(r"was slow: waited (\d+) ms; from offset \d+ on a second consumer brought (\d+) records"
                   r" and the first (\d+) \(([^)]*)\)")


class Slowed:
    """A cluster, the proxy before it, and the peer's commands there."""

    def __init__(self, cluster, proxy, topics):
        self.cluster, self.proxy, self.topics = cluster, proxy, topics

    def leader(self, job, partition=0):
        """The number of the broker (from 0) that leads an input partition."""
        topic = f"{job.name}-in"
        for _ in range(100):
            try:
                return self.topics("leaders", topics=[topic])[topic][str(partition)]["leader"] - 1
            except PeerError:       # the broker that was asked hasn't heard of the topic yet
                time.sleep(0.1)
        raise AssertionError(f"no leader of {topic}")


@pytest.fixture(scope="module")
def slowed(peer):
    """One replica of everything: three JVMs are enough for a machine."""
    with Cluster(proxied=True, **{"default.replication.factor": 1, "min.insync.replicas": 1,
                                  "offsets.topic.replication.factor": 1,
                                  "transaction.state.log.replication.factor": 1,
                                  "transaction.state.log.min.isr": 1}) as cluster, \
            Proxy(cluster.nodes) as proxy:
        yield Slowed(cluster, proxy, peer.at(cluster.bootstrap))


@pytest.fixture
def make(slowed, new_job):
    """Makes a job whose clients come through the proxy, with speculation on."""
    slowed.proxy.clear()

    def make_job(settings=None, **how):
        return new_job(at=slowed.topics, settings={
            "bootstrap.servers": slowed.cluster.proxied_bootstrap, "batch.interval.ms": 500,
            "speculation.enabled": "true", "log.level": "debug", **(settings or {})}, **how)
    yield make_job
    slowed.proxy.clear()


def hedges(job):
    """What the log says of second consumers: (waited ms, brought, by the first, how it ended)."""
    return [(int(found[1]), int(found[2]), int(found[3]), found[4])
            for found in ENDED.finditer(job.service.log())]


def won(job):
    """The second consumers that were faster."""
    return [each for each in hedges(job) if each[1] > 0 and each[3] == "it was faster"]


@pytest.mark.parametrize("mode", CHOSEN)
def test_a_second_consumer_overtakes_a_slow_connection(slowed, make, mode):
    job = make(MODES[mode])
    slow_connection(slowed.proxy, slowed.leader(job), SLOW_S, client=job.name)
    job.service.start()
    job.feed(COUNT, rate=RATE)
    job.await_relayed(COUNT)
    job.service.stop()
    assert won(job), job.service.log_tail()
    job.assert_exactly_once(COUNT)


@pytest.mark.parametrize("mode", CHOSEN)
def test_kill_with_a_second_consumer_at_work(slowed, make, mode):
    """Every connection to that leader is slow, so the two readers are at it for long."""
    job = make(MODES[mode])
    rule = slow_broker(slowed.proxy, slowed.leader(job), SLOW_S, client=job.name)
    job.feed(COUNT)
    job.service.start()
    job.service.await_log("is slow: a second consumer reads on", 60)
    job.service.kill()
    slowed.proxy.remove(rule)
    job.service.start()
    job.await_relayed(COUNT)
    job.service.stop()
    job.assert_exactly_once(COUNT)


def test_time_outs_and_second_consumers_together(slowed, make):
    """A leader that answers nothing in time, to nobody: attempts and second readers one after another."""
    job = make({"fetch.timeout.ms": 1500, "task.max.failures": 2})
    rule = slow_broker(slowed.proxy, slowed.leader(job), 30, client=job.name)
    job.feed(COUNT)
    job.service.start()
    job.service.await_log("is slow: a second consumer reads on", 60)
    job.service.await_log("batch 1 failed", 60)
    slowed.proxy.remove(rule)
    job.await_relayed(COUNT)
    job.service.stop()
    job.assert_exactly_once(COUNT)


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
def test_aborted_records_and_markers_come_by_two_readers(slowed, make, isolation):
    """Answers are slow at times, on either connection: now one reader is ahead, now the other."""
    job = make({"isolation.level": isolation, "consumer.fetch.message.max.bytes": 10_000})
    slow_at_times(slowed.proxy, slowed.leader(job), 1.2, 0.3, client=job.name)
    fed = job.feed(3000, transaction=60, abort_every=2)
    wanted = 3000 + (fed["aborted"] if isolation == "read_uncommitted" else 0)
    job.service.start()
    job.await_relayed(wanted)
    job.service.stop()
    assert hedges(job), job.service.log_tail()
    job.assert_exactly_once(wanted, isolation_in=isolation)


def test_a_compacted_input_comes_by_two_readers(slowed, make):
    job = make({"consumer.fetch.message.max.bytes": 10_000},
               configs={"in": {"cleanup.policy": "compact", "segment.ms": 200,
                               "min.cleanable.dirty.ratio": 0.01}})
    topic = f"{job.name}-in"
    for first, count in [(0, 6000), (6000, 300), (6300, 3)]:
        job.feed(count, first=first, style="plain")
        time.sleep(0.3)
    ends = {topic: {partition: each["high"] for partition, each
                    in slowed.topics("ends", topics=[topic])[topic].items()}}
    deadline = time.monotonic() + 60
    left = 6303
    while left > 4000:
        assert time.monotonic() < deadline, f"the broker compacts nothing: {left} records left"
        left = slowed.topics("check", routes=job.routes, until=ends)["in"]
        time.sleep(0.5)
    slow_at_times(slowed.proxy, slowed.leader(job), 1.2, 0.3, client=job.name)
    job.service.start()
    job.await_relayed(slowed.topics("check", routes=job.routes, until=ends)["in"])
    job.service.stop()
    assert hedges(job), job.service.log_tail()
