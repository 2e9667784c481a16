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
