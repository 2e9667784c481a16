"""Records of one or more topics arrive once, unchanged, in order, where the rule puts them."""

import base64
import time

import pytest

# name → Job's arguments
LAYOUTS = {
    "three_to_three": {"inputs": {"in": 3}, "outputs": {"out": 3}},
    "three_to_two": {"inputs": {"in": 3}, "outputs": {"out": 2}},
    "two_topics_each_to_its_own": {"inputs": {"a": 2, "b": 3}, "outputs": {"a_out": 2, "b_out": 3},
                                   "route": "{topic}_out"},
    "two_topics_to_one": {"inputs": {"a": 2, "b": 2}, "outputs": {"out": 2}},
    "by_key": {"inputs": {"in": 3}, "outputs": {"out": 4}, "partitioner": "key"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_there_and_what_comes_is_relayed_exactly_once(new_job, topics, layout):
    job = new_job(**LAYOUTS[layout])
    job.feed(5000)
    job.service.start()
    coming = topics.begin("feed", topics=job.all_inputs(), count=5000, first=5000, rate=5000)
    job.await_relayed(10_000)
    coming.result()
    job.service.stop()
    job.assert_exactly_once(10_000)
    job.assert_exactly_once(10_000, isolation_out="read_committed")
    assert job.service.one("SELECT sum(records) FROM batches")[0] == 10_000
    assert job.service.in_doubt() is None


def test_a_restart_goes_on_where_the_last_run_ended(new_job):
    job = new_job()
    for run in range(3):
        job.feed(1000, first=1000 * run)
        job.service.start()
        job.await_relayed(1000 * (run + 1))
        job.service.stop()
    job.assert_exactly_once(3000)


def test_the_mark_in_the_group_says_where_the_job_is(new_job, topics):
    job = new_job()
    job.feed(900)
    job.service.start()
    job.await_relayed(900)
    job.service.stop()
    marks = topics("group_offsets", group=job.name)
    ends = topics("ends", topics=list(job.inputs))
    for topic, count in job.inputs.items():
        for partition in map(str, range(count)):
            assert marks[topic][partition]["offset"] == ends[topic][partition]["high"]
            assert marks[topic][partition]["metadata"].split("/")[-2:] == ["1", "1"]


def test_empty_partitions_and_an_empty_topic_are_nothing_special(new_job):
    job = new_job(inputs={"a": 3, "b": 2}, outputs={"a_out": 3, "b_out": 2}, route="{topic}_out")
    job.feed(500, topics={sorted(job.inputs)[0]: [1]})
    job.service.start()
    job.await_relayed(500)
    job.service.stop()
    job.assert_exactly_once(500)


def b64(data):
    return None if data is None else base64.b64encode(data).decode()


NOW = int(time.time() * 1000)
MEBI = 1024 * 1024

# name → (record, configs of the input, configs of the output, codec)
FIDELITY = {
    "key_null": ({"value": b"v"}, {}, {}, "none"),
    "key_empty": ({"key": b"", "value": b"v"}, {}, {}, "none"),
    "key_binary": ({"key": bytes(range(256)), "value": b"v"}, {}, {}, "none"),
    "value_null": ({"key": b"k"}, {}, {}, "none"),
    "value_empty": ({"key": b"k", "value": b""}, {}, {}, "none"),
    "value_binary": ({"value": bytes(range(256)) * 5}, {}, {}, "none"),
    "all_null": ({}, {}, {}, "none"),
    "headers_in_order": ({"headers": [("b", b"1"), ("a", b"2"), ("b", b"3"), ("a", b"2")]},
                         {}, {}, "none"),
    "headers_null_and_empty": ({"headers": [("n", None), ("e", b""), ("n", None), ("", b"x")]},
                               {}, {}, "none"),
    "headers_utf8_and_binary": ({"headers": [("größe-\u6f22", bytes(range(256)))]},
                                {}, {}, "none"),
    "headers_many": ({"headers": [(f"h{i % 7}", b"x" * i) for i in range(300)]}, {}, {}, "none"),
    "header_of_our_name": ({"headers": [("oncesink", b"not ours"), ("z", b"1")]}, {}, {}, "none"),
    "timestamp_none": ({"value": b"v", "timestamp": -1}, {}, {}, "none"),
    "timestamp_zero": ({"value": b"v", "timestamp": 0}, {}, {}, "none"),
    "timestamp_old": ({"value": b"v", "timestamp": 1_000_000_000_000}, {}, {}, "none"),
    "timestamp_now": ({"value": b"v", "timestamp": NOW}, {}, {}, "none"),
    "log_append_time_in": ({"value": b"v", "timestamp": 5},
                           {"message.timestamp.type": "LogAppendTime"}, {}, "none"),
    "log_append_time_out": ({"value": b"v", "timestamp": NOW - 5000}, {},
                            {"message.timestamp.type": "LogAppendTime"}, "none"),
    "codec_gzip": ({"value": b"v" * 5000, "timestamp": 7}, {}, {}, "gzip"),
    "codec_snappy": ({"value": b"v" * 5000, "timestamp": 7}, {}, {}, "snappy"),
    "codec_lz4": ({"value": b"v" * 5000, "timestamp": 7}, {}, {}, "lz4"),
    "codec_zstd": ({"value": b"v" * 5000, "timestamp": 7}, {}, {}, "zstd"),
    "largest_of_the_default": ({"value": b"\x55" * (MEBI - 100)}, {},
                               {"max.message.bytes": 2 * MEBI}, "none"),
    "eight_mebibytes": ({"value": b"\x55" * (8 * MEBI)}, {"max.message.bytes": 9 * MEBI},
                        {"max.message.bytes": 9 * MEBI}, "none"),
}


def fidelity_job(new_job, **how):
    """One job for the whole table: an input topic and an output topic a row."""
    inputs = {f"{row}": 1 for row in FIDELITY}
    outputs = {f"{row}_out": 1 for row in FIDELITY}
    configs = {row: FIDELITY[row][1] for row in FIDELITY}
    configs.update({f"{row}_out": FIDELITY[row][2] for row in FIDELITY})
    return new_job(inputs=inputs, outputs=outputs, route="{topic}_out", configs=configs, **how)


def as_record(topic, row):
    record = dict(row)
    return {"topic": topic, "partition": 0, "key": b64(record.get("key")),
            "value": b64(record.get("value")), "timestamp": record.get("timestamp"),
            "headers": [[name, b64(value)] for name, value in record.get("headers", [])]}


def test_every_shape_of_record_arrives_as_it_was_plus_our_header(new_job, topics):
    """Compared here, byte for byte, against what this file spells out; not by the checker."""
    job = fidelity_job(new_job)
    for row, (record, _, _, codec) in FIDELITY.items():
        # three of each, so that a batch has more than one record of the kind
        topics("produce", codec=codec,
               records=[as_record(f"{job.name}-{row}", record) for _ in range(3)])
    job.service.start()
    job.await_relayed(3 * len(FIDELITY))
    job.service.stop()
    wrong = []
    for row, (record, _, configs, _) in FIDELITY.items():
        source = f"{job.name}-{row}"
        was = topics("fetch", to={source: {0: 3}})["records"]
        found = topics("fetch", to={f"{source}_out": {0: 3}})["records"]
        wanted = as_record(source, record)
        for i, (old, new) in enumerate(zip(was, found, strict=True)):
            headers, ours = new["headers"][:-1], new["headers"][-1]
            named = base64.b64decode(ours[1] or "").decode().split("/")
            stamped = "message.timestamp.type" in configs
            same = {
                "key": new["key"] == wanted["key"] == old["key"],
                "value": new["value"] == wanted["value"] == old["value"],
                "headers": headers == wanted["headers"] == old["headers"],
                "provenance": ours[0] == "oncesink" and named[5:] == [source, "0", str(i), "0"],
                "timestamp": stamped or new["timestamp"] == old["timestamp"],
            }
            if row.startswith("timestamp") and old["timestamp"] != wanted["timestamp"]:
                wrong.append(f"{row}: the input itself isn't as asked: {old['timestamp']}")
            wrong += [f"{row} record {i}: {part} {str(new)[:300]}"
                      for part, kept in same.items() if not kept]
    assert not wrong, "\n".join(wrong)


def test_another_jobs_header_is_replaced_by_ours(new_job, topics):
    """audit goes back one hop at a time: one provenance header a record, the last job's."""
    first = new_job()
    first.feed(300)
    first.service.start()
    first.await_relayed(300)
    first.service.stop()
    second = new_job(inputs={"in": 3}, outputs={"out": 3},
                     settings={"input.topics": f"{first.name}-out"})
    second.routes = {f"{first.name}-out": f"{second.name}-out"}
    second.service.start()
    second.await_relayed(300)
    second.service.stop()
    second.assert_exactly_once(300)
