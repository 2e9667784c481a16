"""Rule R1's reason, on a real Kafka: a new idempotent producer's first request is refused, and those behind
it reach the broker.

The refusal (NOT_LEADER_OR_FOLLOWER) is the proxy's: a leader that moves away and back between two
requests gives the same, but not on demand. The broker never sees the first request, executes those behind
it, and the answers come in order. ONCESINK_FIRST_REFUSED names another program than the build's, for
another version of librdkafka.
"""

import base64
import json
import os
import subprocess

import pytest

from proxy import Api, answer, let_pass
from service import program
from wire import produce_refusal, produced

REQUESTS = 5
CLIENT = "first-refused"

# librdkafka (2.8.0 to 2.15.0) makes a partition's next request only while fewer than five *records* of it
# are in flight, so only small requests travel together, as those of a producer's beginning are: with four
# records each two do, with one record each five.
RECORDS_A_REQUEST = [1, 4]


class Seen:
    """One run: what the client was told, what went over the wire, what lies in the log."""

    def __init__(self, proxied, peer, topic, records, in_flight, gapless):
        self.records = records
        kafka, proxy = proxied
        topics = peer.at(kafka.bootstrap)
        topics("create_topics", topics={topic: {"partitions": 1, "configs": {}}})
        refused = proxy.add(answer(produce_refusal, in_turn=in_flight > 1 and not gapless), api=Api.PRODUCE,
                            client=CLIENT)
        proxy.add(let_pass(), api=Api.PRODUCE, client=CLIENT, times=None)
        done = subprocess.run(
            [os.environ.get("ONCESINK_FIRST_REFUSED") or program("bench/first_refused"),
             "-X", f"max.in.flight={in_flight}", "-X", f"enable.gapless.guarantee={str(gapless).lower()}",
             kafka.proxied_bootstrap, topic, str(REQUESTS),
             str(records)],
            capture_output=True, text=True, timeout=60, check=True)
        *reports, self.end = map(json.loads, done.stdout.splitlines())
        self.reports = {each["record"]: each for each in reports}
        self.requests = proxy.seen(Api.PRODUCE, CLIENT)
        assert self.requests[0] is refused.hits[0]
        end = topics("ends", topics=[topic])[topic]["0"]["high"]
        found = topics("fetch", to={topic: {0: end}})["records"]
        self.log = [int(base64.b64decode(each["value"])) for each in found]
        self.acknowledged = {number for number, each in self.reports.items()
                             if each["error"] == "NO_ERROR"}

    def __str__(self):
        lines = [str(self.end)]
        for each in self.requests:
            sent = produced(each)
            lines.append(f"{each.act}: epoch {sent['epoch']}, sequences {sent['sequence']} to"
                         f" {sent['sequence'] + sent['count'] - 1}")
        for first in range(0, REQUESTS * self.records, self.records):
            told = sorted({(each["error"], each["status"], each["offset"])
                           for number, each in self.reports.items()
                           if first <= number < first + self.records})
            lines.append(f"records {first} to {first + self.records - 1}:"
                         f" {told[0]} to {told[-1]}" if told else "nothing")
        lines.append(f"in the log: {self.log}")
        return "\n".join(lines)


@pytest.fixture
def run(proxied, peer, name):
    return lambda records, in_flight, gapless: Seen(proxied, peer, name, records, in_flight, gapless)


@pytest.mark.parametrize("records", RECORDS_A_REQUEST)
def test_with_five_in_flight_a_refused_first_request_is_acknowledged_and_never_written(run, records):
    """What librdkafka does. When this fails in a newer version, read R1 again."""
    seen = run(records, in_flight=5, gapless=False)
    print(f"\n{seen}")
    assert sorted(seen.acknowledged - set(seen.log)) == list(range(records)), str(seen)


@pytest.mark.parametrize("in_flight, gapless", [(1, False), (5, True)], ids=["connection", "partition"])
@pytest.mark.parametrize("records", RECORDS_A_REQUEST)
def test_with_one_in_flight_it_is_sent_again_and_all_is_written_once(run, records, in_flight, gapless):
    """What the product relies on: one of a connection, with any librdkafka; one of a partition, with
    tools/librdkafka-produce-one-request.patch."""
    seen = run(records, in_flight, gapless)
    print(f"\n{seen}")
    assert len(seen.requests) == REQUESTS + 1
    assert seen.log == list(range(REQUESTS * records)), str(seen)
    assert seen.acknowledged == set(seen.log), str(seen)
