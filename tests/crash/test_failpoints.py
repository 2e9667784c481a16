"""One SIGKILL at each named step of the protocol, before and after each durable act.

Each name is tried in a situation that leads there: an ordinary run; a run that finds a batch in doubt,
partly delivered; a run that meets a record which the broker refuses; a batch that lasts long enough for
a checkpoint. In both delivery modes, but for the steps that only one of them has, and with records
known by their places (output.provenance=positions): there the steps after which it is told by
comparing what was delivered, in CI some of them. A name that no situation reaches fails its test:
then it proves nothing.
"""

import os
import subprocess
import time

import pytest

from job import MODES, Job
from kills import assert_counts_agree
from parallel import SideBySide
from service import failpoints

COUNT = 1500
ALIVE_S_MAX = 12


# Steps of reading the outputs back and of the mark beside the batch; and of a transaction.
ONLY = {"idempotent": {"mark-before", "mark-after", "recover-begin", "recover-read",
                       "recover-check"},
        "transactional": {"transaction-after-init", "transaction-before-offsets",
                          "transaction-before-commit", "transaction-after-commit"}}


BY_PLACE_CI = {"deliver-middle", "deliver-last-acked", "checkpoint-after-commit",
               "set-aside-after-commit", "replace-after-destroy", "recover-read", "recover-check"}
BY_PLACE = {*BY_PLACE_CI, "plan-after-commit", "deliver-first", "checkpoint-before-commit",
            "set-aside-before-commit", "replace-after-purge", "settle-before-commit",
            "settle-after-commit", "recover-begin", "recover-deliver"}


def steps():
    names = failpoints()
    full = os.environ.get("ONCESINK_FULL") == "1"
    by_place = BY_PLACE if full else BY_PLACE_CI
    return [f"{mode}:{name}" for mode in ONLY for name in names
            if not any(name in only for other, only in ONLY.items() if other != mode)
            ] + [f"positions:{name}" for name in names if name in by_place]


def pytest_generate_tests(metafunc):
    if "step" in metafunc.fixturenames:
        metafunc.parametrize("step", steps())


def dies_there(job, name, delay_us):
    """Runs the job until the failpoint ends it, or until it had time enough and is asked to stop."""
    service = job.service
    service.start(ready=False, failpoint=f"{name}:kill", delay_us=delay_us)
    try:
        return service.process.wait(ALIVE_S_MAX) == -9
    except subprocess.TimeoutExpired:
        service.terminate()     # so that it passes the way out as well
        return service.wait() == -9


def ordinary(job):
    job.feed(COUNT)


def ordinary_but_slow(job):
    job.feed(COUNT)


def any_output(job):
    """Anything lies in the outputs, committed or not."""
    ends = job.topics("ends", topics=list(job.outputs))
    return any(end["high"] for topic in ends.values() for end in topic.values())


def batch_in_doubt(job):
    job.feed(COUNT)
    job.service.start(delay_us=2000)
    deadline = time.monotonic() + 30
    while not (job.service.in_doubt() and any_output(job)):
        assert time.monotonic() < deadline, job.service.log_tail()
    job.service.kill()
    job.service.close_ledger()


def refused_record(job):
    job.feed(COUNT)
    job.topics("produce", records=[
        {"topic": f"{job.name}-in", "partition": 1, "value": "QUFB" * 5000}])
    job.feed(COUNT, first=COUNT)


# situation → (configs of the output, delay per record of the run that is to die)
SITUATIONS = {
    ordinary: ({}, None),
    batch_in_doubt: ({}, None),
    refused_record: ({"max.message.bytes": 10_000}, None),
    ordinary_but_slow: ({}, 12_000),
}

# Where a name's situation isn't the first, it is tried first, to save time.
HINTS = {"recover": batch_in_doubt, "set-aside": refused_record, "replace": refused_record,
         "checkpoint": ordinary_but_slow, "client": batch_in_doubt}


def situations_for(name):
    hint = next((each for prefix, each in HINTS.items() if name.startswith(prefix)), ordinary)
    return [hint] + [each for each in SITUATIONS if each is not hint]


def kill_at(topics, folder, step):
    """Returns a description of what was done and the checker's verdict, or None: never reached."""
    mode, name = step.split(":")
    for number, situation in enumerate(situations_for(name)):
        configs, delay_us = SITUATIONS[situation]
        job_name = f"fp-{mode}-{name}-{number}"
        job = Job(topics, folder, job_name, configs={"out": configs}, settings={
            **MODES[mode], "batch.max.records": 600, "on.bad.record": "set-aside",
            "error.topic": f"{job_name}-error"})
        try:
            topics("create_topics", topics={f"{job.name}-error": {"partitions": 3}})
            situation(job)
            if not dies_there(job, name, delay_us):
                continue
            refused = situation is refused_record
            wanted = 2 * COUNT if refused else COUNT
            job.service.start()
            job.await_relayed(wanted)
            job.service.stop()
            ends = topics("ends", topics=[f"{job.name}-error"])[f"{job.name}-error"]
            aside = sum(each["high"] for each in ends.values())
            if mode == "transactional" and refused:
                # transactions leave their marks in the log, and aborted records
                aside = job.tally_errors(f"{job.name}-error")
            result = job.check(absent=[[f"{job.name}-in", 1, COUNT // 3]] if refused else [])
            if not refused:
                assert_counts_agree(job)
            return situation.__name__, result, wanted, aside - refused, job.service.log_tail()
        finally:
            job.close()
    return None


@pytest.fixture(scope="module")
def deaths(request, topics, tmp_path_factory):
    tmp_path_factory.getbasetemp()  # made here: threads would make one each
    side_by_side = SideBySide(
        request, "test_a_kill_at_a_named_step", "step",
        lambda step: kill_at(topics, tmp_path_factory.mktemp("failpoint"), step),
        workers=2 * (os.cpu_count() or 1))
    yield side_by_side
    side_by_side.close()


def test_a_kill_at_a_named_step(deaths, step):
    death = deaths.result(step)
    assert death, f"no situation reaches '{step}'"
    situation, result, wanted, surplus_aside, log = death
    assert result["clean"] and result["out"] == wanted, f"{situation}: {result}\n{log}"
    assert surplus_aside == 0, f"{situation}: error records lost or doubled: {surplus_aside}"


def test_the_product_names_its_steps():
    names = failpoints()
    assert len(names) == len(set(names)) >= 8, names
