"""The ways out of a refused ledger, followed to the letter: reconcile, rebuild, backup. Each refusal is
made for real, then mended, then the job runs to its end and every record is there once."""

import itertools
import os
import shutil
import time

import pytest

from recover import do, recover, refused

FULL = os.environ.get("ONCESINK_FULL") == "1"
KEY = {"partitioner": "key", "inputs": {"in": 3}, "outputs": {"out": 3}}


def cases(names, *values, usual):
    """All combinations when there is time, else the usual ones."""
    return pytest.mark.parametrize(names, list(itertools.product(*values)) if FULL else usual)


def ledger_files(service):
    return [path for path in service.folder.glob("ledger.db*") if not path.name.endswith(".lock")]


def put_away(service):
    """The ledger's files go to a folder of their own."""
    service.close_ledger()
    away = service.folder / f"away-{time.monotonic_ns()}"
    away.mkdir()
    for path in ledger_files(service):
        shutil.move(path, away)
    return away


def put_back(service, folder):
    for path in ledger_files(service):
        path.unlink()
    for path in folder.iterdir():
        shutil.copy2(path, service.folder)


def copy_of(service):
    service.close_ledger()      # copying in this process would drop the connection's locks
    kept = service.folder / f"kept-{time.monotonic_ns()}"
    kept.mkdir()
    for path in ledger_files(service):
        shutil.copy2(path, kept)
    return kept


def run_to_end(job):
    assert job.service.run("--until-end") == 0, job.service.log_tail()


def kill_in_mid_batch(job, count):
    """The next batch is left in doubt with about count records handed over, most of them out."""
    passes = max(1, count // 200)    # of 200 records each, with this delay
    assert job.service.run("--until-end", delay_us=500,
                           failpoint=f"deliver-middle:kill@{passes}") == -9, job.service.log_tail()
    assert job.service.in_doubt()


def refuse_to_run(job, *words):
    assert job.service.run("--until-end") == 77, job.service.log_tail()
    for word in words:
        assert word in job.service.log(), job.service.log_tail()
    job.service.close_ledger()


def begin(new_job, **how):
    job = new_job(**how)
    job.feed(300)
    run_to_end(job)
    return job


def finish(job, count):
    """Everything is once there, the ledger is sound, and a further start has nothing to say."""
    run_to_end(job)
    job.assert_exactly_once(count)
    job.service.close_ledger()
    assert recover("verify", job.service.ledger).code == 0
    run_to_end(job)


@cases("group,end", ["mark_there", "mark_gone"], ["in_order", "killed"],
       usual=[("mark_there", "in_order"), ("mark_gone", "killed")])
def test_a_stale_ledger_is_brought_up_to_what_was_delivered(new_job, topics, group, end):
    job = begin(new_job, **KEY)
    kept = copy_of(job.service)
    job.feed(3000, first=300)
    if end == "in_order":
        run_to_end(job)
    else:
        kill_in_mid_batch(job, 800)
    put_away(job.service)
    put_back(job.service, kept)
    if group == "mark_gone":
        topics("delete_group", group=job.name)
    job.feed(300, first=3300)
    refuse_to_run(job, "stale", "oncesink-recover reconcile")
    do("reconcile", job.service.ledger, job.service.file)
    finish(job, 3600)


def test_a_ledger_that_lost_its_tail_in_mid_batch_finishes_that_batch(new_job):
    """The copy has the batch in doubt too; another start has written of it since."""
    job = begin(new_job, **KEY)
    job.feed(3000, first=300)
    kill_in_mid_batch(job, 500)
    kept = copy_of(job.service)
    kill_in_mid_batch(job, 1200)
    put_away(job.service)
    put_back(job.service, kept)
    refuse_to_run(job, "oncesink-recover reconcile")
    do("reconcile", job.service.ledger, job.service.file)
    finish(job, 3300)


def test_a_ledger_learns_of_a_copy_that_ran(new_job):
    """What both have written is there twice, and stays so; the ledger works on."""
    job = begin(new_job, inputs={"in": 1}, outputs={"out": 1})
    kept = copy_of(job.service)
    job.feed(300, first=300)
    run_to_end(job)
    truth = put_away(job.service)
    put_back(job.service, kept)
    assert job.service.run("--until-end") == 77
    put_away(job.service)
    put_back(job.service, truth)
    refused_by = job.service.run("--until-end")
    if refused_by == 77:    # the copy's start has left a mark or a record
        do("reconcile", job.service.ledger, job.service.file)
    finish(job, 600)


def test_what_is_right_is_left_alone(new_job):
    job = begin(new_job)
    job.service.close_ledger()
    answer = recover("reconcile", job.service.ledger, job.service.file, "--yes", "--json")
    assert answer.code == 0 and answer.json()["verdict"] == "right", answer
    finish(job, 300)


@cases("group,end", ["mark_there", "mark_gone"], ["in_order", "killed"],
       usual=[("mark_there", "killed"), ("mark_gone", "in_order")])
def test_a_lost_ledger_is_made_anew(new_job, topics, group, end):
    job = begin(new_job, **KEY)
    job.feed(3000, first=300)
    if end == "in_order":
        run_to_end(job)
    else:
        kill_in_mid_batch(job, 800)
    put_away(job.service)
    if group == "mark_gone":
        topics("delete_group", group=job.name)
    job.feed(300, first=3300)
    refuse_to_run(job, "oncesink-recover rebuild")
    assert "nothing is written over" in refused("rebuild", job.service.ledger, job.service.file, code=64)
    put_away(job.service)   # the new one that the service has made
    do("rebuild", job.service.ledger, job.service.file)
    finish(job, 3600)


def test_a_rebuilt_ledger_is_the_same_one(new_job):
    job = begin(new_job)
    before = job.service.one("SELECT uuid, batch FROM oncesink_ledger")
    put_away(job.service)
    do("rebuild", job.service.ledger, job.service.file)
    after = job.service.one("SELECT uuid, batch FROM oncesink_ledger")
    assert tuple(before) == tuple(after)
    assert job.service.rows("SELECT 1 FROM events WHERE kind = 'operator'")
    finish(job, 300)


def test_nothing_is_made_from_nothing(new_job):
    job = new_job()
    job.feed(300)
    job.service._write_settings()
    assert "start the service" in refused("rebuild", job.service.ledger, job.service.file)
    assert not job.service.ledger.exists()
    run_to_end(job)
    job.assert_exactly_once(300)


def test_outputs_without_their_records_prove_nothing(new_job, topics):
    """The mark is gone and so are the records that would tell: refused, nothing changed."""
    job = begin(new_job)
    kept = copy_of(job.service)
    job.feed(300, first=300)
    run_to_end(job)
    put_away(job.service)
    put_back(job.service, kept)
    topics("delete_group", group=job.name)
    topics("delete_records", before={f"{job.name}-out": {0: 150, 1: 150, 2: 150}})
    assert "can't be proved" in refused("reconcile", job.service.ledger, job.service.file, "--yes")
    put_away(job.service)
    assert "can't be proved" in refused("rebuild", job.service.ledger, job.service.file, "--yes")
    assert not job.service.ledger.exists()


def test_a_ledger_that_is_at_work_is_left_alone(new_job):
    job = begin(new_job)
    job.service.start()
    for command, more in (("reconcile", []), ("resolve", ["--assume", "missing"])):
        complaint = refused(command, job.service.ledger, job.service.file, *more, "--yes", code=75)
        assert str(job.service.pid) in complaint
    job.service.stop()


def test_the_mark_of_another_ledger_is_no_evidence(new_job):
    job = begin(new_job)
    other = new_job()
    other.service.settings["job.name"] = job.name
    other.service.settings["input.topics"] = f"{job.name}-in"
    other.feed(10)
    refuse_to_run(other, "another ledger", "another job.name")
    assert "mark of ledger" in refused("reconcile", other.service.ledger, other.service.file, "--yes")
    other.service.settings["job.name"] = other.name     # the way out
    other.service.settings["input.topics"] = f"{other.name}-in"
    put_away(other.service)
    run_to_end(other)
    other.assert_exactly_once(10)


def test_a_backup_of_a_running_ledger_is_whole_and_a_way_back(new_job):
    job = new_job(settings={"batch.interval.ms": 50})
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    feeding = job.topics.begin("feed", topics=job.all_inputs(), count=2000, seed=3, first=300, rate=1000)
    backups = []
    for turn in range(5):
        backups.append(job.service.folder / f"backup-{turn}.db")
        answer = recover("backup", job.service.ledger, backups[-1])
        assert answer.code == 0 and "reconcile" in answer.text, answer
        assert backups[-1].stat().st_mode & 0o777 == 0o640
        time.sleep(0.2)
    assert "there already" in refused("backup", job.service.ledger, backups[0], code=64)
    feeding.result()
    job.await_relayed(2300)
    job.service.stop()
    put_away(job.service)
    shutil.copy2(backups[2], job.service.ledger)
    job.feed(100, first=2300)
    refuse_to_run(job, "oncesink-recover reconcile")
    do("reconcile", job.service.ledger, job.service.file)
    finish(job, 2400)


TRANSACTIONAL = {"delivery.mode": "transactional"}


@cases("lost,group", ["stale", "lost"], ["mark_there", "mark_gone"],
       usual=[("stale", "mark_there"), ("lost", "mark_gone")])
def test_in_transactional_mode_the_mark_or_what_is_committed_proves_it(new_job, topics, lost, group):
    job = begin(new_job, **KEY, settings=TRANSACTIONAL)
    kept = copy_of(job.service)
    job.feed(3000, first=300)
    run_to_end(job)
    job.feed(3000, first=3300)
    kill_in_mid_batch(job, 1000)
    put_away(job.service)
    if lost == "stale":
        put_back(job.service, kept)
    if group == "mark_gone":
        topics("delete_group", group=job.name)
    refuse_to_run(job, "oncesink-recover")
    if lost == "lost":
        put_away(job.service)
    do("reconcile" if lost == "stale" else "rebuild", job.service.ledger, job.service.file)
    finish(job, 6300)


@pytest.mark.parametrize("when", ["settled", "in_doubt"])
def test_moved_offsets_stop_a_transactional_job_and_are_put_back(new_job, topics, when):
    job = begin(new_job, **KEY, settings=TRANSACTIONAL)
    job.feed(3000, first=300)
    if when == "in_doubt":
        kill_in_mid_batch(job, 500)
    topics("alter_group", group=job.name, metadata="",
           offsets={f"{job.name}-in": {0: 3, 1: 3, 2: 3}})
    refuse_to_run(job, "moved", "oncesink-recover reconcile")
    do("reconcile", job.service.ledger, job.service.file)
    finish(job, 3300)


POSITIONS = {"output.provenance": "positions", "recovery.settle.ms": 200}


@cases("end,copied", ["in_order", "killed"], ["settled", "in_doubt"],
       usual=[("in_order", "settled"), ("killed", "in_doubt")])
def test_without_headers_all_since_the_stale_ledger_is_compared(new_job, end, copied):
    job = begin(new_job, inputs={"in": 2}, outputs={"out": 2}, settings=POSITIONS)
    count = 300
    if copied == "in_doubt":
        job.feed(1000, first=count)
        count += 1000
        kill_in_mid_batch(job, 500)
    kept = copy_of(job.service)
    run_to_end(job)
    job.feed(2000, first=count)
    count += 2000
    if end == "in_order":
        run_to_end(job)
    else:
        kill_in_mid_batch(job, 1000)
    put_away(job.service)
    put_back(job.service, kept)
    job.feed(100, first=count)
    refuse_to_run(job, "oncesink-recover reconcile")
    do("reconcile", job.service.ledger, job.service.file)
    finish(job, count + 100)


def test_without_headers_a_lost_ledger_cannot_be_made_anew(new_job):
    job = begin(new_job, inputs={"in": 2}, outputs={"out": 2}, settings=POSITIONS)
    put_away(job.service)
    assert "can't be proved" in refused("rebuild", job.service.ledger, job.service.file, "--yes")
    assert not job.service.ledger.exists()
