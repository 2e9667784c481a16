"""A leader that takes requests and answers nothing: fetch.timeout.ms and task.max.failures, on three
brokers behind a proxy that holds back what one of them is asked.

CI: time-outs of two seconds. ONCESINK_FULL=1: those of the defaults, and a leader away for 30 s.
"""

import contextlib
import re
import signal
import threading
import time

import pytest

from cluster import Cluster
from conftest import FULL
from job import MODES, Job
from proxy import Api, Proxy, delay

TIMEOUT_MS, HELD_S = (10_000, 34) if FULL else (2000, 7)
SLOW = {mode: MODES[mode] for mode in ("idempotent", "transactional")}
RECORDS = 3000


@pytest.fixture(scope="module")
def brokers():
    """A leader that hangs stays the leader: its controller hears of it all the time."""
    with Cluster(proxied=True) as cluster, Proxy(cluster.nodes) as proxy:
        yield cluster, proxy


@pytest.fixture
def new_job(brokers, peer, tmp_path, name):
    cluster, proxy = brokers
    proxy.clear()
    jobs = []

    def make(**how):
        settings = {"bootstrap.servers": cluster.proxied_bootstrap, **how.pop("settings", {})}
        jobs.append(Job(peer.at(cluster.bootstrap), tmp_path, f"{name}-{len(jobs)}",
                        settings=settings, **how))
        return jobs[-1]
    yield make
    for job in jobs:
        job.close()
    proxy.clear()


@contextlib.contextmanager
def mute(proxy, job, broker):
    """One broker answers none of the job's fetches any more, and those that were held by it are
    answered afterwards, late."""
    gate = threading.Event()
    rule = proxy.add(delay(gate=gate), api=Api.FETCH, client=job.name, times=None,
                     when=lambda request: request.broker == broker)
    try:
        yield rule
    finally:
        proxy.remove(rule)
        gate.set()


def events(job, kind):
    return [(row["wall_ms"], row["text"]) for row in job.service.rows(
        "SELECT wall_ms, text FROM oncesink_event WHERE kind = ? ORDER BY event", kind)]


def await_events(job, kind, count, timeout_s):
    deadline = time.monotonic() + timeout_s
    while len(found := events(job, kind)) < count:
        assert time.monotonic() < deadline, f"{found}\n{job.service.log_tail()}"
        time.sleep(0.05)
    return found


def assert_all_there(job, count):
    job.await_committed(count)
    job.service.stop()
    job.assert_exactly_once(count)


@pytest.fixture
def both(new_job):
    """A job of each mode, with these settings; they go through the same."""
    return lambda **settings: [new_job(settings={**mode, **settings}) for mode in SLOW.values()]


def test_a_leader_that_answers_nothing_costs_attempts_and_the_others_go_on(both, brokers):
    _, proxy = brokers
    jobs = both(**{"fetch.timeout.ms": TIMEOUT_MS, "task.max.failures": 100})
    began = time.monotonic()
    with contextlib.ExitStack() as held:
        rules = [held.enter_context(mute(proxy, job, broker=1)) for job in jobs]
        for job in jobs:
            job.feed(RECORDS)
            job.service.start()
        for job in jobs:
            job.await_committed(RECORDS // 3)       # at least one of three has another leader
            found = await_events(job, "attempt", 2, HELD_S)
            assert found[1][0] - found[0][0] >= TIMEOUT_MS, found
            assert all(f"within {TIMEOUT_MS} ms" in text for _, text in found), found
        time.sleep(max(0, began + HELD_S - time.monotonic()))
        attempts = [len(events(job, "attempt")) for job in jobs]
        for rule, count in zip(rules, attempts):    # each attempt has a consumer of its own
            assert len({request.connection for request in rule.hits}) >= count, rule.hits
    for job in jobs:
        assert_all_there(job, RECORDS)
        assert events(job, "failure") == []
        found = events(job, "attempt")
        assert 2 <= len(found) <= (time.monotonic() - began) * 1000 / TIMEOUT_MS, found


def test_a_batch_that_fails_is_kept_and_begins_again_whoever_dies_meanwhile(both, brokers):
    _, proxy = brokers
    jobs = both(**{"fetch.timeout.ms": 300, "task.max.failures": 2})
    for job in jobs:
        job.feed(300)
        job.service.start()
        job.await_committed(300)
    with contextlib.ExitStack() as held:
        for job in jobs:
            # a request from before could still bring what comes now
            held.enter_context(mute(proxy, job, broker=2)).await_hits()
            job.feed(RECORDS, first=300)
        doubts = []
        for job in jobs:
            failures = await_events(job, "failure", 2, 20)
            doubts.append(dict(job.service.in_doubt()))
            assert all(f"batch {doubts[-1]['batch']} failed" in text for _, text in failures)
            assert all("2 attempts" in text for _, text in failures), failures
            pauses = [int(re.search(r"in (\d+) ms$", text)[1]) for _, text in failures]
            assert pauses[1] > pauses[0], failures      # back-off
            job.service.kill()
            job.service.start()
        time.sleep(1.5)
        for job, doubt in zip(jobs, doubts):
            assert dict(job.service.in_doubt()) == doubt
            assert job.service.running(), job.service.log_tail()
    for job in jobs:
        assert_all_there(job, 300 + RECORDS)


def test_brokers_that_stand_still_are_tried_and_waited_for(both, brokers):
    cluster, _ = brokers
    jobs = both(**{"fetch.timeout.ms": 1000, "task.max.failures": 2})
    for job in jobs:
        job.feed(300)
        job.service.start()
    for job in jobs:
        job.await_committed(300)
        job.feed(RECORDS, first=300)
    for node in cluster.nodes:
        node.pause()
    try:
        time.sleep(6)
        running = [job.service.running() for job in jobs]
    finally:
        for node in cluster.nodes:
            node.resume()
    assert all(running)
    for job in jobs:
        assert_all_there(job, 300 + RECORDS)
        assert len(events(job, "attempt")) + len(events(job, "failure")) < 20


def test_what_takes_long_by_itself_is_no_failed_attempt(both):
    """A slow output, and a process that stands still for longer than the time-out."""
    jobs = both(**{"fetch.timeout.ms": 2500, "task.max.failures": 1})
    for job in jobs:
        job.feed(600)
        job.service.start(delay_us=10_000)      # 6 s
    for job in jobs:
        deadline = time.monotonic() + 20
        while job.tally_raw()["records"] < 50:
            assert time.monotonic() < deadline, job.service.log_tail()
            time.sleep(0.05)
        job.service.signal(signal.SIGSTOP)
    time.sleep(4)
    for job in jobs:
        job.service.signal(signal.SIGCONT)
    for job in jobs:
        assert_all_there(job, 600)
        assert events(job, "attempt") == events(job, "failure") == []


def test_a_range_that_ends_in_what_nobody_reads_is_no_failed_attempt(both):
    jobs = both(**{"fetch.timeout.ms": 2500, "task.max.failures": 1})
    for job in jobs:
        job.service.start()
    for first in range(0, 300, 50):     # each batch that comes in between ends in an aborted part
        for job in jobs:
            job.feed(50, first=first, transaction=10, abort_every=2)
    for job in jobs:
        job.await_committed(300)
    time.sleep(1)
    for job in jobs:
        job.service.stop()
        job.assert_exactly_once(300)
        assert events(job, "attempt") == events(job, "failure") == []
