"""One owner a job: the lock, a copy of the ledger that is older than the truth, a ledger that is
lost or another's, and group offsets that someone moved (rules O1 to O4)."""

import re
import shutil

import pytest

from service import Service


def relayed(new_job, count=300):
    job = new_job()
    job.feed(count)
    job.service.start()
    job.await_relayed(count)
    job.service.stop()
    return job


def ledger_files(service):
    return [path for path in service.folder.glob("ledger.db*") if not path.name.endswith(".lock")]


def test_a_second_process_on_the_ledger_does_not_start(new_job):
    job = new_job()
    job.service.start()
    second = Service(job.service.folder / "second",
                     {**job.service.settings, "ledger.path": job.service.ledger})
    assert second.run() == 75
    assert str(job.service.pid) in second.log()
    job.service.stop()


@pytest.mark.parametrize("group", ["mark_there", "mark_gone"])
def test_an_older_copy_of_the_ledger_is_refused(new_job, topics, group):
    """By the group's mark; and by the outputs' tail when the mark is gone."""
    job = relayed(new_job)
    kept = job.service.folder / "kept"
    kept.mkdir()
    for path in ledger_files(job.service):
        shutil.copy2(path, kept)
    job.feed(300, first=300)
    job.service.start()
    job.await_relayed(600)
    job.service.stop()
    job.service.close()
    truth = job.service.folder / "truth"
    truth.mkdir()
    for path in ledger_files(job.service):
        shutil.move(path, truth)
    for path in kept.iterdir():
        shutil.copy2(path, job.service.folder)
    if group == "mark_gone":
        topics("delete_group", group=job.name)
    job.feed(300, first=600)
    assert job.service.run() == 77
    assert "oncesink-recover" in job.service.log() or "reconcile" in job.service.log()
    assert job.tally()["records"] == 600
    for path in ledger_files(job.service):
        path.unlink()
    for path in truth.iterdir():
        shutil.copy2(path, job.service.folder)
    job.service.start()
    job.await_relayed(900)
    job.service.stop()
    job.assert_exactly_once(900)


@pytest.mark.parametrize("group", ["mark_there", "mark_gone"])
def test_a_lost_ledger_is_no_reason_to_begin_from_nothing(new_job, topics, group):
    job = relayed(new_job)
    for path in ledger_files(job.service):
        path.unlink()
    if group == "mark_gone":
        topics("delete_group", group=job.name)
    assert job.service.run() == 77
    assert job.tally()["records"] == 300


def test_another_ledger_under_the_jobs_name_is_refused(new_job):
    """Its own topics, so that only the group's mark can tell."""
    job = relayed(new_job)
    other = new_job()
    other.service.settings["job.name"] = job.name
    other.service.settings["input.topics"] = f"{job.name}-in"
    other.feed(10)
    assert other.service.run() == 77
    assert other.tally()["records"] == 0


def test_a_ledger_of_another_job_is_refused(new_job):
    job = relayed(new_job)
    job.service.settings["job.name"] = f"{job.name}-renamed"
    assert job.service.run() == 78
    assert job.tally()["records"] == 300
    assert job.name in job.service.log()


@pytest.mark.parametrize("to", [0, 1_000_000])
def test_group_offsets_that_someone_moved_change_nothing(new_job, topics, to):
    job = relayed(new_job)
    topic = f"{job.name}-in"
    topics("alter_group", group=job.name, offsets={topic: {0: to, 1: to, 2: to}}, metadata="")
    job.feed(300, first=300)
    job.service.start()
    job.await_relayed(600)
    job.service.stop()
    job.assert_exactly_once(600)
    marks = topics("group_offsets", group=job.name)[topic]
    assert {each["offset"] for each in marks.values()} == {200}
    assert all(re.match(r"[0-9a-f]", each["metadata"]) for each in marks.values())


def test_group_offsets_moved_while_running_change_nothing(new_job, topics):
    job = new_job()
    topic = f"{job.name}-in"
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    topics("alter_group", group=job.name, offsets={topic: {0: 3, 1: 3, 2: 3}}, metadata="")
    job.feed(300, first=300)
    job.await_relayed(600)
    job.service.stop()
    job.assert_exactly_once(600)
    marks = topics("group_offsets", group=job.name)[topic]
    assert {each["offset"] for each in marks.values()} == {200}


def test_a_ledger_moved_away_under_the_running_process_is_noticed(new_job):
    """A file restored under a running process would make two owners (O1)."""
    job = new_job()
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    job.service.close_ledger()
    shutil.copy2(job.service.ledger, job.service.folder / "restored")
    (job.service.folder / "restored").rename(job.service.ledger)
    job.feed(300, first=300)
    assert job.service.wait() == 77
    assert job.tally()["records"] == 300
