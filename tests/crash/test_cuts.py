"""SIGKILLs while a network spoils requests, drawn by a seed: cut before the broker has them, cut after it
executed them, or kept and let go later, into whatever goes on then. A read_committed reader has every record
once; marks, ledger and topics agree.

CI: 10 kills and 2 in recoveries, transactional mode. ONCESINK_FULL=1: 100 and 20, and the same in idempotent
mode, where nothing comes late: that this is over when the settle wait ends is its assumption. What was spoiled is printed by kind; a kind
that none befell fails the test.
"""

import collections
import itertools
import os
import random
import threading
import time

import pytest

from job import Job
from kills import Campaign, assert_counts_agree
from proxy import Api, cut_after, cut_before, hold
from wire import errors

# One in so many requests of a kind; a transaction has a Produce or more a partition, and one of the others.
EVERY = {
    "idempotent": {Api.PRODUCE: 10, Api.INIT_PRODUCER_ID: 3, Api.OFFSET_COMMIT: 3,
                   Api.OFFSET_FETCH: 4, Api.LIST_OFFSETS: 10, Api.FETCH: 20},
    "transactional": {Api.PRODUCE: 25, Api.ADD_PARTITIONS_TO_TXN: 4, Api.ADD_OFFSETS_TO_TXN: 4,
                      Api.TXN_OFFSET_COMMIT: 4, Api.END_TXN: 4, Api.INIT_PRODUCER_ID: 4}}
CUTS = [cut_before, cut_after]
WAYS = [*CUTS, hold]
# A late InitProducerId fences the living producer; more than three of those in ten minutes stop the job.
NEVER_LATE = Api.INIT_PRODUCER_ID
MODES = ["transactional"] + (["idempotent"] if os.environ.get("ONCESINK_FULL") == "1" else [])
LATE_S_MAX = 1.5
CI = {"count": 70_000, "kills": 10, "least": 1}
FULL = {"count": 700_000, "kills": 100, "least": 10}


class Network:
    """Spoils requests of one client until it is stopped."""

    def __init__(self, proxy, client, mode):
        self.proxy = proxy
        self.random = random.Random(mode)
        self.answers = collections.Counter()    # to what came late
        self.rules = []
        for api, every in EVERY[mode].items():
            late = mode == "transactional" and api != NEVER_LATE
            act = self._spoil(every, WAYS if late else CUTS, f"{mode} {api}")
            self.rules.append(proxy.add(act, api=api, client=client, times=None))
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._let_go)
        self.thread.start()

    @staticmethod
    def _spoil(every, ways, seed):
        """In each run of so many requests one, the ways taking turns."""
        chosen = random.Random(seed)
        numbers = itertools.count()
        turn = itertools.cycle(chosen.sample(ways, len(ways)))
        place = 0

        def act(request):
            nonlocal place
            number = next(numbers) % every
            if number == 0:
                place = chosen.randrange(every)
            return next(turn)() if number == place else None
        return act

    def _let_go(self):
        """One after another, so the delays are of all sizes."""
        done = collections.Counter()
        while not self.stopped.wait(0.01):
            for number, rule in enumerate(self.rules):
                for held in rule.held[done[number]:]:
                    self.stopped.wait(self.random.uniform(0, LATE_S_MAX) / 2)
                    found = errors(held.request, held.release())
                    self.answers[held.request.api.name, *sorted(found)] += 1
                    done[number] += 1

    def stop(self):
        for rule in self.rules:
            self.proxy.remove(rule)
        self.stopped.set()
        self.thread.join()

    def spoiled(self):
        """{kind: {how: times}}"""
        found = {}
        for rule in self.rules:
            for request in rule.hits:
                kind = found.setdefault(request.api.name, collections.Counter())
                kind[request.act] += 1
        return found


@pytest.mark.parametrize("mode", MODES)
def test_kills_on_a_bad_network(proxied, peer, tmp_path, full, mode):
    size = FULL if full else CI
    kafka, proxy = proxied
    job = Job(peer.at(kafka.bootstrap), tmp_path, f"cuts-{mode}", settings={
        "delivery.mode": mode, "bootstrap.servers": kafka.proxied_bootstrap,
        "batch.interval.ms": 500, "rate.max.per.partition": 1500})
    network = None
    try:
        job.feed(size["count"], style="plain" if full else "mixed")
        network = Network(proxy, job.name, mode)
        killer = Campaign(job, delay_us=80, seed=mode)
        began = time.monotonic()
        killer.run(size["kills"])
        network.stop()
        job.service.settings["rate.max.per.partition"] = 0      # the rest, soon
        job.service.start()
        job.await_relayed(size["count"], timeout_s=300)
        took_s = time.monotonic() - began
        job.service.stop()
        spoiled = network.spoiled()
        print(f"\n{len(killer.found)} kills in {took_s:.0f} s, {size['count']} records, classes"
              f" {killer.classes()}")
        for kind, ways in spoiled.items():
            print(f"{kind}: {dict(ways)}")
        print(f"what came late: {dict(network.answers)}")
        job.assert_exactly_once(size["count"])
        doubled = job.service.rows("SELECT text FROM oncesink_event WHERE kind = 'double'")
        assert doubled == [], [row["text"] for row in doubled]
        assert_counts_agree(job)
        short = [kind.name for kind in EVERY[mode]
                 if sum(spoiled.get(kind.name, {}).values()) < size["least"]]
        assert not short, f"nothing happened to {short}: {spoiled}"
        if mode == "transactional":
            assert sum(network.answers.values()) >= size["least"], network.answers
        unsettled = sum(batch is not None for _, batch, _ in killer.found)
        assert unsettled >= size["kills"] // 2, killer.found
    finally:
        if network:
            network.stopped.set()
        job.close()
