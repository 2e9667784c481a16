"""SIGKILLs while a network spoils requests of the transactions, drawn by a seed: cut before the broker has
them, cut after it executed them, or kept and let go later, into whatever goes on then. A read_committed
reader has every record once; marks, ledger and topics agree.

CI: 10 kills and 2 in recoveries. ONCESINK_FULL=1: 100 and 20. What was spoiled is printed by kind; a kind
that none befell fails the test.
"""

import collections
import random
import threading
import time

from job import Job
from kills import Campaign, assert_counts_agree
from proxy import Api, cut_after, cut_before, hold
from wire import errors

# Chance of each of the three. A transaction has a Produce or more a partition, and one of the others.
CHANCES = {Api.PRODUCE: 0.015, Api.ADD_PARTITIONS_TO_TXN: 0.08, Api.ADD_OFFSETS_TO_TXN: 0.08,
           Api.TXN_OFFSET_COMMIT: 0.08, Api.END_TXN: 0.08, Api.INIT_PRODUCER_ID: 0.08}
# A late InitProducerId fences the living producer; more than three of those in ten minutes stop the job.
NEVER_LATE = {Api.INIT_PRODUCER_ID}
LATE_S_MAX = 1.5
CI = {"count": 70_000, "kills": 10, "least": 1}
FULL = {"count": 700_000, "kills": 100, "least": 10}


class Network:
    """Spoils requests of one client until it is stopped."""

    def __init__(self, proxy, client, seed):
        self.proxy = proxy
        self.random = random.Random(seed)
        self.answers = collections.Counter()    # to what came late
        self.rules = []
        self.stopped = threading.Event()
        for number, make in enumerate((cut_before, cut_after, hold)):
            for api, chance in CHANCES.items():
                if make is not hold or api not in NEVER_LATE:
                    self.rules.append(proxy.add(make(), api=api, client=client, times=None,
                                                chance=chance, seed=f"{seed} {number} {api}"))
        self.thread = threading.Thread(target=self._let_go)
        self.thread.start()

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
                kind[rule.act.name] += 1
        return found


def test_kills_on_a_bad_network(proxied, peer, tmp_path, full):
    size = FULL if full else CI
    kafka, proxy = proxied
    job = Job(peer.at(kafka.bootstrap), tmp_path, "cuts", settings={
        "delivery.mode": "transactional", "bootstrap.servers": kafka.proxied_bootstrap,
        "batch.interval.ms": 500, "rate.max.per.partition": 1500})
    network = None
    try:
        job.feed(size["count"], style="plain" if full else "mixed")
        network = Network(proxy, job.name, seed="cuts")
        killer = Campaign(job, delay_us=80, seed="cuts")
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
        assert_counts_agree(job)
        short = [kind.name for kind in CHANCES
                 if sum(spoiled.get(kind.name, {}).values()) < size["least"]]
        assert not short, f"nothing happened to {short}: {spoiled}"
        assert sum(network.answers.values()) >= size["least"], network.answers
        unsettled = sum(batch is not None for _, batch, _ in killer.found)
        assert unsettled >= size["kills"] // 2, killer.found
    finally:
        if network:
            network.stopped.set()
        job.close()
