"""Delivery mode transactional on a real Kafka: what a read_committed reader sees."""

import time


TRANSACTIONAL = {"delivery.mode": "transactional"}


def test_records_arrive_once(new_job):
    job = new_job(settings=TRANSACTIONAL)
    job.feed(3000)
    job.service.start()
    job.await_relayed(3000)
    job.feed(1000, seed=4)
    job.await_relayed(4000)
    job.service.stop()
    job.assert_exactly_once(4000)


def test_without_provenance_records_arrive_as_they_are(new_job):
    job = new_job(settings={**TRANSACTIONAL, "output.provenance": "none"})
    job.feed(3000)
    job.service.start(delay_us=500)
    while not job.service.in_doubt():
        time.sleep(0.01)
    time.sleep(0.5)
    job.service.kill()
    job.service.start()
    deadline = time.monotonic() + 60
    while job.service.one("SELECT records FROM totals")["records"] < 3000:
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.05)
    job.service.stop()
    job.assert_exactly_once(3000, provenance="none")
