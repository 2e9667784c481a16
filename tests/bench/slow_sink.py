#!/usr/bin/python3
"""A slow sink under back-pressure: the job on a real Kafka beside oncesink-simulate with the same load and speed.

    tests/bench/slow_sink.py [--mode idempotent|transactional] [--delay-us N] [--interval MS] [--initial N]
                             [--batches N] [--runs N] [--svg FILE] [--json FILE]

A backlog lies in three partitions and more records keep arriving; each record costs the sink a delay (builds with
failpoints, so build/debug). What the job did stands in its ledger. The simulation gets the job's own file of settings,
the same load, the speed that the delay gives, and what the ledger's median batch took besides (processing, the time
between two batches, connecting in the first one); its rates and takes are those of Spark's formula alone. Compared are, batch by batch, the records taken, the rate (both as a
share of the larger one) and the scheduling delay (as a share of the interval). The goals: no difference above 10 %,
the rate within 10 % of what the sink sustains from the tenth batch on, scheduling delay below two intervals. With
--svg both curves are drawn.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0] / "support"))

from job import Job                             # noqa: E402
from kafka import Kafka                         # noqa: E402
from peer import Peer                           # noqa: E402
from service import SLOWNESS, program           # noqa: E402

PARTITIONS = 3
ARRIVING = 3000             # records per second while it runs
DIFFERENCE_MAX = 0.10
SETTLED_BY = 10             # batches
DELAY_INTERVALS_MAX = 2
COLUMNS = "tick_ms", "records", "rate", "limited_by", "scheduling_ms", "processing_ms", "left"


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mode", choices=["idempotent", "transactional"], default="idempotent")
    parser.add_argument("--delay-us", type=int, default=1000, help="what a record costs the sink")
    parser.add_argument("--interval", type=int, default=2000, metavar="MS")
    parser.add_argument("--initial", type=int, default=1400, metavar="RECORDS_PER_S",
                        help="backpressure.initial.rate")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--svg", metavar="FILE", help="of the last run")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def ledger_batches(service, count):
    """The first batches as the ledger has them, when so many are settled."""
    rows = service.rows("SELECT batch, tick_ms, planned, rate, limited_by, started_ms, ended_ms, scheduling_ms,"
                        " processing_ms FROM oncesink_batch WHERE state = 'settled' ORDER BY batch LIMIT ?",
                        count) if service.ledger.exists() else []
    return [dict(row) for row in rows]


def settings(how):
    return {"delivery.mode": how.mode, "batch.interval.ms": how.interval, "backpressure.enabled": "true",
            "backpressure.initial.rate": how.initial}


def measured(job, how, backlog):
    """Runs the job over the backlog while records keep arriving; its batches."""
    service = job.service
    job.feed(backlog, style="plain", size=20)
    feeding = job.topics.begin("feed", topics=job.all_inputs(), count=100 * ARRIVING, first=backlog,
                               rate=ARRIVING, style="plain", size=20)
    try:
        service.start(delay_us=how.delay_us)
        deadline = time.monotonic() + (how.batches * how.interval / 1000 * 4 + 30) * SLOWNESS
        while len(ledger_batches(service, how.batches)) < how.batches:
            assert service.running() and time.monotonic() < deadline, service.log_tail()
            time.sleep(0.1)
        service.stop()
    finally:
        feeding.stop()
        feeding.result()
    return ledger_batches(service, how.batches)


def fitted(batches, delay_us):
    """What the sink does, as oncesink-simulate wants it: medians, as the machine has other work, too."""
    rest = [row["processing_ms"] - row["planned"] * delay_us / 1000 for row in batches]
    gaps = [later["started_ms"] - row["started_ms"] - row["processing_ms"]
            for row, later in itertools.pairwise(batches)
            if later["tick_ms"] < row["started_ms"] + row["processing_ms"]]
    overhead = max(0, round(statistics.median(rest[1:])))
    return {"--speed": round(1_000_000 / delay_us), "--overhead": overhead,
            "--first": max(0, round(rest[0] - overhead)),
            "--between": max(0, round(statistics.median(gaps))) if gaps else 0}


def sustained(sink, interval):
    """Records per second: what fits into an interval."""
    return sink["--speed"] * (1 - (sink["--overhead"] + sink["--between"]) / interval)


def simulated(service, load, sink, count):
    """What oncesink-simulate makes of the same settings and load."""
    answer = subprocess.run([program("oncesink-simulate"), "run", "--config", str(service.file), "--arrivals", "-",
                             *(str(part) for pair in sink.items() for part in pair), "--batches", str(count)],
                            input=load, capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [dict(zip(COLUMNS, line.split())) for line in answer.split("\n\n")[0].splitlines()[1:]]
    for row in rows:
        row["planned"] = sum(map(int, row["records"].split(",")))
        row["rate"] = None if row["rate"] == "-" else int(row["rate"])
        for name in ("tick_ms", "scheduling_ms", "processing_ms"):
            row[name] = int(row[name])
    return rows


def load_of(backlog, seconds):
    share = f"{backlog // PARTITIONS}"
    lines = [f"-1 {','.join([share] * PARTITIONS)}"]
    lines += [f"{second} {','.join([str(ARRIVING // PARTITIONS)] * PARTITIONS)}" for second in range(seconds)]
    return "\n".join(lines) + "\n"


def differences(real, model, interval):
    """{what: (greatest difference, batch)}"""
    found = {"records": (0, 0), "rate": (0, 0), "scheduling": (0, 0)}

    def note(what, value, batch):
        found[what] = max(found[what], (value, batch))

    for ours, other in zip(real, model):
        batch = ours["batch"]
        note("records", abs(ours["planned"] - other["planned"]) / max(ours["planned"], other["planned"]), batch)
        note("scheduling", abs(ours["scheduling_ms"] - other["scheduling_ms"]) / interval, batch)
        if (ours["rate"] is None) != (other["rate"] is None):
            note("rate", 1, batch)
        elif ours["rate"] is not None:
            note("rate", abs(ours["rate"] - other["rate"]) / max(ours["rate"], other["rate"]), batch)
    return found


def judge(real, sustained, interval):
    """What the ledger alone says of the two goals: [complaint]"""
    late = [(row["batch"], row["rate"]) for row in real[SETTLED_BY:]
            if abs(row["rate"] - sustained) > DIFFERENCE_MAX * sustained]
    most = max(row["scheduling_ms"] for row in real)
    complaints = []
    if late:
        complaints.append(f"rates not within 10 % of the {sustained:.0f} records/s that the sink sustains: {late}")
    if most >= DELAY_INTERVALS_MAX * interval:
        complaints.append(f"scheduling delay of {most} ms, two intervals are {2 * interval}")
    return complaints


# ── the picture ─────────────────────────────────────────────────────────────────────────────────

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 960, 190, 56, 90, 24, 70
REAL, MODEL = "#1f5fa8", "#c4480e"


def panel(out, top, title, curves, floor=None):
    """One panel; curves: [(colour, dashed, [value or None])]; floor: a dotted line with its name."""
    values = [value for _, _, each in curves for value in each if value is not None] + ([floor[0]] if floor else [])
    most = max(values) * 1.05 or 1
    step = next(factor * 10 ** power for power in range(-3, 9) for factor in (1, 2, 5) if most <= 6 * factor * 10 ** power)
    count = max(len(each) for _, _, each in curves)

    def x(batch):
        return LEFT + (batch - 1) / (count - 1) * (WIDTH - LEFT - RIGHT)

    def y(value):
        return top + PANEL * (1 - value / (step * -(-most // step)))

    out.append(f'<text x="{LEFT}" y="{top - 10}" font-weight="bold">{title}</text>')
    mark = 0
    while mark <= step * -(-most // step) * 1.001:
        out.append(f'<path d="M{LEFT} {y(mark):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:g}</text>')
        mark += step
    for batch in range(1, count + 1):
        if batch == 1 or batch % 5 == 0:
            out.append(f'<path d="M{x(batch):.1f} {top}V{top + PANEL}" stroke="#ddd"/>'
                       f'<text x="{x(batch):.1f}" y="{top + PANEL + 16}" text-anchor="middle">{batch}</text>')
    out.append(f'<path d="M{LEFT} {top}V{top + PANEL}H{WIDTH - RIGHT}" stroke="#333" fill="none"/>')
    if floor:
        out.append(f'<path d="M{LEFT} {y(floor[0]):.1f}H{WIDTH - RIGHT}" stroke="#666" stroke-dasharray="2 4"/>'
                   f'<text x="{WIDTH - RIGHT - 6}" y="{y(floor[0]) - 5:.1f}" fill="#666" text-anchor="end">{floor[1]}</text>')
    for colour, dashed, each in curves:
        points = [(x(number), y(value)) for number, value in enumerate(each, 1) if value is not None]
        out.append(f'<path fill="none" stroke="{colour}" stroke-width="1.8"{" stroke-dasharray=" + chr(34) + "7 4" + chr(34) if dashed else ""}'
                   f' d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in points)}"/>')
        if not dashed:
            out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{colour}"/>' for a, b in points]


def draw(path, how, real, model, sustained, interval):
    height = TOP + 3 * (PANEL + GAP) + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
           ' font-family="sans-serif" font-size="13">', f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           f'<text x="{LEFT}" y="24" fill="{REAL}">● the job on a real Kafka, {how.mode}, {how.delay_us} µs a record</text>',
           f'<text x="{WIDTH - RIGHT}" y="24" fill="{MODEL}" text-anchor="end">– – oncesink-simulate, same load and speed</text>']

    def both(name, scale=1):
        return [(REAL, False, [row[name] and row[name] / scale if row[name] is not None else None for row in real]),
                (MODEL, True, [row[name] and row[name] / scale if row[name] is not None else None for row in model])]

    panel(out, TOP, "records of a batch", both("planned"))
    panel(out, TOP + PANEL + GAP, "rate in force, records per second", both("rate"),
          (sustained, "what the sink sustains"))
    panel(out, TOP + 2 * (PANEL + GAP), "scheduling delay, seconds", both("scheduling_ms", 1000),
          (interval / 1000, "interval"))
    out.append(f'<text x="{WIDTH - RIGHT}" y="{height - 16}" text-anchor="end">batch</text></svg>')
    pathlib.Path(path).write_text("\n".join(out) + "\n")


# ── all together ────────────────────────────────────────────────────────────────────────────────

def one_run(topics, folder, name, how):
    # the backlog outlasts the run
    backlog = PARTITIONS * (how.batches * how.interval // 1000 * 2 * 1_000_000 // how.delay_us // PARTITIONS)
    job = Job(topics, folder, name, settings=settings(how))
    try:
        real = measured(job, how, backlog)
        sink = fitted(real, how.delay_us)
        model = simulated(job.service, load_of(backlog, 600), sink, how.batches)
    finally:
        job.close()
    return {"batches": real, "simulated": model, "sink": sink,
            "differences": differences(real, model, how.interval),
            "complaints": judge(real, sustained(sink, how.interval), how.interval)}


def tell(how, run):
    print(f"{how.mode}: {how.delay_us} us a record, interval {how.interval} ms, initial rate {how.initial}; the sink:"
          f" {' '.join(f'{name} {value}' for name, value in run['sink'].items())}")
    print(f"{'batch':>6}" + f"{'records':>16}" + f"{'rate':>16}" + f"{'scheduling ms':>16}{'processing ms':>16}"
          "    (job / simulated)")
    for ours, other in zip(run["batches"], run["simulated"]):
        pairs = (f"{ours[key] or 0:.0f} / {other[key] or 0:.0f}"
                 for key in ("planned", "rate", "scheduling_ms", "processing_ms"))
        print(f"{ours['batch']:>6}" + "".join(f"{pair:>16}" for pair in pairs))
    for what, (value, batch) in run["differences"].items():
        print(f"greatest difference, {what}: {100 * value:.1f} % (batch {batch})")
    for complaint in run["complaints"]:
        print(complaint)


def good(run):
    return not run["complaints"] and all(value <= DIFFERENCE_MAX for value, _ in run["differences"].values())


def main():
    how = options()
    peer = Peer().start()
    runs = []
    try:
        with Kafka() as kafka, tempfile.TemporaryDirectory(prefix="oncesink-bench-") as folder:
            for number in range(1, how.runs + 1):
                runs.append(one_run(peer.at(kafka.bootstrap), folder, f"slow-{number}", how))
                tell(how, runs[-1])
    finally:
        peer.close()
    last = runs[-1]
    if how.svg:
        draw(how.svg, how, last["batches"], last["simulated"],
             sustained(last["sink"], how.interval), how.interval)
    if how.json:
        pathlib.Path(how.json).write_text(json.dumps({"options": vars(how), "runs": runs}, indent=1) + "\n")
    bad = sum(not good(run) for run in runs)
    print(f"goal: no difference above 10 %, settled by batch {SETTLED_BY}, delay below two intervals: "
          f"{len(runs) - bad} of {len(runs)} runs")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
