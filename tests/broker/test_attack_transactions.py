"""Attacks on the transactional mode: late copies between slices, moved and lost marks, fencing, topics that
change under a batch in doubt, modes that change back and forth. ONCESINK_FULL=1: also those that take a
quarter of a minute and more each."""

import os
import signal
import socket
import sqlite3
import struct
import subprocess
import time

import pytest

from kills import assert_counts_agree
from proxy import Api, delay, hold
from service import SLOWNESS, Service, program
from wire import errors, is_commit

FULL = os.environ.get("ONCESINK_FULL") == "1"


def in_full_size(test):
    return test if FULL else None


MODE = {"delivery.mode": "transactional"}
SLICED = {**MODE, "producer.transaction.timeout.ms": 4000}      # slices of a second
CONCURRENT_TRANSACTIONS, INIT_PRODUCER_ID = 51, 22


def fence(bootstrap, transactional_id):
    """What another producer with this id does at its start."""
    host, port = bootstrap.split(":")
    body = (struct.pack(">hhih", INIT_PRODUCER_ID, 1, 1, 4) + b"peer"
            + struct.pack(">h", len(transactional_id)) + transactional_id.encode()
            + struct.pack(">i", 60_000))
    with socket.create_connection((host, int(port))) as own:
        for _ in range(200):
            own.sendall(struct.pack(">i", len(body)) + body)
            size, = struct.unpack(">i", own.recv(4, socket.MSG_WAITALL))
            answer = own.recv(size, socket.MSG_WAITALL)
            error, = struct.unpack_from(">h", answer, 8)
            if error != CONCURRENT_TRANSACTIONS:
                assert error == 0, error
                return
            time.sleep(0.05)
    raise AssertionError("the transaction doesn't end")


def events(job, kind):
    return [row[0] for row in job.service.rows("SELECT text FROM oncesink_event WHERE kind = ?", kind)]


def marks(job):
    """{TOPIC: {PARTITION: (offset, what follows the incarnation)}}"""
    found = job.topics("group_offsets", group=job.name)
    return {topic: {int(number): (each["offset"], each["metadata"].split("/", 2)[2])
                    for number, each in partitions.items()} for topic, partitions in found.items()}


def ends_well(job, count, **how):
    """Records, ledger and marks agree; nothing is in doubt; the ledger is sound, and knows whoever wrote."""
    job.assert_exactly_once(count, **how)
    known = {row[0] for row in job.service.rows("SELECT incarnation FROM oncesink_incarnation")}
    assert {each["metadata"].split("/")[1] for partitions in
            job.topics("group_offsets", group=job.name).values() for each in partitions.values()} <= known
    assert_counts_agree(job)
    assert events(job, "double") == []
    settled = job.service.one("SELECT max(batch) FROM batches WHERE state = 'settled'")[0]
    next_offsets = {(row[0], row[1]): row[2] for row in job.service.rows(
        "SELECT topic, partition, next_offset FROM oncesink_input")}
    for topic, partitions in marks(job).items():
        for partition, (offset, text) in partitions.items():
            assert offset == next_offsets[topic, partition], (topic, partition)
            mode, batch, slice_, slices = text.split("/")
            assert int(batch) == settled and slice_ == slices, text
    assert recover("verify", job.service.ledger) == 0


def recover(*arguments):
    return subprocess.run([program("oncesink-recover"), *map(str, arguments)]).returncode


def await_slices(job, count, timeout_s=30):
    """Until so many slices of a batch are in the group's mark."""
    deadline = time.monotonic() + timeout_s * SLOWNESS
    while True:
        texts = [text for each in marks(job).values() for _, text in each.values()]
        if texts and texts[0].split("/")[3] == "0" and int(texts[0].split("/")[2]) >= count:
            return
        assert job.service.running(), job.service.log_tail()
        assert time.monotonic() < deadline, f"{texts}\n{job.service.log_tail()}"
        time.sleep(0.02)


def assert_nothing_open(job):
    for topic, partitions in job.topics("ends", topics=list(job.outputs)).items():
        assert all(each["stable"] == each["high"] for each in partitions.values()), partitions


def until(condition, job, timeout_s=30):
    deadline = time.monotonic() + timeout_s * SLOWNESS
    while not condition():
        assert job.service.running(), job.service.log_tail()
        assert time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.02)


# ---- slices

def test_a_late_commit_of_a_slice_does_not_tear_the_next(new_job, peer, proxied):
    """Its answer was lost, though the library's second try got one (T2)."""
    kafka, proxy = proxied
    job = new_job(at=peer.at(kafka.bootstrap),
                  settings={**SLICED, "bootstrap.servers": kafka.proxied_bootstrap})
    job.feed(6000)
    rule = proxy.add(hold(execute=True), api=Api.END_TXN, client=job.name, nth=2,
                     when=is_commit)
    job.service.start(delay_us=600)
    held = rule.await_held()
    seen = len(proxy.seen(api=Api.PRODUCE, client=job.name))
    until(lambda: len(proxy.seen(api=Api.PRODUCE, client=job.name)) >= seen + 10, job)
    assert 0 not in errors(held.request, held.release())
    job.await_relayed(6000)
    job.service.stop()
    ends_well(job, 6000)


@pytest.mark.parametrize("partitioner", ["same", "key"] if FULL else ["key"])
def test_kills_in_slices_lose_and_double_nothing(new_job, partitioner):
    job = new_job(inputs={"a": 2, "b": 1}, outputs={"out": 3}, partitioner=partitioner,
                  settings=SLICED)
    job.feed(6000, transaction=70, abort_every=3)
    for slices, failpoint in [(1, None), (1, "checkpoint-before-commit:kill@1"),
                              (2, "transaction-before-commit:kill@2"),
                              (1, "transaction-after-commit:kill@1")]:
        job.service.start(delay_us=500, failpoint=failpoint, ready=False)
        if failpoint:
            assert job.service.wait(60) == -9, job.service.log_tail()
        else:
            await_slices(job, slices)
            job.service.kill()
        assert job.service.in_doubt()
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    ends_well(job, 6000)


# ---- topics that change

def test_an_output_made_anew_in_mid_batch_stops_the_job(new_job, topics):
    job = new_job(inputs={"in": 1}, outputs={"out": 1}, settings=SLICED)
    out = f"{job.name}-out"
    job.feed(20_000)
    job.service.start(delay_us=300)
    await_slices(job, 1)
    topics("delete_topics", topics=[out])
    topics("create_topics", topics={out: {"partitions": 1}})
    assert job.service.wait(60) == 77, job.service.log_tail()
    assert out in job.service.log() and job.service.in_doubt()
    assert job.service.run() == 77, job.service.log_tail()
    assert "oncesink-recover resolve" in job.service.log()
    there = marks(job)[f"{job.name}-in"][0][0]
    assert recover("resolve", job.service.ledger, job.service.file, "--yes") == 0
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    assert job.tally()["records"] == 20_000 - there


def test_an_input_that_comes_back_goes_on_where_it_was(new_job, topics):
    job = new_job(inputs={"a": 2, "b": 2}, outputs={"out": 2}, settings=MODE)
    a, b = f"{job.name}-a", f"{job.name}-b"
    job.feed(400)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.service.settings["input.topics"] = a
    for first in (1000, 2000):
        topics("feed", topics={a: [0, 1]}, count=200, seed=5, first=first)
        assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.service.settings["input.topics"] = f"{a},{b}"
    job.feed(400, first=5000)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.feed(4000, first=10_000)
    job.service.start(delay_us=500)
    until(job.service.in_doubt, job)
    job.service.kill()
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    ends_well(job, 5200)


def test_a_batch_in_doubt_is_finished_though_an_input_that_it_does_not_read_is_gone(new_job, topics):
    job = new_job(inputs={"a": 2, "b": 2}, outputs={"out": 2}, settings=MODE)
    a, b = f"{job.name}-a", f"{job.name}-b"
    job.feed(400)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    topics("feed", topics={a: [0, 1]}, count=3000, seed=5, first=1000)
    job.service.start(delay_us=500)
    until(job.service.in_doubt, job)
    job.service.kill()
    job.service.settings["input.topics"] = a
    topics("delete_topics", topics=[b])
    assert job.service.run("--until-end", timeout_s=40) == 0, job.service.log_tail()
    assert job.tally()["records"] == 3400


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_committed_of_a_batch_in_doubt_may_be_lost_from_the_input(new_job, topics, whole):
    """The mark says that it is there (I3), though no checkpoint counted it."""
    job = new_job(inputs={"in": 1}, outputs={"out": 1}, settings=SLICED if not whole else MODE)
    job.feed(5000)
    step = "settle-before-commit:kill" if whole else "checkpoint-before-commit:kill"
    job.service.start(delay_us=500, failpoint=step, ready=False)
    assert job.service.wait(60) == -9, job.service.log_tail()
    topic = f"{job.name}-in"
    while marks(job)[topic][0][1].split("/")[1] != "1":     # its markers may still be on their way
        time.sleep(0.02)
    offset, _ = marks(job)[topic][0]
    topics("delete_records", before={topic: {0: offset - 10}})
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    assert job.tally()["records"] == 5000
    assert job.service.in_doubt() is None


# ---- marks

def test_a_mark_of_the_idempotent_mode_that_lands_late_doubles_nothing(new_job, peer, proxied):
    """T7: before the first transaction there is a mark of a transaction's."""
    kafka, proxy = proxied
    job = new_job(at=peer.at(kafka.bootstrap),
                  settings={"bootstrap.servers": kafka.proxied_bootstrap})
    job.feed(300)
    rule = proxy.add(hold(execute=True), api=Api.OFFSET_COMMIT, client=job.name, times=None)
    job.service.start()
    held = rule.await_held()
    job.service.kill()
    proxy.clear()
    job.isolation = "read_committed"
    job.service.settings.update(MODE)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.feed(300, first=300)
    job.service.start("--until-end", failpoint="settle-before-commit:kill", ready=False)
    assert job.service.wait() == -9, job.service.log_tail()
    held.release()
    assert {text for _, text in marks(job)[f"{job.name}-in"].values()} == {"idempotent/1/1/1"}
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    ends_well(job, 600)


def test_the_outputs_are_asked_behind_a_strangers_open_transaction(new_job, topics):
    """The mark is gone, and what is ours lies above the last stable offset."""
    job = new_job(inputs={"in": 1}, outputs={"out": 1}, settings=MODE)
    job.feed(100)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.feed(300, first=100)
    other = f"{job.name}-other"
    topics("create_topics", topics={other: {"partitions": 1}})
    stranger = topics.begin("stranger", topics=[other], open=list(job.outputs), rate=50)
    try:
        time.sleep(1)
        job.service.start("--until-end", failpoint="settle-before-commit:kill", ready=False)
        assert job.service.wait() == -9, job.service.log_tail()
        topics("delete_group", group=job.name)
        job.service.start("--until-end", ready=False)
        job.service.await_log("a transaction is open")
        time.sleep(10)      # longer than a reader waits before it takes a tail for compacted
        assert job.service.running(), job.service.log_tail()
    finally:
        stranger.stop()
        stranger.result()
    assert job.service.wait() == 0, job.service.log_tail()
    ends_well(job, 400)


def test_modes_change_with_a_batch_in_doubt_in_either(new_job):
    job = new_job(settings={"recovery.settle.ms": 300, "producer.transaction.timeout.ms": 4000})
    fed = 0
    for turn in range(5):
        mode = ["idempotent", "transactional"][turn % 2]
        job.service.settings["delivery.mode"] = mode
        job.feed(3000, first=fed)
        fed += 3000
        before = job.service.one("SELECT max(batch) FROM batches")[0] if turn else 0
        job.service.start(delay_us=400)
        until(lambda: (job.service.in_doubt() or {"batch": 0})["batch"] > (before or 0), job)
        time.sleep(0.4)
        job.service.kill()
        assert job.service.in_doubt()
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    # aborted transactions are records too for a read_uncommitted reader
    job.isolation = "read_committed"
    ends_well(job, fed)


def test_aborted_records_are_not_taken_for_delivered_after_a_change_of_mode(new_job, peer, proxied):
    """The idempotent recovery before looks at gaps in the outputs for minutes (R5)."""
    kafka, proxy = proxied
    job = new_job(at=peer.at(kafka.bootstrap), inputs={"in": 1}, outputs={"out": 1},
                  settings={"bootstrap.servers": kafka.proxied_bootstrap, "recovery.settle.ms": 300,
                            "producer.transaction.timeout.ms": 2000})
    job.feed(3000)
    job.service.start(delay_us=300)
    until(job.service.in_doubt, job)
    time.sleep(0.3)
    job.service.kill()
    job.isolation = "read_committed"
    job.service.settings.update(MODE)
    assert not proxy.seen(api=Api.END_TXN, client=job.name)
    # written, and given up before the answer comes
    proxy.add(delay(answer_s=5), api=Api.PRODUCE, client=job.name, nth=3,
              when=lambda _: proxy.seen(api=Api.ADD_PARTITIONS_TO_TXN, client=job.name))
    job.service.start(delay_us=300)
    job.feed(3000, first=3000)
    job.await_relayed(6000)
    job.service.stop()
    ends_well(job, 6000)


# ---- fencing

def test_a_producer_that_fences_us_once_changes_nothing(new_job, kafka):
    job = new_job(settings=SLICED)
    job.feed(4000)
    job.service.start(delay_us=500)
    await_slices(job, 1)
    fence(kafka.bootstrap, job.name)
    job.await_relayed(4000)
    fence(kafka.bootstrap, job.name)        # idle
    job.feed(300, first=4000)
    job.await_relayed(4300)
    job.service.stop()
    ends_well(job, 4300)
    assert len([text for text in events(job, "producer") if "fenced" in text]) >= 2


def test_who_is_fenced_four_times_in_ten_minutes_stops(new_job, kafka):
    job = new_job(settings=MODE)
    fed = 0
    job.service.start()
    for turn in range(4):
        job.feed(30, first=fed)
        fed += 30
        job.await_relayed(fed)
        until(lambda: job.service.in_doubt() is None, job)
        fence(kafka.bootstrap, job.name)
    job.feed(30, first=fed)
    assert job.service.wait() == 77, job.service.log_tail()
    assert f"transactional.id '{job.name}'" in job.service.log()
    job.service.start()
    job.await_relayed(fed + 30)
    job.service.stop()
    ends_well(job, fed + 30)


def test_fencing_is_judged_while_idle_too(new_job, kafka):
    """The mark's refresh meets it, before it fences in turn: an hour passes in a second."""
    job = new_job(settings={**MODE, "batch.interval.ms": 3_600_000})
    job.service.start(clock_speed=3600)
    until(lambda: raw_offsets(job), job)
    fence(kafka.bootstrap, job.name)
    until(lambda: any("fenced" in text for text in events(job, "producer")), job)
    job.service.stop()


# ---- stops

def test_a_time_out_that_the_brokers_do_not_allow_is_told(new_job):
    job = new_job(settings={**MODE, "producer.transaction.timeout.ms": 3_600_000})
    job.feed(30)
    assert job.service.run(timeout_s=30) in (77, 78), job.service.log_tail()
    assert "transaction.max.timeout.ms" in job.service.log()


def test_a_forced_stop_frees_the_readers(new_job, topics):
    job = new_job(settings=MODE)
    job.feed(20_000)
    job.service.start(delay_us=500)
    out = f"{job.name}-out"
    until(lambda: any(each["high"] for each in topics("ends", topics=[out])[out].values()), job)
    job.service.terminate()
    job.service.await_log("finishing the batch")
    job.service.terminate()
    assert job.service.wait(20) == 75, job.service.log_tail()
    assert_nothing_open(job)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    ends_well(job, 20_000)


def test_many_refused_records(new_job, topics):
    """Each ends a transaction, and costs nobody else much."""
    job = new_job(inputs={"in": 2}, outputs={"out": 2}, configs={"out": {"max.message.bytes": 10_000}},
                  settings={**MODE, "on.bad.record": "set-aside"})
    topic, error = f"{job.name}-in", f"{job.name}-error"
    topics("create_topics", topics={error: {"partitions": 1}})
    job.service.settings["error.topic"] = error
    absent, turns = [], 8 if FULL else 3
    for turn in range(turns):
        job.feed(5000, first=5000 * turn, size=50)
        absent.append([topic, turn % 2, topics("produce", records=[
            {"topic": topic, "partition": turn % 2, "value": "QUFB" * 5000}])["offsets"][0]])
    began = time.monotonic()
    assert job.service.run("--until-end", timeout_s=200) == 0, job.service.log_tail()
    print(f"\n{len(absent)} refused in {time.monotonic() - began:.1f} s")
    job.assert_exactly_once(5000 * turns, absent=absent)
    assert job.tally_errors(error) == len(absent)
    row = job.service.one("SELECT sum(records), sum(outputs) FROM batches")
    assert tuple(row) == (5001 * turns, 5001 * turns)


def test_a_stop_for_a_decision_frees_the_readers(new_job, topics):
    job = new_job(inputs={"in": 1}, outputs={"out": 1}, configs={"out": {"max.message.bytes": 10_000}},
                  settings={**MODE, "on.bad.record": "stop"})
    job.feed(200)
    topics("produce", records=[{"topic": f"{job.name}-in", "partition": 0, "value": "QUFB" * 5000}])
    assert job.service.run("--until-end") == 77, job.service.log_tail()
    assert_nothing_open(job)
    assert job.tally()["records"] == 0


# ---- the group

def test_a_consumer_that_commits_to_the_group_is_noticed_at_the_next_start(new_job, topics):
    """Kafka lets both commit. While the job runs, its next batch sets the mark again."""
    job = new_job(settings=MODE)
    topic = f"{job.name}-in"
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    for batch_follows in (True, False):
        member = topics.begin("join_group", group=job.name, topics=[topic], commit=True)
        until(lambda: all(each == (0, "") for each in raw_offsets(job).values()), job)
        if batch_follows:
            job.feed(300, first=300)
            job.await_relayed(600)
            until(lambda: not job.service.in_doubt(), job)
        member.stop()
        member.result()
    job.service.stop()
    for _ in range(2):
        assert job.service.run("--until-end") == 77, job.service.log_tail()
        assert "without a mark of this job" in job.service.log()
    job.assert_exactly_once(600)


def raw_offsets(job):
    found = job.topics("group_offsets", group=job.name).get(f"{job.name}-in", {})
    return {int(number): (each["offset"], each["metadata"]) for number, each in found.items()}


@pytest.mark.parametrize("provenance", ["headers", "none"])
def test_a_group_deleted_with_a_batch_in_doubt(new_job, topics, provenance):
    """The outputs tell what is there, where records say whose they are; else nobody guesses."""
    job = new_job(settings={**SLICED, "output.provenance": provenance})
    job.feed(300)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.feed(6000, first=300)
    job.service.start(delay_us=500)
    await_slices(job, 2)
    job.service.kill()
    topics("delete_group", group=job.name)
    if provenance == "headers":
        assert job.service.run("--until-end") == 0, job.service.log_tail()
        ends_well(job, 6300)
    else:
        for _ in range(2):
            assert job.service.run("--until-end") == 77, job.service.log_tail()
            assert "oncesink-recover resolve" in job.service.log()
        assert_nothing_open(job)


@pytest.mark.parametrize("idle", [False, True])
def test_a_group_deleted_under_a_running_job_gets_its_mark_again(new_job, topics, idle):
    job = new_job(settings=SLICED)
    job.feed(300)
    job.service.start(delay_us=500)
    job.await_relayed(300)
    until(lambda: not job.service.in_doubt(), job)
    if not idle:
        job.feed(6000, first=300)
        await_slices(job, 1)
    topics("delete_group", group=job.name)
    if idle:
        job.feed(6000, first=300)
    job.await_relayed(6300)
    job.service.stop()
    ends_well(job, 6300)


# ---- brokers

@in_full_size
def test_a_transaction_expires_while_the_broker_hangs(new_job, kafka):
    job = new_job(settings=SLICED)
    job.feed(8000)
    job.service.start(delay_us=500)
    for _ in range(2):
        seen = job.tally()["records"]
        until(lambda: job.tally()["records"] > seen, job)
        kafka.process.send_signal(signal.SIGSTOP)
        time.sleep(7)
        kafka.process.send_signal(signal.SIGCONT)
    job.await_relayed(8000, timeout_s=90)
    job.service.stop()
    ends_well(job, 8000)


@in_full_size
def test_brokers_that_die_in_every_phase(new_job, kafka):
    job = new_job(settings=SLICED)
    fed = 0
    job.service.start(delay_us=300)
    for turn in range(6 if FULL else 3):
        job.feed(4000, first=fed)
        fed += 4000
        time.sleep(0.4 + 0.37 * turn)
        kafka.kill()
        kafka.start()
    job.await_relayed(fed, timeout_s=120)
    job.service.stop()
    ends_well(job, fed)


# ---- owners

def test_a_copy_that_runs_beside_its_original_doubles_nothing(new_job, tmp_path):
    """Each fences the other, until a mark of the one ends the other."""
    job = new_job(settings={**MODE, "batch.interval.ms": 100})
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    until(lambda: not job.service.in_doubt(), job)
    copy = Service(tmp_path / "copy", {**job.service.settings, "ledger.path": tmp_path / "copy.db"})
    with sqlite3.connect(job.service.ledger) as from_, sqlite3.connect(tmp_path / "copy.db") as to:
        from_.backup(to)
    fed = 300
    try:
        copy.start()
        deadline = time.monotonic() + 60 * SLOWNESS
        while job.service.running() and copy.running():
            assert time.monotonic() < deadline, job.service.log_tail() + copy.log_tail()
            job.feed(300, first=fed)
            fed += 300
            time.sleep(0.3)
        ended, other = (copy, job.service) if not copy.running() else (job.service, copy)
        assert ended.wait() == 77, ended.log_tail()
        assert "copy of this ledger" in ended.log() or "stale" in ended.log(), ended.log_tail()
        until(lambda: job.tally()["records"] >= fed, job if other is job.service else SimpleJob(other))
        other.stop()
    finally:
        copy.close()
    job.assert_exactly_once(fed)


class SimpleJob:
    def __init__(self, service):
        self.service = service


@in_full_size
def test_a_process_that_stood_still_longer_than_its_transaction_lasts(new_job):
    job = new_job(settings={**MODE, "producer.transaction.timeout.ms": 2000})
    job.feed(6000)
    job.service.start(delay_us=500)
    seen = 0
    for _ in range(2):
        until(lambda: job.tally()["records"] > seen, job)
        job.service.signal(signal.SIGSTOP)
        time.sleep(14)      # the broker looks every 10 s
        job.service.signal(signal.SIGCONT)
        seen = job.tally()["records"]
    job.await_relayed(6000)
    job.service.stop()
    ends_well(job, 6000)


@in_full_size
def test_other_ids_with_a_transaction_open_wait_for_its_end(new_job):
    """Nothing fences the dead producer then, and no group says what it has committed."""
    job = new_job(inputs={"in": 1}, outputs={"out": 1}, settings=SLICED)
    job.feed(6000)
    job.service.start(delay_us=500, failpoint="transaction-before-commit:kill@3", ready=False)
    assert job.service.wait(60) == -9, job.service.log_tail()
    job.service.settings.update({"transactional.id": f"{job.name}-other", "group.id": f"{job.name}-other"})
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(6000)
    assert_counts_agree(job)


# ---- inputs

def test_batches_without_a_readable_record_move_the_mark(new_job, topics):
    job = new_job(inputs={"in": 1}, outputs={"out": 1}, settings={**MODE, "batch.max.records": 20,
                                                                  "batch.interval.ms": 50})
    job.feed(300, transaction=50, abort_every=2)
    assert job.service.run("--until-end", failpoint="transaction-before-commit:kill@4") == -9
    assert job.service.run("--until-end", failpoint="settle-before-commit:kill@3") == -9
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    assert job.service.one("SELECT count(*) FROM batches WHERE records = 0")[0] >= 3
    ends_well(job, 300)


@in_full_size
def test_partitions_are_added_under_a_running_job(new_job, topics):
    job = new_job(inputs={"in": 2}, outputs={"out": 2}, settings=SLICED)
    topic, out = f"{job.name}-in", f"{job.name}-out"
    job.feed(200)
    job.service.start(delay_us=300)
    job.await_relayed(200)
    topics("add_partitions", topic=topic, count=4)
    topics("add_partitions", topic=out, count=3)
    time.sleep(6)       # partitions are counted every 5 s
    topics("feed", topics={topic: [0, 1, 2, 3]}, count=8000, seed=5, first=1000)
    await_slices(job, 1)
    job.service.kill()
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    assert job.tally()["records"] == 8200
    assert_counts_agree(job)
    assert {int(number): offset for number, (offset, _) in raw_offsets(job).items()} == {
        0: 2100, 1: 2100, 2: 2000, 3: 2000}


# ---- stops while something waits

def test_a_stop_is_served_while_earlier_producers_are_fenced(new_job, peer, proxied):
    kafka, proxy = proxied
    job = new_job(at=peer.at(kafka.bootstrap),
                  settings={**MODE, "bootstrap.servers": kafka.proxied_bootstrap})
    rule = proxy.add(delay(answer_s=300), api=Api.INIT_PRODUCER_ID, client=job.name, times=None)
    job.service.start()
    rule.await_hits()
    time.sleep(1.5)
    job.service.terminate()
    assert job.service.wait(15 * SLOWNESS) == 0, job.service.log_tail()
