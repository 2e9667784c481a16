#!/usr/bin/python3
"""How much memory the process takes at most, for records of some sizes, budgets and numbers of partitions.

    tests/bench/memory.py [--mode idempotent|transactional] [--sizes BYTES,…] [--memory MIB,…] [--partitions N,…]
                          [--mib MIB] [--codec NAME --style flat] [--set NAME=VALUE] [--json FILE]

Each cell is one run of build/release/oncesinkd --until-end over --mib MiB of records (at least three a partition);
printed is the peak of its resident memory (VmHWM) less memory.max.bytes, and how fast it went. What counts is the
largest: it says what must be there beside memory.max.bytes.
"""

import argparse
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from kafka import Kafka             # noqa: E402
from peer import Peer               # noqa: E402
from measured import ROOT, measure  # noqa: E402

MIB = 1 << 20
RECORDS_A_PARTITION_MIN = 3
RECORD_BYTES_MAX = 64 * MIB


def numbers(text):
    return [int(each) for each in text.split(",")]


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mode", choices=["idempotent", "transactional"], default="idempotent")
    parser.add_argument("--sizes", type=numbers, default=[100, 1000, 100_000, 1_000_000])
    parser.add_argument("--memory", type=numbers, default=[8, 32, 128], help="memory.max.bytes in MiB")
    parser.add_argument("--partitions", type=numbers, default=[3, 100])
    parser.add_argument("--mib", type=int, default=300, help="of values, in each run")
    parser.add_argument("--codec", default="none")
    parser.add_argument("--style", default="plain", help="flat: values that compress well")
    parser.add_argument("--preset", default="release")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting for the product")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


class Table:
    def __init__(self, how, kafka, topics, folder):
        self.how, self.kafka, self.topics, self.folder = how, kafka, topics, folder
        self.cells = []

    def topic(self, name, partitions):
        self.topics("create_topics", topics={name: {
            "partitions": partitions, "configs": {"max.message.bytes": RECORD_BYTES_MAX}}})
        return name

    def load(self, size, partitions):
        """Returns the topic and how many records are in it."""
        count = max(self.how.mib * MIB // size, RECORDS_A_PARTITION_MIN * partitions)
        name = self.topic(f"in-{size}-{partitions}", partitions)
        self.topics("feed", topics={name: list(range(partitions))}, count=count, size=size,
                    style=self.how.style, codec=self.how.codec)
        return name, count

    def run(self, source, count, size, partitions, memory):
        output = self.topic(f"out-{size}-{partitions}-{memory}", partitions)
        file = self.folder / f"{output}.conf"
        file.write_text(f"job.name = {output}\n"
                        f"bootstrap.servers = {self.kafka.bootstrap}\n"
                        f"input.topics = {source}\n"
                        f"output.topic = {output}\n"
                        f"delivery.mode = {self.how.mode}\n"
                        "batch.interval.ms = 0\n"
                        f"memory.max.bytes = {memory * MIB}\n")
        extras = [part for each in self.how.set for part in ("--set", each)]
        figures = measure([str(ROOT / "build" / self.how.preset / "oncesinkd"), *extras, "--until-end", str(file)],
                          self.folder)
        if self.how.mode == "idempotent":
            ends = self.topics("ends", topics=[output])[output].values()
            arrived = sum(end["high"] - end["start"] for end in ends)
            if arrived != count:
                sys.exit(f"{arrived} records of {count} arrived")
        self.topics("delete_topics", topics=[output])
        self.cells.append({"size": size, "partitions": partitions, "memory_mib": memory,
                           "peak_mib": figures["peak_mib"], "beside_mib": figures["peak_mib"] - memory,
                           "mib_per_s": count * size / MIB / figures["wall_s"]})
        one = self.cells[-1]
        print(f"{size:>10,} B {partitions:>4} partitions {memory:>5} MiB: peak {one['peak_mib']:6.1f},"
              f" beside it {one['beside_mib']:6.1f} MiB, {one['mib_per_s']:6.1f} MiB/s", flush=True)


def main():
    how = options()
    peer = Peer().start()
    try:
        with Kafka(memory="1g", message_max_bytes=RECORD_BYTES_MAX) as kafka, \
                tempfile.TemporaryDirectory(prefix="oncesink-bench-") as folder:
            table = Table(how, kafka, peer.at(kafka.bootstrap), pathlib.Path(folder))
            for size in how.sizes:
                for partitions in how.partitions:
                    source, count = table.load(size, partitions)
                    for memory in how.memory:
                        table.run(source, count, size, partitions, memory)
                    table.topics("delete_topics", topics=[source])
    finally:
        peer.close()
    most = max(table.cells, key=lambda cell: cell["beside_mib"])
    print(f"{how.mode}: at most {most['beside_mib']:.1f} MiB beside memory.max.bytes"
          f" ({most['size']:,} B, {most['partitions']} partitions, {most['memory_mib']} MiB)")
    if how.json:
        pathlib.Path(how.json).write_text(json.dumps({"options": vars(how), "cells": table.cells}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
