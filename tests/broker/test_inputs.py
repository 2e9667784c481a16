"""What an input log can hold and what can happen to it: transactions, compaction, new partitions,
retention, another topic of the same name."""

import time

import pytest


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
def test_aborted_data_and_markers_at_a_ranges_end(new_job, topics, isolation):
    job = new_job(settings={"isolation.level": isolation, "batch.interval.ms": 50})
    wanted = 0
    for turn in range(5):       # each turn ends in a marker; the aborted ones come in between
        fed = job.feed(120, first=120 * turn, transaction=20, abort_every=2)
        assert fed["aborted"] > 0
        wanted += 120 + (fed["aborted"] if isolation == "read_uncommitted" else 0)
        if turn == 2:
            job.service.start()
    job.await_relayed(wanted)
    job.service.stop()
    job.assert_exactly_once(wanted, isolation_in=isolation)


def test_a_range_of_nothing_but_aborted_data_is_passed(new_job, topics):
    job = new_job(inputs={"in": 1}, outputs={"out": 1})
    job.feed(10, transaction=10, abort_every=1)
    job.service.start()
    job.await_relayed(10)
    stranger = topics.begin("stranger", topics=[f"{job.name}-in"], rate=100)
    time.sleep(1)
    stranger.stop()
    stranger.result()
    wanted = topics("check", routes=job.routes)["in"]
    job.await_relayed(wanted)
    ends = topics("ends", topics=[f"{job.name}-in"])[f"{job.name}-in"]["0"]
    deadline = time.monotonic() + 20
    while topics("group_offsets", group=job.name)[f"{job.name}-in"]["0"]["offset"] \
            < ends["stable"]:
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.1)
    job.service.stop()
    job.assert_exactly_once(wanted)


def test_an_open_transaction_holds_up_what_is_behind_it_and_no_more(new_job, topics):
    job = new_job(inputs={"in": 1}, outputs={"out": 1})
    topic = f"{job.name}-in"
    job.feed(100)
    stranger = topics.begin("stranger", topics=[f"{job.name}-out"], open=[topic], rate=50)
    deadline = time.monotonic() + 20
    while topics("ends", topics=[topic])[topic]["0"]["high"] == 100:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.feed(100, first=100)
    job.service.start()
    job.await_relayed(100)
    time.sleep(1)
    assert job.tally()["records"] == 100
    stranger.stop()
    stranger.result()
    job.await_relayed(200)
    job.service.stop()
    job.assert_exactly_once(200)


def test_a_log_that_begins_exactly_where_the_job_goes_on(new_job, topics):
    """Nothing is left of what was read before to compare leader epochs with; and nothing is lost."""
    job = new_job()
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    job.service.stop()
    before = {topic: {partition: each["high"] for partition, each in ends.items()}
              for topic, ends in topics("ends", topics=list(job.inputs)).items()}
    topics("delete_records", before=before)
    job.feed(300, first=300)
    job.service.start()
    job.await_relayed(600)
    job.service.stop()
    assert not job.service.rows("SELECT * FROM events WHERE kind = 'gap'")


def test_a_compacted_input_with_holes(new_job, topics):
    job = new_job(configs={"in": {"cleanup.policy": "compact", "segment.ms": 200,
                                  "min.cleanable.dirty.ratio": 0.01}})
    topic = f"{job.name}-in"
    job.feed(6000, style="plain")
    time.sleep(0.3)
    job.feed(300, first=6000, style="plain")
    time.sleep(0.3)
    job.feed(3, first=6300, style="plain")
    ends = {topic: {partition: each["high"] for partition, each
                    in topics("ends", topics=[topic])[topic].items()}}
    left = 6303
    deadline = time.monotonic() + 30
    while left > 4000:
        assert time.monotonic() < deadline, f"the broker compacts nothing: {left} records left"
        time.sleep(0.3)
        left = len(topics("fetch", to=ends)["records"])
    time.sleep(1)               # every partition's turn
    wanted = topics("check", routes=job.routes)["in"]
    job.service.start()
    job.await_relayed(wanted)
    job.service.stop()
    job.assert_exactly_once(wanted)


def test_partitions_added_to_the_input_are_picked_up_while_running(new_job, topics):
    job = new_job(inputs={"in": 2}, outputs={"out": 4})
    topic = f"{job.name}-in"
    job.feed(200)
    job.service.start()
    job.await_relayed(200)
    topics("add_partitions", topic=topic, count=4)
    job.feed(400, first=200, topics={topic: [0, 1, 2, 3]})
    job.await_relayed(600)
    job.service.stop()
    job.assert_exactly_once(600)


def test_partitions_added_to_the_output_are_used_from_a_later_plan_on(new_job, topics):
    job = new_job(inputs={"in": 4}, outputs={"out": 2})
    output = f"{job.name}-out"
    job.feed(400)
    job.service.start()
    job.await_relayed(400)
    topics("add_partitions", topic=output, count=4)
    fed = 400
    deadline = time.monotonic() + 30
    while topics("ends", topics=[output])[output]["3"]["high"] == 0:
        assert time.monotonic() < deadline, "nothing reaches the new partition"
        job.feed(100, first=fed)
        fed += 100
        job.await_relayed(fed)
    job.service.stop()
    job.assert_exactly_once(fed, counts={output: [2, 4]})


def lost_by_retention(job, topics):
    """Relays a part, then deletes records that the job hasn't read. Returns what is left."""
    topic = f"{job.name}-in"
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    job.service.stop()
    job.feed(300, first=300)
    topics("delete_records", before={topic: {1: 150}})     # next offset of the job: 100
    return topic


def test_retention_past_our_offset_stops_the_job(new_job, topics):
    job = new_job()
    topic = lost_by_retention(job, topics)
    assert job.service.run() == 77
    log = job.service.log()
    assert topic in log and "100" in log and "150" in log and "on.data.loss" in log, log
    assert job.tally()["records"] in (300, 400, 500)     # of the other two partitions as may be
    assert any("100" in str(tuple(row)) for row in job.service.rows("SELECT * FROM events"))


def test_retention_past_our_offset_is_recorded_and_passed_when_told(new_job, topics):
    job = new_job(settings={"on.data.loss": "continue"})
    topic = lost_by_retention(job, topics)
    job.service.start()
    job.await_relayed(550)
    job.service.stop()
    found = [tuple(row) for row in job.service.rows("SELECT * FROM events")]
    assert any(topic in str(row) and "100 to 149" in str(row) for row in found), found
    result = job.check()
    # The first 100 of partition 1 were relayed before they were deleted: no input names them now.
    assert (result["in"], result["out"], result["unexpected"]) == (450, 550, 100), result
    assert result["missing"] == result["doubled"] == result["out_of_order"] == 0, result


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_an_input_topic_made_anew_stops_the_job(new_job, topics, running):
    job = new_job(inputs={"in": 1}, outputs={"out": 1})
    topic = f"{job.name}-in"
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    if not running:
        job.service.stop()
    topics("delete_topics", topics=[topic])
    topics("create_topics", topics={topic: {"partitions": 1}})
    job.feed(400, first=1000)
    code = job.service.wait(60) if running else job.service.run()
    assert code == 77, job.service.log_tail()
    assert topic in job.service.log()
    assert job.tally()["records"] == 300


def test_a_backlog_in_one_partition_with_a_trickle_in_the_others(new_job, topics):
    """The trickle's partitions are left while the backlog is read, and taken up again and again."""
    job = new_job(settings={"batch.interval.ms": 50, "batch.max.records": 10_000,
                            "log.level": "debug"})
    topic = f"{job.name}-in"
    topics("feed", topics={topic: [2]}, count=150_000, style="plain")
    trickle = topics.begin("feed", topics={topic: [0, 1]}, count=1500, first=200_000, rate=300,
                           style="plain")
    job.service.start()
    trickle.result()
    job.await_relayed(151_500)
    assert job.service.log().count("and is left") >= 5
    job.service.stop()
    job.assert_exactly_once(151_500)
