#!/usr/bin/python3
"""Speculation, with and without, on three real brokers that lead an input partition each.

    tests/bench/speculation.py [slow|fast|skewed|empty …] [--answer-ms MS] [--seconds S] [--pairs N] [--json FILE]

slow    one leader of three answers fetches slowly, in three ways: one connection of it (the first reader's), one answer
        in twenty on any connection, and every answer on every connection. 3000 records/s arrive; the time of a
        batch (processing_ms in the ledger): mean, median and 99th percentile, and how often a second consumer came.
fast    nothing is slow: a backlog is copied by turns with and without; the goal is 0.97 of the throughput.
skewed  the same with four records of five in one partition, whose reading takes longest though nothing is wrong.
empty   nothing arrives: CPU of the process and batches' ticks, by turns.

A second reader helps against a slow connection and a slow answer. When a broker is slow on every connection it is as
slow as the first.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
os.environ.setdefault("ONCESINK_PRESET", "release")

from cluster import Cluster                                         # noqa: E402
from job import Job                                                 # noqa: E402
from peer import Peer, PeerError                                    # noqa: E402
from proxy import Proxy                                             # noqa: E402
from slow import slow_at_times, slow_broker, slow_connection        # noqa: E402

RATE = 3000
INTERVAL_MS = 500
WARM_BATCHES = 3            # connections are made, memory is got
RATIO_MIN = 0.97
CHANCE = 0.05
SLOW = {
    "nothing slow": lambda proxy, broker, s, client: None,
    "one connection": slow_connection,
    "one answer in twenty": lambda proxy, broker, s, client:
        slow_at_times(proxy, broker, s, CHANCE, client),
    "every connection": slow_broker,
}


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("parts", nargs="*", default=["slow", "fast", "skewed", "empty"])
    parser.add_argument("--answer-ms", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=40, help="of each run with something slow")
    parser.add_argument("--records", type=int, default=1_500_000, help="of the backlog")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


class Bench:
    def __init__(self, how, cluster, proxy, topics, folder):
        self.how, self.cluster, self.proxy, self.topics, self.folder = \
            how, cluster, proxy, topics, folder
        self.count = 0

    def job(self, speculation, proxied=True, **settings):
        self.count += 1
        return Job(self.topics, self.folder, f"bench-{self.count}", settings={
            "bootstrap.servers": self.cluster.proxied_bootstrap if proxied
            else self.cluster.bootstrap,
            "batch.interval.ms": INTERVAL_MS, "speculation.enabled": str(speculation).lower(),
            **settings})

    def leader(self, job):
        topic = f"{job.name}-in"
        while True:
            try:
                return self.topics("leaders", topics=[topic])[topic]["0"]["leader"] - 1
            except PeerError:
                time.sleep(0.1)

    def slow(self, what, speculation):
        """The batches' times."""
        job = self.job(speculation)
        self.proxy.clear()
        SLOW[what](self.proxy, self.leader(job), self.how.answer_ms / 1000, job.name)
        job.service.start()
        count = RATE * self.how.seconds
        job.feed(count, rate=RATE)
        job.await_relayed(count, 300)
        job.service.stop()
        times = [row["processing_ms"] for row in job.service.rows(
            "SELECT processing_ms FROM batches ORDER BY batch")][WARM_BATCHES:]
        hedged = job.service.log().count("a second consumer brought")
        job.assert_exactly_once(count)
        job.close()
        self.proxy.clear()
        return {"times_ms": times, "hedged": hedged}

    def fast(self, speculation, source):
        """Seconds in which the backlog of `source` is copied, by a new ledger into a new topic."""
        self.count += 1
        job = self.job(speculation, proxied=False, **{
            "input.topics": source, "batch.interval.ms": 0, "batch.max.records": 100_000,
            "auto.offset.reset": "earliest"})
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        code = job.service.run("--until-end", timeout_s=300)
        took = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        assert code == 0, job.service.log_tail()
        assert job.tally()["records"] == self.how.records
        hedged = job.service.log().count("a second consumer brought")
        job.close()
        self.topics("delete_topics", topics=list(job.outputs))
        return {"records_per_s": self.how.records / took, "hedged": hedged,
                "cpu_us": 1e6 * cpu_s / self.how.records}

    def empty(self, speculation):
        """CPU of ten seconds in which nothing comes, at an interval of 50 ms."""
        job = self.job(speculation, proxied=False, **{"batch.interval.ms": 50})
        job.feed(300)
        job.service.start()
        job.await_relayed(300)
        time.sleep(2)
        before = cpu_ms(job.service.pid)
        time.sleep(10)
        used = cpu_ms(job.service.pid) - before
        job.service.stop()
        job.close()
        return {"cpu_ms": used}


def cpu_ms(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run_slow(bench):
    result = {}
    print(f"{'slow':<22}{'speculation':>12}{'batches':>9}{'mean ms':>9}{'p50 ms':>8}{'p99 ms':>8}"
          f"{'seconds':>9}")
    for what in SLOW:
        for speculation in (False, True):
            found = bench.slow(what, speculation)
            times = found["times_ms"]
            print(f"{what:<22}{'on' if speculation else 'off':>12}{len(times):>9}"
                  f"{statistics.mean(times):>9.0f}{statistics.median(times):>8.0f}{percentile(times, 0.99):>8.0f}"
                  f"{found['hedged']:>9}", flush=True)
            result[f"{what}, {'on' if speculation else 'off'}"] = found
    return result


def by_turns(bench, run):
    runs = {False: [], True: []}
    for turn in range(bench.how.pairs + 1):
        for speculation in (False, True) if turn % 2 else (True, False):
            found = run(speculation)
            if turn > 0:
                runs[speculation].append(found)
    return runs


def run_fast(bench):
    return compare(bench, "nothing slow, even", [0, 1, 2])


def run_skewed(bench):
    return compare(bench, "nothing slow, four of five in one partition", 8 * [0] + [1, 2])


def compare(bench, what, partitions):
    source = f"bench-backlog-{len(partitions)}"
    bench.topics("create_topics", topics={source: {"partitions": 3}})
    bench.topics("feed", topics={source: partitions}, count=bench.how.records, style="plain")
    runs = by_turns(bench, lambda speculation: bench.fast(speculation, source))
    off, on = (statistics.median(each["records_per_s"] for each in runs[which])
               for which in (False, True))
    ratios = [b["records_per_s"] / a["records_per_s"] for a, b in zip(runs[False], runs[True])]
    cpu = (statistics.median(each["cpu_us"] for each in runs[True])
           / statistics.median(each["cpu_us"] for each in runs[False]))
    print(f"{what}: {off:,.0f} records/s without, {on:,.0f} with: {on / off:.3f} of medians, "
          f"{statistics.median(ratios):.3f} median of pairs ({min(ratios):.3f} to "
          f"{max(ratios):.3f}); CPU per record {cpu:.3f}; "
          f"second consumers in {sum(each['hedged'] for each in runs[True])}; goal {RATIO_MIN}")
    return {"off": runs[False], "on": runs[True], "ratio": on / off}


def run_empty(bench):
    runs = by_turns(bench, bench.empty)
    off, on = (statistics.median(each["cpu_ms"] for each in runs[which]) for which in (False, True))
    print(f"nothing arrives, 20 ticks a second: {off:.0f} ms of CPU in 10 s without, {on:.0f} with")
    return {"off": runs[False], "on": runs[True]}


def main():
    how = options()
    parts = {"slow": run_slow, "fast": run_fast, "skewed": run_skewed, "empty": run_empty}
    peer = Peer().start()
    try:
        with Cluster(proxied=True, **{"default.replication.factor": 1, "min.insync.replicas": 1,
                                      "offsets.topic.replication.factor": 1,
                                      "transaction.state.log.replication.factor": 1,
                                      "transaction.state.log.min.isr": 1}) as cluster, \
                Proxy(cluster.nodes) as proxy, \
                tempfile.TemporaryDirectory(prefix="oncesink-bench-") as folder:
            bench = Bench(how, cluster, proxy, peer.at(cluster.bootstrap), folder)
            result = {part: parts[part](bench) for part in how.parts}
    finally:
        peer.close()
    if how.json:
        pathlib.Path(how.json).write_text(json.dumps({"options": vars(how), "cores": os.cpu_count(),
                                                      **result}, indent=1) + "\n")
    return int(any(result[part]["ratio"] < RATIO_MIN for part in ("fast", "skewed")
                   if part in result))


if __name__ == "__main__":
    sys.exit(main())
