"""What all rows of the bench share: one broker, its inputs, a folder, and the options."""

from measured import ROOT

PARTITIONS = 3


class Stage:
    def __init__(self, how, kafka, topics, folder):
        self.how, self.kafka, self.topics, self.folder = how, kafka, topics, folder
        self.build = ROOT / "build" / how.preset
        self.settings = dict(each.split("=", 1) for each in how.set)    # the product's, by --set
        self.warm = set()               # modes that the broker has worked in
        self._inputs = {}
        self._names = 0

    def name(self, what):
        """A name that nothing else here has."""
        self._names += 1
        return f"{what}-{self._names}"

    def input(self, size, records):
        """A topic with so many records of so many bytes, loaded once. (The name is as long as the one
        in raw_loop's header.)"""
        key = size, records
        if key not in self._inputs:
            topic = f"bench-{len(self._inputs):02}"
            self.topics("create_topics", topics={topic: {"partitions": PARTITIONS}})
            self.topics("feed", topics={topic: list(range(PARTITIONS))}, count=records, size=size,
                        style="plain")
            self._inputs[key] = topic
        return self._inputs[key]

    def count(self, output, transactional):
        """How many records a reader sees: between the ends of a log lie transactions' marks, too."""
        if transactional:
            name = self.name("count")
            found = self.topics("tally", name=name, topics=[output], isolation="read_committed", any=True)
            self.topics("tally", name=name, close=True)
            return found["records"]
        ends = self.topics("ends", topics=[output])
        return sum(end["high"] - end["start"] for end in ends[output].values())
