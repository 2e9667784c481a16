"""The relation of settings that shows only while the job runs: fetch.max.records records should take less than
session.timeout.ms at the rate that is measured."""

WORDS = "which should be below session.timeout.ms"


def warnings_of(job, count, **start):
    job.feed(count, style="plain")
    job.service.start(**start)
    job.await_relayed(count)
    job.service.stop()
    return [line for line in job.service.log().splitlines() if WORDS in line]


def slow(new_job, **settings):
    """Batches of more than a second, two or three to a session of two seconds."""
    return new_job(settings={"batch.interval.ms": 100, "batch.max.records": 600, **settings})


def test_a_slow_job_is_told_once_that_a_fetch_takes_longer_than_a_session(new_job):
    job = slow(new_job, **{"session.timeout.ms": 2000, "heartbeat.interval.ms": 500})
    said = warnings_of(job, 3600, delay_us=2000)
    assert len(said) == 1, said
    assert "warning" in said[0] and "fetch.max.records = 10000 records" in said[0]
    assert "session.timeout.ms = 2000" in said[0]
    job.assert_exactly_once(3600)


def test_a_fetch_that_fits_into_a_session_is_not_spoken_of(new_job):
    job = slow(new_job, **{"session.timeout.ms": 2000, "heartbeat.interval.ms": 500,
                           "kafka.max.poll.records": 50})
    assert warnings_of(job, 3600, delay_us=2000) == []
