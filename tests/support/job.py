"""A job under test: its topics on the real broker, its service, and the outside view of both."""

import itertools
import pathlib
import time

from service import SLOWNESS, Service

_numbers = itertools.count(1)

MARKERS_S = 5   # the longest wait for a transaction's markers

# The ways to deliver that the crash tests go through.
MODES = {
    "idempotent": {"delivery.mode": "idempotent"},
    "positions": {"delivery.mode": "idempotent", "output.provenance": "positions"},
    "transactional": {"delivery.mode": "transactional"},
}


class Job:
    """Makes the topics; nothing runs yet.

    inputs maps input topics to partition counts, outputs likewise; route is the output.topic
    setting. Names get the job's name as prefix, so that jobs don't meet. Its outputs are looked at
    as those see them to whom the delivery mode promises something.
    """

    def __init__(self, topics, folder, name, inputs=None, outputs=None, partitioner="same",
                 route=None, configs=None, settings=None):
        inputs = inputs or {"in": 3}
        outputs = outputs or {"out": 3}
        route = route or next(iter(outputs))
        configs = configs or {}
        self.topics = topics
        self.name = name
        self.inputs = {f"{name}-{topic}": count for topic, count in inputs.items()}
        self.outputs = {f"{name}-{topic}": count for topic, count in outputs.items()}
        output = route if "{topic}" in route else f"{name}-{route}"
        self.routes = {topic: output.replace("{topic}", topic) for topic in self.inputs}
        self.partitioner = partitioner
        transactional = (settings or {}).get("delivery.mode") == "transactional"
        # as the readers see it for whom the mode promises something
        self.isolation = "read_committed" if transactional else "read_uncommitted"
        topics("create_topics", topics={
            topic: {"partitions": count, "configs": configs.get(topic[len(name) + 1:], {})}
            for topic, count in {**self.inputs, **self.outputs}.items()})
        # without headers the outputs tell no batch; the ledger's fences do
        self.by_place = (settings or {}).get("output.provenance") == "positions"
        self.service = Service(pathlib.Path(folder) / name, {
            "job.name": name,
            "bootstrap.servers": topics.bootstrap,
            "input.topics": ",".join(self.inputs),
            "output.topic": output,
            "output.partitioner": partitioner,
            "batch.interval.ms": 200,
            **(settings or {})})
        self._tally = f"{name}-{next(_numbers)}"

    def all_inputs(self):
        """For feed: every partition of every input topic."""
        return {topic: list(range(count)) for topic, count in self.inputs.items()}

    def feed(self, count, **how):
        return self.topics("feed", **{"topics": self.all_inputs(), "count": count, "seed": 3,
                                      **how})

    def tally(self, **how):
        """What the outputs hold now: records, and of the batches that changed how many each."""
        if self.by_place:
            return self.tally_by_place()
        return self.topics("tally", name=self._tally, topics=list(self.outputs),
                           isolation=self.isolation, **how)

    def tally_raw(self):
        """The same, with what is in no reader's sight: open and aborted transactions."""
        return self.topics("tally", name=f"{self._tally}-raw", topics=list(self.outputs))

    def tally_by_place(self):
        """The same, of every batch, where records carry no header: a batch's are those from its
        fence to the next one's, or to the end."""
        ends = self.output_ends()
        batches = {}
        fences = self.service.rows(
            "SELECT batch, topic, partition, fence_offset AS fence FROM oncesink_batch_output"
            " ORDER BY batch DESC") if self.service.ledger.exists() else []
        until = dict(ends)
        for row in fences:
            place = row["topic"], row["partition"]
            if place in until:
                count = until[place] - row["fence"]
                if count > 0:
                    batches.setdefault(str(row["batch"]), {})["/".join(map(str, place))] = count
                until[place] = row["fence"]
        return {"records": sum(ends.values()), "batches": batches}

    def tally_errors(self, topic):
        """How many records of the job a reader sees in an error topic."""
        name = f"{self._tally}-errors"
        try:
            return self.topics("tally", name=name, topics=[topic],
                               isolation=self.isolation)["records"]
        finally:
            self.topics("tally", name=name, close=True)

    def output_ends(self):
        """{(topic, partition): log end}"""
        return {(topic, int(partition)): each["high"]
                for topic, parts in self.topics("ends", topics=list(self.outputs)).items()
                for partition, each in parts.items()}

    def batch_counts(self):
        """{batch: {"TOPIC/PARTITION": records}} of all that lies in the outputs."""
        return {int(batch): counts
                for batch, counts in self.tally(all=True)["batches"].items()}

    def await_relayed(self, count, timeout_s=60):
        """Waits until the outputs hold count records of the job, while its service runs."""
        deadline = time.monotonic() + timeout_s * SLOWNESS
        while True:
            records = self.tally()["records"]
            if records >= count:
                return records
            assert self.service.running(), (
                f"exit {self.service.process.returncode} at {records} of {count}:\n"
                f"{self.service.log_tail()}")
            assert time.monotonic() < deadline, (
                f"{records} of {count} after {timeout_s} s:\n{self.service.log_tail()}")
            time.sleep(0.05)

    def await_committed(self, count, timeout_s=60):
        """The same, whoever delivers: its service may end."""
        deadline = time.monotonic() + timeout_s * SLOWNESS
        while self.tally()["records"] < count:
            assert time.monotonic() < deadline, self.service.log_tail()
            time.sleep(0.05)

    def check(self, **how):
        """The checker's findings. The markers of a transaction are written after its commit was
        answered: what a reader of committed records misses may come within a moment."""
        how = {"isolation_out": self.isolation,
               "provenance": "none" if self.by_place else "headers", **how}
        deadline = time.monotonic() + MARKERS_S * SLOWNESS
        while True:
            result = self.topics("check", routes=self.routes, partitioner=self.partitioner, **how)
            if (not result["missing"] or how["isolation_out"] != "read_committed"
                    or time.monotonic() > deadline):
                return result
            time.sleep(0.2)

    def assert_exactly_once(self, count=None, **how):
        """The checker's verdict; count is how many records must be there."""
        result = self.check(**how)
        assert result["clean"], f"{result}\n{self.service.log_tail()}"
        if count is not None:
            assert result["out"] == count, result
        return result

    def close(self):
        self.service.close()
        self.topics("tally", name=self._tally, close=True)
        self.topics("tally", name=f"{self._tally}-raw", close=True)
