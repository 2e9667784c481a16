"""output.provenance=positions: no header, a record of ours is known by its place alone (rule R7).

What is there after a kill is compared byte for byte with the input, and whoever else writes to the
output is noticed: while the job runs, at its start, in a recovery.
"""

import base64
import shutil
import time

import pytest

from test_relay import FIDELITY, as_record, fidelity_job

POSITIONS = {"output.provenance": "positions", "recovery.settle.ms": 200}
FOREIGN = base64.b64encode(b"somebody else's").decode()


@pytest.fixture
def place_job(new_job):
    """Job's arguments; the settings come on top of those for positions."""
    def make(settings=None, **how):
        return new_job(**{"inputs": {"in": 1}, "outputs": {"out": 1}, **how,
                          "settings": {**POSITIONS, **(settings or {})}})
    return make


def run(job, code=0, **how):
    assert job.service.run("--until-end", **how) == code, job.service.log_tail()
    return job.service.log()


def write(topics, topic, partition=0):
    """A stranger's record; returns its offset."""
    return topics("produce", records=[{"topic": topic, "partition": partition, "key": None,
                                       "headers": [], "value": FOREIGN}])["offsets"][0]


def fetch_all(topics, topic):
    ends = topics("ends", topics=[topic])[topic]
    return topics("fetch", to={topic: {number: each["high"]
                                       for number, each in ends.items()}})["records"]


def kill_with(job, count, delay_us=1000, timeout_s=30):
    """A batch in doubt, of which at least count records are out; returns how many."""
    job.service.start(delay_us=delay_us)
    deadline = time.monotonic() + timeout_s
    while not (job.tally()["records"] >= count and job.service.in_doubt()):
        assert job.service.running() and time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.01)
    job.service.kill()
    assert job.service.in_doubt()
    time.sleep(0.2)     # what was on the wire has landed
    return job.tally()["records"]


def recoveries(job):
    return [row[0] for row in job.service.rows(
        "SELECT text FROM oncesink_event WHERE kind = 'recovery' ORDER BY event")]


# ---- what arrives ----

LAYOUTS = {
    "three_to_three": {"inputs": {"in": 3}, "outputs": {"out": 3}},
    "two_topics_each_to_its_own": {"inputs": {"a": 2, "b": 3}, "outputs": {"a_out": 2, "b_out": 5},
                                   "route": "{topic}_out"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_records_arrive_exactly_once_and_without_a_header(place_job, topics, layout):
    job = place_job(**LAYOUTS[layout])
    job.feed(4000)
    job.service.start()
    coming = topics.begin("feed", topics=job.all_inputs(), count=3000, first=4000, rate=5000)
    job.await_relayed(7000)
    coming.result()
    job.service.stop()
    job.assert_exactly_once(7000)
    job.feed(500, first=7000)
    run(job)
    job.assert_exactly_once(7500)
    assert job.service.one("SELECT sum(records) FROM batches")[0] == 7500
    assert job.service.in_doubt() is None


def test_every_shape_of_record_is_recognised_after_a_kill(new_job, topics):
    """All of them are there when the process dies: each must be found, none sent again."""
    job = fidelity_job(new_job, settings=POSITIONS)
    for row, (record, _, _, codec) in FIDELITY.items():
        topics("produce", codec=codec,
               records=[as_record(f"{job.name}-{row}", record) for _ in range(2)])
    run(job, -9, failpoint="deliver-last-acked:kill")
    run(job)
    count = 2 * len(FIDELITY)
    assert f"found {count} of at most {count} " in recoveries(job)[-1], recoveries(job)
    wrong = []
    for row, (record, _, configs, _) in FIDELITY.items():
        source = f"{job.name}-{row}"
        wanted = as_record(source, record)
        found = fetch_all(topics, f"{source}_out")
        was = fetch_all(topics, source)
        assert len(found) == len(was) == 2, row
        for old, new in zip(was, found):
            parts = ["key", "value", "headers"]
            parts += [] if "message.timestamp.type" in configs else ["timestamp"]
            wrong += [f"{row}: {part} {str(new)[:300]}" for part in parts
                      if new[part] != old[part] or part != "timestamp" and new[part] != wanted[part]]
    assert not wrong, "\n".join(wrong)


def test_a_batch_of_more_partitions_than_there_is_memory_for_is_compared(place_job, topics):
    """The outputs ask for the input ranges in another order than the ranges would be read in."""
    job = place_job({"memory.max.bytes": 16 << 20}, inputs={"a": 8, "a-b": 8},
                    outputs={"a-b_out": 8, "a_out": 8}, route="{topic}_out")
    job.feed(1600)
    run(job, -9, failpoint="deliver-last-acked:kill")
    run(job)
    job.assert_exactly_once(1600)
    assert "found 1600 of at most 1600 " in recoveries(job)[-1], recoveries(job)


def test_another_jobs_header_is_left_as_it_is(place_job, new_job, topics):
    first = new_job(inputs={"in": 1}, outputs={"out": 1})
    first.feed(200)
    run(first)
    second = place_job(settings={"input.topics": f"{first.name}-out"})
    second.feed(0)
    run(second, -9, failpoint="deliver-last-acked:kill")
    run(second)
    was, found = (fetch_all(topics, f"{each.name}-out") for each in (first, second))
    assert [each["headers"] for each in found] == [each["headers"] for each in was]
    assert len(found) == 200 and all(each["headers"][-1][0] == "oncesink" for each in found)


def test_late_requests_that_land_in_the_settle_wait_count(place_job, topics):
    """As a dead process' last request would, behind a slow network (R3)."""
    job = place_job(settings={"recovery.settle.ms": 1500})
    job.feed(2000)
    there = kill_with(job, 200)
    job.service.start("--until-end")
    time.sleep(0.5)
    sources = fetch_all(topics, f"{job.name}-in")[there:there + 50]
    topics("produce", records=[{**{part: each[part] for part in ("key", "value", "headers",
                                                               "timestamp")},
                                "topic": f"{job.name}-out", "partition": 0} for each in sources])
    assert job.service.wait() == 0, job.service.log_tail()
    assert f"found {there + 50} of" in recoveries(job)[-1], recoveries(job)
    job.assert_exactly_once(2000)


# ---- records that were put aside ----

def test_a_record_put_aside_leaves_the_sequence(place_job, topics):
    job = place_job(configs={"out": {"max.message.bytes": 10_000}},
                    settings={"on.bad.record": "set-aside"})
    topic, error = f"{job.name}-in", f"{job.name}-error"
    topics("create_topics", topics={error: {"partitions": 1}})
    job.service.settings["error.topic"] = error
    absent = []
    for turn in range(3):
        job.feed(50, first=50 * turn)
        absent += topics("produce", records=[
            {"topic": topic, "partition": 0, "key": None, "headers": [["oncesink", "YQ=="]],
             "value": base64.b64encode(b"x" * 30_000).decode()}])["offsets"]
    job.feed(50, first=1000)
    run(job, -9, failpoint="deliver-last-acked:kill")
    run(job)
    assert "found 203 of at most 203 " in recoveries(job)[-1], recoveries(job)
    job.assert_exactly_once(200, absent=[[topic, 0, offset] for offset in absent])
    aside = fetch_all(topics, error)
    assert len(aside) == 3
    for each, offset in zip(aside, absent):
        assert [name for name, _ in each["headers"]] == ["oncesink", "oncesink.error", "oncesink"]
        assert each["headers"][0][1] == "YQ=="
        named = base64.b64decode(each["headers"][-1][1]).decode().split("/")
        assert named[5:8] == [topic, "0", str(offset)]


def test_a_producer_is_replaced_in_the_running_process(place_job, topics):
    """Refusals in several partitions, with requests queued behind them: what arrived is told by a
    comparison, without those that were put aside."""
    ahead, day_ms = "message.timestamp.after.max.ms", 86_400_000
    job = place_job(inputs={"in": 3}, outputs={"out": 3},
                    configs={"in": {ahead: 10 * day_ms}, "out": {ahead: day_ms // 24}},
                    settings={"on.bad.record": "set-aside"})
    topic, error = f"{job.name}-in", f"{job.name}-error"
    topics("create_topics", topics={error: {"partitions": 1, "configs": {ahead: 10 * day_ms}}})
    job.service.settings["error.topic"] = error
    absent = []
    for turn in range(3):
        job.feed(6000, first=6000 * turn, size=50)
        for partition in range(3):
            offset = topics("produce", records=[
                {"topic": topic, "partition": partition, "key": None, "headers": [["a", "YQ=="]],
                 "value": "eA==", "timestamp": int(time.time() * 1000) + day_ms}])["offsets"][0]
            absent.append([topic, partition, offset])
    run(job, timeout_s=90)
    assert recoveries(job), job.service.log_tail()
    job.assert_exactly_once(18_000, absent=absent)
    assert len(fetch_all(topics, error)) == len(absent)


# ---- another writer ----

def test_another_writer_is_noticed_while_the_job_runs(place_job, topics):
    job = place_job(inputs={"in": 2}, outputs={"out": 2})
    job.feed(200)
    job.service.start()
    job.await_relayed(200)
    time.sleep(0.5)
    assert job.service.running()
    offset = write(topics, f"{job.name}-out", 1)
    job.feed(200, first=200)
    assert job.service.wait() == 77, job.service.log_tail()
    log = job.service.log()
    assert f"'{job.name}-out'[1]: offset {offset} " in log, log
    assert "output.provenance=positions" in log
    run(job, 77)    # and it stays so: a batch is in doubt, and what is there isn't its next record
    assert f"'{job.name}-out'[1]: offset {offset} " in job.service.log()
    assert job.service.in_doubt()


def test_another_writer_is_noticed_before_a_batch_when_the_start_was_quiet(place_job, topics):
    job = place_job(settings={"recovery.settle.ms": 1500})
    job.feed(100)
    run(job)
    job.service.start()
    time.sleep(0.7)     # the first look is over, the second is to come
    offset = write(topics, f"{job.name}-out")
    assert job.service.wait() == 77, job.service.log_tail()
    assert f"offset {offset} isn't this job's" in job.service.log()


def test_another_writer_is_noticed_at_the_start(place_job, topics):
    job = place_job()
    job.feed(100)
    run(job)
    write(topics, f"{job.name}-out")
    job.feed(100, first=100)
    for _ in range(2):
        log = run(job, 77)
        assert f"'{job.name}-out'[0]: offset 100" in log, log
        assert "older copy" in log and "ends at 101" in log, log
    assert job.tally()["records"] == 101
    # The way out with other writers: headers. And back again, when they have ended.
    job.service.settings["output.provenance"] = "headers"
    run(job)
    write(topics, f"{job.name}-out")
    job.service.settings["output.provenance"] = "positions"
    job.feed(100, first=200)
    run(job)
    run(job)
    there = fetch_all(topics, f"{job.name}-out")
    assert [each["value"] == FOREIGN for each in there].count(True) == 2
    ours = [each for each in there if each["value"] != FOREIGN]
    assert [each["value"] for each in ours] == [each["value"] for each in
                                                fetch_all(topics, f"{job.name}-in")]
    write(topics, f"{job.name}-out")
    run(job, 77)


@pytest.mark.parametrize("where", ["behind_what_is_there", "behind_the_last_record"])
def test_another_writer_is_noticed_in_a_recovery(place_job, topics, where):
    job = place_job()
    job.feed(1000)
    if where == "behind_what_is_there":
        there, words = kill_with(job, 100), "differs"
    else:
        run(job, -9, failpoint="deliver-last-acked:kill")
        there, words = 1000, "has no more records"
    assert write(topics, f"{job.name}-out") == there
    for _ in range(2):
        log = run(job, 77)
        assert f"'{job.name}-out'[0]: offset {there} " in log and words in log, log
    assert job.service.in_doubt() and job.tally()["records"] == there + 1
    assert job.service.one("SELECT count(*) FROM oncesink_event WHERE kind = 'refusal'")[0] == 2


def test_a_recovered_batch_is_not_settled_with_a_stranger_behind_it(place_job, topics):
    job = place_job()
    job.feed(1000)
    kill_with(job, 100)
    job.service.start("--until-end", delay_us=3000)
    job.await_relayed(400)
    offset = write(topics, f"{job.name}-out")
    assert job.service.wait() == 77, job.service.log_tail()
    assert f"offset {offset} isn't this job's" in job.service.log()
    assert job.service.in_doubt()


def test_the_end_of_a_strangers_transaction_is_noticed(place_job, topics):
    """Its record equals the batch's next one byte for byte, which can't be told; its end can."""
    job = place_job()
    base = 1_700_000_000_000
    job.feed(1000, base_timestamp=base)
    there = kill_with(job, 100)
    topics("feed", topics={f"{job.name}-out": [0]}, count=1, first=there, seed=3, transaction=1,
           base_timestamp=base)
    log = run(job, 77)
    assert f"offset {there + 1} isn't" in log and "transactions" in log, log


def test_an_older_copy_of_the_ledger_is_refused(place_job, topics):
    job = place_job()
    job.feed(100)
    run(job)
    job.service.close_ledger()
    shutil.copy2(job.service.ledger, job.service.folder / "kept")
    job.feed(100, first=100)
    run(job)
    job.service.close_ledger()
    for path in job.service.folder.glob("ledger.db*"):
        path.unlink()
    shutil.copy2(job.service.folder / "kept", job.service.ledger)
    topics("delete_group", group=job.name)      # the mark would tell it first
    job.feed(100, first=200)
    log = run(job, 77)
    assert "offsets 100 to 199 aren't this job's" in log and "older copy" in log, log
    assert job.tally()["records"] == 200


# ---- what changes between two starts ----

@pytest.mark.parametrize("to", ["positions", "headers"])
def test_a_batch_in_doubt_is_finished_with_its_own_provenance(place_job, topics, to):
    other = {"positions": "headers", "headers": "positions"}[to]
    job = place_job(settings={"output.provenance": other})
    job.by_place = True     # counted, whatever they carry
    job.feed(1000)
    kill_with(job, 100)
    job.service.settings["output.provenance"] = to
    run(job)
    job.feed(500, first=1000)
    run(job)
    was, found = (fetch_all(topics, f"{job.name}-{end}") for end in ("in", "out"))
    assert [each["value"] for each in found] == [each["value"] for each in was]
    marked = [bool(each["headers"] and each["headers"][-1][0] == "oncesink") for each in found]
    assert marked == [other == "headers"] * 1000 + [to == "headers"] * 500


def test_input_that_is_gone_leaves_a_batch_in_doubt_undecided(place_job, topics):
    """Without it nothing tells what was delivered."""
    job = place_job(settings={"on.data.loss": "continue"})
    job.feed(1000)
    kill_with(job, 100)
    topics("delete_records", before={f"{job.name}-in": {0: 50}})
    log = run(job, 77)
    assert f"'{job.name}-in'[0]" in log and "log begins at 50" in log, log
    assert job.service.in_doubt()


def test_an_output_made_anew_begins_at_its_start(place_job, topics):
    job = place_job()
    job.feed(100)
    run(job)
    topics("delete_topics", topics=list(job.outputs))
    topics("create_topics", topics={topic: {"partitions": count}
                                    for topic, count in job.outputs.items()})
    job.feed(1000, first=100)
    kill_with(job, 100)
    run(job)
    job.assert_exactly_once(1000, **{"from": {f"{job.name}-in": {0: 100}}})


def test_a_new_job_begins_at_the_end_of_an_output_that_is_not_empty(place_job, topics):
    job = place_job()
    for _ in range(3):
        write(topics, f"{job.name}-out")
    job.feed(1000)
    kill_with(job, 100)
    run(job)
    job.assert_exactly_once(1000, out_from={f"{job.name}-out": {0: 3}})


# ---- where it can't be used ----

SETTINGS = {
    "by_key": ({"output.partitioner": "key"}, "output.partitioner=same"),
    "transactional": ({"delivery.mode": "transactional"}, "delivery.mode=idempotent"),
    "one_output_for_two_inputs": ({"input.topics": "a,b"}, "output topic for each input topic"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_give_an_output_partition_two_sources_are_refused(place_job, case):
    settings, words = SETTINGS[case]
    job = place_job(settings=settings)
    assert job.service.run() == 78, job.service.log_tail()
    assert words in job.service.log() and "output.provenance=positions" in job.service.log()


TOPICS = {
    "fewer_output_partitions": ({"inputs": {"in": 3}, "outputs": {"out": 2}},
                                "has 2 partitions, fewer than the 3"),
    "compacted_input": ({"configs": {"in": {"cleanup.policy": "compact"}}}, "-in' is compacted"),
    "compacted_output": ({"configs": {"out": {"cleanup.policy": "compact,delete"}}},
                         "-out' is compacted"),
}


@pytest.mark.parametrize("case", TOPICS)
def test_topics_that_positions_cannot_be_used_with_are_refused(place_job, case):
    how, words = TOPICS[case]
    job = place_job(**how)
    assert job.service.run() == 77, job.service.log_tail()
    assert words in job.service.log() and "output.provenance=headers" in job.service.log()


def test_input_partitions_added_beyond_the_outputs_stop_the_job(place_job, topics):
    job = place_job(inputs={"in": 2}, outputs={"out": 3})
    job.feed(200)
    job.service.start()
    job.await_relayed(200)
    topics("add_partitions", topic=f"{job.name}-in", count=4)
    assert job.service.wait(30) == 77, job.service.log_tail()
    assert "has 3 partitions, fewer than the 4" in job.service.log()
    topics("add_partitions", topic=f"{job.name}-out", count=5)
    topics("feed", topics={f"{job.name}-in": [0, 1, 2, 3]}, count=400, seed=9, first=5000)
    run(job)
    job.assert_exactly_once(600)
