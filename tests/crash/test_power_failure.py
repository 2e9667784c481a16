"""The power fails while a batch is handed over whose plan isn't on the disk yet (ledger_begin_ahead).

The process stands there for a while and dies, and the disk has lost what was committed last: the settlement of
the batch before, with the plan. Nothing of the batch may have been sent, and the next start, which knows nothing
of it, goes on as from a batch whose settlement was never begun.
"""

import struct
import time

import pytest

from job import MODES
from kills import assert_counts_agree

COUNT = 6000
BATCH = 600
STANDS_S = 1
WAL_HEADER, FRAME_HEADER = 32, 24


def lose_last_commit(ledger):
    """The ledger's files as if the last transaction had never come to the disk."""
    wal = ledger.with_name(ledger.name + "-wal")
    content = wal.read_bytes()
    page_size, = struct.unpack_from(">I", content, 8)
    salts = content[16:24]
    commits = []        # where each ends
    at = WAL_HEADER
    while content[at + 8:at + 16] == salts and at + FRAME_HEADER + page_size <= len(content):
        pages_then, = struct.unpack_from(">I", content, at + 4)
        at += FRAME_HEADER + page_size
        if pages_then > 0:
            commits.append(at)
    assert len(commits) >= 2
    wal.write_bytes(content[:commits[-2]])
    ledger.with_name(ledger.name + "-shm").unlink()


def await_standstill(service):
    """Records that aren't held would be sent meanwhile."""
    last, since = None, time.monotonic()
    while time.monotonic() - since < STANDS_S:
        batch = service.in_doubt()
        if last is None or batch is None or batch["batch"] != last:
            last, since = batch["batch"] if batch else None, time.monotonic()
        assert service.running(), service.log_tail()
        time.sleep(0.05)


@pytest.mark.parametrize("nth", [1, 4])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_sent_before_its_plan_is_on_the_disk(new_job, mode, nth):
    job = new_job(settings={**MODES[mode], "batch.interval.ms": 0, "batch.max.records": BATCH})
    service = job.service
    job.feed(COUNT)
    service.start(failpoint=f"settle-before-sync:hang@{nth}")
    await_standstill(service)
    service.kill()
    planned = service.in_doubt()["batch"]
    settled = service.one("SELECT sum(records) AS records FROM batches WHERE batch < ?", planned)["records"]
    there = (job.tally_raw() if mode == "transactional" else job.tally())["records"]
    assert there == settled > 0, f"batch {planned} was sent before its plan was on the disk"
    service.close_ledger()
    lose_last_commit(service.ledger)
    assert service.in_doubt()["batch"] == planned - 1
    service.close_ledger()
    service.start()
    job.await_relayed(COUNT)
    service.stop()
    job.assert_exactly_once(COUNT)
    assert_counts_agree(job)
