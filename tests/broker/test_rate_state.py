"""The rate's state through restarts, recoveries, other settings and an older ledger, and the limits that the rule
table doesn't show. Small jobs on a fast tick; what each batch took is recomputed as in test_rate_rules.py."""

import pathlib
import sqlite3
import time

import pytest

from rate_rules import Rules, await_settled, batches_of, settled
from recover import do, recover, refused

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "schema"


@pytest.fixture(scope="module")
def topic(topics):
    """An input topic that no test works off."""
    topics("create_topics", topics={"rates-in": {"partitions": 3}})
    topics("feed", topics={"rates-in": [0, 0, 0, 0, 0, 1, 1, 1, 2]}, count=100_000,
           style="plain", size=20)
    return "rates-in"


def live(service, batches, delay_us=100, **how):
    """Settles so many batches more, and stops in order."""
    before = settled(service) if service.ledger.exists() else 0
    service.start(delay_us=delay_us, **how)
    await_settled(service, before + batches)
    service.stop()


def replayed(rules, service):
    """The batches, which are as the rules say."""
    assert rules.replay(service) == []
    return batches_of(service)


@pytest.mark.parametrize("age_max_ms, kept", [(600_000, True), (700, False), (0, False)])
def test_a_rate_that_has_grown_too_old_is_dropped_but_no_batch_is_the_first_again(
        topic, new_service, age_max_ms, kept):
    rules = Rules(200, cap=1000, backpressure=True, initial=900, age_max_ms=age_max_ms)
    service = new_service(topic, rules.settings())
    live(service, 4)
    time.sleep(0.8)
    before = settled(service)
    live(service, 4)
    batches = replayed(rules, service)
    again = batches[before]
    assert batches[before - 1]["rate"] not in (None, 900), "there is nothing to drop"
    assert (again["rate"] == 900) != kept
    if not kept:
        assert again["limited_by"] == "initial" and batches[before + 1]["rate"] == 900
        assert "dropped: more than backpressure.state.max.age.ms" in service.log()


def test_after_a_dropped_rate_the_cap_holds_for_the_first_batch(topic, new_service):
    rules = Rules(200, cap=1000, backpressure=True, capped_first=True, age_max_ms=0)
    service = new_service(topic, rules.settings())
    live(service, 4)
    before = settled(service)
    rules.capped_first = False      # it would be unlimited if it counted as the first
    service.settings.update(rules.settings())
    live(service, 3)
    batches = batches_of(service)
    assert batches[before - 1]["rate"] and batches[before]["rate"] is None
    assert {batches[before]["limited_by"], batches[before + 1]["limited_by"]} == {"cap"}
    rules.capped_first = True
    replayed(rules, service)


@pytest.mark.parametrize("mode, place", [("idempotent", "deliver-last-acked:kill@5"),
                                         ("idempotent", "settle-before-commit:kill@5"),
                                         ("transactional", "settle-before-commit:kill@5")])
def test_a_batch_that_recovery_finished_counts_for_nothing(topic, new_service, mode, place):
    rules = Rules(200, backpressure=True, initial=3000)
    service = new_service(topic, {"delivery.mode": mode, **rules.settings()})
    service.start(delay_us=100, failpoint=place)
    assert service.wait() == -9
    assert service.in_doubt()["batch"] == 5
    state = dict(service.one("SELECT * FROM oncesink_rate"))
    service.start(failpoint="plan-before-commit:kill", ready=False)
    assert service.wait() == -9     # batch 5 is settled, 6 isn't planned
    assert dict(service.one("SELECT * FROM oncesink_rate")) == state
    assert state["batch"] == 4
    live(service, 4)
    batches = replayed(rules, service)
    assert [batch["outcome"] for batch in batches[3:6]] == ["ok", "recovered", "ok"]
    assert batches[4]["rate"] == batches[5]["rate"], "what it took changed the rate"


def test_nothing_of_a_rate_is_kept_when_its_settling_is_lost(topic, new_service):
    rules = Rules(200, backpressure=True, initial=3000)
    service = new_service(topic, rules.settings())
    service.start(delay_us=100, failpoint="settle-before-commit:error@4", ready=False)
    assert service.wait() != 0
    assert service.in_doubt()["batch"] == 4
    assert service.one("SELECT batch FROM oncesink_rate")["batch"] == 3
    live(service, 4)
    replayed(rules, service)


def test_batch_max_records_comes_last_and_is_kept_to_the_record(topic, new_service):
    rules = Rules(200, cap=4000, backpressure=True, initial=9001, records_max=701, minimum=3,
                  min_rate=4000)
    service = new_service(topic, rules.settings())
    live(service, 8, delay_us=20)
    batches = replayed(rules, service)
    assert {batch["planned"] for batch in batches} == {701}
    assert {batch["limited_by"] for batch in batches} == {"records"}
    assert batches[-1]["rate"] > 701 / 0.2, "the rate would have cut it"


def test_the_minimum_is_records_per_batch_and_lifts_a_share(topic, new_service):
    rules = Rules(200, backpressure=True, initial=60, minimum=40, min_rate=30, i=2)
    service = new_service(topic, rules.settings())
    live(service, 5)
    batches = replayed(rules, service)
    assert {batch["planned"] for batch in batches[:2]} == {3 * 40}
    assert {batch["limited_by"] for batch in batches[:2]} == {"minimum"}
    assert "ms after its tick, rate 60/s, limited by minimum" in service.log()


def test_a_cap_for_each_partition_and_one_without_beside_them(topic, new_service):
    rules = Rules(200, cap={(topic, 0): 500, (topic, 1): 1150}, minimum=2)
    service = new_service(topic, {
        **rules.settings(),
        "rate.max.per.partition": f"{topic}:0=500,{topic}:1=1150,{topic}:7=5"})
    live(service, 5)
    assert f"names '{topic}'[7], but that topic has 3 partitions" in service.log()
    assert f"leaves 1 partitions out ('{topic}'[2] for one)" in service.log()
    for batch in replayed(rules, service):
        assert [each["until_offset"] - each["from_offset"]
                for each in batch["ranges"].values()] == [100, 230, 2]


def test_without_an_interval_the_cap_is_for_the_time_since_the_last_plan(topic, new_service):
    rules = Rules(0, cap=900, minimum=4)
    service = new_service(topic, rules.settings())
    live(service, 12, delay_us=50)
    batches = replayed(rules, service)
    assert len({batch["planned"] for batch in batches}) > 3
    assert {batch["limited_by"] for batch in batches} <= {"cap", "minimum"}


def test_without_an_interval_the_cap_of_a_slow_partition_is_kept_beside_fast_ones(
        topic, new_service):
    rules = Rules(0, cap={(topic, 0): 20, (topic, 1): 2000})
    service = new_service(topic, {
        **rules.settings(), "rate.max.per.partition": f"{topic}:0=20,{topic}:1=2000"})
    live(service, 8)
    before = None
    for batch in replayed(rules, service):
        if before:
            seconds = (batch["started_ms"] - before["started_ms"]) / 1000
            for place, cap in rules.cap.items():
                each = batch["ranges"][place]
                assert each["until_offset"] - each["from_offset"] <= seconds * cap
        before = batch


def test_a_cap_that_comes_to_nothing_is_warned_of(topic, new_service):
    service = new_service(topic, Rules(200, cap=4, minimum=0).settings())
    service.start()
    service.await_log("less than a record in batch.interval.ms = 200, and rate.min.per.partition is 0")
    assert "partitions out" not in service.log()
    service.stop()
    assert settled(service) == 0


def test_the_limit_in_records_holds_for_the_first_batch_too(topic, new_service):
    rules = Rules(200, cap=100, backpressure=True, records_max=5003)
    service = new_service(topic, rules.settings())
    live(service, 3, delay_us=20)
    batches = replayed(rules, service)
    assert (batches[0]["planned"], batches[0]["limited_by"]) == (5003, "records")
    assert "takes all there is, up to batch.max.records, whatever" in service.log()
    assert batches[1]["limited_by"] == "cap"


def test_two_topics_share_one_rate_and_a_partition_that_is_added_takes_part(
        topics, topic, name, new_service):
    other = f"{name}-another"       # before the other one by name
    topics("create_topics", topics={other: {"partitions": 2}})
    topics("feed", topics={other: [0, 0, 1]}, count=60_000, style="plain", size=20)
    rules = Rules(200, cap={(other, 0): 2500, (topic, 2): 300}, backpressure=True, initial=4000,
                  min_rate=1500)
    service = new_service(f"{topic},{other}", {
        **rules.settings(), "rate.max.per.partition": f"{other}:0=2500,{topic}:2=300"})
    service.start(delay_us=100)
    await_settled(service, 4)
    topics("add_partitions", topic=other, count=3)
    topics("feed", topics={other: [2]}, count=20_000, style="plain", size=20)
    service.await_log("1 input partitions are new", 60)
    await_settled(service, settled(service) + 4)
    service.stop()
    batches = replayed(rules, service)
    assert len(batches[0]["ranges"]) == 5 and len(batches[-1]["ranges"]) == 6
    assert "estimator" in {batch["limited_by"] for batch in batches}


def test_the_rate_goes_on_under_other_parameters_and_another_interval(topic, new_service):
    rules = Rules(200, backpressure=True, initial=3000)
    service = new_service(topic, rules.settings())
    live(service, 5)
    before = settled(service)
    state = dict(service.one("SELECT * FROM oncesink_rate"))
    rules.interval_ms, rules.p, rules.d = 300, 0.5, 0.1
    service.settings.update(rules.settings())
    live(service, 2)
    again = batches_of(service)[before]
    assert again["rate"] == state["published"] > 0
    assert service.one("SELECT batch FROM oncesink_rate")["batch"] > before


def test_a_switched_off_estimator_leaves_its_state_alone(topic, new_service):
    rules = Rules(200, cap=500, backpressure=True, initial=1000)
    service = new_service(topic, rules.settings())
    live(service, 4)
    state = dict(service.one("SELECT * FROM oncesink_rate"))
    before = settled(service)
    service.settings["backpressure.enabled"] = "false"
    live(service, 2)
    batches = batches_of(service)
    assert {batch["rate"] for batch in batches[before:]} == {None}
    assert dict(service.one("SELECT * FROM oncesink_rate")) == state
    before = len(batches)
    service.settings["backpressure.enabled"] = "true"
    live(service, 2)
    assert batches_of(service)[before]["rate"] == state["published"]


# The start says what a new ledger's first batch will do.

def test_the_start_warns_when_the_first_batch_of_a_new_ledger_is_unlimited(
        topics, name, new_service):
    topics("create_topics", topics={f"{name}-in": {"partitions": 3}})
    topics("feed", topics={f"{name}-in": [0]}, count=3, style="plain")
    rows = [(Rules(200, cap=5, backpressure=True), "rate.first.batch = capped"),
            (Rules(200, backpressure=True), "backpressure.initial.rate limits them"),
            (Rules(200, cap=5, backpressure=True, capped_first=True), None),
            (Rules(200, cap=5, backpressure=True, initial=7), None),
            (Rules(200, backpressure=True, initial=7), None),
            (Rules(200, cap=5), None),
            (Rules(200), None)]
    for rules, words in rows:
        service = new_service(f"{name}-in", rules.settings())
        service.start()
        said = "first batch of this new ledger takes all" in service.log()
        assert said == (words is not None), rules
        if words is not None:
            assert words in service.log()
            await_settled(service, 1)
            service.stop()
            service.start()                 # it is no new ledger any more
            assert "first batch" not in service.log()
        service.kill()


# A ledger from before there was a rate in it.

def as_it_was_in_schema(version, ledger):
    """The ledger, closed by everybody, as that version's program would have left it."""
    new = ledger.with_name("older.db")
    connection = sqlite3.connect(new, isolation_level=None)
    connection.execute("PRAGMA page_size = 4096")
    for file in sorted(SCHEMA.glob("[0-9]*_*.sql"))[:version]:
        connection.executescript(file.read_text())
    connection.execute("ATTACH ? AS now", (str(ledger),))
    for table, in connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'"
                                     " ORDER BY rowid").fetchall():
        columns = ", ".join(row[1] for row in connection.execute(
            f"PRAGMA main.table_info({table})"))
        connection.execute(f"INSERT INTO main.{table} ({columns})"
                           f" SELECT {columns} FROM now.{table}")
    connection.execute("DETACH now")
    connection.execute(f"PRAGMA application_id = {0x4f4e4345}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    for each in ledger.parent.glob(f"{ledger.name}*"):
        if each.suffix != ".lock":
            each.unlink()
    new.rename(ledger)


@pytest.mark.parametrize("in_doubt", [False, True])
def test_a_ledger_from_before_the_rate_is_brought_up_to_date(topic, new_service, in_doubt):
    rules = Rules(200, cap=500, backpressure=True)
    service = new_service(topic, {**rules.settings(), "backpressure.enabled": "false"})
    live(service, 2)
    before = settled(service)
    if in_doubt:
        service.start(failpoint="deliver-middle:kill", ready=False)
        assert service.wait() == -9
        assert service.in_doubt()["batch"] == before + 1
    service.close_ledger()
    as_it_was_in_schema(1, service.ledger)
    told = refused("status", service.ledger, code=65)
    assert "older schema 1" in told and "start oncesinkd once" in told
    service.settings.update(rules.settings())
    live(service, 4 + in_doubt)
    batches = batches_of(service)[before:]
    assert [batch["outcome"] for batch in batches[:2]] == (
        ["recovered", "ok"] if in_doubt else ["ok", "ok"])
    assert batches[in_doubt]["limited_by"] == "cap", "it counted as a new ledger's first"
    assert batches[-1]["rate"]
    assert recover("verify", service.ledger).text == "sound\n"
    assert f"rate {batches[-1]['rate']:,.0f}/s" in recover("status", service.ledger).text
    assert recover("backup", service.ledger, service.folder / "copy.db").code == 0
    with sqlite3.connect(service.folder / "copy.db") as copy:
        assert copy.execute("SELECT * FROM oncesink_rate").fetchone() == tuple(
            service.one("SELECT * FROM oncesink_rate"))


def test_a_ledger_that_was_rebuilt_has_no_rate_and_no_first_batch(topic, new_service):
    rules = Rules(200, cap=500, backpressure=True, capped_first=True)
    service = new_service(topic, rules.settings())
    live(service, 4)
    before = settled(service)
    service.close_ledger()
    service.ledger.unlink()
    rules.capped_first = False
    service.settings.update(rules.settings())
    assert service.run() == 77      # there is a mark; a new ledger that it leaves is moved away, too
    service.ledger.unlink()
    do("rebuild", service.ledger, service.file)
    assert service.one("SELECT * FROM oncesink_rate") is None
    live(service, 3)
    batches = batches_of(service)
    assert batches[0]["batch"] == before + 1
    assert [batch["limited_by"] for batch in batches[:2]] == ["cap", "cap"]
    assert batches[2]["rate"]
    assert recover("verify", service.ledger).code == 0
