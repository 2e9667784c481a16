"""Every way to stop, and the exit codes that say so."""

import signal
import time

import pytest


def in_mid_batch(job, delay_us=2000, **start):
    """Starts a job whose batch takes seconds, and returns when a batch is half delivered."""
    job.service.start(delay_us=delay_us, **start)
    deadline = time.monotonic() + 30
    while True:
        batch = job.service.in_doubt()
        if batch is not None and job.tally()["records"] > 0:
            return batch
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.01)


def finish(job, count):
    job.service.settings.pop("shutdown.graceful", None)
    job.service.start()
    job.await_relayed(count)
    job.service.stop()
    job.assert_exactly_once(count)


def test_sigterm_finishes_and_settles_the_batch_under_way(new_job):
    job = new_job()
    job.feed(1500)
    batch = in_mid_batch(job)
    job.service.terminate()
    assert job.service.wait() == 0, job.service.log_tail()
    assert job.service.in_doubt() is None
    assert job.tally()["records"] == batch["planned"] == 1500
    assert job.service.one("SELECT state FROM batches WHERE batch = ?", batch["batch"])[0] \
        == "settled"


def forced(job, act, code=75):
    batch = in_mid_batch(job, delay_us=5000)
    began = time.monotonic()
    act(job.service)
    assert job.service.wait() == code, job.service.log_tail()
    left = job.service.in_doubt()
    assert left is not None and left["batch"] == batch["batch"]
    finish(job, 3000)
    return time.monotonic() - began


def test_a_second_signal_forces_the_stop(new_job):
    job = new_job()
    job.feed(3000)

    def act(service):
        service.terminate()
        time.sleep(0.3)
        service.terminate()
    forced(job, act)


def test_shutdown_timeout_forces_the_stop(new_job):
    job = new_job(settings={"shutdown.timeout.ms": 500})
    job.feed(3000)
    forced(job, lambda service: service.terminate())


def test_shutdown_graceful_false_forces_it_at_once(new_job):
    job = new_job(settings={"shutdown.graceful": "false"})
    job.feed(3000)
    forced(job, lambda service: service.terminate())


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGHUP])
def test_sigint_and_sighup_stop_like_sigterm(new_job, which):
    job = new_job()
    job.feed(100)
    job.service.start()
    job.await_relayed(100)
    job.service.signal(which)
    assert job.service.wait() == 0
    job.assert_exactly_once(100)


def test_a_stop_before_the_first_output_is_in_order_too(new_job):
    job = new_job()
    job.service.start()
    job.service.stop()


def test_until_end_works_off_what_is_there_and_ends(new_job):
    job = new_job(settings={"batch.max.records": 1000})
    job.feed(4500, transaction=50, abort_every=3)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(4500)
    assert job.service.in_doubt() is None
    assert job.service.run("--until-end") == 0      # nothing to do
    job.assert_exactly_once(4500)


def test_until_end_leaves_what_comes_later(new_job, topics):
    job = new_job()
    job.feed(2000)
    coming = topics.begin("feed", topics=job.all_inputs(), count=100_000, first=2000, rate=500)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    relayed = job.tally()["records"]
    coming.stop()
    sent = coming.result()["sent"]
    assert 2000 <= relayed < 2000 + sent
    finish(job, 2000 + sent)


def test_a_batch_left_by_a_kill_is_finished_by_until_end(new_job):
    job = new_job()
    job.feed(3000)
    in_mid_batch(job)
    job.service.kill()
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(3000)


def test_sigusr1_logs_the_state_and_changes_nothing(new_job):
    job = new_job()
    job.feed(100)
    job.service.start()
    job.await_relayed(100)
    before = len(job.service.log())
    job.service.signal(signal.SIGUSR1)
    deadline = time.monotonic() + 5
    while len(job.service.log()) == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job.service.stop()


def test_a_topic_that_stays_missing_is_named(new_job, topics):
    job = new_job()
    topics("delete_topics", topics=[f"{job.name}-out"])
    began = time.monotonic()
    assert job.service.run(timeout_s=60) == 77
    assert f"{job.name}-out" in job.service.log()
    assert 25 <= time.monotonic() - began <= 50
