"""Requests that get lost, or that are executed and whose answers get lost, one kind after another: the
service goes on by itself, and nothing is lost or doubled.

Three ways, done by the proxy to every second request of the kind: the connection is cut before the broker
has it; the broker executes it and the connection is cut instead of the answer; the answer comes only when
the client has given it up. The cases run side by side, each with a job of its own. A case in which nothing
was lost fails.
"""

import itertools
import time

import pytest

from job import MODES, Job
from parallel import SideBySide
from proxy import Api, cut_after, cut_before, delay

TIMEOUT_MS = 1000
WAYS = {"before": cut_before, "after": cut_after,
        "late": lambda: delay(answer_s=1.3 * TIMEOUT_MS / 1000)}
# Kind → how many are lost; of what is asked only at the start, or when a connection is new, one.
READING = {Api.FETCH: 4, Api.LIST_OFFSETS: 4, Api.METADATA: 2}
BOTH = {Api.PRODUCE: 4, Api.OFFSET_FETCH: 2, Api.FIND_COORDINATOR: 1, Api.INIT_PRODUCER_ID: 1}
KINDS = {"idempotent": {**READING, **BOTH, Api.OFFSET_COMMIT: 4},
         "positions": {Api.PRODUCE: 4, Api.LIST_OFFSETS: 4},
         "transactional": {**READING, **BOTH, Api.ADD_PARTITIONS_TO_TXN: 3, Api.ADD_OFFSETS_TO_TXN: 3,
                           Api.TXN_OFFSET_COMMIT: 3, Api.END_TXN: 3}}
# Reading is the same code in both modes: once is enough.
CASES = [f"{mode}-{api.name}-{way}" for mode, kinds in KINDS.items() for api in kinds
         for way in WAYS if mode != "transactional" or api not in READING]
FEED = 300
LOSS_S_MAX = 60


def every_second():
    numbers = itertools.count()
    return lambda _: next(numbers) % 2 == 0


def lose(topics, kafka, proxy, folder, case):
    """Runs a job until so many of its requests have been lost, and to its end; returns it."""
    mode, kind, way = case.split("-")
    api = Api[kind]
    times = KINDS[mode][api]
    job = Job(topics, folder, f"lost-{case}.", settings={
        **MODES[mode], "bootstrap.servers": kafka.proxied_bootstrap,
        "request.timeout.ms": TIMEOUT_MS, "recovery.settle.ms": 300})
    try:
        rule = proxy.add(WAYS[way](), api=api, client=job.name, when=every_second(),
                         times=times)
        job.feed(FEED)
        job.service.start(delay_us=200)
        count = FEED
        deadline = time.monotonic() + LOSS_S_MAX
        while len(rule.hits) < times:
            assert time.monotonic() < deadline, f"only {rule.hits}\n{job.service.log_tail()}"
            assert job.service.running(), job.service.log_tail()
            job.feed(FEED, first=count)
            count += FEED
            time.sleep(0.3)
        job.feed(FEED, first=count)
        count += FEED
        job.await_relayed(count)
        job.service.stop()
        job.assert_exactly_once(count)
        doubled = job.service.rows("SELECT text FROM oncesink_event WHERE kind = 'double'")
        assert doubled == [], [row["text"] for row in doubled]
        starts = job.service.one("SELECT count(*) FROM oncesink_event WHERE kind = 'start'")[0]
        assert starts == 1
        return len(rule.hits), count
    finally:
        job.close()


@pytest.fixture(scope="module")
def cases(request, proxied_kafka, peer, tmp_path_factory):
    tmp_path_factory.getbasetemp()  # made here: threads would make one each
    kafka, proxy = proxied_kafka
    topics = peer.at(kafka.bootstrap)
    proxy.clear()
    running = SideBySide(
        request, "test_lost", "case",
        lambda case: lose(topics, kafka, proxy, tmp_path_factory.mktemp(case), case),
        workers=4)
    yield running
    running.close()


@pytest.mark.parametrize("case", CASES)
def test_lost(cases, case):
    hits, count = cases.result(case)
    print(f"\n{case}: {hits} lost, {count} records")
