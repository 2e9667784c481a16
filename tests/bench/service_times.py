"""The service's own figures: how soon it is ready, how soon it goes on after a kill, what it costs while nothing comes,
and what a thousand input partitions take.

ready           from a process' start to its READY=1 to the service manager, with a ledger that exists and a broker that
                is there; and to its first record in the output, with records waiting.
kill-…          SIGKILL in mid-batch and a new start at once: from that start to the first new record that a reader
                sees (idempotent: any reader; transactional: one of what is committed).
idle            connected, nothing comes, ticks of a second: memory and CPU, before and after a backlog.
partitions      a thousand input partitions with records in each: the time of a plan and the peak of memory.
"""

import os
import re
import statistics
import time

from figures import at_most, check, percentile
from job import Job
from manager import Manager
from measured import status_kib

READY_MS_MAX = 100
COMMITTED_S_MAX = 1
SETTLE_MS, AFTER_SETTLE_S = 1000, 0.3
BATCH = 100_000         # in doubt when killed
MISSES_MAX = 5          # kills in a row that came too late
LAND_S = 0.1            # for requests that the dead process had on the wire
IDLE_MIB_MAX, IDLE_SHARE_MAX = 12, 0.001
QUIET_S = 10            # after work: what it took is given back by then
PLAN_MS_MAX, PARTITIONS_MIB_MAX = 10, 128
PARTITIONS, PARTITIONS_BATCHES = 1000, 20
# The first entry of each of so many sparse index files takes a broker on a slow disk 10 ms and more, while
# batches wait: none is made.
NO_INDEX = {"index.interval.bytes": 2**31 - 1}


def new_job(stage, what, **settings):
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return Job(stage.topics, stage.folder, stage.name(what), settings={**named, **stage.settings})


def spread(values, form="{:.0f}"):
    return (f"p50 {form.format(statistics.median(values))}, p99 {form.format(percentile(values, 0.99))}, "
            f"least {form.format(min(values))}, most {form.format(max(values))}")


# ── ready ───────────────────────────────────────────────────────────────────────────────────────

def one_start(job, manager, relayed):
    """Milliseconds to READY=1, and to the first record."""
    job.feed(300, style="plain")
    job.service.start(ready=False, environment=manager.environment())
    ready = manager.await_message("READY", after=job.service.began)
    while job.tally()["records"] <= relayed:
        assert job.service.running(), job.service.log_tail()
    first = time.monotonic()
    job.await_relayed(relayed + 300)
    job.service.stop()
    return 1000 * (ready - job.service.began), 1000 * (first - job.service.began)


def ready(stage):
    job = new_job(stage, "ready", batch_interval_ms=0)
    job.feed(300, style="plain")
    job.service.start()
    job.await_relayed(300)
    job.service.stop()
    with Manager(stage.folder) as manager:
        times = [one_start(job, manager, 300 * done) for done in range(1, stage.how.starts + 1)]
    job.assert_exactly_once(300 * (stage.how.starts + 1))
    job.close()
    ready_ms, first_ms = ([time[i] for time in times] for i in range(2))
    return {"about": f"{stage.how.starts} starts with a ledger, broker there", "ready_ms": ready_ms,
            "first_output_ms": first_ms,
            "checks": [at_most("start to ready p99, ms", percentile(ready_ms, 0.99), READY_MS_MAX, "{:.0f}",
                               f" ({spread(ready_ms)})"),
                       check("start to first output, ms", spread(first_ms))]}


# ── kills ───────────────────────────────────────────────────────────────────────────────────────

def written(job):
    """Records and marks in the outputs, whoever may read them."""
    return sum(job.output_ends().values())


def kill_in_mid_batch(job, settled):
    """Feeds a batch and kills its process when a third of it is written; False when that came too late."""
    before = written(job)
    job.feed(BATCH, style="plain")
    job.service.start()
    deadline = time.monotonic() + 60
    while written(job) < before + BATCH // 3:
        assert time.monotonic() < deadline, job.service.log_tail()
    job.service.kill()
    doubt = job.service.in_doubt()
    if doubt is None or doubt["planned"] != BATCH or job.tally()["records"] >= settled + BATCH:
        job.service.start()
        job.await_relayed(settled + BATCH)
        job.service.stop()
        return False
    return True


def restart_s(job):
    """Starts it; seconds to the first record that is new to a reader."""
    before = job.tally()["records"]
    job.service.start(ready=False)
    if job.isolation == "read_uncommitted":
        time.sleep(LAND_S)              # far less than the settle wait: these are the dead process' own
        before = job.tally()["records"]
    while job.tally()["records"] <= before:
        assert job.service.running() and time.monotonic() < job.service.began + 60, job.service.log_tail()
    return time.monotonic() - job.service.began


def kills(mode):
    def run(stage):
        job = new_job(stage, f"kill-{mode}", delivery_mode=mode, batch_interval_ms=100,
                      recovery_settle_ms=SETTLE_MS)
        took, settled, misses = [], 0, 0
        while len(took) < stage.how.kills:
            hit = kill_in_mid_batch(job, settled)
            misses = 0 if hit else misses + 1
            assert misses < MISSES_MAX, "every kill comes too late"
            if hit:
                took.append(restart_s(job))
                job.await_relayed(settled + BATCH)
                job.service.stop()
            settled += BATCH
        job.assert_exactly_once(settled)
        job.close()
        limit = COMMITTED_S_MAX if mode == "transactional" else SETTLE_MS / 1000 + AFTER_SETTLE_S
        return {"about": f"{mode}, {len(took)} kills in the middle of a batch of {BATCH:,}", "took_s": took,
                "checks": [at_most("start to first new output, s", statistics.median(took), limit, "{:.2f}",
                                   f" ({spread(took, '{:.2f}')})")]}
    return run


# ── idle ────────────────────────────────────────────────────────────────────────────────────────

def cpu_ns(pid):
    """Of all its threads, as the scheduler counts: {thread: ns}"""
    used = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            used[thread] = int(file.read().split()[0])
    return used


def quiet(job, seconds):
    """Share of a core and resident memory while nothing comes."""
    time.sleep(QUIET_S)
    before, began = cpu_ns(job.service.pid), time.monotonic()
    peak = 0
    while time.monotonic() < began + seconds:
        peak = max(peak, status_kib(job.service.pid, "VmRSS"))
        time.sleep(0.5)
    after = cpu_ns(job.service.pid)
    assert before.keys() <= after.keys(), "a thread has ended: its time is lost"
    used = sum(after.values()) - sum(before.values())
    return {"share": used / 1e9 / (time.monotonic() - began), "rss_mib": peak / 1024}


def idle(stage):
    job = new_job(stage, "idle", batch_interval_ms=1000)
    job.feed(3000, style="plain")
    job.service.start()
    job.await_relayed(3000)
    job.service.stop()
    job.service.start()
    fresh = quiet(job, stage.how.idle_s)
    job.feed(300_000, style="plain", first=3000)
    job.await_relayed(303_000)
    worked = quiet(job, stage.how.idle_s)
    job.service.stop()
    job.close()
    lines = []
    for what, found in (("after a start", fresh), ("after a backlog", worked)):
        lines += [at_most(f"memory {what}, MiB", found["rss_mib"], IDLE_MIB_MAX, "{:.1f}"),
                  at_most(f"CPU {what}, % of a core", 100 * found["share"], 100 * IDLE_SHARE_MAX, "{:.3f}")]
    return {"about": f"nothing comes, ticks of 1 s, {stage.how.idle_s} s each", "fresh": fresh, "worked": worked,
            "checks": lines}


# ── a thousand partitions ───────────────────────────────────────────────────────────────────────

ASKED = re.compile(r"batch (\d+): (\d+) partitions to be read; the brokers told their ends in ([\d.]+) ms, "
                   r"the plan was made in ([\d.]+) ms")
WRITTEN = re.compile(r"batch (\d+): the plan was written in ([\d.]+) ms")


def plans(job):
    """Of the plans of all partitions, ms: the wait for the brokers' ends, making the plan, and writing it (in the
    ledger's transaction, without its sync)."""
    log = job.service.log()
    written = {int(batch): float(ms) for batch, ms in WRITTEN.findall(log)}
    found = [(float(waited), float(made), written[int(batch)]) for batch, count, waited, made in ASKED.findall(log)
             if int(count) >= 0.9 * PARTITIONS and int(batch) in written]
    assert found, f"no plan of {PARTITIONS} partitions in the log"
    return [list(part) for part in zip(*found)]


def await_settled(job, count, timeout_s=120):
    """Waits for the ledger: a reader of so many partitions would take the broker's time from the job."""
    deadline = time.monotonic() + timeout_s
    while job.service.one("SELECT records FROM totals")["records"] < count:
        assert job.service.running() and time.monotonic() < deadline, job.service.log_tail()
        time.sleep(0.2)


def partitions(stage):
    job = Job(stage.topics, stage.folder, stage.name("wide"), inputs={"in": PARTITIONS}, outputs={"out": PARTITIONS},
              configs={"in": NO_INDEX, "out": NO_INDEX},
              settings={"batch.interval.ms": 1000, "log.level": "debug", **stage.settings})
    rate = 20 * PARTITIONS
    count = rate * PARTITIONS_BATCHES
    job.feed(rate, style="plain")
    job.service.start()
    await_settled(job, rate)
    job.feed(count, first=rate, style="plain", rate=rate)
    await_settled(job, rate + count)
    peak = status_kib(job.service.pid, "VmHWM") / 1024
    job.service.stop()
    job.assert_exactly_once(rate + count)
    waited, made, written_ms = plans(job)
    took = [sum(parts) for parts in zip(made, written_ms)]
    times = [row["processing_ms"] for row in job.service.rows("SELECT processing_ms FROM batches")]
    job.close()
    return {"about": f"{PARTITIONS} input partitions, {rate:,} records/s at ticks of 1 s", "waited_ms": waited,
            "made_ms": made, "written_ms": written_ms, "peak_mib": peak, "batch_ms": times,
            "checks": [at_most("plan made and written p50, ms", statistics.median(took), PLAN_MS_MAX, "{:.1f}",
                               f" ({spread(took, '{:.1f}')}; {len(took)} plans)"),
                       check("of it written", spread(written_ms, "{:.1f}")),
                       check("before it, the brokers' ends, ms", spread(waited, "{:.1f}")),
                       at_most("peak memory, MiB", peak, PARTITIONS_MIB_MAX, "{:.1f}"),
                       check("batch p50, p99", f"{percentile(times, 0.5)} ms, {percentile(times, 0.99)} ms")]}
