"""Batch time over an hour: one job at ticks of a second under a steady load.

Noted are each batch's processing time (from the ledger), and every few seconds the process' memory and the ledger's
size with its write-ahead log. In the end every record is looked for.
"""

import collections
import pathlib
import time

import plots
from figures import check, percentile
from job import Job
from measured import status_kib

RATE = 3000             # records/s
INTERVAL_MS = 1000
SAMPLE_S = 5
MIB = 1 << 20
CAUGHT_UP_S = 60
MINUTE_BATCHES_MIN = 30


def sizes(service):
    """Bytes of the ledger's files."""
    return sum(file.stat().st_size for file in service.folder.glob(service.ledger.name + "*"))


def watch(job, seconds):
    """Samples of memory and size while the load lasts: [(second, MiB, MiB)]"""
    samples, began = [], time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        assert job.service.running(), job.service.log_tail()
        samples.append((now, status_kib(job.service.pid, "VmRSS") / 1024, sizes(job.service) / MIB))
        time.sleep(SAMPLE_S)
    return samples


def loaded(job, seconds):
    """Feeds for so long; the samples, and how many records came."""
    job.service.start()
    feeding = job.topics.begin("feed", topics=job.all_inputs(), count=10 * RATE * seconds, rate=RATE, seed=3,
                               style="plain")
    try:
        samples = watch(job, seconds)
    finally:
        feeding.stop()
        sent = feeding.result()["sent"]
    job.await_relayed(sent, CAUGHT_UP_S)
    job.service.stop()
    return samples, sent


def by_minute(batches):
    """[(minute, p50, p99)] of processing times; without what ran on into another minute."""
    minutes = collections.defaultdict(list)
    for row in batches:
        minutes[(row["tick_ms"] - batches[0]["tick_ms"]) // 60_000].append(row["processing_ms"])
    return [(minute, percentile(times, 0.5), percentile(times, 0.99)) for minute, times in sorted(minutes.items())
            if minute == 0 or len(times) >= MINUTE_BATCHES_MIN]


def run(stage):
    job = Job(stage.topics, stage.folder, stage.name("hour"),
              settings={"batch.interval.ms": INTERVAL_MS, **stage.settings})
    samples, sent = loaded(job, 60 * stage.how.minutes)
    batches = [dict(row) for row in job.service.rows(
        "SELECT batch, tick_ms, planned, scheduling_ms, processing_ms FROM oncesink_batch ORDER BY batch")]
    job.assert_exactly_once(sent)
    job.close()
    times = [row["processing_ms"] for row in batches]
    quarter = len(batches) // 4 or 1
    first, last = (percentile(part, 0.99) for part in (times[:quarter], times[-quarter:]))
    return {"about": f"{stage.how.minutes} minutes, {RATE:,} records/s of 100 B, ticks of {INTERVAL_MS} ms: "
                     f"{sent:,} records, {len(batches):,} batches",
            "batches": batches, "samples": samples, "minutes": by_minute(batches),
            "checks": [check("batch p50, p99", f"{percentile(times, 0.5)} ms, {percentile(times, 0.99)} ms; "
                                               f"p99 {first} ms in the first quarter, {last} ms in the last"),
                       check("memory, MiB", f"{samples[0][1]:.1f} at first, {samples[-1][1]:.1f} at last, at most "
                                            f"{max(sample[1] for sample in samples):.1f}"),
                       check("ledger, MiB", f"{samples[-1][2]:.2f} at last, at most "
                                            f"{max(sample[2] for sample in samples):.2f}")]}


def draw(result, folder):
    minutes, samples = result["minutes"], result["samples"]
    at = [minute + 0.5 for minute, _, _ in minutes]
    seen = [sample[0] / 60 for sample in samples]
    plots.panels(pathlib.Path(folder) / "hour.svg", "Batch time under a steady load", result["about"],
                 [plots.Panel("time of a batch, ms, minute by minute", {"p50": (at, [each[1] for each in minutes]),
                                                                        "p99": (at, [each[2] for each in minutes])}),
                  plots.Panel("memory of the process, MiB", {"resident": (seen, [each[1] for each in samples])}),
                  plots.Panel("ledger with its log, MiB", {"ledger": (seen, [each[2] for each in samples])})],
                 "minutes")
