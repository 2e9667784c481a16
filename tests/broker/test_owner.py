"""One owner a job: the lock, a copy of the ledger that is older than the truth, a ledger that is
lost or another's, and group offsets that someone moved (rules O1 to O4). In both delivery modes: in
idempotent mode the ledger is the authority, in transactional mode the group's mark decides."""

import re
import shutil
import subprocess
import time

import pytest

from kafka import java
from service import SLOWNESS, Service

LOSER_S_MAX = 20 * SLOWNESS
MODES = ["idempotent", "transactional"]


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
def new_job_of(new_job, mode):
    """new_job in the mode."""
    def make(**how):
        return new_job(settings={"delivery.mode": mode}, **how)
    return make


def relayed(new_job, count=300):
    job = new_job()
    job.feed(count)
    job.service.start()
    job.await_relayed(count)
    job.service.stop()
    return job


def ledger_files(service):
    return [path for path in service.folder.glob("ledger.db*") if not path.name.endswith(".lock")]


def test_a_second_process_on_the_ledger_does_not_start(new_job_of):
    job = new_job_of()
    job.service.start()
    second = Service(job.service.folder / "second",
                     {**job.service.settings, "ledger.path": job.service.ledger})
    assert second.run() == 75
    assert str(job.service.pid) in second.log()
    job.service.stop()


@pytest.mark.parametrize("group", ["mark_there", "mark_gone"])
def test_an_older_copy_of_the_ledger_is_refused(new_job_of, topics, group):
    """By the group's mark; and by the outputs' tail when the mark is gone."""
    job = relayed(new_job_of)
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
def test_a_lost_ledger_is_no_reason_to_begin_from_nothing(new_job_of, topics, group):
    job = relayed(new_job_of)
    for path in ledger_files(job.service):
        path.unlink()
    if group == "mark_gone":
        topics("delete_group", group=job.name)
    assert job.service.run() == 77
    assert job.tally()["records"] == 300


def test_another_ledger_under_the_jobs_name_is_refused(new_job_of):
    """Its own topics, so that only the group's mark can tell."""
    job = relayed(new_job_of)
    other = new_job_of()
    other.service.settings["job.name"] = job.name
    other.service.settings["input.topics"] = f"{job.name}-in"
    other.feed(10)
    assert other.service.run() == 77
    assert other.tally()["records"] == 0


def test_a_ledger_of_another_job_is_refused(new_job_of):
    job = relayed(new_job_of)
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


@pytest.mark.parametrize("to", [0, 1_000_000])
def test_group_offsets_that_someone_moved_stop_a_transactional_job(new_job, topics, to):
    job = relayed(lambda: new_job(settings={"delivery.mode": "transactional"}))
    topic = f"{job.name}-in"
    topics("alter_group", group=job.name, offsets={topic: {1: to}}, metadata="")
    job.feed(300, first=300)
    assert job.service.run() == 77
    log = job.service.log()
    assert f"'{topic}'[1] is {to}" in log and "oncesink-recover reconcile" in log
    assert job.tally()["records"] == 300
    assert topics("group_offsets", group=job.name)[topic]["1"]["offset"] == to, "it was overwritten"


def test_a_copy_beside_the_owner_fences_or_is_refused_but_never_both_deliver(new_job):
    """Transactional: the copy knows the owner's start, so it may fence it; whoever commits first
    is the owner, and the other one stops by the mark."""
    job = relayed(lambda: new_job(settings={"delivery.mode": "transactional"}))
    job.service.start()
    copy = Service(job.service.folder / "copy", {
        **job.service.settings, "ledger.path": str(job.service.folder / "copy" / "ledger.db")})
    for path in ledger_files(job.service):
        shutil.copy2(path, copy.folder)
    try:
        copy.start()
        job.feed(3000, first=300)
        job.await_committed(3300)
        deadline = time.monotonic() + LOSER_S_MAX       # it may still be about to deliver the same records
        while 77 not in [each.process.poll() for each in (job.service, copy)]:
            assert time.monotonic() < deadline, "\n".join(each.log_tail() for each in (job.service, copy))
            time.sleep(0.05)
        for each in (job.service, copy):
            if each.running():
                each.terminate()
                each.wait()
        job.assert_exactly_once(3300)
    finally:
        copy.close()


def test_the_groups_lag_is_to_be_seen_with_kafkas_own_tool(new_job_of, topics):
    job = new_job_of()
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    job.service.stop()
    job.feed(30, first=300)
    told = subprocess.run(
        java("128m", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
             "--bootstrap-server", topics.bootstrap, "--describe", "--group", job.name),
        capture_output=True, text=True, timeout=60, check=True).stdout
    lags = re.findall(rf"{job.name}-in +(\d) +(\d+) +(\d+) +(\d+) ", told)
    assert sorted(lags) == [(str(p), "100", "110", "10") for p in range(3)], told


def test_group_offsets_moved_while_running_change_nothing(new_job_of, topics):
    job = new_job_of()
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


def test_a_ledger_moved_away_under_the_running_process_is_noticed(new_job_of):
    """A file restored under a running process would make two owners (O1)."""
    job = new_job_of()
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    job.service.close_ledger()
    shutil.copy2(job.service.ledger, job.service.folder / "restored")
    (job.service.folder / "restored").rename(job.service.ledger)
    job.feed(300, first=300)
    assert job.service.wait() == 77
    assert job.tally()["records"] == 300
