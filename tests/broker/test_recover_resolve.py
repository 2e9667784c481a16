"""A batch in doubt whose outputs can't be read back any more: refused, decided by `resolve`, finished."""

import sqlite3

import pytest

from recover import do, recover, refused
from test_recover_mend import finish, kill_in_mid_batch, refuse_to_run, run_to_end


def in_doubt(new_job, count=3000, there=300, **how):
    """A job with a batch in doubt, of which about `there` records are out."""
    job = new_job(**{"inputs": {"in": 1}, "outputs": {"out": 1}, **how})
    job.feed(count)
    kill_in_mid_batch(job, there)
    job.service.close_ledger()
    return job


def progress(job):
    """What a checkpoint accounts for: none in a batch of less than 5 s."""
    count = job.service.one("SELECT coalesce(sum(records), 0) FROM oncesink_batch_progress")[0]
    job.service.close_ledger()
    return count


def resolve(job, *arguments):
    return do("resolve", job.service.ledger, job.service.file, *arguments)


def test_what_is_left_tells_of_what_is_gone(new_job, topics):
    job = in_doubt(new_job)
    gone = progress(job) + 100
    topics("delete_records", before={f"{job.name}-out": {0: gone}})
    refuse_to_run(job, f"log begins at {gone}", "oncesink-recover resolve")
    resolve(job)    # nothing has to be assumed
    run_to_end(job)
    result = job.check()
    assert result["missing"] == gone and result["doubled"] == result["out_of_order"] == 0, result
    assert not job.service.rows("SELECT 1 FROM events WHERE kind = 'double'")


@pytest.mark.parametrize("assume", ["delivered", "missing"])
def test_what_cannot_be_told_is_decided(new_job, topics, assume):
    job = in_doubt(new_job)
    accounted = progress(job)
    topics("delete_records", before={f"{job.name}-out": {0: -1}})
    refuse_to_run(job, "oncesink-recover resolve --assume delivered|missing")
    complaint = refused("resolve", job.service.ledger, job.service.file, "--yes", code=64)
    assert "needs --assume" in complaint
    resolve(job, "--assume", assume)
    topics("feed", topics=job.all_inputs(), count=500, seed=3, first=3000)
    run_to_end(job)
    result = job.check()
    assert result["missing"] == (3000 if assume == "delivered" else accounted), result
    assert result["doubled"] == result["out_of_order"] == 0, result
    assert job.service.rows("SELECT 1 FROM events WHERE kind = 'operator'")


def test_outputs_are_decided_one_by_one(new_job, topics):
    job = in_doubt(new_job, inputs={"in": 2}, outputs={"out": 2}, there=2300)
    out = f"{job.name}-out"
    accounted = progress(job)
    topics("delete_records", before={out: {0: -1, 1: -1}})
    refuse_to_run(job, "oncesink-recover resolve")
    assert "nothing to decide" in refused("resolve", job.service.ledger, job.service.file,
                                          "--assume", "missing", "--output", f"{out}[7]", code=64)
    resolve(job, "--assume", "delivered", "--output", f"{out}[0]")
    refuse_to_run(job, f"'{out}'[1]")
    resolve(job, "--assume", "missing")
    run_to_end(job)
    result = job.check()
    assert 1500 <= result["missing"] <= 1500 + accounted and result["doubled"] == 0, result


def test_an_output_made_anew_is_filled_from_the_batch_on(new_job, topics):
    job = new_job(inputs={"in": 2}, outputs={"out": 2}, partitioner="key")
    out = f"{job.name}-out"
    job.feed(200)
    run_to_end(job)
    job.feed(3000, first=200)
    kill_in_mid_batch(job, 600)
    accounted = progress(job)
    topics("delete_topics", topics=[out])
    topics("create_topics", topics={out: {"partitions": 1}})
    refuse_to_run(job, "2 partitions", "add partitions")
    complaint = refused("resolve", job.service.ledger, job.service.file, "--assume", "missing", "--yes")
    assert "as many partitions" in complaint
    topics("add_partitions", topic=out, count=2)
    refuse_to_run(job, "made anew", "oncesink-recover resolve")
    resolve(job, "--assume", "missing")
    run_to_end(job)
    result = job.check()
    assert result["missing"] == 200 + accounted and result["doubled"] == result["out_of_order"] == 0, result
    assert recover("verify", job.service.ledger).code == 0


def test_a_log_that_ends_too_early_is_taken_as_it_is(new_job):
    """An unclean election can't be made here: the ledger is made to know more than there is."""
    job = new_job(inputs={"in": 1}, outputs={"out": 1})
    job.feed(300)
    run_to_end(job)
    job.service.close_ledger()
    with sqlite3.connect(job.service.ledger) as ledger:
        ledger.execute("UPDATE oncesink_output SET next_offset = 400")
    ledger.close()
    job.feed(100, first=300)
    refuse_to_run(job, "ends at 300", "oncesink-recover resolve")
    resolve(job)
    finish(job, 400)


def test_what_can_be_read_needs_no_decision(new_job):
    job = in_doubt(new_job)
    answer = recover("resolve", job.service.ledger, job.service.file, "--assume", "missing", "--yes", "--json")
    assert answer.code == 0 and answer.json()["nothing"], answer
    finish(job, 3000)


@pytest.mark.parametrize("assume", ["delivered", "missing"])
def test_a_transactional_batch_without_mark_or_record_is_decided(new_job, topics, assume):
    job = in_doubt(new_job, there=500, settings={"delivery.mode": "transactional"})
    topics("delete_group", group=job.name)
    topics("delete_records", before={f"{job.name}-out": {0: -1}})
    refuse_to_run(job, "oncesink-recover resolve --assume delivered|missing")
    shown = recover("resolve", job.service.ledger, job.service.file)
    assert shown.code == 0 and "needs --assume" in shown.text, shown
    done = recover("resolve", job.service.ledger, job.service.file, "--assume", assume, "--yes")
    assert done.code == 0 and "done: " in done.text, done
    job.feed(100, first=3000)
    run_to_end(job)
    ends = topics("ends", topics=[f"{job.name}-out"])[f"{job.name}-out"]["0"]
    records = len(topics("fetch", to={f"{job.name}-out": {"0": ends["high"]}},
                         isolation="read_committed")["records"])
    assert records == (3100 if assume == "missing" else 100)


def test_a_record_between_ours_is_decided_when_records_have_no_header(new_job, topics):
    """output.provenance=positions: behind a stranger's record nothing can be told."""
    job = in_doubt(new_job, settings={"output.provenance": "positions", "recovery.settle.ms": 200})
    out = f"{job.name}-out"
    topics("produce", records=[{"topic": out, "partition": 0, "key": None, "headers": [], "value": "eA=="}])
    refuse_to_run(job, f"resolve --output {out}[0] --assume delivered|missing")
    shown = recover("resolve", job.service.ledger, job.service.file)
    assert shown.code == 0 and "when it is named" in shown.text, shown
    resolve(job, "--output", f"{out}[0]", "--assume", "delivered")
    job.feed(100, first=3000)
    run_to_end(job)
    assert recover("verify", job.service.ledger).code == 0
    assert job.service.one("SELECT next_offset FROM lag")[0] == 3100
