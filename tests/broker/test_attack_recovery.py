"""Attacks on recovery: crashes at awkward moments, and what changes between a crash and the restart."""

import base64
import os
import shutil
import time

import pytest

from service import Service

FULL = os.environ.get("ONCESINK_FULL") == "1"
DAY_MS = 86_400_000
BAD = 59     # the last of a request of 10


def in_doubt_with(job, count, timeout_s=30):
    """Waits for a batch in doubt that has put at least count records out, then kills."""
    deadline = time.monotonic() + timeout_s
    while not (job.service.in_doubt() and job.tally()["records"] >= count):
        assert job.service.running(), job.service.log_tail()
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.01)
    job.service.kill()
    assert job.service.in_doubt()


def events(job, kind):
    return [row[0] for row in job.service.rows("SELECT text FROM oncesink_event WHERE kind = ?", kind)]


def fetch_all(topics, topic):
    ends = topics("ends", topics=[topic])[topic]
    return topics("fetch", to={topic: {number: each["high"] for number, each in ends.items()}})["records"]


def test_a_record_set_aside_reaches_its_error_topic_after_a_kill(new_job, topics):
    """It lingers in the producer when later records of the same source are out already."""
    ahead = "message.timestamp.after.max.ms"
    job = new_job(inputs={"in": 1}, outputs={"out": 1},
                  configs={"in": {ahead: 10 * DAY_MS}, "out": {ahead: DAY_MS // 24}},
                  settings={"on.bad.record": "set-aside", "producer.linger.ms": 5000,
                            "producer.batch.num.messages": 10})
    topic, error = f"{job.name}-in", f"{job.name}-error"
    topics("create_topics", topics={error: {"partitions": 1, "configs": {ahead: 10 * DAY_MS}}})
    job.service.settings["error.topic"] = error
    job.feed(BAD)
    topics("produce", records=[{"topic": topic, "partition": 0, "key": None, "headers": [],
                                "value": None, "timestamp": int(time.time() * 1000) + DAY_MS}])
    job.feed(200, first=1000)
    job.service.start(delay_us=10_000)
    in_doubt_with(job, BAD + 100)
    assert fetch_all(topics, error) == []
    job.service.start("--until-end")
    assert job.service.wait() == 0, job.service.log_tail()
    job.assert_exactly_once(BAD + 200, absent=[[topic, 0, BAD]])
    assert len(fetch_all(topics, error)) == 1


def test_a_second_kill_after_a_checkpoint_finds_nothing_twice(new_job):
    job = new_job(inputs={"in": 2}, outputs={"out": 2})
    job.topics("feed", topics={f"{job.name}-in": [0]}, count=2000, seed=1)
    job.topics("feed", topics={f"{job.name}-in": [1]}, count=40_000, seed=2)
    job.service.start(delay_us=100)
    in_doubt_with(job, 2500)
    job.service.start(delay_us=300)
    deadline = time.monotonic() + 30
    while not job.service.rows("SELECT * FROM oncesink_batch_progress"):
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.05)
    job.service.kill()
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    assert events(job, "double") == []
    assert not any(", 0 twice" not in text for text in events(job, "recovery")), events(job, "recovery")
    job.assert_exactly_once(42_000)


def test_an_output_made_anew_between_runs_stands_a_kill_in_its_first_batch(new_job, topics):
    job = new_job()
    job.feed(300)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    topics("delete_topics", topics=list(job.outputs))
    topics("create_topics", topics={topic: {"partitions": count}
                                    for topic, count in job.outputs.items()})
    job.feed(3000, first=300)
    job.service.start(delay_us=1000)
    in_doubt_with(job, 100)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(3000, **{"from": {f"{job.name}-in": {p: 100 for p in range(3)}}})


def test_an_input_that_is_no_longer_read_may_be_deleted(new_job, topics):
    job = new_job(inputs={"a": 2, "b": 2}, outputs={"out": 2})
    job.feed(400)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    gone, kept = f"{job.name}-b", f"{job.name}-a"
    job.service.settings["input.topics"] = kept
    topics("delete_topics", topics=[gone])
    for turn in range(3):
        topics("feed", topics={kept: [0, 1]}, count=200, seed=5, first=1000 * (turn + 1))
        assert job.service.run("--until-end", timeout_s=20) == 0, job.service.log_tail()
    assert job.tally()["records"] == 1000


def test_until_end_waits_for_no_input_that_is_no_longer_read(new_job, topics):
    job = new_job(inputs={"a": 2, "b": 2}, outputs={"out": 2})
    job.feed(400)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.feed(400, first=400)
    job.service.settings["input.topics"] = f"{job.name}-a"
    assert job.service.run("--until-end", timeout_s=20) == 0, job.service.log_tail()
    job.service.settings["input.topics"] = ",".join(job.inputs)
    assert job.service.run("--until-end", timeout_s=20) == 0, job.service.log_tail()
    job.assert_exactly_once(800)


def test_the_cap_holds_with_interval_0(new_job):
    job = new_job(settings={"batch.interval.ms": 0, "rate.max.per.partition": 100,
                            "rate.first.batch": "capped"})
    job.feed(30_000)
    job.service.start()
    time.sleep(3)
    job.service.kill()
    first = job.service.one("SELECT planned FROM batches WHERE batch = 1")[0]
    assert 0 < first <= 3 * 3 * 100
    # Nor by many later ones: the least of one record a batch would be a thousand a second.
    assert job.tally()["records"] < 3 * 100 * 10


@pytest.mark.parametrize("change", ["topics", "partitioner", "isolation", "partitions"])
def test_a_batch_in_doubt_is_finished_by_its_own_definition(new_job, topics, change):
    """Whatever the settings say by then (R0)."""
    job = new_job(inputs={"a": 3, "b": 2}, outputs={"out": 2}, partitioner="key",
                  settings={"isolation.level": "read_committed"})
    a, b, out = f"{job.name}-a", f"{job.name}-b", f"{job.name}-out"
    job.feed(4000, transaction=50, abort_every=4)
    job.service.start(delay_us=500)
    in_doubt_with(job, 500)
    planned = job.service.in_doubt()
    if change == "topics":
        topics("create_topics", topics={f"{job.name}-other": {"partitions": 1}})
        job.service.settings.update({"input.topics": a, "output.topic": f"{job.name}-other"})
    elif change == "partitioner":
        job.service.settings["output.partitioner"] = "same"
    elif change == "isolation":
        job.service.settings["isolation.level"] = "read_uncommitted"
    else:
        topics("add_partitions", topic=out, count=5)
        topics("add_partitions", topic=a, count=6)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(4000, **({"counts": {out: [2]}} if change == "partitions" else {}))
    assert job.service.one("SELECT planned FROM batches WHERE batch = ?", planned["batch"])[0] == planned["planned"]
    if change == "partitions":      # the new ones are in use
        topics("feed", topics={a: [3, 4, 5]}, count=600, seed=9, first=10_000)
        assert job.service.run("--until-end") == 0, job.service.log_tail()
        assert job.tally()["records"] == 4600


def test_a_stop_at_a_bad_record_is_got_over_with_another_policy(new_job, topics):
    job = new_job(configs={"out": {"max.message.bytes": 10_000}}, settings={"on.bad.record": "stop"})
    topic, error = f"{job.name}-in", f"{job.name}-error"
    topics("create_topics", topics={error: {"partitions": 2}})
    job.service.settings["error.topic"] = error
    job.feed(3 * BAD)
    for partition in range(3):
        topics("produce", records=[{"topic": topic, "partition": partition, "key": None, "headers": [],
                                    "value": base64.b64encode(b"x" * 30_000).decode()}])
    job.feed(3000, first=1000)
    assert job.service.run("--until-end") == 77, job.service.log_tail()
    job.service.settings["on.bad.record"] = "set-aside"
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(3 * BAD + 3000, absent=[[topic, p, BAD] for p in range(3)])
    assert len(fetch_all(topics, error)) == 3


def test_many_refused_records_in_every_partition(new_job, topics):
    """Each fails its request and costs nobody else anything, with requests queued behind it."""
    ahead = "message.timestamp.after.max.ms"
    job = new_job(inputs={"a": 2, "b": 1}, outputs={"out": 3}, partitioner="key",
                  configs={"a": {ahead: 10 * DAY_MS}, "b": {ahead: 10 * DAY_MS},
                           "out": {ahead: DAY_MS // 24}},
                  settings={"on.bad.record": "set-aside", "recovery.settle.ms": 200})
    error = f"{job.name}-error"
    topics("create_topics", topics={error: {"partitions": 1, "configs": {ahead: 10 * DAY_MS}}})
    job.service.settings["error.topic"] = error
    absent = []
    for turn in range(4):
        job.feed(9000, first=9000 * turn, size=50)
        for topic, count in job.inputs.items():
            for partition in range(count):
                offset = topics("produce", records=[
                    {"topic": topic, "partition": partition, "key": None, "headers": [["a", "YQ=="]],
                     "value": "eA==", "timestamp": int(time.time() * 1000) + DAY_MS}])["offsets"][0]
                absent.append([topic, partition, offset])
    assert job.service.run("--until-end", timeout_s=90) == 0, job.service.log_tail()
    job.assert_exactly_once(36_000, absent=absent)
    assert len(fetch_all(topics, error)) == len(absent) == 12
    assert events(job, "double") == []


def test_a_copy_that_runs_beside_its_original_is_noticed(new_job, tmp_path):
    """In this mode it can't be prevented; one of them at least ends and says so."""
    job = new_job(settings={"batch.interval.ms": 100})
    job.feed(300)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.service.close_ledger()
    copy = Service(tmp_path / "copy", {**job.service.settings, "ledger.path": tmp_path / "copy.db"})
    shutil.copy(job.service.ledger, tmp_path / "copy.db")
    try:
        job.service.start()
        copy.start()
        deadline = time.monotonic() + 20
        fed = 300
        while job.service.running() and copy.running():
            assert time.monotonic() < deadline, job.service.log_tail() + copy.log_tail()
            job.feed(300, first=fed)
            fed += 300
            time.sleep(0.2)
        ended = copy if not copy.running() else job.service
        assert ended.wait() == 77, ended.log_tail()
        assert "copy of this ledger" in ended.log(), ended.log_tail()
    finally:
        copy.close()


@pytest.mark.parametrize("before", [0, 100])
def test_what_a_checkpoint_accounts_for_may_be_deleted(new_job, topics, before):
    """In the first batch and in a later one, when the ledger knows the output's place too."""
    job = new_job(inputs={"in": 1}, outputs={"out": 1})
    out = f"{job.name}-out"
    if before:
        job.feed(before)
        assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.feed(40_000, first=before)
    job.service.start(delay_us=300)
    deadline = time.monotonic() + 30
    while True:
        row = job.service.one("SELECT max(checkpoint_offset) FROM oncesink_batch_output")
        if row and row[0]:
            break
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.05)
    topics("delete_records", before={out: {0: row[0]}})
    job.service.kill()
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    result = job.check()
    assert result["missing"] == row[0] and result["doubled"] == result["out_of_order"] == 0, result
    assert events(job, "double") == []


def test_an_output_that_lost_what_a_recovery_must_see_stops_the_job(new_job, topics):
    job = new_job(inputs={"in": 1}, outputs={"out": 1})
    job.feed(4000)
    job.service.start(delay_us=500)
    in_doubt_with(job, 300)
    topics("delete_records", before={f"{job.name}-out": {0: 100}})
    for _ in range(2):
        assert job.service.run("--until-end") == 77, job.service.log_tail()
        assert "log begins at 100" in job.service.log(), job.service.log_tail()
    assert job.service.in_doubt()


def test_what_a_dead_process_writes_late_doubles_one_record_at_most(new_job, topics):
    """It lands behind the read-back: the first record travels alone, and finds it (R5)."""
    job = new_job(inputs={"in": 1}, outputs={"out": 1})
    out, late = f"{job.name}-out", 50
    job.feed(2000)
    job.service.start(delay_us=500)
    in_doubt_with(job, 300)
    there = fetch_all(topics, out)
    first = len(there)
    sources = fetch_all(topics, f"{job.name}-in")[first:first + late]
    fields = base64.b64decode(dict(there[-1]["headers"])["oncesink"]).decode().split("/")
    assert int(fields[7]) == first - 1
    records = [{**{part: source[part] for part in ("key", "value", "timestamp")},
                "topic": out, "partition": 0,
                "headers": source["headers"] + [["oncesink", base64.b64encode("/".join(
                    fields[:7] + [str(first + at), "0"]).encode()).decode()]]}
               for at, source in enumerate(sources)]
    job.service.start(delay_us=1_500_000)   # before each record: before the first one of all
    job.service.await_log("recovery of batch")
    topics("produce", records=records)
    job.await_relayed(first + late + 1)
    time.sleep(0.5)
    job.service.kill()
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    result = job.check()
    assert result["missing"] == 0 and result["doubled"] == 1, result
    assert len(events(job, "double")) >= 1


@pytest.mark.parametrize("trouble", ["strict", "missing"] if FULL else ["strict"])  # 30 s are waited
def test_an_error_topic_that_refuses_stops_the_job_until_it_takes(new_job, topics, trouble):
    job = new_job(inputs={"in": 2}, outputs={"out": 2}, configs={"out": {"max.message.bytes": 10_000}},
                  settings={"on.bad.record": "set-aside"})
    topic, error = f"{job.name}-in", f"{job.name}-error"
    job.service.settings["error.topic"] = error
    if trouble == "strict":
        topics("create_topics", topics={error: {"partitions": 1,
                                                "configs": {"max.message.bytes": 10_000}}})
    job.feed(200)
    topics("produce", records=[{"topic": topic, "partition": 1, "key": None, "headers": [],
                                "value": base64.b64encode(b"x" * 30_000).decode()}])
    job.feed(2000, first=1000)
    assert job.service.run("--until-end", timeout_s=50) == 77, job.service.log_tail()
    assert error in job.service.log()
    if trouble == "strict":
        assert job.service.run("--until-end") == 77, job.service.log_tail()
        topics("alter_configs", topic=error, configs={"max.message.bytes": 1_000_000})
    else:
        topics("create_topics", topics={error: {"partitions": 1}})
    if trouble == "strict":     # it was decided before, and stays so
        job.service.settings["on.bad.record"] = "stop"
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(2200, absent=[[topic, 1, 100]])
    assert len(fetch_all(topics, error)) == 1


def test_an_output_made_anew_in_mid_batch_stops_the_job(new_job, topics):
    job = new_job(inputs={"in": 1}, outputs={"out": 1})
    out = f"{job.name}-out"
    job.feed(20_000)
    job.service.start(delay_us=300)
    deadline = time.monotonic() + 20
    while job.tally()["records"] < 500:
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.01)
    topics("delete_topics", topics=[out])
    topics("create_topics", topics={out: {"partitions": 1}})
    assert job.service.wait(40) == 77, job.service.log_tail()
    assert out in job.service.log() and job.service.in_doubt()
    assert job.service.run() == 77, job.service.log_tail()
