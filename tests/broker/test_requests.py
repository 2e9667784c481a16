"""What goes over the wire: no more is fetched than there is (librdkafka-fetch-whole-sets.patch), and a partition has
one Produce request on its way while other partitions' go out beside it (librdkafka-produce-one-request.patch)."""

import pytest

from proxy import Api, delay, let_pass
from wire import produced

RECORDS, SIZE = 40_000, 1000
OVERHEAD = 20               # of a plain record
SPARE = 1.15                # a 32th of a set is asked for beside whole ones, and a part may be larger than the last one
ANSWER_S = 0.05
BATCH, BATCHES = 300, 20


@pytest.fixture
def at_proxy(proxied, peer, new_job):
    kafka, proxy = proxied

    def make(act, api, **settings):
        job = new_job(at=peer.at(kafka.bootstrap))
        job.service.settings.update({"bootstrap.servers": kafka.proxied_bootstrap, "batch.interval.ms": 0, **settings})
        return job, proxy.add(act, api=[api], client=job.name, times=None)
    return make


@pytest.mark.parametrize("memory_mib", [8, 40])
def test_what_is_fetched_is_not_much_more_than_there_is(at_proxy, memory_mib):
    """The feed's sets have 256 KiB. With 8 MiB a partition's part of an answer is less, with 40 MiB it is one and two
    thirds of that."""
    job, fetches = at_proxy(let_pass(), Api.FETCH, **{"memory.max.bytes": memory_mib << 20})
    job.feed(RECORDS, size=SIZE, style="plain")
    job.service.start()
    job.await_relayed(RECORDS)
    job.service.stop()
    fetched = sum(len(request.answer or b"") for request in fetches.hits)
    print(f"\n{fetched:,} bytes in {len(fetches.hits)} answers for {RECORDS * SIZE:,} of values")
    assert RECORDS * SIZE < fetched < RECORDS * (SIZE + OVERHEAD) * SPARE
    job.assert_exactly_once(RECORDS)


@pytest.mark.parametrize("in_flight", [None, 1])
def test_a_partition_has_one_request_on_its_way_and_others_have_theirs(at_proxy, in_flight):
    job, requests = at_proxy(delay(answer_s=ANSWER_S), Api.PRODUCE, **{
        "delivery.mode": "idempotent", "batch.max.records": BATCH,
        **({"max.in.flight.requests.per.connection": in_flight} if in_flight else {})})
    job.feed(BATCH * BATCHES, style="plain")
    job.service.start()
    job.await_relayed(BATCH * BATCHES)
    job.service.stop()
    beside, last = 0, {}
    for request in requests.hits:
        partition = produced(request)["partition"]
        if partition in last:
            assert request.at_s >= last[partition].answered_s + ANSWER_S, (partition, request.at_s, last[partition])
        beside += any(request.at_s < other.answered_s + ANSWER_S for other in last.values())
        last[partition] = request
    print(f"\n{beside} of {len(requests.hits)} requests went out beside another partition's")
    assert len(last) == 3 and len(requests.hits) >= 3 * BATCHES / 2
    assert beside >= len(requests.hits) / 3 if in_flight is None else beside == 0
    job.assert_exactly_once(BATCH * BATCHES)
