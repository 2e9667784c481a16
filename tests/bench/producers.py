"""One producer for the life of the process, against one for each partition and batch, and one for each record: the
program is tests/bench/producers.c. What it measures is what making and destroying producers costs.

The document that this project comes from calls one shared producer "tens of times" faster.
"""

import json
import statistics
import subprocess
import sys

from figures import check, ratio_of_pairs
from stage import PARTITIONS

SIZE = 100
BATCH = 1000
# How many batches of how many records: what takes some seconds. A producer for each record is slow.
RUNS = {"shared": (1500, BATCH), "batch": (200, BATCH), "record": (1, BATCH)}
RUN_S_MAX = 240
WORDS = {"batch": "one per partition and batch", "record": "one per record"}


def one_run(stage, output, life):
    batches, records = RUNS[life]
    command = [str(stage.build / "bench" / "producers"), life, stage.kafka.bootstrap, output,
               str(batches), str(records), str(SIZE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {' '.join(command)}\n{done.stderr}")
    said = json.loads(done.stdout)
    return {**said, "records_per_s": said["records"] / said["seconds"]}


def run(stage):
    """A row: the three by turns. The first round isn't counted."""
    output = stage.name("bench-producers")
    stage.topics("create_topics", topics={output: {"partitions": PARTITIONS}})
    runs = {life: [] for life in RUNS}
    for turn in range(stage.how.pairs + 1):
        for life in RUNS if turn % 2 else reversed(RUNS):
            figures = one_run(stage, output, life)
            if turn > 0:
                runs[life].append(figures)
        print(f"  round {turn}" if turn else "  warm", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    written = (stage.how.pairs + 1) * sum(batches * records for batches, records in RUNS.values())
    arrived = stage.count(output, transactional=False)
    if arrived != written:
        raise RuntimeError(f"{arrived} records of {written} arrived")
    stage.topics("delete_topics", topics=[output])
    return {"about": f"batches of {BATCH:,} x {SIZE} B over {PARTITIONS} partitions, the tasks of a batch beside each "
                     f"other; {stage.how.pairs} rounds",
            "runs": runs,
            "checks": [against(runs, life) for life in WORDS]}


def against(runs, life):
    shared, other = ([run["records_per_s"] for run in runs[each]] for each in ("shared", life))
    ratio = ratio_of_pairs(shared, other)
    return check(f"shared ÷ {WORDS[life]}",
                 f"{ratio['median']:,.1f} [{ratio['interval'][0]:,.1f}, {ratio['interval'][1]:,.1f}]; "
                 f"{statistics.median(shared):,.0f} and {statistics.median(other):,.0f} records/s")
