"""When batches are due, seen from the ledger: ticks are multiples of the interval, none is skipped or run
twice, after a long pause they collapse into one, and a cap is lifted by none of it.

An hour passes at once on the job's clock (ONCESINK_CLOCK_JUMP: builds for tests), as over a suspend. ONCESINK_FULL=1: batches of ten seconds in real time.
"""

import os
import random
import re
import signal
import subprocess
import time

import pytest

from job import MODES
from kafka import Kafka
from service import SLOWNESS, program

FULL = os.environ.get("ONCESINK_FULL") == "1"
HOUR_MS = 3_600_000


def in_full_size(test):
    return test if FULL else None


@pytest.fixture(scope="module")
def own():
    with Kafka() as running:
        yield running


def wall_ms():
    return int(time.time() * 1000)


def batches(job):
    return job.service.rows("SELECT batch, tick_ms AS tick, started_ms AS started, planned, records, limited_by"
                            " FROM oncesink_batch WHERE state = 'settled' ORDER BY batch")


def collapses(job):
    """{batch: missed ticks} as the events tell it."""
    found = {}
    for row in job.service.rows("SELECT batch, text FROM events WHERE kind = 'ticks'"):
        assert row["batch"] not in found
        found[row["batch"]] = int(re.fullmatch(r"(\d+) missed ticks collapsed into one", row["text"])[1])
    return found


def await_batches(job, count, timeout_s=60):
    deadline = time.monotonic() + timeout_s * SLOWNESS
    while len(rows := batches(job)) < count:
        assert job.service.running(), job.service.log_tail()
        assert time.monotonic() < deadline, f"{len(rows)} batches: {job.service.log_tail()}"
        time.sleep(0.02)
    return rows


def assert_ticks(job, interval_ms, starts=()):
    """Every tick between two batches of one start ran, or an event tells that it collapsed into the later
    one. (The backlog never ends: no tick is empty.) Returns the collapses."""
    told = collapses(job)
    rows = batches(job)
    for row in rows:
        assert row["tick"] % interval_ms == 0
        assert 0 <= row["started"] - row["tick"]
    for before, after in zip(rows, rows[1:]):
        if after["batch"] in starts:
            assert after["tick"] > before["tick"]
            continue
        missed = (after["tick"] - before["tick"]) // interval_ms - 1
        assert missed == told.get(after["batch"], 0), (dict(before), dict(after), told)
        assert missed == 0 or missed > 10, (dict(before), dict(after))
        if missed:      # into the newest
            assert after["started"] - after["tick"] < interval_ms
    assert set(told) <= {row["batch"] for row in rows}
    return told


def assert_capped(job, count):
    """Every batch took what the cap gives for one interval; the last one may have found no more."""
    rows = batches(job)
    for row in rows:
        assert (row["planned"], row["records"]) == (count, count), dict(row)
    assert {row["limited_by"] for row in rows[:-1]} == {"cap"}


class Clock:
    """The file by which the job clock is ahead."""

    def __init__(self, job):
        self.file = job.service.folder / "ahead"
        self.file.touch()
        self.ahead_ms = 0

    def environment(self):
        return {"ONCESINK_CLOCK_JUMP": str(self.file)}

    def jump(self, ms):
        self.ahead_ms += ms
        with self.file.open("r+b", buffering=0) as file:
            file.write(b"%020d\n" % self.ahead_ms)      # in one piece, over what was there


@pytest.mark.parametrize("mode", ["idempotent", "transactional"])
def test_an_hour_asleep_is_one_collapsed_tick_and_no_cap_is_lifted(new_job, topics, mode):
    job = new_job(settings={**MODES[mode], "batch.interval.ms": 1000, "rate.max.per.partition": 100})
    job.feed(6000, style="plain")
    coming = topics.begin("feed", topics=job.all_inputs(), count=1_000_000, first=6000, rate=900, style="plain")
    clock = Clock(job)
    job.service.start(environment=clock.environment())
    before = await_batches(job, 2)[-1]
    clock.jump(HOUR_MS)
    await_batches(job, before["batch"] + 4)
    job.service.stop()
    coming.stop()
    coming.result()
    assert_capped(job, 300)
    told = assert_ticks(job, 1000)
    assert len(told) == 1
    assert next(iter(told.values())) in range(3590, 3611)
    assert job.service.log().count("ticks were missed") == 1


def test_a_sleep_in_mid_batch_is_one_collapsed_tick(new_job):
    """The batch under way is finished first, and belongs to its own tick."""
    job = new_job(settings={"batch.interval.ms": 1000, "rate.max.per.partition": 100})
    job.feed(6000, style="plain")
    clock = Clock(job)
    job.service.start(environment=clock.environment(), delay_us=1000)       # 300 ms a batch
    await_batches(job, 1)
    while job.service.in_doubt() is None:
        time.sleep(0.002)
    clock.jump(HOUR_MS)
    await_batches(job, 5)
    job.service.stop()
    assert_capped(job, 300)
    assert len(assert_ticks(job, 1000)) == 1


def test_a_sleep_of_less_than_ten_ticks_is_caught_up_with_tick_by_tick(new_job):
    job = new_job(settings={"batch.interval.ms": 2000, "rate.max.per.partition": 50})
    job.feed(6000, style="plain")
    clock = Clock(job)
    job.service.start(environment=clock.environment())
    before = await_batches(job, 1)[-1]
    clock.jump(12_000)
    rows = await_batches(job, before["batch"] + 7)
    job.service.stop()
    late = [row["started"] - row["tick"] for row in rows if row["batch"] > before["batch"]]
    assert late[0] >= 8000 and late[-1] < late[0], late
    assert_capped(job, 300)
    assert assert_ticks(job, 2000) == {}


def test_a_process_that_stood_still_runs_one_collapsed_tick(new_job):
    job = new_job(settings={"batch.interval.ms": 200, "rate.max.per.partition": 500})
    job.feed(6000, style="plain")
    job.service.start()
    before = await_batches(job, 3)[-1]
    job.service.signal(signal.SIGSTOP)
    time.sleep(3)
    job.service.signal(signal.SIGCONT)
    await_batches(job, before["batch"] + 4)
    job.service.stop()
    assert_capped(job, 300)
    assert assert_ticks(job, 200)
    assert subprocess.run([program("oncesink-recover"), "verify", str(job.service.ledger)],
                          capture_output=True, timeout=60 * SLOWNESS).returncode == 0


def test_a_start_with_its_wall_clock_behind_the_ledger_goes_on_from_the_ledgers_time(new_job):
    """A wall clock that was ahead by an hour, and is set right between two starts."""
    job = new_job(settings={"batch.interval.ms": 500, "rate.max.per.partition": 200})
    job.feed(2400, style="plain")
    clock = Clock(job)
    job.service.start(environment=clock.environment())
    await_batches(job, 1)
    clock.jump(HOUR_MS)
    await_batches(job, 3)
    job.service.kill()
    before = job.service.one("SELECT max(batch) AS batch, max(tick_ms) AS tick FROM oncesink_batch")
    assert before["tick"] > wall_ms() + HOUR_MS - 60_000
    job.service.start()
    job.await_relayed(2400)
    job.service.stop()
    rows = batches(job)
    assert rows[-1]["batch"] == 8
    assert rows[-1]["tick"] < before["tick"] + 60_000
    assert_capped(job, 300)
    assert_ticks(job, 500, starts={before["batch"] + 1})
    job.assert_exactly_once(2400)


def test_ticks_asleep_with_nothing_to_read_leave_no_trace(new_job):
    """They collapse, and what comes later is read at the tick after."""
    job = new_job(settings={"batch.interval.ms": 200})
    clock = Clock(job)
    job.service.start(environment=clock.environment())
    time.sleep(0.5)
    clock.jump(HOUR_MS)
    time.sleep(0.5)
    job.feed(300)
    job.await_relayed(300)
    job.service.stop()
    assert collapses(job) == {}
    assert all(row["tick"] % 200 == 0 and row["started"] - row["tick"] < 2000 for row in batches(job))


def test_an_idle_job_with_a_short_interval_writes_nothing(new_job):
    """Asking for ends takes longer than ten intervals of a millisecond, again and again."""
    job = new_job(settings={"batch.interval.ms": 1})
    job.service.start()
    time.sleep(2)
    job.service.stop()
    assert [row["kind"] for row in job.service.rows("SELECT kind FROM events ORDER BY time")] == ["start", "stop"]


@pytest.mark.parametrize("mode", ["idempotent", "transactional"] if FULL else ["idempotent"])
def test_a_broker_that_dies_and_comes_back_after_many_ticks_lifts_no_cap(own, peer, new_job, mode):
    job = new_job(at=peer.at(own.bootstrap), settings={
        **MODES[mode], "batch.interval.ms": 100, "rate.max.per.partition": 200})
    job.feed(3000, style="plain")
    job.service.start()
    await_batches(job, 5)
    own.kill()
    time.sleep(2)
    own.start()
    job.await_relayed(3000)
    job.service.stop()
    assert_capped(job, 60)
    assert assert_ticks(job, 100)
    job.assert_exactly_once(3000)


def test_a_broker_that_stands_still_for_less_than_ten_ticks_delays_them_and_none_is_lost(own, peer, new_job):
    job = new_job(at=peer.at(own.bootstrap), settings={"batch.interval.ms": 1500, "rate.max.per.partition": 100})
    job.feed(9000, style="plain")
    job.service.start()
    await_batches(job, 2)
    own.process.send_signal(signal.SIGSTOP)
    time.sleep(5)
    own.process.send_signal(signal.SIGCONT)
    await_batches(job, 7)
    job.service.stop()
    assert_capped(job, 450)
    assert assert_ticks(job, 1500) == {}
    assert max(row["started"] - row["tick"] for row in batches(job)) > 1500      # some were late


def test_starts_one_after_another_run_no_tick_twice(new_job):
    """--until-end begins at once; a second start within the same tick waits for the next."""
    job = new_job(settings={"batch.interval.ms": 1000, "rate.max.per.partition": 100})
    job.feed(900, style="plain")
    starts = set()
    while job.tally()["records"] < 900:
        job.service.start("--until-end")
        time.sleep(0.5)
        job.service.terminate()
        assert job.service.wait() == 0
        starts.add(len(batches(job)) + 1)
        assert len(starts) < 20
    rows = batches(job)
    assert [row["planned"] for row in rows] == [300, 300, 300]
    assert len({row["tick"] for row in rows}) == 3
    assert_ticks(job, 1000, starts)


@pytest.mark.parametrize("seed", range(12 if FULL else 1))
@pytest.mark.parametrize("mode", ["idempotent", "transactional"])
def test_whatever_happens_to_clock_and_process_no_tick_is_lost_or_doubled(new_job, mode, seed):
    """Sleeps of up to thirty intervals, kills, stops and standstills, in any order."""
    job = new_job(settings={**MODES[mode], "batch.interval.ms": 200, "rate.max.per.partition": 100,
                            "recovery.settle.ms": 200})
    count = 6000
    job.feed(count, style="plain")
    drawn = random.Random(seed)
    clock = Clock(job)
    starts = set()

    def start():
        row = job.service.one("SELECT max(batch) FROM oncesink_batch") if job.service.ledger.exists() else [0]
        starts.add((row[0] or 0) + 1)
        job.service.start(environment=clock.environment(), delay_us=drawn.choice([None, 1000, 3000]))
    start()
    for _ in range(12):
        time.sleep(drawn.uniform(0, 0.8))
        act = drawn.choice(["sleep", "sleep", "sleep", "kill", "stop", "standstill"])
        if act == "sleep":
            clock.jump(drawn.randrange(30 * 200))
        elif act == "standstill":
            job.service.signal(signal.SIGSTOP)
            time.sleep(drawn.uniform(0, 3))
            job.service.signal(signal.SIGCONT)
        else:
            if act == "kill":
                job.service.kill()
            else:
                job.service.stop()
            start()
    job.service.stop()
    rows = batches(job)
    assert len(rows) >= 4
    assert {row["planned"] for row in rows} == {60}
    assert_ticks(job, 200, starts)
    job.service.settings["rate.max.per.partition"] = 0
    assert job.service.run("--until-end") == 0
    job.assert_exactly_once(count)


# 500 records/s × 3 partitions: what the source document computes.

def capped_batches(new_job, interval_ms, count, asleep=False):
    """asleep: the job's clock is put ahead to the next tick as soon as a batch is settled."""
    job = new_job(settings={"rate.max.per.partition": 500, "batch.interval.ms": interval_ms})
    each = 3 * 500 * interval_ms // 1000
    job.feed(each * count, style="plain", size=10)
    clock = Clock(job)
    job.service.start(environment=clock.environment())
    if asleep:
        for settled in range(count):
            clock.jump(interval_ms)
            await_batches(job, settled + 1)
    else:
        await_batches(job, count, timeout_s=count * interval_ms / 1000 + 60)
    job.service.stop()
    rows = batches(job)
    assert [(row["planned"], row["records"]) for row in rows] == [(each, each)] * count
    assert [after["tick"] - before["tick"] for before, after in zip(rows, rows[1:])] \
        == [interval_ms] * (count - 1)
    assert collapses(job) == {}


def test_500_a_second_and_partition_are_15000_in_each_of_100_batches_of_ten_seconds(new_job):
    capped_batches(new_job, 10_000, 100, asleep=True)


def test_500_a_second_and_partition_are_1500_in_each_batch_of_a_real_second(new_job):
    capped_batches(new_job, 1000, 5)


@in_full_size
def test_500_a_second_and_partition_are_15000_in_each_of_6_batches_of_ten_real_seconds(new_job):
    capped_batches(new_job, 10_000, 6)
