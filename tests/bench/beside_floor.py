"""The product against the floor, by turns, on one input: what a record costs, and how fast it goes.

The floor is build/PRESET/bench/raw_loop, the shortest loop that copies correctly on the same librdkafka with the same
queues; with headers each of its records gets one as long as ours, with transactions each batch is one. Each run copies
the whole input into a topic of its own, in which every record is counted. In a round each contestant runs once; the
order changes from round to round. The first round isn't counted, and in a mode that the broker hasn't worked in yet
those of its first half minute aren't: it is compiling then what it does often, and that is more for who sends more
requests. The contestants of a row:

    floor       raw_loop
    product     with the row's settings and those of --set
    installed   the product without any settings, when the row has some
    even        raw_loop --even, whose batches are split over the partitions as the product's are
    bare        raw_loop without a header

A rate is records over the time from a process' start to its end. How long the copying alone took is noted, too: of the
floor by its own clock without making clients, of the product from its first batch's start to its last one's end. The
broker's CPU is what its process took while a run lasted.
"""

import dataclasses
import itertools
import json
import sqlite3
import statistics
import sys
import time

from figures import at_most, check, percentile, ratio_of_pairs
from measured import cpu_s, measure
from stage import PARTITIONS

WARM_S = 30             # of the broker, in each mode
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
    contestants: tuple = ("floor", "product")
    settings: tuple = ()        # of the product (not of `installed`), as NAME=VALUE; --set overrides them
    cpu_max: float | None = 1.15
    speed_min: float | None = 0.95

    @property
    def transactional(self):
        return self.mode == "transactional"

    def __str__(self):
        return (f"{self.mode}, {self.provenance}, {self.records:,} x {self.size} B over {PARTITIONS} partitions, "
                f"batches of {self.batch:,}")


def orders(contestants):
    """Rotations, first forwards, then backwards: no one always comes first, nor always after the same one."""
    return list(dict.fromkeys(tuple(way[at:] + way[:at]) for way in (list(contestants), list(contestants)[::-1])
                              for at in range(len(way))))


class Contest:
    """Runs of one case."""

    def __init__(self, stage, case):
        self.stage, self.case = stage, case
        self.input = stage.input(case.size, case.records)
        self.settings = {**dict(each.split("=", 1) for each in case.settings), **stage.settings}    # of `product`
        self.runs = {what: [] for what in case.contestants}
        self._orders = itertools.cycle(orders(case.contestants))
        self._warm_at = time.monotonic() + (0 if case.mode in stage.warm else WARM_S)
        self._warm = False

    def round(self):
        """One run of each; the first ones aren't counted."""
        for what in next(self._orders):
            figures = self._run(what)
            if self._warm:
                self.runs[what].append(figures)
        if time.monotonic() >= self._warm_at:
            self.stage.warm.add(self.case.mode)
            self._warm = True

    def _run(self, what):
        output = self.stage.name(f"bench-{what}")
        self.stage.topics("create_topics", topics={output: {"partitions": PARTITIONS}})
        ours = what in ("product", "installed")
        command = self._product(output, self.settings if what == "product" else {}) if ours \
            else self._floor(output, what)
        broker = self.stage.kafka.process.pid
        before_s = cpu_s(broker)
        figures = measure(command, self.stage.folder)
        figures["broker_cpu_us_per_record"] = 1e6 * (cpu_s(broker) - before_s) / self.case.records
        figures.update(self._ledger(output) if ours else self._said())
        arrived = self.stage.count(output, self.case.transactional)
        if arrived != self.case.records:
            raise RuntimeError(f"{what}: {arrived} records of {self.case.records} arrived")
        self.stage.topics("delete_topics", topics=[output])
        figures["records_per_s"] = self.case.records / figures["wall_s"]
        figures["copied_per_s"] = self.case.records / figures["copying_s"]
        figures["cpu_us_per_record"] = 1e6 * figures["cpu_s"] / self.case.records
        return figures

    def _floor(self, output, what):
        header = what != "bare" and self.case.provenance == "headers"
        in_flight = self.stage.how.floor_in_flight
        program = "raw_loop_jemalloc" if self.stage.how.floor_allocator == "jemalloc" else "raw_loop"
        return [str(self.stage.build / "bench" / program), *["--header"] * header, *["--even"] * (what == "even"),
                *(["--transactional", output] if self.case.transactional else []),
                *(["-X", f"max.in.flight={in_flight}"] if in_flight else []),
                self.stage.kafka.bootstrap, self.input, output, str(self.case.batch)]

    def _product(self, output, settings):
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
        extras = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
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


def ratio(runs, key, upper="product", lower="floor"):
    """Round by round."""
    return ratio_of_pairs([run[key] for run in runs[upper]], [run[key] for run in runs[lower]])


def undecided(speed, goal):
    """More rounds are needed: the goal is in the interval, and that is too wide."""
    low, high = speed["interval"]
    return goal is not None and low <= goal <= high and high - low > 2 * UNSURE


def fast_enough(speed, goal):
    """The median, or an interval that is narrow and contains the goal."""
    low, high = speed["interval"]
    return speed["median"] >= goal or (low <= goal <= high and high - low <= 2 * UNSURE)


def median_of(runs, key):
    return statistics.median(run[key] for run in runs)


def any_undecided(case, runs):
    goals = ("product", case.speed_min), ("installed", DEFAULT_SPEED)
    return any(undecided(ratio(runs, "records_per_s", what), goal) for what, goal in goals if what in runs)


def played(stage, case):
    """All rounds that are asked for, and more while a rate is undecided."""
    contest = Contest(stage, case)
    while len(contest.runs["floor"]) < stage.how.pairs_max:
        contest.round()
        done = len(contest.runs["floor"])
        print(f"  round {done}" if done else "  warm", end="", file=sys.stderr, flush=True)
        if done >= stage.how.pairs and not any_undecided(case, contest.runs):
            break
    print(file=sys.stderr)
    return contest


def about(stage, contest):
    """What runs against what."""
    settings = ", ".join(f"{name}={value}" for name, value in contest.settings.items())
    return "".join([f"{contest.case}; {len(contest.runs['floor'])} rounds",
                    "; the floor with jemalloc" if stage.how.floor_allocator == "jemalloc" else "",
                    f"; product with {settings}" if settings else "",
                    "; as installed: without settings" if "installed" in contest.runs else ""])


KEYS = "cpu_us_per_record", "broker_cpu_us_per_record", "records_per_s", "copied_per_s"


def compare(stage, case):
    """A row of the table."""
    contest = played(stage, case)
    runs = contest.runs
    ratios = {f"{upper} ÷ {lower}": {key: ratio(runs, key, upper, lower) for key in KEYS}
              for upper, lower in (("product", "floor"), ("installed", "floor"), ("product", "even"))
              if upper in runs and lower in runs}
    lines = checks(case, runs, ratios["product ÷ floor"])
    if "even" in runs:
        lines.append(check("throughput ÷ floor of even batches",
                           speed_text(runs, ratios["product ÷ even"], "product", "even")))
    if "installed" in runs:
        lines += as_installed(case, runs, ratios["installed ÷ floor"], "installed")
    elif "memory.max.bytes" not in contest.settings:
        lines += as_installed(case, runs, ratios["product ÷ floor"], "product")
    return {"about": about(stage, contest), "case": dataclasses.asdict(case), "ratios": ratios, "runs": runs,
            "checks": lines}


def cpu_text(runs, ratios, key):
    one = ratios[key]
    return (f" ({one['least']:.3f} to {one['most']:.3f}); {median_of(runs['floor'], key):.3f} and "
            f"{median_of(runs['product'], key):.3f} us")


def speed_text(runs, ratios, upper="product", lower="floor"):
    speed = ratios["records_per_s"]
    return (f"{speed['median']:.3f} [{speed['interval'][0]:.3f}, {speed['interval'][1]:.3f}]; "
            f"{median_of(runs[lower], 'records_per_s'):,.0f} and {median_of(runs[upper], 'records_per_s'):,.0f}/s")


def checks(case, runs, ratios):
    """Of `product`."""
    cpu, broker, speed, copied = (ratios[key] for key in KEYS)
    peak, floor_peak = median_of(runs["product"], "peak_mib"), median_of(runs["floor"], "peak_mib")
    times = [ms for run in runs["product"] for ms in run["batch_ms"]]
    ours = cpu_text(runs, ratios, "cpu_us_per_record")
    return [
        at_most("CPU per record ÷ floor", cpu["median"], case.cpu_max, "{:.3f}", ours) if case.cpu_max
        else check("CPU per record ÷ floor", f"{cpu['median']:.3f}{ours}"),
        check("broker's CPU per record ÷ floor",
              f"{broker['median']:.3f}{cpu_text(runs, ratios, 'broker_cpu_us_per_record')}"),
        check("throughput ÷ floor", speed_text(runs, ratios),
              f"≥ {case.speed_min:g}" if case.speed_min else None,
              fast_enough(speed, case.speed_min) if case.speed_min else None),
        check("the copying alone ÷ floor", f"{copied['median']:.3f} ({copied['least']:.3f} to {copied['most']:.3f})"),
        at_most("peak memory over floor, MiB", peak - floor_peak, OVER_FLOOR_MIB, "{:.1f}",
                f"; {floor_peak:.1f} and {peak:.1f} MiB"),
        check("batch p50, p99", f"{percentile(times, 0.5)} ms, {percentile(times, 0.99)} ms ({len(times)} batches)")]


def as_installed(case, runs, ratios, what):
    """Of `installed`, or of `product` when it has the default memory, too."""
    lines = [at_most("peak memory, MiB, as installed", median_of(runs[what], "peak_mib"), DEFAULT_PEAK_MIB, "{:.1f}")]
    if case.speed_min and case.speed_min >= DEFAULT_SPEED:
        lines.append(check("throughput ÷ floor, as installed", speed_text(runs, ratios, what), f"≥ {DEFAULT_SPEED:g}",
                           ratios["records_per_s"]["median"] >= DEFAULT_SPEED))
    return lines


# ── one contestant alone, for a profile ─────────────────────────────────────────────────────────

def look(stage, case):
    """Figures without goals, of any contestants."""
    contest = Contest(stage, case)
    while len(contest.runs["floor"]) < stage.how.pairs:
        contest.round()
    lines = [check(what, f"{median_of(runs, 'cpu_us_per_record'):.3f} us/record, "
                         f"{median_of(runs, 'records_per_s'):,.0f} records/s, "
                         f"copying {median_of(runs, 'copied_per_s'):,.0f}/s, "
                         f"peak {median_of(runs, 'peak_mib'):.1f} MiB, "
                         f"the broker {median_of(runs, 'broker_cpu_us_per_record'):.3f} us/record")
             for what, runs in contest.runs.items()]
    return {"about": f"{case}; {stage.how.pairs} runs", "runs": contest.runs, "checks": lines}
