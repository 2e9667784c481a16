"""The group's marks while batches are shorter than a mark's round trips (O2): one mark stands for several, and
nothing is settled while one is under way for long."""

import threading
import time

from proxy import Api, delay

BATCH = 100
PARTITIONS = 3
MARK_S = 0.1


def short(new_job, **how):
    job = new_job(**how)
    job.service.settings.update({"delivery.mode": "idempotent", "batch.interval.ms": 0,
                                 "batch.max.records": BATCH})
    return job


def settled(job):
    return job.service.one("SELECT max(batch) AS batch FROM oncesink_batch WHERE state = 'settled'")["batch"] or 0


def marked(job):
    """{partition: (offset, batch)}"""
    found = job.topics("group_offsets", group=job.name).get(next(iter(job.inputs)), {})
    return {int(partition): (each["offset"], int(each["metadata"].split("/")[3]))
            for partition, each in found.items()}


def ends(job):
    topic = next(iter(job.inputs))
    return {int(partition): each["high"] for partition, each in job.topics("ends", topics=[topic])[topic].items()}


def test_a_mark_stands_for_several_short_batches(new_job, topics):
    job = short(new_job)
    job.feed(200 * BATCH)
    job.service.start()
    job.await_relayed(200 * BATCH)
    deadline = time.monotonic() + 10
    while {place: offset for place, (offset, _) in marked(job).items()} != ends(job):
        assert time.monotonic() < deadline, (marked(job), ends(job))     # also with nothing more to do
        time.sleep(0.05)
    job.service.stop()
    batches = settled(job)
    commits = topics("group_commits", group=job.name)[next(iter(job.inputs))]["0"]
    print(f"\n{len(commits)} marks for {batches} batches")
    assert batches >= 200
    assert 1 <= len(commits) < batches / 2
    assert min(b - a for a, b in zip(commits, [*commits[1:], float("inf")])) >= 1000 * MARK_S / 2, commits
    job.assert_exactly_once(200 * BATCH)


def test_a_stop_leaves_the_last_batchs_mark(new_job):
    job = short(new_job)
    job.feed(1000 * BATCH)
    job.service.start()
    job.await_relayed(20 * BATCH)
    job.service.stop()
    batches = settled(job)
    assert 20 <= batches < 1000
    assert {batch for _, batch in marked(job).values()} == {batches}
    job.service.start()
    job.await_relayed(1000 * BATCH)
    job.service.stop()
    job.assert_exactly_once(1000 * BATCH)


def test_nothing_is_settled_while_a_mark_is_under_way_for_long(proxied, peer, new_job):
    kafka, proxy = proxied
    job = short(new_job, at=peer.at(kafka.bootstrap))
    job.service.settings["bootstrap.servers"] = kafka.proxied_bootstrap
    job.feed(1000 * BATCH)
    gate = threading.Event()
    rule = proxy.add(delay(gate=gate), api=Api.OFFSET_COMMIT, client=job.name, nth=2)
    job.service.start()
    rule.await_hits()
    time.sleep(1)                       # far more than a batch and 0.1 s
    before, doubt = settled(job), job.service.in_doubt()
    assert doubt and job.tally()["records"] == (before + 1) * BATCH     # delivered, and waits
    time.sleep(1)
    assert settled(job) == before and job.service.in_doubt() == doubt
    gate.set()
    job.await_relayed(1000 * BATCH)
    job.service.stop()
    assert {batch for _, batch in marked(job).values()} == {settled(job)}
    job.assert_exactly_once(1000 * BATCH)
