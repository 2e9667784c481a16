#!/usr/bin/python3
"""The product against the floor: what one record costs, side by side on one real Kafka.

    tests/bench/relay.py [--mode idempotent|transactional] [--records N] [--size BYTES] [--batch N]
                         [--pairs N] [--floor-only] [--json FILE]

Loads N records over three partitions, then copies them by turns with build/release/bench/raw_loop (the shortest
correct loop, with a header as long as ours) and with build/release/oncesinkd --until-end, each time into a new topic
in which every record is counted. One pair is run before and not counted. Compares the medians; what counts is CPU
seconds per record of the process (the goal: at most 1.25 x the floor's), as throughput depends on a broker that shares
the machine. With --mode transactional every batch is a transaction in both, and the goal is 0.8 of the floor's
throughput from end to end; the ratio of single pairs shows how noisy the machine is.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from kafka import Kafka, die_with_parent    # noqa: E402
from peer import Peer                       # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTITIONS = 3
CPU_RATIO_MAX = 1.25
SPEED_RATIO_MIN = 0.8      # transactional
RUN_S_MAX = 600
INPUT = "bench-in"


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mode", choices=["idempotent", "transactional"], default="idempotent")
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--size", type=int, default=100, help="bytes of a value")
    parser.add_argument("--batch", type=int, default=100_000, help="records of a batch")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--floor-only", action="store_true", help="without the product")
    parser.add_argument("--bare", action="store_true", help="the floor without a header, too")
    parser.add_argument("--preset", default="release")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting for the product")
    parser.add_argument("--floor-in-flight", type=int, default=1, metavar="N",
                        help="requests in flight of the floor's producer")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def peak_kib(pid):
    """VmHWM; None once the process has ended. (ru_maxrss would count the parent's memory.)"""
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM"):
                    return int(line.split()[1])
    except OSError:
        pass
    return None


def measure(command, folder):
    """Runs it; its wall time, CPU time of all its threads, and peak memory."""
    log = folder / "run.log"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                   cwd=folder, preexec_fn=die_with_parent)
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_kib(process.pid) or 0)
        if time.monotonic() - began > RUN_S_MAX:
            process.kill()
        time.sleep(0.02)
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        sys.exit(f"exit {process.returncode}: {' '.join(command)}\n"
                 + log.read_text(errors="replace")[-3000:])
    return {"wall_s": wall_s,
            "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "peak_mib": peak / 1024}


class Bench:
    def __init__(self, how, kafka, topics, folder):
        self.how, self.kafka, self.topics, self.folder = how, kafka, topics, folder
        self.build = ROOT / "build" / how.preset
        self.transactional = how.mode == "transactional"
        self.runs = 0

    def load(self):
        self.topics("create_topics", topics={INPUT: {"partitions": PARTITIONS}})
        self.topics("feed", topics={INPUT: list(range(PARTITIONS))}, count=self.how.records,
                    size=self.how.size, style="plain")

    def floor(self, output, header=True):
        return [str(self.build / "bench" / "raw_loop"), *(["--header"] if header else []),
                *(["--transactional", output] if self.transactional else []),
                "-X", f"max.in.flight={self.how.floor_in_flight}",
                self.kafka.bootstrap, INPUT, output, str(self.how.batch)]

    def bare(self, output):
        return self.floor(output, header=False)

    def product(self, output):
        file = self.folder / f"{output}.conf"
        file.write_text(f"job.name = {output}\n"
                        f"bootstrap.servers = {self.kafka.bootstrap}\n"
                        f"input.topics = {INPUT}\n"
                        f"output.topic = {output}\n"
                        f"delivery.mode = {self.how.mode}\n"
                        "output.provenance = headers\n"
                        "batch.interval.ms = 0\n"
                        f"batch.max.records = {self.how.batch}\n")
        extras = [part for each in self.how.set for part in ("--set", each)]
        return [str(self.build / "oncesinkd"), *extras, "--until-end", str(file)]

    def arrived(self, output):
        """How many records a reader sees: between the ends of a log lie transactions' marks, too."""
        if self.transactional:
            found = self.topics("tally", name=output, topics=[output], isolation="read_committed")
            self.topics("tally", name=output, close=True)
            return found["records"]
        ends = self.topics("ends", topics=[output])
        return sum(end["high"] - end["start"] for end in ends[output].values())

    def run(self, what):
        """One measured run of floor, bare or product into a topic of its own."""
        self.runs += 1
        output = f"bench-{what}-{self.runs}"
        self.topics("create_topics", topics={output: {"partitions": PARTITIONS}})
        figures = measure(getattr(self, what)(output), self.folder)
        arrived = self.arrived(output)
        if arrived != self.how.records:
            sys.exit(f"{what}: {arrived} records of {self.how.records} arrived")
        self.topics("delete_topics", topics=[output])
        figures["records_per_s"] = self.how.records / figures["wall_s"]
        figures["cpu_us_per_record"] = 1e6 * figures["cpu_s"] / self.how.records
        return figures


def table(results):
    """Medians, one line a contestant."""
    columns = [("cpu_us_per_record", "CPU us/record", "{:.3f}"),
               ("records_per_s", "records/s", "{:,.0f}"),
               ("wall_s", "wall s", "{:.2f}"), ("peak_mib", "peak MiB", "{:.1f}")]
    print(f"{'':<10}" + "".join(f"{title:>15}" for _, title, _ in columns))
    for what, runs in results.items():
        cells = (form.format(statistics.median(run[key] for run in runs))
                 for key, _, form in columns)
        print(f"{what:<10}" + "".join(f"{cell:>15}" for cell in cells))


def ratios(results):
    """Product to floor, pair by pair; the median and the range."""
    answer = {}
    for key in ("cpu_us_per_record", "records_per_s", "peak_mib"):
        pairs = [product[key] / floor[key]
                 for product, floor in zip(results["product"], results["floor"])]
        answer[key] = {"median": statistics.median(pairs), "least": min(pairs), "most": max(pairs)}
    return answer


def goal(how):
    if how.mode == "transactional":
        return f"records/s at least {SPEED_RATIO_MIN} x the floor's (batches of 100,000)"
    return f"CPU per record at most {CPU_RATIO_MAX} x the floor's"


def good(how, ratio):
    if how.mode == "transactional":
        return ratio["records_per_s"]["median"] >= SPEED_RATIO_MIN
    return ratio["cpu_us_per_record"]["median"] <= CPU_RATIO_MAX


def main():
    how = options()
    contestants = ["floor"] + (["bare"] if how.bare else []) \
        + ([] if how.floor_only else ["product"])
    for program in ["bench/raw_loop"] + ([] if how.floor_only else ["oncesinkd"]):
        if not (ROOT / "build" / how.preset / program).is_file():
            sys.exit(f"no {program} in build/{how.preset}: tools/test build_{how.preset} makes it")
    peer = Peer().start()
    try:
        with Kafka() as kafka, tempfile.TemporaryDirectory(prefix="oncesink-bench-") as folder:
            bench = Bench(how, kafka, peer.at(kafka.bootstrap), pathlib.Path(folder))
            bench.load()
            results = {what: [] for what in contestants}
            for turn in range(how.pairs + 1):
                for what in contestants if turn % 2 else reversed(contestants):
                    figures = bench.run(what)
                    if turn > 0:
                        results[what].append(figures)
    finally:
        peer.close()
    print(f"{how.mode}: {how.records:,} records of {how.size} B, {PARTITIONS} partitions, "
          f"batches of {how.batch:,}; medians of {how.pairs}")
    table(results)
    summary = {"options": vars(how), "runs": results, "cores": os.cpu_count()}
    if not how.floor_only:
        summary["ratios"] = ratios(results)
        for key, ratio in summary["ratios"].items():
            print(f"product / floor, {key}: {ratio['median']:.3f} "
                  f"({ratio['least']:.3f} to {ratio['most']:.3f})")
        print(f"goal: {goal(how)}")
    if how.json:
        pathlib.Path(how.json).write_text(json.dumps(summary, indent=1) + "\n")
    return int(not how.floor_only and not good(how, summary["ratios"]))


if __name__ == "__main__":
    sys.exit(main())
