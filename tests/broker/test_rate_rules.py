"""Each row of the rule table, on a real Kafka with a skewed backlog and records that keep arriving: what every
batch took, its rate and the limit that is named are recomputed by tests/support/rate_rules.py from the ledger's
own rows, and must be exactly the same, across restarts in order and by kill -9."""

import concurrent.futures
import dataclasses

import pytest

from rate_rules import Rules, await_settled, batches_of, settled
from service import Service

BACKLOG = 200_000
ARRIVING_PER_S = 3_000
SKEW = [0, 0, 0, 0, 0, 1, 1, 1, 2]      # of nine records five go to partition 0
BATCHES_BEFORE, BATCHES_AFTER = 10, 5

# A delay for each record makes the estimator's rate one that matters: with caps it is such that the rate's
# share stays below them, and with an unlimited first batch that one takes seconds, whatever the machine.
ROWS = {
    "none": (Rules(1000), 0),
    "4": (Rules(1000, cap=1500), 0),
    "2+4, first batch unlimited": (
        Rules(1000, cap=1500, backpressure=True, i=0.7), 20),
    "2+4, first batch capped": (
        Rules(1000, cap=1500, backpressure=True, capped_first=True, d=0.05), 400),
    "2+3+4": (Rules(1000, cap=1000, backpressure=True, initial=1300, p=0.8, d=0.1), 600),
    "2": (Rules(1000, backpressure=True, i=0.5, min_rate=333.3), 20),
    "2+3": (Rules(1000, backpressure=True, initial=2000, p=0.9, i=0.3, d=0.2), 300),
}
MODES = ["idempotent", "transactional"]


@dataclasses.dataclass
class Row:
    """A job of one row of the table."""
    title: str
    rules: Rules
    delay_us: int
    killed: bool        # else stopped in order
    output: str
    service: Service

    def live(self):
        self.service.start(delay_us=self.delay_us)
        await_settled(self.service, BATCHES_BEFORE)
        if self.killed:
            self.service.kill()
        else:
            self.service.stop()
        before = settled(self.service)
        assert before >= BATCHES_BEFORE
        self.service.start(delay_us=self.delay_us)
        await_settled(self.service, before + BATCHES_AFTER)
        self.service.stop()
        return self


@pytest.fixture
def arriving(topics, name):
    """The input topic: the backlog is there, and more arrives until the test ends."""
    topic = f"{name}-in"
    topics("create_topics", topics={topic: {"partitions": 3}})
    topics("feed", topics={topic: SKEW}, count=BACKLOG, style="plain", size=20)
    feeding = topics.begin("feed", topics={topic: SKEW}, count=10_000_000, first=BACKLOG,
                           style="plain", size=20, rate=ARRIVING_PER_S)
    yield topic
    if not feeding.done():
        feeding.stop()
    assert feeding.result()["sent"] > 0


def test_every_row_of_the_rule_table_in_both_modes_before_and_after_a_restart(
        arriving, new_service):
    rows = []
    for mode in MODES:
        for place, (title, (rules, delay_us)) in enumerate(ROWS.items()):
            service = new_service(arriving, {"delivery.mode": mode, **rules.settings()})
            rows.append(Row(f"{title} ({mode})", rules, delay_us,
                            (place + MODES.index(mode)) % 2 == 0,
                            service.settings["output.topic"], service))
    with concurrent.futures.ThreadPoolExecutor(len(rows)) as pool:
        list(pool.map(Row.live, rows))
    problems = {row.title: found for row in rows if (found := row.rules.replay(row.service))}
    assert not problems, problems
    for row in rows:
        look_at_what_makes_the_row(row)


def look_at_what_makes_the_row(row):
    """That the row's own limit was at work, or a replay of nothing would prove nothing."""
    batches = batches_of(row.service)
    names = [batch["limited_by"] for batch in batches]
    first = sum(each["until_offset"] - each["from_offset"]
                for each in batches[0]["ranges"].values())
    rules = row.rules
    title = f"{row.title}: {names}"
    assert len(batches) >= BATCHES_BEFORE + BATCHES_AFTER, title
    assert len({batch["process"] for batch in batches}) == 2, title
    if rules.cap and not (rules.backpressure and not rules.capped_first):
        assert names[0] == "cap", title
    if rules.initial:
        assert names[:2] == ["initial"] * 2, title
    if rules.backpressure and not rules.initial and not rules.capped_first or not rules.cap:
        if not rules.initial:
            assert first >= BACKLOG and names[0] == "none", title
    if rules.backpressure:
        assert "estimator" in names, title
        assert len({batch["rate"] for batch in batches}) > 3, title
    else:
        assert {batch["rate"] for batch in batches} == {None}, title
