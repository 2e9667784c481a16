"""How throughput and memory of floor and product change with one thing: the batch size, or memory.max.bytes.

Each point is a few pairs of beside_floor.py, with the default settings.
"""

import pathlib
import statistics

import plots
from beside_floor import Case, Contest, median_of
from figures import check, ratio_of_pairs

MIB = 1 << 20
RECORDS = 1_200_000
BATCHES = 1000, 3000, 10_000, 30_000, 100_000, 300_000
MEMORY_MIB = 4, 8, 16, 32, 64


def point(stage, at, case):
    contest = Contest(stage, case)
    while len(contest.runs["floor"]) < stage.how.curve_pairs:
        contest.round()
    runs = contest.runs
    speed = ratio_of_pairs(*([run["records_per_s"] for run in runs[what]] for what in ("product", "floor")))
    return {"at": at, "ratio": speed,
            **{what: {"records_per_s": median_of(runs[what], "records_per_s"),
                      "peak_mib": median_of(runs[what], "peak_mib"),
                      "cpu_us_per_record": median_of(runs[what], "cpu_us_per_record")}
               for what in runs}}


def line(what, one):
    floor, product = one["floor"], one["product"]
    return check(what, f"{one['ratio']['median']:.3f} of the floor's {floor['records_per_s']:,.0f}/s; peak "
                       f"{product['peak_mib']:.1f} MiB beside {floor['peak_mib']:.1f}")


def batch_sizes(stage):
    case = Case(records=stage.how.records or RECORDS)
    points = [point(stage, batch, Case(records=case.records, batch=batch)) for batch in BATCHES]
    return {"about": f"{case.mode}, {case.provenance}, {case.records:,} x {case.size} B; "
                     f"{stage.how.curve_pairs} pairs each", "points": points,
            "checks": [line(f"batches of {one['at']:,}", one) for one in points]}


def memory(stage):
    case = Case(records=stage.how.records or RECORDS)
    points = [point(stage, mib, Case(records=case.records, settings=(f"memory.max.bytes={mib * MIB}",)))
              for mib in MEMORY_MIB]
    return {"about": f"{case}; {stage.how.curve_pairs} pairs each", "points": points,
            "checks": [line(f"memory.max.bytes = {one['at']} MiB", one) for one in points]}


def curve(points, key, scale=1):
    return {what: ([one["at"] for one in points], [one[what][key] / scale for one in points])
            for what in ("floor", "product")}


def draw_batch_sizes(result, folder):
    points = result["points"]
    plots.panels(pathlib.Path(folder) / "batch_size.svg", "Throughput and memory against batch size", result["about"],
                 [plots.Panel("records/s, thousands", curve(points, "records_per_s", 1000)),
                  plots.Panel("peak memory, MiB", curve(points, "peak_mib")),
                  plots.Panel("CPU per record, µs", curve(points, "cpu_us_per_record"))],
                 "records of a batch", logarithmic=True)


def draw_memory(result, folder):
    points = result["points"]
    ratios = {"product ÷ floor": ([one["at"] for one in points], [one["ratio"]["median"] for one in points])}
    spread = [(one["ratio"]["least"], one["ratio"]["most"]) for one in points]
    floor = statistics.median(one["floor"]["peak_mib"] for one in points)
    plots.panels(pathlib.Path(folder) / "memory.svg", "Throughput and memory against memory.max.bytes", result["about"],
                 [plots.Panel("throughput ÷ floor", ratios, spread=spread, level=(1, "floor")),
                  plots.Panel("peak memory, MiB", {"product": curve(points, "peak_mib")["product"]},
                              level=(floor, f"floor, {floor:.0f} MiB"))],
                 "memory.max.bytes, MiB", logarithmic=True)
