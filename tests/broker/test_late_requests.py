"""A request of one transaction that reaches the broker in the next (T2, T3, T6): the proxy keeps the first
copy, librdkafka repeats it and reports success, and the copy is let go when the next transaction has begun.

The epoch of a new producer refuses it. ONCESINK_WITHOUT=taint takes the replacement out of the product: then
the same late request commits half a batch, or sets the mark back, and a read_committed reader has records
twice. That is asserted too, or this file would prove nothing.
"""

import signal
import threading
import time

import pytest

from proxy import Api, delay, hold
from wire import (CONCURRENT_TRANSACTIONS, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED, errors,
                  is_commit)

FIRST = 300         # records of a batch whose request comes late, and of that before it
NEXT = 900          # and of the next
ALL = 2 * FIRST + NEXT
DELAY_US = 300
REFUSED = [{INVALID_PRODUCER_EPOCH}, {PRODUCER_FENCED}]
WAIT_S_MAX = 30


def until(done, job, what):
    deadline = time.monotonic() + WAIT_S_MAX
    while not done():
        assert job.service.running(), f"{what}: it has ended\n{job.service.log_tail()}"
        assert time.monotonic() < deadline, f"no {what} in {WAIT_S_MAX} s\n{job.service.log_tail()}"
        time.sleep(0.005)


def late(held):
    """The error codes that the request gets. While the coordinator writes something it says so and decides
    nothing: then once more."""
    for _ in range(50):
        found = errors(held.request, held.release())
        if found != {CONCURRENT_TRANSACTIONS}:
            break
        time.sleep(0.05)
    print(f"{held.request}: late, {found}")
    return found


class Story:
    """Batch 1; batch 2, a request of which is kept; batch 3, in which it is let go."""

    def __init__(self, job, kafka, proxy):
        self.job, self.proxy = job, proxy
        job.service.settings["bootstrap.servers"] = kafka.proxied_bootstrap

    def rule(self, act, api, **how):
        return self.proxy.add(act, api=api, client=self.job.name, **how)

    def feed(self, count, first):
        """In one batch: the service stands still meanwhile."""
        self.job.service.signal(signal.SIGSTOP)
        self.job.feed(count, first=first)
        self.job.service.signal(signal.SIGCONT)

    def two_batches(self, api, without=None):
        """Returns when the second is committed; a request of it is kept."""
        self.job.feed(FIRST)
        self.job.service.start(delay_us=DELAY_US, without=without)
        self.job.await_relayed(FIRST)
        rule = self.rule(hold(), api)
        self.feed(FIRST, FIRST)
        self.job.await_relayed(2 * FIRST)
        return rule.await_held()

    def third_batch(self, feed=True):
        """Returns when a part of its records has been written and no more are, until the gate is set."""
        gate = threading.Event()
        rule = self.rule(delay(gate=gate), Api.PRODUCE, nth=4)
        if feed:
            self.feed(NEXT, 2 * FIRST)
        rule.await_hits()
        assert self.third() == 0
        return gate

    def third(self):
        """So many records behind the second batch a read_committed reader sees."""
        return self.job.tally()["records"] - 2 * FIRST

    def ends_exactly_once(self):
        self.job.await_relayed(ALL)
        self.job.service.stop()
        self.job.assert_exactly_once(ALL)


@pytest.fixture
def story(proxied, peer, new_job):
    kafka, proxy = proxied
    job = new_job(at=peer.at(kafka.bootstrap), settings={"delivery.mode": "transactional"})
    return Story(job, kafka, proxy)


KINDS = [Api.PRODUCE, Api.ADD_PARTITIONS_TO_TXN, Api.ADD_OFFSETS_TO_TXN, Api.TXN_OFFSET_COMMIT,
         Api.END_TXN]


@pytest.mark.parametrize("api", KINDS, ids=lambda api: api.name)
def test_a_late_request_is_refused(story, api):
    held = story.two_batches(api)
    gate = story.third_batch()
    assert late(held) in REFUSED
    assert story.third() == 0
    gate.set()
    story.ends_exactly_once()
    assert "replacing the producer" in story.job.service.log()


def test_without_the_replacement_a_late_commit_tears_the_next_batch(story):
    held = story.two_batches(Api.END_TXN, without="taint")
    assert is_commit(held.request)
    gate = story.third_batch()
    assert late(held) == {0}
    until(lambda: 0 < story.third() < NEXT, story.job, "torn batch")
    gate.set()
    until(lambda: story.third() > NEXT, story.job, "records twice")
    story.job.service.stop()
    result = story.job.check()
    assert result["doubled"] > 0 and result["missing"] == 0, result


def marked(job):
    """The batches that the partitions' marks name."""
    group = job.topics("group_offsets", group=job.name)
    return {int(mark["metadata"].split("/")[3]) for topic in group.values()
            for mark in topic.values()}


def killed_between_commit_and_settlement(story, without=None):
    """The offsets of batch 2 come late, between those of batch 3 and its commit, and the process dies
    before it knows of the commit. Returns the answer to them, and what the marks say then."""
    job = story.job
    held = story.two_batches(Api.TXN_OFFSET_COMMIT, without)
    gate = threading.Event()
    rule = story.rule(delay(gate=gate, answer_s=WAIT_S_MAX), Api.END_TXN)
    story.feed(NEXT, 2 * FIRST)
    commit = rule.await_hits()
    answer = late(held)
    gate.set()
    until(lambda: commit.answered_s and story.third() == NEXT, job, "third batch")
    assert job.service.in_doubt()["batch"] == 3
    job.service.kill()
    story.proxy.clear()
    story.proxy.cut()
    return answer, marked(job)


def test_late_offsets_dont_set_the_mark_back(story):
    answer, marks = killed_between_commit_and_settlement(story)
    assert answer in REFUSED and marks == {3}
    story.job.service.start()
    story.ends_exactly_once()


def test_without_the_replacement_late_offsets_set_the_mark_back(story):
    answer, marks = killed_between_commit_and_settlement(story, without="taint")
    assert answer == {0} and marks == {2}
    story.job.service.start()
    until(lambda: story.third() == 2 * NEXT, story.job, "third batch twice")
    story.job.service.stop()
    assert story.job.check()["doubled"] == NEXT


def test_a_late_abort_of_a_stopped_process_is_refused(story):
    """A forced stop aborts; that request comes into a transaction of the next process."""
    job = story.job
    job.feed(2 * FIRST)
    job.service.settings["shutdown.graceful"] = "false"
    job.service.start(delay_us=10 * DELAY_US)
    job.await_relayed(2 * FIRST)
    rule = story.rule(hold(), Api.END_TXN, when=lambda request: not is_commit(request))
    gate = story.third_batch()
    gate.set()
    job.service.terminate()
    assert job.service.wait() == 75, job.service.log_tail()
    held = rule.await_held()
    job.service.settings["shutdown.graceful"] = "true"
    job.service.start(delay_us=DELAY_US)
    gate = story.third_batch(feed=False)
    assert late(held) in REFUSED
    assert story.third() == 0
    gate.set()
    story.ends_exactly_once()


def test_a_late_init_fences_ourselves_and_the_service_goes_on(story):
    """T6: the first InitProducerId of a start comes in the third batch and fences the producer; the mark says
    that it was ourselves."""
    job = story.job
    rule = story.rule(hold(), Api.INIT_PRODUCER_ID)
    job.feed(2 * FIRST)
    job.service.start(delay_us=DELAY_US)
    job.await_relayed(2 * FIRST)
    pid = job.service.pid
    held = rule.await_held()
    gate = story.third_batch()
    # It ends the transaction that it finds first; the epoch is another from then on.
    assert errors(held.request, held.release()) == {CONCURRENT_TRANSACTIONS}
    gate.set()
    job.await_relayed(ALL)
    assert job.service.running() and job.service.pid == pid
    assert job.service.rows("SELECT text FROM oncesink_event WHERE text LIKE 'fenced%'")
    story.ends_exactly_once()
