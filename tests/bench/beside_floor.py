"""The product against the floor, by turns, on one input: what a record costs, and how fast it goes.

The floor is build/PRESET/bench/raw_loop, the shortest loop that copies correctly on the same librdkafka with the same
queues; with headers each of its records gets one as long as ours, with transactions each batch is one. Each run copies
the whole input into a topic of its own, in which every record is counted. The first pair isn't counted; the order
changes from pair to pair.

A rate is records over the time from a process' start to its end. How long the copying alone took is noted, too: of the
floor by its own clock without making clients, of the product from its first batch's start to its last one's end.
"""

import dataclasses
import json
import sqlite3
import statistics
import sys

from figures import at_least, at_most, check, percentile, ratio_of_pairs
from measured import measure
from stage import PARTITIONS

UNSURE = 0.05           # half the width of an interval that decides nothing while the goal lies in it
DEFAULT_PEAK_MIB = 64   # with the default memory.max.bytes …
DEFAULT_SPEED = 0.85    # … at so much of the floor's rate
OVER_FLOOR_MIB = 8


@dataclasses.dataclass(frozen=True)
class Case:
    mode: str = "idempotent"
    provenance: str = "headers"
    records: int = 3_000_000
    size: int = 100             # bytes of a value
    batch: int = 100_000
    settings: tuple = ()        # of the product, as NAME=VALUE
    cpu_max: float | None = 1.15
    speed_min: float | None = 0.95

    @property
    def transactional(self):
        return self.mode == "transactional"

    def __str__(self):
        return (f"{self.mode}, {self.provenance}, {self.records:,} x {self.size} B over {PARTITIONS} partitions, "
                f"batches of {self.batch:,}")


class Contest:
    """Runs of one case."""

    def __init__(self, stage, case, contestants=("floor", "product")):
        self.stage, self.case = stage, case
        self.input = stage.input(case.size, case.records)
        self.runs = {what: [] for what in contestants}
        self._turn = 0

    def pair(self):
        """One run of each; the first one isn't counted."""
        contestants = list(self.runs)
        for what in contestants if self._turn % 2 else reversed(contestants):
            figures = self._run(what)
            if self._turn > 0:
                self.runs[what].append(figures)
        self._turn += 1

    def _run(self, what):
        output = self.stage.name(f"bench-{what}")
        self.stage.topics("create_topics", topics={output: {"partitions": PARTITIONS}})
        command = self._product(output) if what == "product" else self._floor(output, what == "floor")
        figures = measure(command, self.stage.folder)
        figures.update(self._ledger(output) if what == "product" else self._said())
        arrived = self.stage.count(output, self.case.transactional)
        if arrived != self.case.records:
            raise RuntimeError(f"{what}: {arrived} records of {self.case.records} arrived")
        self.stage.topics("delete_topics", topics=[output])
        figures["records_per_s"] = self.case.records / figures["wall_s"]
        figures["copied_per_s"] = self.case.records / figures["copying_s"]
        figures["cpu_us_per_record"] = 1e6 * figures["cpu_s"] / self.case.records
        return figures

    def _floor(self, output, as_ours):
        header = as_ours and self.case.provenance == "headers"
        program = "raw_loop_jemalloc" if self.stage.how.floor_allocator == "jemalloc" else "raw_loop"
        return [str(self.stage.build / "bench" / program), *(["--header"] if header else []),
                *(["--transactional", output] if self.case.transactional else []),
                "-X", f"max.in.flight={self.stage.how.floor_in_flight}",
                self.stage.kafka.bootstrap, self.input, output, str(self.case.batch)]

    def _product(self, output):
        file = self.stage.folder / f"{output}.conf"
        file.write_text(f"job.name = {output}\n"
                        f"bootstrap.servers = {self.stage.kafka.bootstrap}\n"
                        f"ledger.path = {self.stage.folder / output}.db\n"
                        f"input.topics = {self.input}\n"
                        f"output.topic = {output}\n"
                        f"delivery.mode = {self.case.mode}\n"
                        f"output.provenance = {self.case.provenance}\n"
                        "batch.interval.ms = 0\n"
                        f"batch.max.records = {self.case.batch}\n")
        extras = [part for each in (*self.case.settings, *self.stage.how.set) for part in ("--set", each)]
        return [str(self.stage.build / "oncesinkd"), *extras, "--until-end", str(file)]

    def _said(self):
        return {"copying_s": json.loads((self.stage.folder / "run.log").read_text().splitlines()[-1])["seconds"]}

    def _ledger(self, output):
        """What the product says of its batches."""
        path = self.stage.folder / f"{output}.db"
        ledger = sqlite3.connect(path)
        rows = ledger.execute("SELECT started_ms, ended_ms, processing_ms FROM oncesink_batch"
                              " WHERE state = 'settled' ORDER BY batch").fetchall()
        ledger.close()
        for file in path.parent.glob(path.name + "*"):
            file.unlink()
        return {"copying_s": (rows[-1][1] - rows[0][0]) / 1000, "batch_ms": [row[2] for row in rows]}


def ratio(runs, key):
    """Product to floor, pair by pair."""
    return ratio_of_pairs([run[key] for run in runs["product"]], [run[key] for run in runs["floor"]])


def undecided(speed, goal):
    """More pairs are needed: the goal is in the interval, and that is too wide."""
    low, high = speed["interval"]
    return goal is not None and low <= goal <= high and high - low > 2 * UNSURE


def fast_enough(speed, goal):
    """The median, or an interval that is narrow and contains the goal."""
    low, high = speed["interval"]
    return speed["median"] >= goal or (low <= goal <= high and high - low <= 2 * UNSURE)


def median_of(runs, key):
    return statistics.median(run[key] for run in runs)


def played(stage, case):
    """All pairs that are asked for, and more while the rate is undecided."""
    contest = Contest(stage, case)
    while len(contest.runs["floor"]) < stage.how.pairs_max:
        contest.pair()
        done = len(contest.runs["floor"])
        print(f"  pair {done}" if done else "  warm", end="", file=sys.stderr, flush=True)
        if done >= stage.how.pairs and not undecided(ratio(contest.runs, "records_per_s"), case.speed_min):
            break
    print(file=sys.stderr)
    return contest.runs


def compare(stage, case):
    """A row of the table."""
    runs = played(stage, case)
    ratios = {key: ratio(runs, key) for key in ("cpu_us_per_record", "records_per_s", "copied_per_s")}
    default_memory = not any(each.startswith("memory.max.bytes")
                             for each in (*case.settings, *stage.how.set))
    floor = "; the floor with jemalloc" if stage.how.floor_allocator == "jemalloc" else ""
    return {"about": f"{case}; {len(runs['floor'])} pairs{floor}", "case": dataclasses.asdict(case), "ratios": ratios,
            "runs": runs, "checks": checks(case, runs, ratios, default_memory)}


def checks(case, runs, ratios, default_memory):
    floor, product = runs["floor"], runs["product"]
    cpu, speed, copied = ratios["cpu_us_per_record"], ratios["records_per_s"], ratios["copied_per_s"]
    peak, floor_peak = median_of(product, "peak_mib"), median_of(floor, "peak_mib")
    times = [ms for run in product for ms in run["batch_ms"]]
    cpu_text = (f" ({cpu['least']:.3f} to {cpu['most']:.3f}); {median_of(floor, 'cpu_us_per_record'):.3f} and "
                f"{median_of(product, 'cpu_us_per_record'):.3f} us")
    speed_text = (f" [{speed['interval'][0]:.3f}, {speed['interval'][1]:.3f}]; "
                  f"{median_of(floor, 'records_per_s'):,.0f} and {median_of(product, 'records_per_s'):,.0f}/s")
    result = [
        at_most("CPU per record ÷ floor", cpu["median"], case.cpu_max, "{:.3f}", cpu_text) if case.cpu_max
        else check("CPU per record ÷ floor", f"{cpu['median']:.3f}{cpu_text}"),
        check("throughput ÷ floor", f"{speed['median']:.3f}{speed_text}",
              f"≥ {case.speed_min:g}" if case.speed_min else None,
              fast_enough(speed, case.speed_min) if case.speed_min else None),
        check("the copying alone ÷ floor", f"{copied['median']:.3f} ({copied['least']:.3f} to {copied['most']:.3f})"),
        at_most("peak memory over floor, MiB", peak - floor_peak, OVER_FLOOR_MIB, "{:.1f}",
                f"; {floor_peak:.1f} and {peak:.1f} MiB"),
        check("batch p50, p99", f"{percentile(times, 0.5)} ms, {percentile(times, 0.99)} ms ({len(times)} batches)")]
    if default_memory:
        result.append(at_most("peak memory, MiB, as installed", peak, DEFAULT_PEAK_MIB, "{:.1f}"))
        if case.speed_min and case.speed_min >= DEFAULT_SPEED:
            result.append(at_least("throughput ÷ floor, as installed", speed["median"], DEFAULT_SPEED, "{:.3f}"))
    return result


# ── one contestant alone, for a profile ─────────────────────────────────────────────────────────

def look(stage, case, contestants):
    """Figures without goals, of any contestants."""
    contest = Contest(stage, case, contestants)
    for _ in range(stage.how.pairs + 1):
        contest.pair()
    lines = [check(what, f"{median_of(runs, 'cpu_us_per_record'):.3f} us/record, "
                         f"{median_of(runs, 'records_per_s'):,.0f} records/s, "
                         f"copying {median_of(runs, 'copied_per_s'):,.0f}/s, "
                         f"peak {median_of(runs, 'peak_mib'):.1f} MiB")
             for what, runs in contest.runs.items()]
    return {"about": f"{case}; {stage.how.pairs} runs", "runs": contest.runs, "checks": lines}
