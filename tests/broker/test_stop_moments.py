"""A stop at any moment: graceful finishes exactly the batch under way, which the ledger tells by the wall time of
each plan; the next start has nothing to clear up. Forced leaves at most one batch unsettled. Neither loses or
doubles anything.

The moments are every named step of a batch (ONCESINK_FAILPOINT=NAME:term) and random ones; the interval is so short
that the next plan is nearly always due, and joined with the settlement. ONCESINK_FULL=1: many more.
"""

import os
import random
import re
import signal
import sqlite3
import time

import pytest

from job import MODES
from kafka import Kafka
from proxy import Api, hold
from service import SLOWNESS

FULL = os.environ.get("ONCESINK_FULL") == "1"
BATCH = 60
STOPS = 200 if FULL else 10
BOTH = ["idempotent", "transactional"]

IN_A_BATCH = ["plan-asked", "plan-before-commit", "plan-after-commit", "deliver-first",
              "deliver-middle", "deliver-last-acked", "settle-before-commit", "settle-after-commit"]
STEPS = {
    "idempotent": IN_A_BATCH + ["mark-before", "mark-after"],
    "transactional": IN_A_BATCH + ["transaction-before-offsets", "transaction-before-commit",
                                   "transaction-after-commit"],
}
RECOVERY = {
    "idempotent": ["start-after-ledger", "start-after-ask", "recover-begin", "recover-read",
                   "recover-deliver", "recover-check"],
    "transactional": ["start-after-ledger", "start-after-ask", "transaction-after-init",
                      "recover-deliver"],
}

HANGS = [(mode, again) for mode in BOTH for again in ("in time", "never")]


def in_full_size(test):
    return test if FULL else None


@pytest.fixture(scope="module")
def own():
    with Kafka() as running:
        yield running


def busy(new_job, mode, **how):
    """Batches of BATCH records without a pause between them."""
    return new_job(settings={**MODES[mode], "batch.interval.ms": 10, "batch.max.records": BATCH},
                   **how)


def wall_ms():
    return int(time.time() * 1000)


def last_plan_ms(job):
    return job.service.one("SELECT coalesce(max(planned_wall_ms), 0) FROM oncesink_batch")[0]


def assert_settled(job, asked_ms):
    """Ended in order, with nothing planned after the signal."""
    assert job.service.wait() == 0, job.service.log_tail()
    assert job.service.in_doubt() is None
    assert last_plan_ms(job) <= asked_ms, job.service.log_tail()
    assert job.service.one("SELECT kind FROM events LIMIT 1")[0] == "stop"


def relay_the_rest(job, count):
    job.service.settings.pop("batch.max.records", None)
    for name in ("shutdown.graceful", "shutdown.timeout.ms"):
        job.service.settings.pop(name, None)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(count)


def stops_at(job, name, nth=1, delay_us=None):
    """Runs until the step asks for a stop; when that was, by the wall clock."""
    job.service.start(ready=False, failpoint=f"{name}:term@{nth}", delay_us=delay_us)
    found = job.service.await_log(rf"failpoint {name} stops at (\d+)", 20 * SLOWNESS)
    return int(found[1])


@pytest.mark.parametrize("mode", BOTH)
def test_a_stop_at_any_step_finishes_the_batch_under_way_and_plans_no_other(new_job, mode):
    job = busy(new_job, mode)
    count = 20_000
    job.feed(count, style="plain")
    for name in STEPS[mode]:
        for nth in (3, 4, 7) if FULL else (3,):
            # batches take longer than the interval: all plans but the first are joined
            assert_settled(job, stops_at(job, name, 1 if name == "plan-after-commit" else nth,
                                         delay_us=1000))
    relay_the_rest(job, count)


@pytest.mark.parametrize("mode", BOTH)
def test_a_stop_at_any_step_of_a_recovery_finishes_the_batch_in_doubt(new_job, mode):
    job = busy(new_job, mode)
    count = 20_000
    job.feed(count, style="plain")
    for name in RECOVERY[mode]:
        job.service.run(failpoint="deliver-middle:kill@3")
        left = job.service.in_doubt()
        assert left is not None
        assert_settled(job, stops_at(job, name))
        assert job.service.one("SELECT max(batch) FROM batches")[0] == left["batch"]
        assert job.service.one("SELECT outcome FROM batches WHERE batch = ?", left["batch"])[0] \
            == "recovered"
    relay_the_rest(job, count)


@pytest.mark.parametrize("mode", BOTH)
def test_stops_at_random_moments_plan_nothing_after_the_signal(new_job, mode):
    job = busy(new_job, mode)
    count = STOPS * 40 * BATCH
    job.feed(count, style="plain", size=10)
    drawn = random.Random(5)
    for _ in range(STOPS):
        job.service.start()
        time.sleep(drawn.uniform(0, 0.4))
        job.service.signal(drawn.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))
        assert_settled(job, wall_ms())
    assert job.service.one("SELECT count(*) FROM batches")[0] >= STOPS // 2
    relay_the_rest(job, count)


@pytest.mark.parametrize("mode", BOTH)
def test_forced_stops_at_random_moments_leave_one_batch_at_most_to_the_next_start(new_job, mode):
    job = busy(new_job, mode)
    job.service.settings.update({"shutdown.graceful": "false", "recovery.settle.ms": 0})
    count = STOPS * 20 * BATCH
    job.feed(count, style="plain", size=10)
    drawn = random.Random(7)
    in_doubt = 0
    for _ in range(STOPS):
        job.service.start()
        time.sleep(drawn.uniform(0, 0.4))
        job.service.terminate()
        asked = wall_ms()
        assert job.service.wait() == 75, job.service.log_tail()
        assert last_plan_ms(job) <= asked
        left = job.service.in_doubt()
        in_doubt += left is not None
        assert re.search(rf"batch {left['batch']} is unsettled" if left
                         else "everything is settled", job.service.log()), job.service.log_tail()
    assert in_doubt > 0
    job.service.settings["recovery.settle.ms"] = 1000
    relay_the_rest(job, count)


@pytest.mark.parametrize("goes", [True, False], ids=["goes", "stays"])
def test_a_stop_while_a_start_waits_for_a_persons_lock(new_job, goes):
    """A batch is in doubt, and the ledger is locked: it is finished when the lock goes in time."""
    job = new_job(settings={"shutdown.timeout.ms": 20_000 * SLOWNESS if goes else 1000})
    job.feed(1500)
    assert job.service.run(failpoint="deliver-middle:kill") == -9
    person = sqlite3.connect(job.service.ledger, isolation_level=None)
    try:
        person.execute("BEGIN IMMEDIATE")
        job.service.start(ready=False)
        time.sleep(1)
        job.service.terminate()
        asked = wall_ms()
        if goes:
            time.sleep(0.5)
            assert job.service.running()
            person.execute("ROLLBACK")
            assert_settled(job, asked)
        else:
            assert job.service.wait() == 75, job.service.log_tail()
            person.execute("ROLLBACK")
            assert "batch 1 is unsettled" in job.service.log()
            assert job.service.in_doubt() is not None
    finally:
        person.close()
    relay_the_rest(job, 1500)


def test_a_stop_while_a_settlement_waits_for_a_persons_lock_plans_nothing(new_job):
    """The next plan was made already, to be stored with it."""
    job = busy(new_job, "idempotent")
    job.feed(3000, style="plain")
    job.service.start(delay_us=2000)
    while job.service.in_doubt() is None:
        time.sleep(0.005)
    person = sqlite3.connect(job.service.ledger, isolation_level=None, timeout=20)
    try:
        person.execute("BEGIN IMMEDIATE")
        under_way = job.service.in_doubt()["batch"]
        job.service.await_log("write transaction open", 20 * SLOWNESS)
        job.service.terminate()
        asked = wall_ms()
        time.sleep(0.3)
        person.execute("ROLLBACK")
        assert_settled(job, asked)
    finally:
        person.close()
    assert job.service.one("SELECT max(batch) FROM batches")[0] == under_way
    marks = job.topics("group_offsets", group=job.name)[f"{job.name}-in"]
    assert {each["metadata"].split("/")[3] for each in marks.values()} == {str(under_way)}
    relay_the_rest(job, 3000)


def test_a_stop_with_the_broker_away_between_batches_ends_in_order(own, peer, new_job):
    job = new_job(at=peer.at(own.bootstrap))
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    time.sleep(0.5)
    own.kill()
    try:
        time.sleep(1)
        job.service.terminate()
        assert job.service.wait(15 * SLOWNESS) == 0, job.service.log_tail()
        assert job.service.in_doubt() is None
    finally:
        own.start()
    job.feed(300, first=300)
    relay_the_rest(job, 600)


@pytest.mark.parametrize("mode", BOTH if FULL else BOTH[1:])
def test_a_stop_with_the_broker_away_in_mid_batch_is_forced_in_time(own, peer, new_job, mode):
    job = new_job(at=peer.at(own.bootstrap), settings={**MODES[mode], "shutdown.timeout.ms": 2000})
    job.feed(3000)
    job.service.start(delay_us=1000)
    while job.service.in_doubt() is None:
        time.sleep(0.01)
    time.sleep(0.5)
    own.kill()
    try:
        began = time.monotonic()
        job.service.terminate()
        assert job.service.wait(20 * SLOWNESS) == 75, job.service.log_tail()
        assert time.monotonic() - began >= 2
        assert job.service.in_doubt() is not None
    finally:
        own.start()
    relay_the_rest(job, 3000)


@in_full_size
@pytest.mark.parametrize("mode", BOTH)
def test_a_stop_in_a_recovery_with_the_broker_away_is_forced_in_time(own, peer, new_job, mode):
    job = new_job(at=peer.at(own.bootstrap), settings={**MODES[mode], "shutdown.timeout.ms": 2000})
    job.feed(3000)
    assert job.service.run(failpoint="deliver-middle:kill") == -9
    own.kill()
    try:
        for _ in range(2):      # the second start finds what the first left
            job.service.start()
            time.sleep(1)
            job.service.terminate()
            assert job.service.wait(20 * SLOWNESS) == 75, job.service.log_tail()
            assert job.service.in_doubt()["batch"] == 1
    finally:
        own.start()
    relay_the_rest(job, 3000)


@pytest.mark.parametrize("mode, again", HANGS if FULL else HANGS[1:3])
def test_a_stop_while_a_read_hangs(proxied, peer, new_job, mode, again):
    """Every fetch gets no answer. It comes back in time: the batch is finished. Never: forced."""
    kafka, proxy = proxied
    job = new_job(at=peer.at(kafka.bootstrap), settings={
        **MODES[mode], "shutdown.timeout.ms": 20_000 * SLOWNESS if again == "in time" else 1500})
    job.service.settings["bootstrap.servers"] = kafka.proxied_bootstrap
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    rule = proxy.add(hold(), api=Api.FETCH, client=job.name, times=None)
    rule.await_hits()
    job.feed(600, first=300)
    deadline = time.monotonic() + 10 * SLOWNESS
    while job.service.in_doubt() is None:
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.01)
    job.service.terminate()
    asked = wall_ms()
    if again == "in time":
        time.sleep(0.5)
        assert job.service.running()
        proxy.remove(rule)
        proxy.cut()
        assert_settled(job, asked)
    else:
        assert job.service.wait(20 * SLOWNESS) == 75, job.service.log_tail()
        assert job.service.in_doubt() is not None
    proxy.clear()
    proxy.cut()
    relay_the_rest(job, 900)
