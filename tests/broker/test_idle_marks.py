"""A job without work keeps the mark in its group, however long that lasts: Kafka forgets the offsets of
a group without members after offsets.retention.minutes (7 days). On brokers of their own, and with all
modes at the same time. The commits are read from __consumer_offsets.

CI: marks come in a quarter of the time that a broker says, and through 8 days on a job clock that runs
fast (ONCESINK_CLOCK_SPEED, debug builds). ONCESINK_FULL=1: 6 minutes after which a group that nobody
refreshes is forgotten.
"""

import os
import time

import pytest

from job import MODES as ALL_MODES
from kafka import Kafka

MODES = {mode: ALL_MODES[mode] for mode in ("idempotent", "transactional")}
DAY_S = 24 * 3600
RETENTION_S = 7 * DAY_S                 # of a Kafka as it comes
IDLE_DAYS, IDLE_S = 8, 30
PARTITIONS = 3


@pytest.fixture(scope="module")
def forgetful():
    """Keeps a group's offsets for two minutes, and doesn't verify transactions."""
    with Kafka(offsets_retention_minutes=2, offsets_retention_check_interval_ms=5000,
               transaction_partition_verification_enable="false") as running:
        yield running


@pytest.fixture(scope="module")
def usual():
    with Kafka() as running:
        yield running


class Idle:
    """A job that has relayed some records and waits, by a clock of some speed."""

    def __init__(self, kafka, peer, new_job, mode, clock_speed=1):
        self.topics = peer.at(kafka.bootstrap)
        self.job = new_job(at=self.topics, settings=MODES[mode])
        self.fed = 0
        self.works()
        self.job.service.stop()
        self.interval(min(200 * clock_speed, 1_800_000))
        self.job.service.start(clock_speed=clock_speed)

    def interval(self, interval_ms):
        self.job.service.settings["batch.interval.ms"] = interval_ms

    def works(self):
        self.job.feed(300, first=self.fed)
        self.fed += 300
        if not self.job.service.running():
            self.job.service.start()
        self.job.await_relayed(self.fed)

    def commits(self):
        """When a partition of the input was committed, in ms of the broker's clock."""
        found = self.topics("group_commits", group=self.job.name)
        return found[next(iter(self.job.inputs))]["0"]

    def mark(self):
        """Of each partition the offset, and the mark's text without the incarnation."""
        found = self.topics("group_offsets", group=self.job.name)
        marks = found.get(next(iter(self.job.inputs)), {})
        assert len(marks) == PARTITIONS, marks
        return {partition: (each["offset"], each["metadata"].split("/")[:1],
                            each["metadata"].split("/")[2:])
                for partition, each in marks.items()}

    def ends_well(self):
        self.works()
        self.job.service.stop()
        self.interval(200)
        self.works()
        self.job.service.stop()
        self.job.assert_exactly_once(self.fed)


def test_a_mark_is_renewed_in_a_quarter_of_the_time_that_brokers_say(forgetful, usual, peer, new_job):
    """A minute passes in a second: marks come every half second where offsets are kept for two
    minutes, and at most one in 10 s where they are kept for a week."""
    idle = {mode: [Idle(kafka, peer, new_job, mode, clock_speed=60) for kafka in (forgetful, usual)]
            for mode in MODES}
    time.sleep(2)
    began_ms = time.time() * 1000
    time.sleep(10)
    for mode, both in idle.items():
        came, usually = [sum(at_ms >= began_ms for at_ms in each.commits()) for each in both]
        print(f"\n{mode}: in 10 minutes of the job clock {came} marks where offsets are kept for"
              f" 2 minutes, {usually} where for 7 days")
        assert came >= 5
        assert usually <= 1
        for each in both:
            each.mark()
            each.ends_well()


def test_brokers_that_do_not_verify_transactions_are_told_once(forgetful, usual, peer, new_job):
    """Where it matters: in transactional mode (tests/model: transactional -DNOVERIFY)."""
    warning = "relies on brokers that verify transactions: these are told not to"
    jobs = {(kafka, mode): new_job(at=peer.at(kafka.bootstrap), settings=MODES[mode])
            for kafka in (forgetful, usual) for mode in MODES}
    for job in jobs.values():
        job.service.start()
    jobs[forgetful, "transactional"].service.await_log(warning)
    for job in jobs.values():
        job.feed(30)
        job.await_relayed(30)       # by then they have all asked
    told = {which: job.service.log().count("relies on brokers") for which, job in jobs.items()}
    assert told.pop((forgetful, "transactional")) == 1
    assert set(told.values()) == {0}, told


def test_eight_idle_days_leave_the_mark_young(usual, peer, new_job):
    speed = IDLE_DAYS * DAY_S // IDLE_S
    idle = {mode: Idle(usual, peer, new_job, mode, clock_speed=speed) for mode in MODES}
    marks = {mode: each.mark() for mode, each in idle.items()}
    began_ms = time.time() * 1000
    time.sleep(IDLE_S)
    ended_ms = time.time() * 1000
    for mode, each in idle.items():
        commits = [at_ms for at_ms in each.commits() if began_ms <= at_ms < ended_ms]
        places = [began_ms, *commits, ended_ms]
        oldest_s = max(b - a for a, b in zip(places, places[1:])) / 1000 * speed
        print(f"\n{mode}: in {IDLE_DAYS} days of the job clock {len(commits)} marks, the oldest"
              f" {oldest_s / 3600:.1f} h old")
        assert oldest_s <= RETENTION_S / 4
        assert len(commits) >= IDLE_DAYS * DAY_S / (RETENTION_S / 4)
        assert each.mark() == marks[mode]
        each.ends_well()


def in_six_minutes_a_mark_outlives_its_retention(forgetful, peer, new_job):
    idle = {mode: Idle(forgetful, peer, new_job, mode) for mode in MODES}
    marks = {mode: each.mark() for mode, each in idle.items()}
    topics, control = peer.at(forgetful.bootstrap), "control"
    topic = next(iter(idle["idempotent"].job.inputs))
    topics("alter_group", group=control, offsets={topic: {0: 1}})
    assert topics("group_offsets", group=control)
    time.sleep(360)
    assert topics("group_offsets", group=control) == {}, "offsets aren't forgotten here"
    for mode, each in idle.items():
        assert each.mark() == marks[mode]
        each.ends_well()


if os.environ.get("ONCESINK_FULL") == "1":
    test_in_six_minutes_a_mark_outlives_its_retention = in_six_minutes_a_mark_outlives_its_retention
