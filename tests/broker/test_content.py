"""One record that the broker refuses by its content: it fails its whole request, and still costs
nobody else anything (rule C1)."""

import base64
import time

import pytest

DAY_MS = 86_400_000
BAD = 57        # offset of the record that is refused, in partition 1

# name → (the bad record's part, configs of input, output, error topic, the words for the reason)
REFUSALS = {
    "too_large": ({"value": base64.b64encode(b"x" * 30_000).decode()}, {},
                  {"max.message.bytes": 10_000}, {}),
    "timestamp_ahead": ({"timestamp": int(time.time() * 1000) + DAY_MS},
                        {"message.timestamp.after.max.ms": 10 * DAY_MS},
                        {"message.timestamp.after.max.ms": DAY_MS // 24},
                        {"message.timestamp.after.max.ms": 10 * DAY_MS}),
}


def job_with_a_bad_record(new_job, topics, refusal, policy):
    bad, inputs, outputs, errors = REFUSALS[refusal]
    job = new_job(configs={"in": inputs, "out": outputs}, settings={"on.bad.record": policy})
    topic = f"{job.name}-in"
    topics("create_topics", topics={f"{job.name}-error": {"partitions": 3, "configs": errors}})
    job.service.settings["error.topic"] = f"{job.name}-error"
    job.feed(3 * BAD)
    topics("produce", records=[{"topic": topic, "partition": 1, "key": None, "value": None,
                                "headers": [["was", None]], **bad}])
    job.feed(300, first=1000)
    return job, topic


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_record_stops_the_job_which_names_it(new_job, topics, refusal):
    job, topic = job_with_a_bad_record(new_job, topics, refusal, "stop")
    for _ in range(2):          # and again: a restart changes nothing
        assert job.service.run() == 77, job.service.log_tail()
        log = job.service.log()
        assert topic in log and str(BAD) in log, log
    counts = {}
    for batch in job.batch_counts().values():
        for source, count in batch.items():
            counts[source] = counts.get(source, 0) + count
    assert counts[f"{topic}/1"] == BAD      # all before it, nothing behind it
    topics("alter_configs", topic=f"{job.name}-out", configs=REFUSALS[refusal][3]
           or {"max.message.bytes": 1_000_000})
    job.service.start()
    job.await_relayed(3 * BAD + 301)
    job.service.stop()
    job.assert_exactly_once(3 * BAD + 301)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_record_is_set_aside_when_told(new_job, topics, refusal):
    job, topic = job_with_a_bad_record(new_job, topics, refusal, "set-aside")
    job.service.start()
    job.await_relayed(3 * BAD + 300)
    job.service.stop()
    job.assert_exactly_once(3 * BAD + 300, absent=[[topic, 1, BAD]])
    bad = topics("fetch", to={topic: {1: BAD + 1}})["records"][-1]
    ends = topics("ends", topics=[f"{job.name}-error"])
    aside = topics("fetch", to={error: {number: each["high"] for number, each in parts.items()}
                                for error, parts in ends.items()})["records"]
    assert len(aside) == 1, aside
    for part in ("key", "value", "timestamp"):
        assert aside[0][part] == bad[part]
    assert aside[0]["headers"][0] == ["was", None]
    named = base64.b64decode(dict(aside[0]["headers"])["oncesink"]).decode().split("/")
    assert named[5:8] == [topic, "1", str(BAD)]
    rows = [tuple(row) for row in job.service.rows("SELECT * FROM set_aside_records")]
    assert len(rows) == 1 and topic in rows[0] and BAD in rows[0], rows
    assert job.service.one("SELECT sum(records) FROM batches")[0] == 3 * BAD + 301
