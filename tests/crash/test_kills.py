"""SIGKILL at moments between a batch's plan and its settlement: nothing missing, doubled, changed or
out of order, for a read_uncommitted reader in idempotent mode (with headers, and by positions) and a
read_committed one in transactional mode, and the ledger's counts agree with the topics.

CI: 10 kills a layout (transactional: two of the layouts). ONCESINK_FULL=1: 1,000,000 records a
layout, capped to last 60 s at least, and 30 kills. The classes are printed (pytest -s, or the lines at the end); a class that is missing fails
the test, because then it has proved less than it says.
"""

import os
import time

import pytest

from job import MODES, Job
from kills import Campaign, assert_counts_agree
from parallel import SideBySide

LAYOUTS = {
    "three_to_three": {"inputs": {"in": 3}, "outputs": {"out": 3}},
    "three_to_two": {"inputs": {"in": 3}, "outputs": {"out": 2}},
    "two_topics_to_one": {"inputs": {"a": 2, "b": 2}, "outputs": {"out": 2}},
    "by_key": {"inputs": {"in": 3}, "outputs": {"out": 3}, "partitioner": "key"},
    "strangers": {"inputs": {"in": 3}, "outputs": {"out": 3}},
}
CI_TRANSACTIONAL = ["two_topics_to_one", "strangers"]


def has_layout(mode, layout, full):
    if mode == "positions":     # one source for each output partition, one writer
        return layout == "three_to_three"
    return full or mode == "idempotent" or layout in CI_TRANSACTIONAL


def pytest_generate_tests(metafunc):
    if "layout" in metafunc.fixturenames:
        full = os.environ.get("ONCESINK_FULL") == "1"
        metafunc.parametrize("layout", [
            f"{mode}:{layout}" for mode in MODES for layout in LAYOUTS
            if has_layout(mode, layout, full)])

# (records, records a second and partition, batch interval, delay a record, kills, least of a class)
CI = {"count": 75_000, "cap": 1500, "interval_ms": 500, "delay_us": 80, "kills": 10,
      "least": {"unsettled": 6, "none": 1, "part": 1, "all": 1}}
FULL = {"count": 1_000_000, "cap": 5000, "interval_ms": 1000, "delay_us": 30, "kills": 30,
        "least": {"unsettled": 20, "none": 5, "part": 5, "all": 3}}


def campaign(topics, folder, case, size):
    """One layout's kills; returns what a test must judge."""
    mode, layout = case.split(":")
    job = Job(topics, folder, f"kills-{mode}-{layout}", **LAYOUTS[layout], settings={
        **MODES[mode], "batch.interval.ms": size["interval_ms"],
        "rate.max.per.partition": size["cap"]})
    strangers = None
    try:
        job.feed(size["count"], style="plain" if size is FULL else "mixed")
        if layout == "strangers":
            strangers = topics.begin("stranger", topics=[*job.inputs, *job.outputs],
                                     open=list(job.outputs), rate=300)
        killer = Campaign(job, size["delay_us"], seed=case)
        began = time.monotonic()
        killer.run(size["kills"], size["least"]["part"])
        job.service.start()
        if not strangers or mode != "transactional":
            job.await_relayed(size["count"], timeout_s=300)
        wanted = size["count"]
        if strangers:   # a read_committed reader waits for their open transactions
            strangers.stop()
            strangers.result()
            wanted = job.check()["in"]
            job.await_relayed(wanted, timeout_s=300)
        took_s = time.monotonic() - began
        job.await_relayed(wanted)
        job.service.stop()
        result = job.check()
        assert_counts_agree(job)
        return result, killer.classes(), killer.found, took_s, job.service.log_tail()
    finally:
        job.close()


@pytest.fixture(scope="module")
def campaigns(request, topics, tmp_path_factory, full):
    size = FULL if full else CI
    tmp_path_factory.getbasetemp()  # made here: threads would make one each
    side_by_side = SideBySide(
        request, "test_kills_between_plan_and_settlement", "layout",
        lambda layout: campaign(topics, tmp_path_factory.mktemp(layout), layout, size))
    yield size, side_by_side
    side_by_side.close()


def test_kills_between_plan_and_settlement(campaigns, layout):
    size, side_by_side = campaigns
    result, classes, found, took_s, log = side_by_side.result(layout)
    unsettled = len(found) - classes["settled"]
    line = (f"{layout}: {len(found)} kills in {took_s:.0f} s, {result['in']} records; batch"
            f" unsettled {unsettled} (nothing delivered {classes['none']}, a part"
            f" {classes['part']}, all {classes['all']}), settled {classes['settled']}")
    print(f"\n{line}")
    assert result["clean"], f"{result}\n{line}\n{log}"
    assert result["in"] == result["out"] >= size["count"]
    if layout.endswith("strangers"):
        assert result["strangers"] > 0
    got = {"unsettled": unsettled, **classes}
    short = {name: got[name] for name, least in size["least"].items() if got[name] < least}
    assert not short, f"too few of {short}, so this run has proved too little: {line}\n{found}"
    if size is FULL:
        assert took_s >= 60, line


@pytest.mark.parametrize("mode", MODES)
def test_one_round(topics, tmp_path, mode):
    """The smallest campaign, for builds that are slow: one kill of each way, and one in recovery."""
    job = Job(topics, tmp_path, f"one-round-{mode}", settings={
        **MODES[mode],
        "batch.interval.ms": 500, "rate.max.per.partition": 1000})
    try:
        job.feed(12_000)
        killer = Campaign(job, delay_us=100, seed=1)
        for way in ("early", "random", "recovery", "late", "random"):
            killer.kill_once(way)
        job.service.start()
        job.await_relayed(12_000, timeout_s=120)
        job.service.stop()
        job.assert_exactly_once(12_000)
        assert_counts_agree(job)
        classes = killer.classes()
        print(f"\n{classes} {killer.found}")
        assert classes["none"] + classes["part"] + classes["all"] >= 3, killer.found
    finally:
        job.close()
