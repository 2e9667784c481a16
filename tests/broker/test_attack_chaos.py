"""All of it at once, drawn by a seed: deaths at named steps and at any moment, in recovery too; records
that are refused; a stranger; transactions; partitions added while a batch is in doubt; other settings at
each start."""

import os
import random
import time

import pytest

from service import REPORTS, failpoints

FULL = os.environ.get("ONCESINK_FULL") == "1"
DAY_MS = 86_400_000
AHEAD = "message.timestamp.after.max.ms"
ROUNDS = 14
ALIVE_S_MAX = 2.5


class Chaos:
    def __init__(self, job, topics, seed):
        self.job, self.topics = job, topics
        self.random = random.Random(seed)
        self.fed = 0
        self.absent = []
        self.out = f"{job.name}-out"
        self.counts = [4]
        self.steps = failpoints()

    def feed(self):
        count = self.random.choice([50, 500, 4000])
        how = self.random.choice([{}, {"transaction": 40, "abort_every": 3}])
        self.job.feed(count, first=self.fed, **how)
        self.fed += count
        for topic, partitions in self.job.inputs.items():
            if self.random.random() < 0.3:
                partition = self.random.randrange(partitions)
                offset = self.topics("produce", records=[
                    {"topic": topic, "partition": partition, "key": "aw==", "headers": [],
                     "value": "eA==", "timestamp": int(time.time() * 1000) + DAY_MS}])["offsets"][0]
                self.absent.append([topic, partition, offset])

    def change(self):
        settings = self.job.service.settings
        settings["batch.max.records"] = self.random.choice([0, 100, 1500])
        settings["batch.interval.ms"] = self.random.choice([0, 50, 200])
        settings["fetch.max.records"] = self.random.choice([10, 10_000])
        self.change_topics()

    def change_topics(self):
        if self.random.random() < 0.15:
            self.counts.append(self.counts[-1] + 1)
            self.topics("add_partitions", topic=self.out, count=self.counts[-1])
        if self.random.random() < 0.15:
            topic = self.random.choice(list(self.job.inputs))
            self.job.inputs[topic] += 1
            self.topics("add_partitions", topic=topic, count=self.job.inputs[topic])

    def round(self):
        service = self.job.service
        how = {}
        if self.random.random() < 0.7:
            how["failpoint"] = (f"{self.random.choice(self.steps)}:"
                                f"{self.random.choice(['kill', 'kill', 'error'])}"
                                f"@{self.random.choice([1, 1, 2, 3])}")
        if self.random.random() < 0.5:
            how["delay_us"] = self.random.choice([50, 500])
        self.feed()
        self.change()
        service.start(ready=False, **how)
        deadline = time.monotonic() + self.random.uniform(0.2, ALIVE_S_MAX)
        while service.running() and time.monotonic() < deadline:
            time.sleep(0.01)
        if service.running():
            service.kill()
        code = service.process.returncode
        assert code in (-9, 1), (code, how, service.log_tail())
        assert not REPORTS.search(service.log()), service.log_tail(20000)


class ChaosByPlace(Chaos):
    """Each output partition has one source: an output grows before its input."""

    def change_topics(self):
        for topic in self.job.inputs:
            output = self.job.routes[topic]
            if self.random.random() < 0.1:
                self.job.outputs[output] += 1
                self.topics("add_partitions", topic=output, count=self.job.outputs[output])
            if self.job.inputs[topic] < self.job.outputs[output]:
                self.job.inputs[topic] += 1
                self.topics("add_partitions", topic=topic, count=self.job.inputs[topic])


@pytest.mark.parametrize("seed", range(6 if FULL else 1))
def test_chaos(new_job, topics, seed):
    job = new_job(inputs={"a": 3, "b": 2}, outputs={"out": 4}, partitioner="key",
                  configs={"a": {AHEAD: 10 * DAY_MS}, "b": {AHEAD: 10 * DAY_MS},
                           "out": {AHEAD: DAY_MS // 24}},
                  settings={"on.bad.record": "set-aside", "recovery.settle.ms": 300})
    error = f"{job.name}-error"
    topics("create_topics", topics={error: {"partitions": 2, "configs": {AHEAD: 10 * DAY_MS}}})
    job.service.settings["error.topic"] = error
    chaos = Chaos(job, topics, seed)
    stranger = topics.begin("stranger", topics=[chaos.out, error], open=[chaos.out], rate=50)
    for _ in range(ROUNDS):
        chaos.round()
    stranger.stop()
    stranger.result()
    assert job.service.run("--until-end", timeout_s=90) == 0, job.service.log_tail()
    job.assert_exactly_once(chaos.fed, absent=chaos.absent, counts={chaos.out: chaos.counts})
    ends = topics("ends", topics=[error])[error]
    aside = topics("fetch", to={error: {number: each["high"] for number, each in ends.items()}})
    ours = [record for record in aside["records"]
            if any(header[0] == "oncesink" for header in record["headers"])]
    assert len(ours) == len(chaos.absent), (len(ours), chaos.absent)
    assert job.service.rows("SELECT text FROM oncesink_event WHERE kind = 'double'") == []


def full_only(test):
    """Not collected otherwise; test_kills.py and test_failpoints.py do this in CI."""
    return test if FULL else None


@full_only
@pytest.mark.parametrize("seed", range(4))
def test_chaos_where_records_are_known_by_their_places(new_job, topics, seed):
    ahead, strict = {AHEAD: 10 * DAY_MS}, {AHEAD: DAY_MS // 24}
    job = new_job(inputs={"a": 3, "b": 2}, outputs={"a_out": 3, "b_out": 3}, route="{topic}_out",
                  configs={"a": ahead, "b": ahead, "a_out": strict, "b_out": strict},
                  settings={"on.bad.record": "set-aside", "recovery.settle.ms": 300,
                            "output.provenance": "positions"})
    error = f"{job.name}-error"
    topics("create_topics", topics={error: {"partitions": 2, "configs": ahead}})
    job.service.settings["error.topic"] = error
    chaos = ChaosByPlace(job, topics, seed)
    stranger = topics.begin("stranger", topics=[error], rate=50)
    for _ in range(ROUNDS):
        chaos.round()
    stranger.stop()
    stranger.result()
    assert job.service.run("--until-end", timeout_s=90) == 0, job.service.log_tail()
    job.assert_exactly_once(chaos.fed, absent=chaos.absent)
    ends = topics("ends", topics=[error])[error]
    aside = topics("fetch", to={error: {number: each["high"] for number, each in ends.items()}})
    ours = [record for record in aside["records"]
            if any(header[0] == "oncesink" for header in record["headers"])]
    assert len(ours) == len(chaos.absent), (len(ours), chaos.absent)
