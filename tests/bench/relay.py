#!/usr/bin/python3
"""Speed and footprint of the relay, on one real Kafka 4.3.1: what the product costs beside the floor, and its service
figures, as one table.

    tests/bench/relay.py [ROW…] [--pairs N] [--json FILE] [--svg FOLDER]    # no ROW: all but `hour`
    tests/bench/relay.py [--mode MODE] [--provenance WAY] [--records N] [--size BYTES] [--batch N]   # a row of your own
    tests/bench/relay.py --list
    tests/bench/relay.py --from FILE [--svg FOLDER]                         # prints and draws what --json has kept

A row is measured by its module (beside_floor.py says who runs beside whom); it has figures and, where the goals name
one, what each is to be. --json keeps every run. Exit 1 when a figure misses its goal or a row couldn't be measured:
records that don't all arrive are such a reason.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
os.environ.setdefault("ONCESINK_PRESET", "release")

import beside_floor                         # noqa: E402
import bookkeeping                          # noqa: E402
import curves                               # noqa: E402
import hour                                 # noqa: E402
import producers                            # noqa: E402
import service                              # noqa: E402
import service_times                        # noqa: E402
import streams                              # noqa: E402
from beside_floor import Case               # noqa: E402
from figures import check                   # noqa: E402
from kafka import VERSION, Kafka            # noqa: E402
from measured import ROOT                   # noqa: E402
from peer import Peer                       # noqa: E402
from stage import Stage                     # noqa: E402

BROKER_MEMORY = "1g"

# run(stage) measures and returns {"about": TEXT, "checks": [figures.check(…)], and anything for --json};
# draw(results, folder), where there is one, makes plots of it.
Row = collections.namedtuple("Row", "run draw usual", defaults=(None, True))


def beside(**case):
    """A row of the product beside the floor; --records makes it shorter."""
    def run(stage):
        records = stage.how.records or case.get("records", Case.records)
        return beside_floor.compare(stage, Case(**{**case, "records": records}))
    return Row(run)


LARGE = {"contestants": ("floor", "product", "installed"), "settings": (f"memory.max.bytes={64 << 20}",)}
KILOBYTE = {**LARGE, "records": 600_000, "size": 1000, "settings": (f"memory.max.bytes={40 << 20}",)}
SMALL = {"records": 1_500_000, "batch": 1000, "cpu_max": None, "speed_min": 0.7,
         "contestants": ("floor", "even", "product")}
POSITIONS, HEADERS = {"provenance": "positions"}, {"provenance": "headers"}
TRANSACTIONAL = {"mode": "transactional"}

ROWS = {
    "positions-100": beside(**POSITIONS, **LARGE),
    "headers-100": beside(**HEADERS, **LARGE),
    "transactional-100": beside(**TRANSACTIONAL, **LARGE),
    "positions-1k": beside(**POSITIONS, **KILOBYTE),
    "headers-1k": beside(**HEADERS, **KILOBYTE),
    "transactional-1k": beside(**TRANSACTIONAL, **KILOBYTE),
    "small-positions": beside(**POSITIONS, **SMALL),
    "small-headers": beside(**HEADERS, **SMALL),
    "small-transactional": beside(**TRANSACTIONAL, **SMALL),
    "ready": Row(service_times.ready),
    "kill-idempotent": Row(service_times.kills("idempotent")),
    "kill-transactional": Row(service_times.kills("transactional")),
    "idle": Row(service_times.idle),
    "partitions": Row(service_times.partitions),
    "bookkeeping": Row(bookkeeping.run),
    "batch-size": Row(curves.batch_sizes, curves.draw_batch_sizes),
    "memory": Row(curves.memory, curves.draw_memory),
    "streams-100": Row(streams.beside("100 B")),
    "streams-1k": Row(streams.beside("1 KB")),
    "streams-defaults": Row(streams.beside("100 B", "defaults")),
    "streams-settings": Row(streams.settings, usual=False),
    "producers": Row(producers.run),
    "hour": Row(hour.run, hour.draw, usual=False),
}


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--list", action="store_true", help="the rows there are")
    parser.add_argument("--pairs", type=int, default=7, help="of runs of floor and product, in each row")
    parser.add_argument("--pairs-max", type=int, default=21,
                        help="so many at most, while a rate's interval is too wide and has the goal in it")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting for the product (not for the contestant that is as installed)")
    parser.add_argument("--floor-allocator", choices=["glibc", "jemalloc"], default="glibc",
                        help="jemalloc is what the product has")
    parser.add_argument("--preset", default="release")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--svg", metavar="FOLDER", help="plots (needs what tools/setup bench installs)")
    parser.add_argument("--from", dest="kept", metavar="FILE", help="measures nothing: what --json has kept")
    parser.add_argument("--records", type=int, help="instead of the row's")
    parser.add_argument("--starts", type=int, default=20, help="of ready")
    parser.add_argument("--kills", type=int, default=7, help="of each kill row")
    parser.add_argument("--ledger-batches", type=int, default=1_000_000, help="settled before, of bookkeeping")
    parser.add_argument("--curve-pairs", type=int, default=3, help="of each point of batch-size and memory")
    parser.add_argument("--minutes", type=int, default=60, help="of hour")
    parser.add_argument("--idle-s", type=int, default=60, help="seconds of idle, twice")
    own = parser.add_argument_group("a row of your own")
    own.add_argument("--mode", choices=["idempotent", "transactional"])
    own.add_argument("--provenance", choices=["headers", "positions", "none"])
    own.add_argument("--size", type=int, help="bytes of a value")
    own.add_argument("--batch", type=int, help="records of a batch")
    own.add_argument("--floor-only", action="store_true", help="without the product")
    own.add_argument("--bare", action="store_true", help="the floor without a header, too")
    own.add_argument("--floor-in-flight", type=int, metavar="N",
                     help="requests in flight of the floor's producer; without it, as the product's are")
    how = parser.parse_args()
    how.pairs_max = max(how.pairs, how.pairs_max)
    unknown = [name for name in how.rows if name not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return how


def own_row(how):
    """The row that the options describe, if they do."""
    given = {name: getattr(how, name) for name in ("mode", "provenance", "size", "batch", "records")
             if getattr(how, name) is not None}
    if how.rows or not (given or how.floor_only or how.bare):
        return None
    if how.floor_only or how.bare:
        contestants = ("floor", *["bare"] * how.bare, *["product"] * (not how.floor_only))
        return Row(lambda stage: beside_floor.look(stage, Case(**given, contestants=contestants)))
    kind = SMALL if (how.batch or Case.batch) <= SMALL["batch"] else LARGE
    return Row(lambda stage: beside_floor.compare(stage, Case(**{**kind, **given})))


def rows_of(how):
    own = own_row(how)
    if own:
        return {"own": own}
    return {name: row for name, row in ROWS.items() if (name in how.rows if how.rows else row.usual)}


# ── telling ─────────────────────────────────────────────────────────────────────────────────────

def tell(name, result):
    """A row of the table: one line a figure."""
    print(f"{name}: {result['about']}")
    for each in result["checks"]:
        verdict = {True: "ok", False: "MISSED", None: ""}[each["ok"]]
        print(f"    {each['what']:<36} {each['text']:<62} {each['goal'] or '':<8} {verdict}".rstrip())
    print(flush=True)


def missed(results):
    return [f"{name}: {each['what']}" for name, result in results.items()
            for each in result["checks"] if each["ok"] is False]


def conclude(results):
    """The last line, and the exit code."""
    bad = missed(results)
    stated = sum(each["ok"] is not None for result in results.values() for each in result["checks"])
    print(f"{stated - len(bad)} of {stated} goals reached" + "".join(f"\n  missed: {each}" for each in bad))
    return int(bool(bad))


def draw(results, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, row in ROWS.items():
        if row.draw and name in results and "failed" not in results[name]:
            row.draw(results[name], folder)


# ── measuring ───────────────────────────────────────────────────────────────────────────────────

def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "?")
    return {"cores": os.cpu_count(), "processor": model, "kernel": os.uname().release, "kafka": VERSION,
            "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}


def run_row(row, stage):
    """A row that can't be measured doesn't cost the others."""
    try:
        return row.run(stage)
    except Exception as trouble:                # pylint: disable=broad-except
        traceback.print_exc()
        return {"about": "not measured", "failed": str(trouble),
                "checks": [check("measured", str(trouble).splitlines()[0], "", False)]}


def keep(how, results):
    if how.json:
        pathlib.Path(how.json).write_text(json.dumps(
            {"machine": machine(), "options": vars(how), "rows": results}, indent=1) + "\n")


def measured_rows(how):
    for program in ("bench/raw_loop", "oncesinkd"):
        if not (ROOT / "build" / how.preset / program).is_file():
            sys.exit(f"no {program} in build/{how.preset}: tools/test build_{how.preset} makes it")
    service.BUILD = ROOT / "build" / how.preset
    results = {}
    peer = Peer().start()
    try:
        with Kafka(memory=BROKER_MEMORY) as kafka, tempfile.TemporaryDirectory(prefix="oncesink-bench-") as folder:
            stage = Stage(how, kafka, peer.at(kafka.bootstrap), pathlib.Path(folder))
            for name, row in rows_of(how).items():
                print(name, file=sys.stderr, flush=True)
                results[name] = run_row(row, stage)
                tell(name, results[name])
                keep(how, results)
    finally:
        peer.close()
    return results


def kept_rows(file):
    results = json.loads(pathlib.Path(file).read_text())["rows"]
    for name, result in results.items():
        tell(name, result)
    return results


def main():
    how = options()
    if how.list:
        print("\n".join(name + ("" if row.usual else "   (only when named)") for name, row in ROWS.items()))
        return 0
    results = kept_rows(how.kept) if how.kept else measured_rows(how)
    if how.svg:
        draw(results, how.svg)
    return conclude(results)


if __name__ == "__main__":
    sys.exit(main())
