"""The ledger is there for people: live reading with sqlite3 always works and stops nobody."""

import subprocess
import threading
import time

from service import Service


def test_live_reading_works_and_holds_nothing_up(new_job, topics):
    """Many short readers, one that keeps a read transaction open, and the sqlite3 program."""
    job = new_job(settings={"batch.interval.ms": 20, "rate.max.per.partition": 5000})
    job.service.start()
    coming = topics.begin("feed", topics=job.all_inputs(), count=10_000, rate=4000)
    trouble = []
    ended = threading.Event()
    queries = ["SELECT * FROM lag", "SELECT * FROM batches LIMIT 5", "SELECT * FROM in_doubt",
               "SELECT * FROM totals", "SELECT * FROM events LIMIT 5",
               "SELECT * FROM set_aside_records"]

    def read(number):
        reader = Service(job.service.folder, job.service.settings)
        try:
            if number == 0:
                reader.rows("BEGIN")
            while not ended.is_set():
                for query in queries:
                    reader.rows(query)
        except Exception as problem:        # noqa: BLE001  (told below)
            trouble.append(repr(problem))
        finally:
            reader.connection().close()
    readers = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for reader in readers:
        reader.start()
    shell = [subprocess.run(["sqlite3", str(job.service.ledger), "SELECT count(*) FROM batches;"],
                            capture_output=True, text=True, check=False) for _ in range(20)]
    try:
        job.await_relayed(10_000)
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    coming.result()
    assert not trouble, trouble
    assert all(run.returncode == 0 for run in shell), [run.stderr for run in shell]
    job.service.stop()
    job.assert_exactly_once(10_000)
    assert not [line for line in job.service.log().splitlines() if "locked" in line]


def test_a_persons_write_transaction_is_waited_out_and_named(new_job):
    job = new_job()
    job.feed(100)
    job.service.start()
    job.await_relayed(100)
    shell = subprocess.Popen(["sqlite3", str(job.service.ledger)], stdin=subprocess.PIPE,
                             text=True)
    shell.stdin.write("BEGIN IMMEDIATE;\n")
    shell.stdin.flush()
    time.sleep(0.3)
    job.feed(100, first=100)
    time.sleep(6)
    assert job.tally()["records"] == 100        # nothing without a durable plan
    assert job.service.running()
    assert "ledger" in job.service.log()
    shell.stdin.write("ROLLBACK;\n.quit\n")
    shell.stdin.flush()
    shell.wait(10)
    shell.stdin.close()
    job.await_relayed(200)
    job.service.stop()
    job.assert_exactly_once(200)


def test_the_ledger_is_whole_after_a_kill(new_job):
    job = new_job(settings={"batch.interval.ms": 10})
    job.feed(3000)
    job.service.start(delay_us=200)
    job.await_relayed(1000)
    job.service.kill()
    assert job.service.one("PRAGMA integrity_check")[0] == "ok"
    assert job.service.one("PRAGMA journal_mode")[0] == "wal"
    assert job.service.one("PRAGMA application_id")[0] != 0
    job.service.start()
    job.await_relayed(3000)
    job.service.stop()
    job.assert_exactly_once(3000)


def test_a_settled_batchs_counts_agree_with_the_topics(new_job):
    job = new_job(settings={"rate.max.per.partition": 1000, "batch.interval.ms": 100})
    job.feed(3000)
    job.service.start()
    job.await_relayed(3000)
    job.service.stop()
    told = {row["batch"]: row["records"]
            for row in job.service.rows("SELECT batch, records FROM batches")}
    found = {batch: sum(counts.values()) for batch, counts in job.batch_counts().items()}
    assert told == found


def test_old_batches_are_pruned_while_one_batch_follows_the_other(new_job):
    """Never idle: each plan joins the settling of the batch before."""
    job = new_job(settings={"batch.interval.ms": 0, "batch.max.records": 10,
                            "ledger.keep.batches": 16})
    job.feed(3000)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(3000)
    (batches, settled, pruned, kept), = job.service.rows(
        "SELECT batch, settled, pruned, (SELECT count(*) FROM oncesink_batch) FROM oncesink_ledger")
    assert batches == settled >= 300
    assert kept == settled - pruned
    assert kept <= 16 + 16 // 8 + 1
