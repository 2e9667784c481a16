"""What one batch's bookkeeping in the ledger costs: build/PRESET/bench/ledger, as a row."""

import json
import subprocess

from figures import at_most, check

WORK_MS_MAX = 0.3
JUDGED_PARTITIONS = 12
RUN_S_MAX = 1800


def line(one):
    what = f"{one['ledger']} ({one['batches']:,}), {one['partitions']} partitions"
    text = (f" ms (p99 {one['work_p99_ms']:.2f}); with the disk's sync {one['whole_p50_ms']:.2f} "
            f"(p99 {one['whole_p99_ms']:.2f})")
    if one["partitions"] == JUDGED_PARTITIONS:
        return at_most(what, one["work_p50_ms"], WORK_MS_MAX, "{:.3f}", text)
    return check(what, f"{one['work_p50_ms']:.3f}{text}")


def run(stage):
    file = stage.folder / "bookkeeping.json"
    command = [str(stage.build / "bench" / "ledger"), "--batches", str(stage.how.ledger_batches), "--json", str(file)]
    done = subprocess.run(command, cwd=stage.folder, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {' '.join(command)}\n{done.stderr}")
    found = json.loads(file.read_text())
    return {"about": "settling a batch and planning the next, p50 without fsync and fdatasync", "ledgers": found,
            "checks": [line(one) for one in found]}
