"""A batch takes what the limits say, to the record."""

import time


def takes(job):
    """{input partition: [records of each batch]} in the order of batches."""
    result = {}
    for _, counts in sorted(job.batch_counts().items()):
        for source in job.all_inputs().items():
            for partition in source[1]:
                where = f"{source[0]}/{partition}"
                result.setdefault(where, []).append(counts.get(where, 0))
    return result


def test_the_cap_is_kept_by_every_batch(new_job):
    """2300 ms × 50/s = 114, not 115."""
    job = new_job(settings={"rate.max.per.partition": 50, "batch.interval.ms": 2300})
    job.feed(3 * 300, style="plain")
    job.service.start()
    job.await_relayed(900)
    job.service.stop()
    for source, counts in takes(job).items():
        assert counts == [114, 114, 72], (source, counts)
    job.assert_exactly_once(900)


def test_a_cap_of_one_partition_alone(new_job):
    job = new_job(settings={"batch.interval.ms": 200})
    topic = f"{job.name}-in"
    job.service.settings["rate.max.per.partition"] = f"{topic}:1=500,*=1000"
    job.feed(3 * 1000, style="plain")
    job.service.start()
    job.await_relayed(3000)
    job.service.stop()
    found = takes(job)
    assert found[f"{topic}/0"] == [200] * 5 + [0] * 5
    assert found[f"{topic}/1"] == [100] * 10
    assert found[f"{topic}/2"] == [200] * 5 + [0] * 5


def test_with_interval_0_a_low_cap_lets_its_records_through_without_a_minimum_too(new_job):
    """A batch every few ms is worth less than a record: it waits until it is worth one."""
    job = new_job(settings={"batch.interval.ms": 0, "rate.min.per.partition": 0})
    topic = f"{job.name}-in"
    job.service.settings["rate.max.per.partition"] = f"{topic}:0=2,{topic}:1=2,*=1000"
    job.feed(6, topics={topic: [0, 1]}, style="plain")
    job.service.start()
    began = time.monotonic()
    job.await_relayed(6)
    assert time.monotonic() - began > 0.5    # three records of each at 2 a second, the first at once
    job.service.stop()
    job.assert_exactly_once(6)


def test_with_interval_0_a_partition_that_is_never_read_lifts_no_cap(new_job):
    """Beside it (no cap, no minimum) the time in which nothing came isn't made up for."""
    job = new_job(settings={"batch.interval.ms": 0, "rate.min.per.partition": 0})
    topic = f"{job.name}-in"
    job.service.settings["rate.max.per.partition"] = f"{topic}:0=20"
    job.feed(10, topics={topic: [1]}, style="plain")
    job.service.start()
    time.sleep(4)
    job.feed(60, topics={topic: [0]}, style="plain")
    job.await_relayed(60)
    job.service.stop()
    ranges = job.service.rows("SELECT partition, until_offset - from_offset"
                              " FROM oncesink_batch_range ORDER BY batch")
    assert {partition for partition, _ in ranges} == {0}
    assert ranges[0][1] < 30, [tuple(each) for each in ranges]


def test_with_interval_0_what_is_left_of_a_topic_no_longer_read_lifts_no_cap(new_job):
    job = new_job(inputs={"a": 1, "b": 1}, outputs={"out": 1},
                  settings={"batch.interval.ms": 0, "rate.max.per.partition": 20})
    read, left = job.inputs
    job.feed(1000, topics={left: [0]}, style="plain")
    job.service.start()
    job.await_relayed(1)
    job.service.stop()
    before = job.tally()["records"]
    assert before < 1000
    job.service.settings["input.topics"] = read
    job.service.start()
    time.sleep(4)
    job.feed(60, topics={read: [0]}, style="plain")
    job.await_relayed(before + 60)
    job.service.stop()
    ranges = job.service.rows("SELECT until_offset - from_offset FROM oncesink_batch_range"
                              " WHERE topic = ? ORDER BY batch", read)
    assert ranges[0][0] < 30, [tuple(each) for each in ranges]


def test_batch_max_records_is_split_by_what_is_there(new_job, topics):
    job = new_job(settings={"batch.max.records": 100})
    topic = f"{job.name}-in"
    for partition, count in enumerate((500, 300, 200)):
        job.feed(count, first=1000 * partition, topics={topic: [partition]}, style="plain")
    job.service.start()
    job.await_relayed(1000)
    job.service.stop()
    found = takes(job)
    assert [sum(each) for each in zip(*found.values())] == [100] * 10
    assert [found[f"{topic}/{partition}"][0] for partition in range(3)] == [50, 30, 20]


def test_without_limits_a_batch_takes_all_there_is(new_job):
    job = new_job(settings={"batch.interval.ms": 500})
    job.feed(20_000, style="plain")
    job.service.start()
    job.await_relayed(20_000)
    job.service.stop()
    assert len(job.batch_counts()) == 1


def test_the_ledger_says_what_limited_a_batch(new_job):
    job = new_job(settings={"rate.max.per.partition": 1000})
    job.feed(3 * 450, style="plain")
    job.service.start()
    job.await_relayed(1350)
    job.service.stop()
    rows = job.service.rows("SELECT planned, records, limited_by, outcome FROM batches"
                            " ORDER BY batch")
    assert [row["planned"] for row in rows] == [600, 600, 150]
    assert [row["records"] for row in rows] == [600, 600, 150]
    assert [row["limited_by"] for row in rows] == ["cap", "cap", "none"]
    assert {row["outcome"] for row in rows} == {"ok"}
