"""Three brokers in trouble: leaders move, coordinators move, one broker at a time is killed, stopped in
order or stands still. Nothing is lost or doubled, the same process goes on all the time, and what has
piled up is worked off when all brokers are back.

One cluster and one chaos for all modes; each mode is a job with topics of its own. CI: 40 s of chaos.
ONCESINK_FULL=1: 10 minutes.
"""

import collections
import random
import re
import time

import pytest

from cluster import INTERNAL, Cluster
from job import MODES, Job
from kills import assert_counts_agree
from peer import PeerError

CHAOS_S, CHAOS_S_FULL = 40, 600
CI = (1, [5])                               # the chaos' seed; how long a broker is away at most
FULL = (time.time_ns(), [5, 5, 5, 30])
RATE = 300              # records a second and mode
DRAIN_S_MAX = 90


class Chaos:
    """Draws events until the time is over; nothing is broken any more when run() returns."""

    def __init__(self, cluster, topics, jobs, seed, away_s):
        self.away_s = away_s
        self.cluster, self.topics, self.jobs = cluster, topics, jobs
        self.names = [name for job in jobs for name in [*job.inputs, *job.outputs]]
        self.random = random.Random(seed)
        self.events = collections.Counter()
        self.moved = 0

    def run(self, seconds):
        kinds = [self.kill, self.leaders, self.coordinators, self.stop, self.pause]
        deck = [*kinds]
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(self.events) < len(kinds):
            if not deck:
                deck = [*kinds, self.kill, self.leaders, self.coordinators]
                self.random.shuffle(deck)
            event = deck.pop()
            event()
            self.events[event.__name__] += 1
            time.sleep(self.random.uniform(0.2, 2))
            for job in self.jobs:
                assert job.service.running(), f"{self.events}\n{job.service.log_tail()}"

    def away(self):
        """Most of the time short; now and then longer than what the client waits for an answer."""
        time.sleep(self.random.uniform(0.2, self.random.choice(self.away_s)))

    def leaders(self):
        self.move(self.names)

    def coordinators(self):
        self.move(INTERNAL)

    def move(self, names):
        try:
            self.moved += self.topics("move_leaders", topics=names,
                                      seed=self.random.getrandbits(32))["moved"]
        except PeerError as trouble:    # the cluster was just busy with itself
            print(f"leaders not moved: {trouble}")

    def kill(self):
        node = self.random.choice(self.cluster.nodes)
        node.kill()
        self.away()
        node.start()

    def stop(self):
        node = self.random.choice(self.cluster.nodes)
        node.stop()
        self.away()
        node.start()

    def pause(self):
        node = self.random.choice(self.cluster.nodes)
        node.pause()
        self.away()
        node.resume()


def await_drained(job, count):
    """Until the ledger has settled count records of input; returns how long that took."""
    began = time.monotonic()
    while True:
        settled = job.service.one("SELECT sum(next_offset) AS n FROM oncesink_input")["n"]
        if settled >= count:
            return time.monotonic() - began
        assert job.service.running(), job.service.log_tail()
        assert time.monotonic() - began < DRAIN_S_MAX, (
            f"{settled} of {count} settled {DRAIN_S_MAX} s after all brokers were back:\n"
            f"{job.service.log_tail(20000)}")
        time.sleep(0.1)


def make_internal_topics(topics):
    """The topics that Kafka makes when they are first needed."""
    warm_up = "warm-up"
    topics("create_topics", topics={warm_up: {"partitions": 1}})
    topics("feed", topics={warm_up: [0]}, count=1, transaction=1)
    topics("alter_group", group=warm_up, offsets={warm_up: {0: 0}})


@pytest.fixture(scope="module")
def troubled(request, peer, tmp_path_factory, full):
    """Runs the chaos over the modes that the session selected: {mode: (job, records fed, seconds
    to drain)}, and the events."""
    modes = [item.callspec.params["mode"] for item in request.session.items
             if item.module is request.module]
    jobs = {}
    with Cluster() as cluster:
        topics = peer.at(cluster.bootstrap)
        make_internal_topics(topics)
        try:
            for mode in modes:
                jobs[mode] = Job(topics, tmp_path_factory.mktemp(mode), f"cluster-{mode}",
                                 settings={**MODES[mode], "speculation.enabled": "true"})
                jobs[mode].service.start()
            chaos = Chaos(cluster, topics, jobs.values(), *(FULL if full else CI))
            feeds = {mode: topics.begin("feed", topics=job.all_inputs(), count=10**9, rate=RATE,
                                        seed=4) for mode, job in jobs.items()}
            pids = {mode: job.service.pid for mode, job in jobs.items()}
            chaos.run(CHAOS_S_FULL if full else CHAOS_S)
            found = {}
            for mode, feed in feeds.items():
                feed.stop()
            for mode, job in jobs.items():
                sent = feeds[mode].result()["sent"]
                found[mode] = (job, sent, await_drained(job, sent))
                assert job.service.pid == pids[mode]
            yield found, {**chaos.events, "partitions moved": chaos.moved}
        finally:
            for job in jobs.values():
                job.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_cluster_in_trouble_loses_and_doubles_nothing(troubled, mode, full):
    found, events = troubled
    job, sent, drained_s = found[mode]
    log = job.service.log()
    job.service.stop()
    batches = job.service.one("SELECT count(*) AS n, max(processing_ms) AS longest FROM batches"
                              " WHERE records > 0")
    print(f"\n{mode}: {sent} records, {batches['n']} batches, the longest {batches['longest']} ms,"
          f" {len(re.findall('replacing the producer', log))} producers replaced,"
          f" {len(re.findall('a second consumer brought', log))} ranges with a second consumer, drained"
          f" {drained_s:.1f} s after the last event; {events}")
    assert events["partitions moved"] > 0, events
    job.assert_exactly_once(sent)
    if mode != "positions":     # nothing in the outputs says which batch
        assert_counts_agree(job)
    assert job.service.rows("SELECT text FROM events WHERE kind = 'double'") == []
