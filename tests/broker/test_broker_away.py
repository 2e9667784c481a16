"""The broker dies, restarts, stays away: the service goes on by itself, and nothing is lost or
doubled. On a broker of its own, because the others' would be gone too."""

import time

import pytest

from kafka import Kafka

COUNT = 12_000


@pytest.fixture(scope="module")
def own():
    with Kafka() as running:
        yield running


@pytest.fixture
def job(own, peer, new_job):
    return new_job(at=peer.at(own.bootstrap), settings={"batch.interval.ms": 500})


def in_mid_batch(job):
    """Starts the service; returns when its first batch, some 4 s long, has part of its output."""
    job.feed(COUNT)
    job.service.start(delay_us=300)
    deadline = time.monotonic() + 30
    while not (job.service.in_doubt() and job.tally()["records"] > 500):
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.01)
    assert job.tally()["records"] < COUNT


def goes_on(job, pid):
    job.await_relayed(COUNT)
    job.feed(300, first=COUNT)
    job.await_relayed(COUNT + 300)
    assert job.service.pid == pid and job.service.running()
    job.service.stop()
    job.assert_exactly_once(COUNT + 300)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_broker_that_restarts_in_mid_batch(own, job, how):
    in_mid_batch(job)
    getattr(own, how)()
    own.start()
    goes_on(job, job.service.pid)


def test_a_broker_that_is_away_for_a_while(own, job, full):
    """60 s in full size, 10 s in CI; away from the middle of a batch on."""
    in_mid_batch(job)
    own.kill()
    time.sleep(60 if full else 10)
    assert job.service.running(), job.service.log_tail()
    own.start()
    goes_on(job, job.service.pid)


def test_a_broker_that_comes_only_after_the_service(own, job):
    """Ready waits for no broker; what is asked of it is answered when it comes."""
    job.feed(500)
    own.stop()
    job.service.start()
    time.sleep(2)
    assert job.service.running()
    own.start()
    job.await_relayed(500)
    job.service.stop()
    job.assert_exactly_once(500)


def test_a_stop_while_the_broker_is_away_ends_in_time(own, job):
    in_mid_batch(job)
    job.service.close_ledger()
    own.kill()
    try:
        job.service.terminate()
        time.sleep(0.2)
        job.service.terminate()
        assert job.service.wait(15) == 75, job.service.log_tail()
    finally:
        own.start()
    job.service.start()
    goes_on(job, job.service.pid)


def test_a_marker_before_our_offset_and_another_leader_epoch_behind_it(own, job):
    """What was read before ends in a transaction's marker, which no reader sees, so it can't be compared; the
    restarted broker leads in another epoch. Then the leader is asked, and reading goes on."""
    job.service.settings["log.level"] = "debug"
    job.feed(300, transaction=300)
    job.service.start()
    job.await_relayed(300)
    job.service.stop()
    own.stop()
    own.start()
    job.feed(300, first=300, transaction=300)
    job.service.start()
    job.await_relayed(600)
    job.service.stop()
    assert "asking the leader" in job.service.log(), job.service.log_tail()
    job.assert_exactly_once(600)
