"""The coordinator of a job's group (and of its transactional id) moves to another broker, as after every restart
of a broker, while the one that had it lives and answers that it isn't its turn any more
(librdkafka-coordinator-moved.patch). The job goes on, and so do its marks."""

import time

import pytest

from cluster import INTERNAL, Cluster
from job import MODES, Job
from service import SLOWNESS

MOVES = 5
STEP = 300
MARK_S_MAX = 20 * SLOWNESS


@pytest.fixture(scope="module")
def moving(peer):
    """The peer's commands at three brokers, with the topics made that Kafka makes when it needs them."""
    with Cluster() as cluster:
        topics = peer.at(cluster.bootstrap)
        topics("create_topics", topics={"warm-up": {"partitions": 1}})
        topics("feed", topics={"warm-up": [0]}, count=1, transaction=1)
        topics("alter_group", group="warm-up", offsets={"warm-up": {0: 0}})
        yield topics


def await_marked(job):
    """The group's offsets are the ledger's."""
    deadline = time.monotonic() + MARK_S_MAX
    while True:
        wanted = {(row["topic"], row["partition"]): row["next_offset"]
                  for row in job.service.rows("SELECT topic, partition, next_offset FROM oncesink_input")}
        found = {(topic, int(partition)): each["offset"]
                 for topic, partitions in job.topics("group_offsets", group=job.name).items()
                 for partition, each in partitions.items()}
        if found == wanted:
            return
        assert time.monotonic() < deadline, f"{found} is not {wanted}\n{job.service.log_tail()}"
        time.sleep(0.2)


@pytest.mark.parametrize("mode", ["idempotent", "transactional"])
def test_a_job_goes_on_when_its_coordinators_move(moving, tmp_path, mode):
    job = Job(moving, tmp_path, f"moves-{mode}", settings=MODES[mode])
    fed = 0
    moved = 0
    try:
        job.service.start()
        for seed in range(MOVES):
            for _ in range(3):      # a second batch waits for the first one's mark
                job.feed(STEP, first=fed)
                fed += STEP
                job.await_relayed(fed)
            await_marked(job)
            moved += moving("move_leaders", topics=INTERNAL, seed=seed)["moved"]
        job.feed(STEP, first=fed)
        fed += STEP
        job.await_relayed(fed)
        await_marked(job)
        job.service.stop()
        print(f"\n{moved} partitions moved")
        assert moved > 0
        job.assert_exactly_once(fed)
    finally:
        job.close()
