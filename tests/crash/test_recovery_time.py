"""How soon the next process goes on: first new output within recovery.settle.ms + 0.5 s of its start,
for a batch of up to 100,000 records that was partly delivered, an interval of up to 100 ms, one replica."""

import time

import pytest

SETTLE_MS = 1000
ALLOWED_S = SETTLE_MS / 1000 + 0.5


def high(topics, job):
    ends = topics("ends", topics=list(job.outputs))
    return sum(each["high"] for parts in ends.values() for each in parts.values())


@pytest.mark.parametrize("provenance, count", [
    ("headers", 3000), ("headers", 100_000), ("positions", 100_000)])
def test_the_first_new_output_comes_in_time(new_job, topics, provenance, count):
    job = new_job(settings={"batch.interval.ms": 100, "recovery.settle.ms": SETTLE_MS,
                            "output.provenance": provenance})
    job.feed(count, style="plain")
    job.service.start(delay_us=30 if count > 3000 else 300)
    deadline = time.monotonic() + 30
    while high(topics, job) < count // 3:
        assert time.monotonic() < deadline, job.service.log_tail()
    job.service.kill()
    time.sleep(0.1)
    before = high(topics, job)
    assert before < count and job.service.in_doubt()["planned"] == count
    job.service.start(ready=False)
    while high(topics, job) == before:
        assert time.monotonic() < job.service.began + 30, job.service.log_tail()
    took_s = time.monotonic() - job.service.began
    job.await_relayed(count)
    job.service.stop()
    job.assert_exactly_once(count)
    print(f"\nfirst new output {1000 * took_s:.0f} ms after the start (batch of {count})")
    assert took_s <= ALLOWED_S, f"{took_s:.3f} s\n{job.service.log_tail()}"
