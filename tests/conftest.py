"""What broker and crash tests share: one real Kafka and one peer a run, topics with unique names.

ONCESINK_PRESET chooses the build (default debug); ONCESINK_FULL=1 runs the sizes that take too long for CI.
"""

import itertools
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))

from job import Job         # noqa: E402
from kafka import Kafka     # noqa: E402
from peer import Peer       # noqa: E402
from proxy import Proxy     # noqa: E402
from service import Service  # noqa: E402

FULL = os.environ.get("ONCESINK_FULL") == "1"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kafka():
    with Kafka() as running:
        yield running


@pytest.fixture(scope="session")
def proxied_kafka():
    with Kafka(proxied=True) as kafka, Proxy([kafka]) as proxy:
        yield kafka, proxy


@pytest.fixture
def proxied(proxied_kafka):
    """A second broker and the proxy before it, which begins each test without rules."""
    proxied_kafka[1].clear()
    yield proxied_kafka
    proxied_kafka[1].clear()


@pytest.fixture(scope="session")
def peer():
    running = Peer().start()
    yield running
    running.close()


@pytest.fixture(scope="session")
def topics(kafka, peer):
    """The peer's commands at the run's broker."""
    return peer.at(kafka.bootstrap)


@pytest.fixture
def name():
    """A word that no other test uses, for topics and jobs."""
    return f"t{next(_numbers)}"


@pytest.fixture
def new_job(topics, tmp_path, name):
    """Makes jobs (Job's arguments); the first is called `name`, and all are ended with the test."""
    jobs = []

    def make(at=topics, **how):
        suffix = f"-{len(jobs)}" if jobs else ""
        jobs.append(Job(at, tmp_path, name + suffix, **how))
        return jobs[-1]
    yield make
    for job in jobs:
        job.close()


@pytest.fixture(scope="session")
def full():
    return FULL


@pytest.fixture
def new_service(topics, tmp_path, name):
    """Services on one input topic, each with an output topic of its own; ended with the test."""
    services = []

    def make(topic, settings):
        number = len(services)
        output = f"{name}-out{number}"
        topics("create_topics", topics={output: {"partitions": 3}})
        services.append(Service(tmp_path / f"{name}-{number}", {
            "job.name": f"{name}-{number}", "bootstrap.servers": topics.bootstrap,
            "input.topics": topic, "output.topic": output, **settings}))
        return services[-1]
    yield make
    for service in services:
        service.close()
