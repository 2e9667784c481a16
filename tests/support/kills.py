"""A campaign of SIGKILLs against one job, and what each of them found.

The killer learns from the ledger's view in_doubt, as a person would, that a batch lies between its
plan and its settlement, and kills in one of four ways:

    early       right after the plan is seen
    random      at a random moment of the time that the batch needs
    late        after the last acknowledgement and before the settlement (a failpoint: this moment
                lasts a millisecond)
    recovery    while the next process still resolves the batch

Between a kill and the next start the outputs are read (the peer's tally, by the batch number in the
provenance header), and in the end each kill has a class: the batch was settled, or nothing, a part
or all of it had been delivered. In transactional mode what isn't committed counts too, though no
reader will ever see it: records appended by the transaction that the kill left open.
"""

import collections
import random
import time

from service import SLOWNESS

LATE_FAILPOINTS = {
    "idempotent": ["deliver-last-acked", "settle-before-commit"],
    "transactional": ["transaction-before-offsets", "transaction-before-commit",
                      "transaction-after-commit", "settle-before-commit"]}
EXTRA_KILLS_MAX = 6
LAND_S = 0.1        # for requests that the dead process had on the wire
WAIT_S_MAX = 60 * SLOWNESS


class Campaign:
    def __init__(self, job, delay_us, seed):
        self.job = job
        self.delay_us = delay_us
        self.random = random.Random(seed)
        self.last = 0               # newest batch number seen
        self.delivered = {}         # batch → records in the outputs, as of the last look
        self.mode = job.service.settings.get("delivery.mode", "idempotent")
        self.raw = {}               # transactional: with those that aren't committed
        self.raw_before = {}        # and as of the kill before
        self.found = []             # (way, batch or None, delivered)
        self.parts = 0              # of these: partly delivered, as far as known already

    def run(self, kills, least_parts=0):
        """So many kills and a fifth more in recoveries; and a few more when random moments have
        left fewer than least_parts batches partly delivered."""
        ways = ["early", "random", "late"]
        for number in range(kills):
            self.kill_once(ways[number % 3])
            if number % 5 == 4:
                self.kill_once("recovery")
        for _ in range(EXTRA_KILLS_MAX):
            if self.parts >= least_parts:
                break
            self.kill_once("random")

    def kill_once(self, way):
        service = self.job.service
        if way == "late":
            nth = self.random.randint(1, 3)
            service.start(delay_us=self.delay_us, ready=False,
                          failpoint=f"{self.random.choice(LATE_FAILPOINTS[self.mode])}:kill@{nth}")
            assert service.wait(WAIT_S_MAX) == -9, service.log_tail()
        else:
            service.start(delay_us=self.delay_us)
            planned = self.await_batch(again=way == "recovery")
            if way == "random":
                time.sleep(self.random.uniform(0, self.usual_s(planned)))
            elif way == "recovery":
                time.sleep(self.random.uniform(0, 1.5))
            assert service.running(), service.log_tail()
            service.kill()
        time.sleep(LAND_S)
        self.look()
        row = service.in_doubt()
        batch = row["batch"] if row else None
        delivered = self.delivered.get(batch, 0)
        if self.mode == "transactional" and delivered == 0:
            delivered = self.raw.get(batch, 0) - self.raw_before.get(batch, 0)
        self.raw_before = dict(self.raw)
        # Short of the plan by a tenth: what a range's markers take is less than that.
        self.parts += bool(row and 0 < delivered < 0.9 * row["planned"])
        self.found.append((way, batch, delivered))
        if batch:
            self.last = max(self.last, batch)
        self.last = max([self.last, *self.delivered])

    def await_batch(self, again):
        """Until a batch is in doubt that wasn't yet; with again any. Returns its size."""
        deadline = time.monotonic() + WAIT_S_MAX
        skip = self.random.choice([0, 0, 1]) if not again else 0
        seen = self.last
        while True:
            row = self.job.service.in_doubt()
            if row and (row["batch"] > seen or again):
                if skip == 0:
                    return row["planned"]
                skip -= 1
                seen = row["batch"]
            if not row and again and self.job.service.rows(
                    "SELECT 1 FROM batches WHERE batch > ?", self.last):
                return 0            # the recovery was over before we looked
            assert self.job.service.running(), self.job.service.log_tail()
            assert time.monotonic() < deadline, (
                f"no batch after {seen}: has the input run out?\n{self.job.service.log_tail()}")
            time.sleep(0.0003)

    def usual_s(self, planned):
        """How long a batch of this job takes: as its last ones did, or by the delay a record."""
        rows = self.job.service.rows("SELECT processing_ms FROM batches WHERE state = 'settled'"
                                     " AND outcome = 'ok' ORDER BY batch DESC LIMIT 5")
        if len(rows) < 3:
            return planned * self.delay_us / 1e6
        return sorted(row["processing_ms"] for row in rows)[len(rows) // 2] / 1e3

    def look(self, **how):
        for batch, counts in self.job.tally(**how)["batches"].items():
            self.delivered[int(batch)] = sum(counts.values())
        if self.mode == "transactional":
            for batch, counts in self.job.tally_raw()["batches"].items():
                self.raw[int(batch)] = sum(counts.values())

    def classes(self):
        """After the job has come to its end: {class: kills}."""
        self.look(all=True)     # others have asked meanwhile
        result = collections.Counter(settled=0, none=0, part=0, all=0)
        for _, batch, delivered in self.found:
            if batch is None:
                result["settled"] += 1
            elif delivered == 0:
                result["none"] += 1
            else:
                result["part" if delivered < self.delivered[batch] else "all"] += 1
        return dict(result)


def assert_counts_agree(job):
    """What the ledger says of each batch is what lies in the topics."""
    told = {row["batch"]: row["records"]
            for row in job.service.rows("SELECT batch, records FROM batches")
            if row["records"]}
    found = {batch: sum(counts.values()) for batch, counts in job.batch_counts().items()}
    assert told == found, {batch: (told.get(batch), found.get(batch))
                           for batch in told.keys() | found.keys()
                           if told.get(batch) != found.get(batch)}
    assert job.service.in_doubt() is None
