"""The rule table, the split and the estimator, once more and from the rules' text alone, to recompute what a
job's batches must have taken from the rows of its ledger. Shares no code with the product.

    rules = Rules(interval_ms=1000, cap=500, backpressure=True)
    problems = rules.replay(service)        # [] when every batch took what the rules say

A float is an IEEE double here as there; every operation is in the rules' order.
"""

import bisect
import dataclasses
import math
import time

from service import SLOWNESS

INT64_MAX = 2**63 - 1
WAIT_S_MAX = 120


def truncated(number):
    if math.isnan(number):
        return 0
    if math.isinf(number):
        return INT64_MAX if number > 0 else -INT64_MAX - 1
    return max(-INT64_MAX - 1, min(INT64_MAX, int(number)))


class Estimator:
    """The state between batches; rate is what is published, 0 before there is one."""

    def __init__(self):
        self.first = True
        self.latest_time = self.latest_rate = self.latest_error = -1
        self.rate = 0

    def add(self, rules, time, elements, processing, scheduling):
        """True when the batch counts."""
        if not (time > self.latest_time and elements > 0 and processing > 0):
            return False
        seconds = (time - self.latest_time) / 1000.0
        speed = float(elements) / processing * 1000
        error = self.latest_rate - speed
        piled_up = float(scheduling) * speed / rules.interval_ms
        change = (error - self.latest_error) / seconds
        fresh = self.latest_rate - rules.p * error - rules.i * piled_up - rules.d * change
        fresh = max(fresh, rules.min_rate)
        self.latest_time = time
        if self.first:
            self.first, self.latest_rate, self.latest_error = False, speed, 0.0
        else:
            self.latest_rate, self.latest_error = fresh, error
            self.rate = truncated(fresh)
        return True


@dataclasses.dataclass
class Rules:
    """The settings that limit a job. cap: one number, or {(topic, partition): number}."""
    interval_ms: int
    cap: object = 0
    minimum: int = 1
    backpressure: bool = False
    initial: int = 0
    capped_first: bool = False
    records_max: int = 0
    p: float = 1.0
    i: float = 0.2
    d: float = 0.0
    min_rate: float = 100.0
    age_max_ms: int = 600_000

    def settings(self):
        """As they stand in a job's configuration (but a cap for each partition, which needs the topic)."""
        values = {
            "batch.interval.ms": self.interval_ms, "rate.min.per.partition": self.minimum,
            "backpressure.enabled": str(self.backpressure).lower(),
            "rate.first.batch": "capped" if self.capped_first else "unlimited",
            "batch.max.records": self.records_max, "backpressure.pid.proportional": self.p,
            "backpressure.pid.integral": self.i, "backpressure.pid.derived": self.d,
            "backpressure.pid.min.rate": self.min_rate,
            "backpressure.state.max.age.ms": self.age_max_ms}
        if self.initial:
            values["backpressure.initial.rate"] = self.initial
        if self.cap and not isinstance(self.cap, dict):
            values["rate.max.per.partition"] = self.cap
        return values

    def cap_of(self, place):
        return self.cap.get(place, 0) if isinstance(self.cap, dict) else self.cap

    def rate_in_force(self, published):
        if not self.backpressure:
            return 0, None
        if published > 0:
            return published, "estimator"
        return (self.initial, "initial") if self.initial > 0 else (0, None)

    def split(self, places, lags, published, first, seconds):
        """([take of each partition], the limit's name), in the order of topic and partition."""
        rate, source = self.rate_in_force(published)
        if first and self.backpressure and not self.capped_first and not rate:
            return self.cut_to_records(list(lags), "none")
        limits, names = [], []
        total = float(sum(lags))
        for place, lag in zip(places, lags):
            cap = self.cap_of(place)
            limit, name = float(cap), "cap"
            if rate:
                limit = float(lag) / total * rate if total else math.nan
                name = source
                if cap > 0 and limit > cap:
                    limit, name = float(cap), "cap"
            limits.append(limit)
            names.append(name)
        if not sum(limits) > 0:
            return self.cut_to_records(list(lags), "none")
        takes = []
        for partition, limit in enumerate(limits):
            take = truncated(seconds * limit)
            if take < self.minimum:
                take, names[partition] = self.minimum, "minimum"
            takes.append(min(take, lags[partition]))
        held_back = [lag - take for lag, take in zip(lags, takes)]
        most = max(held_back)
        return self.cut_to_records(takes, names[held_back.index(most)] if most else "none")

    def cut_to_records(self, takes, name):
        limit, wanted = self.records_max, sum(takes)
        if limit <= 0 or wanted <= limit:
            return takes, name
        cut = [truncated(float(take) / float(wanted) * limit) for take in takes]
        for partition, take in enumerate(takes):
            if sum(cut) < limit and cut[partition] < take:
                cut[partition] += 1
        return cut, "records"

    def replay(self, service):
        """What isn't as the rules say, in words. Reads a ledger from its first batch on."""
        problems = []
        estimator, process_of_state, before = Estimator(), None, None
        places = [(row["topic"], row["partition"]) for row in service.rows(
            "SELECT topic, partition FROM oncesink_input ORDER BY topic, partition")]
        next_offset = dict.fromkeys(places)
        for batch in batches_of(service):
            number = batch["batch"]
            stale = (process_of_state not in (None, batch["process"])
                     and batch["started_ms"] - estimator.latest_time > self.age_max_ms)
            if stale:
                estimator = Estimator()
            seconds = (self.interval_ms if self.interval_ms else
                       batch["started_ms"] - before["started_ms"] if before else 0) / 1000.0
            lags = [batch["ranges"][p]["end_offset"] - batch["ranges"][p]["from_offset"]
                    if p in batch["ranges"] else 0 for p in places]
            takes, name = self.split(places, lags, estimator.rate, number == 1, seconds)
            found = [batch["ranges"][p]["until_offset"] - batch["ranges"][p]["from_offset"]
                     if p in batch["ranges"] else 0 for p in places]
            rate = self.rate_in_force(estimator.rate)[0]
            skipped = not self.interval_ms and (before is None
                                                or before["process"] != batch["process"])
            if takes != found and not skipped:
                problems.append(f"batch {number} took {found} of {lags}, the rules say {takes}"
                                f" (rate {rate})")
            if name != batch["limited_by"] and not skipped:
                problems.append(f"batch {number} is limited by {batch['limited_by']}, not {name}")
            if (batch["rate"] or 0) != rate:
                problems.append(f"batch {number} has rate {batch['rate']}, the rules say {rate}")
            problems += self.look_at_times(batch, before)
            for p, each in batch["ranges"].items():
                if next_offset[p] not in (None, each["from_offset"]):
                    problems.append(f"batch {number} begins at {each['from_offset']} in {p},"
                                    f" not at {next_offset[p]}")
                next_offset[p] = each["until_offset"]
            if self.backpressure and batch["outcome"] == "ok" and estimator.add(
                    self, batch["ended_ms"], batch["planned"], batch["processing_ms"],
                    batch["scheduling_ms"]):
                process_of_state = batch["process"]
            before = batch
        return problems

    def look_at_times(self, batch, before):
        number = batch["batch"]
        if self.interval_ms and batch["tick_ms"] % self.interval_ms:
            yield f"batch {number} belongs to {batch['tick_ms']}, which is no tick"
        if before and self.interval_ms and before["tick_ms"] >= batch["tick_ms"]:
            yield f"batch {number} belongs to the tick {batch['tick_ms']}, not after the one before"
        if batch["outcome"] is None:
            return
        if batch["processing_ms"] != batch["ended_ms"] - batch["started_ms"]:
            yield f"batch {number}: processing {batch['processing_ms']}"
        if batch["scheduling_ms"] != batch["started_ms"] - batch["tick_ms"]:
            yield f"batch {number}: scheduling {batch['scheduling_ms']}"
        if before and batch["started_ms"] < before["ended_ms"]:
            yield f"batch {number} was planned before {number - 1} had ended"


def batches_of(service):
    """The ledger's batches in order, as dicts: their ranges by partition, and which start of the process it
    was that planned them."""
    connection = service.connection()
    connection.execute("BEGIN")     # one moment of it
    try:
        starts = [row[0] for row in connection.execute(
            "SELECT began_wall_ms FROM oncesink_incarnation WHERE began_with = 'start'"
            " ORDER BY began_wall_ms")]
        began = dict(connection.execute(
            "SELECT incarnation, began_wall_ms FROM oncesink_incarnation"))
        found = [{**row, "ranges": {}} for row in connection.execute(
            "SELECT batch, tick_ms, started_ms, ended_ms, planned, rate, limited_by, outcome,"
            " scheduling_ms, processing_ms, incarnation FROM oncesink_batch ORDER BY batch")]
        places = {batch["batch"]: batch for batch in found}
        for row in connection.execute(
                "SELECT batch, topic, partition, from_offset, until_offset, end_offset"
                " FROM oncesink_batch_range"):
            places[row["batch"]]["ranges"][row["topic"], row["partition"]] = dict(row)
    finally:
        connection.execute("COMMIT")
    for batch in found:
        batch["process"] = bisect.bisect_right(starts, began[batch["incarnation"]])
    return found


def settled(service):
    return service.one("SELECT settled FROM oncesink_ledger")["settled"]


def await_settled(service, count):
    deadline = time.monotonic() + WAIT_S_MAX * SLOWNESS
    while settled(service) < count:
        assert service.running(), f"it ended: {service.log_tail()}"
        assert time.monotonic() < deadline, f"{settled(service)} batches:\n{service.log_tail()}"
        time.sleep(0.05)
