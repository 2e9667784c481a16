"""What broker and crash tests share: one real Kafka and one peer a run, topics with unique names."""

import itertools
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))

from kafka import Kafka     # noqa: E402
from peer import Peer       # noqa: E402

FULL = os.environ.get("ONCESINK_FULL") == "1"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kafka():
    with Kafka() as running:
        yield running


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


@pytest.fixture(scope="session")
def full():
    return FULL
