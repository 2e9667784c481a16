"""Attacks by a broker of one's own: answers that come too late, requests of the dead that are served
late, elections, limits that change while it runs."""

import os
import random
import signal
import time

import pytest

from kafka import Kafka

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def own():
    with Kafka() as running:
        yield running


@pytest.fixture
def at(own, peer):
    return peer.at(own.bootstrap)


def still(kafka):
    os.kill(kafka.process.pid, signal.SIGSTOP)


def go_on(kafka):
    os.kill(kafka.process.pid, signal.SIGCONT)


def await_in_doubt(job, count, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not (job.service.in_doubt() and job.tally()["records"] >= count):
        assert job.service.running(), job.service.log_tail()
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.01)


def doubles(job):
    return [row[0] for row in
            job.service.rows("SELECT text FROM oncesink_event WHERE kind = 'double'")]


def test_answers_that_come_too_late_are_neither_lost_nor_doubled(own, at, new_job):
    """Requests are executed after their sender has given them up and sent them again."""
    job = new_job(at=at, settings={"request.timeout.ms": 1000, "session.timeout.ms": 900,
                                   "heartbeat.interval.ms": 300})
    job.feed(60_000)
    job.service.start(delay_us=50)
    await_in_doubt(job, 1000)
    for _ in range(3):
        still(own)
        time.sleep(1.7)
        go_on(own)
        time.sleep(0.5)
    job.await_relayed(60_000)
    job.service.stop()
    job.assert_exactly_once(60_000)
    assert doubles(job) == []


def test_a_broker_that_stood_still_serves_the_dead_first(own, at, new_job, full):
    """The requests of a killed process lie in the broker, which wakes long after the next start."""
    for _ in range(3 if full else 1):
        job = new_job(at=at)
        job.feed(40_000)
        job.service.start(delay_us=20)
        await_in_doubt(job, 500)
        still(own)
        time.sleep(0.3)
        job.service.kill()
        job.service.start()
        time.sleep(2.5)
        go_on(own)
        job.await_relayed(40_000)
        job.service.stop()
        job.assert_exactly_once(40_000)


def test_a_range_without_a_record_after_an_election_is_no_truncation(own, at, new_job):
    """Aborted data and its marker alone: no record says which epoch they are of."""
    job = new_job(at=at, inputs={"in": 1}, outputs={"out": 1},
                  settings={"batch.max.records": 11})
    job.feed(10)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    own.kill()
    own.start()
    assert job.feed(10, first=10, transaction=10, abort_every=1)["aborted"] == 10
    assert job.service.run("--until-end", failpoint="settle-after-commit:kill") == -9
    assert job.service.one("SELECT records FROM batches WHERE batch = 2")[0] == 0
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(20)


def test_a_batch_found_whole_after_an_election_is_no_truncation(own, at, new_job):
    """Its last epoch isn't read, but known from before."""
    job = new_job(at=at, inputs={"in": 1}, outputs={"out": 1})
    job.feed(100)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    own.kill()
    own.start()
    job.feed(100, first=100)
    assert job.service.run("--until-end", failpoint="deliver-last-acked:kill") == -9
    for _ in range(2):
        assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.feed(100, first=200)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(300)


def test_a_smaller_max_message_bytes_while_running(own, at, new_job):
    job = new_job(at=at, settings={"batch.interval.ms": 500, "recovery.settle.ms": 300})
    job.feed(3000)
    job.service.start()
    job.await_relayed(3000)
    at("alter_configs", topic=f"{job.name}-out", configs={"max.message.bytes": 20_000})
    job.feed(30_000, first=3000)
    job.await_relayed(33_000, timeout_s=90)
    job.service.stop()
    job.assert_exactly_once(33_000)


def test_a_broker_and_a_service_that_die_in_turns(own, at, new_job, full):
    """Also both at once, and in recovery."""
    draw = random.Random(5)
    job = new_job(at=at, settings={"recovery.settle.ms": 300})
    fed = 0
    for turn in range(9 if full else 3):
        job.feed(4000, first=fed)
        fed += 4000
        if not job.service.running():
            job.service.start(delay_us=draw.choice([0, 100, 300]))
        time.sleep(draw.uniform(0.2, 1.5))
        getattr(own, draw.choice(["kill", "stop"]))()
        if turn % 2 == 0:
            job.service.kill()
            job.service.start(delay_us=100)
        time.sleep(draw.uniform(0.1, 1))
        own.start()
        time.sleep(draw.uniform(0, 1.5))
        if turn % 3 == 2:
            job.service.kill()
    if not job.service.running():
        job.service.start()
    job.await_relayed(fed)
    job.service.stop()
    job.assert_exactly_once(fed)
    assert doubles(job) == []
