"""A sink made slow (a delay per record): back-pressure finds what it sustains. The curve is drawn by
tests/bench/slow_sink.py; its parts are used here."""

import pathlib
import statistics
import subprocess
import sys
import types

import pytest

from service import program

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))

import slow_sink    # noqa: E402

PID = {"proportional": 1.0, "integral": 0.2, "derived": 0.0, "min.rate": 100}


def rates_by_spark(batches, interval):
    """The rate in force after each batch, asked of the estimator with the ledger's own numbers."""
    lines = [f"new {interval} {' '.join(str(value) for value in PID.values())}"]
    lines += [f"{row['ended_ms']} {row['planned']} {row['processing_ms']} {row['scheduling_ms']}"
              for row in batches]
    answer = subprocess.run([program("oncesink-simulate"), "rate"], input="\n".join(lines),
                            capture_output=True, text=True, check=True, timeout=30).stdout
    return [None if line == "-" else int(line.split()[1]) for line in answer.splitlines()]


@pytest.mark.parametrize("mode", ["idempotent", "transactional"])
def test_the_rate_settles_at_what_a_slow_sink_sustains_within_ten_batches(new_job, mode):
    how = types.SimpleNamespace(mode=mode, delay_us=1000, interval=1000, initial=1200, batches=13)
    job = new_job(settings=slow_sink.settings(how))
    batches = slow_sink.measured(job, how, backlog=30_000)

    # Every rate is the formula's, from the ledger's own numbers: no clock of ours is asked.
    formula = rates_by_spark(batches, how.interval)
    assert formula[0] is None and None not in formula[1:]
    assert [row["rate"] for row in batches] == [how.initial] * 2 + formula[1:-1]
    assert [row["limited_by"] for row in batches] == ["initial"] * 2 + ["estimator"] * 11

    # What the sink sustains is what it did with batches back to back, the first ones left out.
    reached = statistics.median(row["planned"] * 1000 / row["processing_ms"] for row in batches[2:])
    settled = statistics.median(row["rate"] for row in batches[9:])
    assert abs(settled - reached) <= 0.2 * reached, batches
    # Of all but one batch: a machine may stand still for a moment.
    assert sorted(row["scheduling_ms"] for row in batches)[-2] < 2 * how.interval, batches

    model = slow_sink.simulated(job.service, slow_sink.load_of(30_000, 60),
                                slow_sink.fitted(batches, how.delay_us), how.batches)
    found = slow_sink.differences(batches, model, how.interval)
    print(f"slow sink, {mode}: sustains {reached:.0f} records/s, settled at {settled:.0f}; "
          f"differs from the simulation by {found}")
    middle = statistics.median(abs(ours["planned"] - other["planned"]) / other["planned"]
                               for ours, other in zip(batches, model))
    assert middle <= 0.2, (batches, model)
