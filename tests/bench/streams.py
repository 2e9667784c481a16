"""The product beside Kafka Streams: the same records, relayed exactly once by both, by turns.

Streams is tests/bench/streams (builder.stream(INPUT).to(OUTPUT), processing.guarantee=exactly_once_v2); the product
runs in transactional mode with batches of 100,000 records and no pause between them. Both are looked at from outside,
in the same way: a group's committed offsets say how far a run is, some ten times a second, until all of the input is
committed and a read_committed reader sees it. Then the records are counted, and of the first run of each, which is not
one of the pairs, every record is compared.

Two rates, as a JVM needs seconds to start: from the process' start to the last record, and from the first commit seen
to the last one but one, as Streams commits by the clock and may wait at the end. Relay and broker share the machine, so
the broker's CPU per record is told, too.

Row `streams-settings` shows how SETTINGS was found: one run of each of VARIANTS, the best of which is compared.
"""

import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

from figures import at_least, check, ratio_of_pairs
from kafka import classpath, die_with_parent
from measured import RUN_S_MAX, cpu_s, status_kib
from peer import compiled
from stage import PARTITIONS

SOURCES = pathlib.Path(__file__).resolve().parent / "streams"
LOOK_S = 0.05
STOP_S_MAX = 30
RATE_MIN = 2.5      # the goal, from start to end
BATCH = 100_000

CASES = {"100 B": (3_000_000, 100), "1 KB": (600_000, 1000)}

# A stream without tables or joins has no state store, so neither RocksDB nor its cache is at work.
# Streams' own defaults for exactly_once_v2: a commit every 100 ms, 1 thread, linger 100 ms, requests of 16 KiB a
# partition, 1000 records a poll and in a partition's buffer.
DEFAULTS = {}
# More at a time in each step: what a person would raise who wants throughput.
LARGER = {
    "producer.batch.size": 262_144,
    "producer.buffer.memory": 67_108_864,
    "consumer.max.poll.records": 10_000,
    "buffered.records.per.partition": 20_000,
}
SECOND = {"commit.interval.ms": 1000}
HEAP, LARGE_HEAP = ["-Xms512m", "-Xmx512m"], ["-Xms2g", "-Xmx2g"]
G1, PARALLEL = ["-XX:+UseG1GC"], ["-XX:+UseParallelGC"]


def threads(count):
    return {"num.stream.threads": count}


# What is tried: settings of Streams, options of its JVM (with none: G1 and a quarter of the machine's memory).
VARIANTS = {
    "defaults": (DEFAULTS, []),
    "3 threads": (threads(3), G1 + HEAP),
    "1 s": (SECOND, G1 + HEAP),
    "3 threads, 1 s": ({**threads(3), **SECOND}, G1 + HEAP),
    "larger": (LARGER, G1 + HEAP),
    "larger, 1 s": ({**LARGER, **SECOND}, G1 + HEAP),
    "larger, 3 threads": ({**LARGER, **threads(3)}, G1 + HEAP),
    "larger, 3 threads, 1 s": ({**LARGER, **threads(3), **SECOND}, G1 + HEAP),
    "larger, 1 s, linger 5": ({**LARGER, **SECOND, "producer.linger.ms": 5}, G1 + HEAP),
    "larger, 1 s, parallel": ({**LARGER, **SECOND}, PARALLEL + HEAP),
    "larger, 1 s, 2 GiB": ({**LARGER, **SECOND}, G1 + LARGE_HEAP),
    "larger, 1 s, parallel, 2 GiB": ({**LARGER, **SECOND}, PARALLEL + LARGE_HEAP),
    "larger, parallel, 2 GiB": (LARGER, PARALLEL + LARGE_HEAP),
}
SETTINGS = "larger, 1 s, parallel, 2 GiB"


# ── a run, looked at from outside ───────────────────────────────────────────────────────────────

def thread_cpu_s(pid):
    """{NAME TID: CPU seconds so far} of the threads that are there."""
    result = {}
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            head, _, rest = (task / "stat").read_text().rpartition(")")
        except OSError:
            continue        # it has just ended
        fields = rest.split()
        result[f"{head.partition('(')[2]} {task.name}"] = \
            (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return result


def ended(process):
    """Without waiting for it, so that its CPU time can still be read."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class Run:
    """A relay from the start of its process until all is committed and readable."""

    def __init__(self, stage, source, output, records):
        self.stage, self.source, self.output, self.records = stage, source, output, records
        self.log = stage.folder / "run.log"
        # (seconds since the start, records committed, CPU seconds, the broker's CPU seconds)
        self.samples = []
        self.threads = {}       # {NAME TID: share of a core}, when it was last seen at work
        self.peak_kib = 0

    def go(self, command, ends_itself):
        with self.log.open("wb") as out:
            self.began = time.monotonic()
            process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                       cwd=self.stage.folder, preexec_fn=die_with_parent)
        try:
            while not self._look(process):
                if ended(process) and not (ends_itself and self._committed() == self.records):
                    raise RuntimeError(f"it ended: {' '.join(command)}\n{self._said()}")
                if time.monotonic() - self.began > RUN_S_MAX:
                    raise RuntimeError(f"{self._committed()} of {self.records} after {RUN_S_MAX} s\n{self._said()}")
                time.sleep(LOOK_S)
            if not ends_itself:
                process.send_signal(signal.SIGTERM)
            process.wait(STOP_S_MAX)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if ends_itself and process.returncode != 0:
            raise RuntimeError(f"exit {process.returncode}: {' '.join(command)}\n{self._said()}")
        return self._figures()

    def _said(self):
        return self.log.read_text(errors="replace")[-3000:]

    def _committed(self):
        """How many records the group's offsets stand for: inputs begin at 0, and each offset in them is a record."""
        found = self.stage.topics("group_offsets", group=self.output).get(self.source, {})
        return sum(each["offset"] for each in found.values())

    def _readable(self):
        """No transaction is open any more, so a read_committed reader sees all there is."""
        ends = self.stage.topics("ends", topics=[self.output])[self.output]
        return all(end["stable"] == end["high"] for end in ends.values())

    def _look(self, process):
        committed = self._committed()
        done = committed >= self.records and self._readable()
        self.peak_kib = max(self.peak_kib, status_kib(process.pid, "VmHWM") or 0)
        now_s = time.monotonic() - self.began
        self.samples.append((now_s, committed, cpu_s(process.pid), cpu_s(self.stage.kafka.process.pid)))
        if not ended(process):
            self.threads = {name: cpu / now_s for name, cpu in thread_cpu_s(process.pid).items() if cpu > 0}
        return done

    def _steady(self, commits):
        """Records a second, CPU microseconds a record, and the broker's. The last commit doesn't count: the end of the
        input waits for it."""
        if len(commits) < 3:
            return None, None, None
        first, last = commits[0], commits[-2]
        records = last[1] - first[1]
        return (records / (last[0] - first[0]), 1e6 * (last[2] - first[2]) / records,
                1e6 * (last[3] - first[3]) / records)

    def _figures(self):
        wall, _, cpu, _ = self.samples[-1]
        commits = [each for before, each in zip(self.samples, self.samples[1:]) if each[1] > before[1]]
        steady = self._steady(commits)
        return {"wall_s": wall, "first_commit_s": commits[0][0], "cpu_s": cpu,
                "records_per_s": self.records / wall, "steady_per_s": steady[0],
                "cpu_us_per_record": 1e6 * cpu / self.records, "steady_cpu_us_per_record": steady[1],
                "broker_us_per_record": steady[2], "peak_mib": self.peak_kib / 1024,
                "busiest_thread": max(self.threads.values()), "threads": self.threads, "commits": commits}


# ── the two ─────────────────────────────────────────────────────────────────────────────────────

def streams_command(stage, source, output, variant):
    settings, options = VARIANTS[variant]
    file = stage.folder / f"{output}.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in {
        "application.id": output, "bootstrap.servers": stage.kafka.bootstrap,
        "state.dir": stage.folder / f"{output}-state", "processing.guarantee": "exactly_once_v2",
        **settings}.items()))
    jars = classpath("kafka-streams", "bench")
    return ["java", *options, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp", os.pathsep.join([str(compiled(SOURCES, jars)), jars]), "StreamsRelay",
            str(file), source, output]


def product_command(stage, source, output):
    file = stage.folder / f"{output}.conf"
    file.write_text(f"job.name = {output}\n"
                    f"bootstrap.servers = {stage.kafka.bootstrap}\n"
                    f"ledger.path = {stage.folder / output}.db\n"
                    f"input.topics = {source}\n"
                    f"output.topic = {output}\n"
                    "delivery.mode = transactional\n"
                    "batch.interval.ms = 0\n"
                    f"batch.max.records = {BATCH}\n")
    extras = [part for name, value in stage.settings.items() for part in ("--set", f"{name}={value}")]
    return [str(stage.build / "oncesinkd"), *extras, "--until-end", str(file)]


def one_run(stage, what, records, size, variant=SETTINGS, compare=False):
    """By the product or by Streams, into a topic of its own; all must arrive."""
    source = stage.input(size, records)
    output = stage.name(f"bench-{what}")
    stage.topics("create_topics", topics={output: {"partitions": PARTITIONS}})
    command = product_command(stage, source, output) if what == "product" \
        else streams_command(stage, source, output, variant)
    figures = Run(stage, source, output, records).go(command, ends_itself=what == "product")
    arrived = stage.count(output, transactional=True)
    if arrived != records:
        raise RuntimeError(f"{what}: {arrived} records of {records} arrived")
    if compare:
        compared(stage, what, source, output)
    stage.topics("delete_topics", topics=[output])
    return figures


def compared(stage, what, source, output):
    """Streams sends a record where its key says, as every Java producer does."""
    how = {"partitioner": "same"} if what == "product" else {"partitioner": "key", "provenance": "none"}
    found = stage.topics("check", routes={source: output}, isolation_out="read_committed", **how)
    if not found["clean"]:
        raise RuntimeError(f"{what}: {found}")


# ── the rows ────────────────────────────────────────────────────────────────────────────────────

def median_of(runs, key):
    values = [run[key] for run in runs]
    return None if None in values else statistics.median(values)


def shown(value, form="{:,.0f}"):
    return "?" if value is None else form.format(value)


def pairs(stage, records, size, variant):
    runs = {"streams": [], "product": []}
    for turn in range(stage.how.pairs + 1):
        for what in runs if turn % 2 else reversed(runs):
            figures = one_run(stage, what, records, size, variant, compare=turn == 0)
            if turn > 0:
                runs[what].append(figures)
        print(f"  pair {turn}" if turn else "  warm", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return runs


def beside(name, variant=SETTINGS, goal=RATE_MIN):
    """A row: the product beside Streams with one size of records."""
    def run(stage):
        records, size = CASES[name]
        records = stage.how.records or records
        runs = pairs(stage, records, size, variant)
        return {"about": f"exactly_once_v2 ({variant}) and transactional, {records:,} x {size} B over {PARTITIONS} "
                         f"partitions; {stage.how.pairs} pairs",
                "settings": VARIANTS[variant], "runs": runs, "checks": checks(runs, goal)}
    return run


def checks(runs, goal):
    streams, product = runs["streams"], runs["product"]
    result = [ratio_check("rate ÷ Streams, from start to end", "records_per_s", product, streams, goal),
              ratio_check("rate ÷ Streams, without start and end", "steady_per_s", product, streams, goal)]
    for key, words in (("first_commit_s", "start to first commit, s"),
                       ("cpu_us_per_record", "CPU us per record"),
                       ("steady_cpu_us_per_record", "the same, without start and end"),
                       ("broker_us_per_record", "the broker's meanwhile"),
                       ("busiest_thread", "busiest thread, cores of all the time"),
                       ("peak_mib", "peak memory, MiB")):
        result.append(check(words, f"{shown(median_of(product, key), '{:.2f}')} and "
                                   f"{shown(median_of(streams, key), '{:.2f}')}"))
    return result


def ratio_check(words, key, product, streams, goal):
    ours, theirs = ([run[key] for run in each] for each in (product, streams))
    if None in ours + theirs:
        return check(words, "too few commits to tell", f"≥ {goal}", False)
    ratio = ratio_of_pairs(ours, theirs)
    return at_least(words, ratio["median"], goal, "{:.2f}",
                    f" [{ratio['interval'][0]:.2f}, {ratio['interval'][1]:.2f}]; "
                    f"{median_of(product, key):,.0f} and {median_of(streams, key):,.0f}/s")


def settings(stage):
    """Row streams-settings: each variant once with each size, after one that isn't counted."""
    runs = {}
    for name, (records, size) in CASES.items():
        records = min(stage.how.records or records, records)
        one_run(stage, "streams", records, size)
        for variant in VARIANTS:
            runs[f"{name}: {variant}"] = one_run(stage, "streams", records, size, variant)
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {"about": f"one run each; {SETTINGS!r} is what is compared",
            "runs": runs,
            "checks": [check(name, f"{run['records_per_s']:,.0f}/s from the start, "
                                   f"{shown(run['steady_per_s'])} steady, "
                                   f"{run['cpu_us_per_record']:.2f} us, {run['peak_mib']:.0f} MiB")
                       for name, run in runs.items()]}
