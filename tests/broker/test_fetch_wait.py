"""How long a leader may keep a Fetch request that has nothing to bring (librdkafka-fetch-wait.patch): short while a
batch is read, long at rest; and at rest a tick asks no broker, but whatever comes is delivered at the next one."""

import struct
import time

import pytest

from proxy import Api, let_pass

READING_MS, BETWEEN_MS, RESTING_MS = 10, 100, 900
TICK_MS = 200


@pytest.fixture
def at_proxy(proxied, peer, new_job):
    kafka, proxy = proxied

    def make(**settings):
        job = new_job(at=peer.at(kafka.bootstrap))
        job.service.settings.update({"bootstrap.servers": kafka.proxied_bootstrap, "batch.interval.ms": TICK_MS,
                                     **settings})
        return job, proxy.add(let_pass(), api=[Api.FETCH], client=job.name, times=None)
    return make


def wait_ms(request):
    """MaxWaitMs: behind the header's tags, and up to version 14 the replica's number."""
    at = 1 + (4 if request.version <= 14 else 0)
    return struct.unpack_from(">i", request.body, at)[0]


def await_rest(job, fetches, wanted):
    deadline = time.monotonic() + 20
    while not fetches.hits or wait_ms(fetches.hits[-1]) != wanted:
        assert job.service.running() and time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.05)


def test_requests_wait_shortly_while_a_batch_is_read_and_long_at_rest(at_proxy):
    job, fetches = at_proxy()
    job.feed(30_000)
    job.service.start()
    job.await_relayed(30_000)
    await_rest(job, fetches, RESTING_MS)
    waits = [wait_ms(request) for request in fetches.hits]
    print(f"\n{ {each: waits.count(each) for each in sorted(set(waits))} }")
    assert waits.count(READING_MS) >= 3
    assert waits[-1] == RESTING_MS
    job.service.stop()
    job.assert_exactly_once(30_000)


def test_a_wait_that_the_user_has_set_is_kept(at_proxy):
    job, fetches = at_proxy(**{"consumer.fetch.wait.max.ms": 150})
    job.feed(3000)
    job.service.start()
    job.await_relayed(3000)
    time.sleep(1)
    job.service.stop()
    assert {wait_ms(request) for request in fetches.hits} == {150}
    job.assert_exactly_once(3000)


def test_a_request_that_lacks_a_partition_is_not_kept_for_long(at_proxy):
    """At rest a burst fills the queue of one partition: the next request goes without it."""
    job, fetches = at_proxy(**{"batch.interval.ms": 3000})
    topic = next(iter(job.inputs))
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    await_rest(job, fetches, RESTING_MS)
    before = len(fetches.hits)
    job.feed(100_000, first=300, topics={topic: [0]}, style="plain")
    time.sleep(1)                                   # the queue is full, the tick is still to come, or just was
    largest = max(request.size for request in fetches.hits)
    lacking = [wait_ms(request) for request in fetches.hits[before:] if request.size < largest]
    print(f"\n{len(lacking)} requests without it, kept for {sorted(set(lacking))} ms")
    assert lacking and max(lacking) <= BETWEEN_MS
    job.await_relayed(100_300)
    job.service.stop()
    job.assert_exactly_once(100_300)


@pytest.mark.parametrize("fed", [0, 300])
def test_at_rest_brokers_are_asked_now_and_then_and_what_comes_is_delivered_at_once(at_proxy, proxied, fed):
    job, fetches = at_proxy()
    if fed:
        job.feed(fed)
    job.service.start()
    job.await_relayed(fed)
    await_rest(job, fetches, RESTING_MS)
    _, proxy = proxied
    before = len(proxy.seen(Api.LIST_OFFSETS, job.name))
    time.sleep(4)
    asked = len(proxy.seen(Api.LIST_OFFSETS, job.name)) - before
    print(f"\nasked {asked} times in {4000 // TICK_MS} ticks")
    assert asked < 4000 // TICK_MS / 2
    for _ in range(3):
        job.feed(30, first=fed)
        fed += 30
        began = time.monotonic()
        job.await_relayed(fed)
        assert time.monotonic() - began < 3     # a tick and a batch; without news it would be asked after 5 s
        time.sleep(1)
    job.service.stop()
    job.assert_exactly_once(fed)


def test_with_more_partitions_than_there_is_room_for_an_idle_job_does_not_ask_all_the_time(proxied, peer, new_job):
    """It can't rest, and with interval 0 a batch's short waits would go on."""
    kafka, proxy = proxied
    job = new_job(at=peer.at(kafka.bootstrap), inputs={"in": 60}, outputs={"out": 60})
    job.service.settings.update({"bootstrap.servers": kafka.proxied_bootstrap, "batch.interval.ms": 0})
    fetches = proxy.add(let_pass(), api=[Api.FETCH], client=job.name, times=None)
    job.feed(6000)
    job.service.start()
    job.await_relayed(6000)
    time.sleep(3)
    before = len(fetches.hits)
    time.sleep(2)
    waits = [wait_ms(request) for request in fetches.hits[before:]]
    job.service.stop()
    assert waits and set(waits) == {BETWEEN_MS}
    job.assert_exactly_once(6000)
