"""The few of Kafka's requests and answers that tests look into, read and made by hand.

An answer is what stands behind the correlation id. Flexible versions have compact lengths (one more than
the number, as a varint) and tagged fields, of which there are none in what is made here.
"""

import struct

from proxy import Api

FLEXIBLE_FROM = {Api.PRODUCE: 9, Api.INIT_PRODUCER_ID: 2, Api.ADD_PARTITIONS_TO_TXN: 3,
                 Api.ADD_OFFSETS_TO_TXN: 3, Api.END_TXN: 3, Api.TXN_OFFSET_COMMIT: 3}
NOT_LEADER_OR_FOLLOWER = 6
INVALID_PRODUCER_EPOCH = 47
CONCURRENT_TRANSACTIONS = 51
PRODUCER_FENCED = 90


class Reader:
    def __init__(self, data, flexible):
        self.data, self.at, self.flexible = data, 0, flexible

    def number(self, form):
        value, = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number("B")
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def count(self, form="i"):
        """The length of an array or of bytes; −1 for null."""
        return self.varint() - 1 if self.flexible else self.number(form)

    def bytes(self, form="i"):
        size = self.count(form)
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size:self.at]

    def text(self):
        found = self.bytes("h")
        return None if found is None else found.decode()

    def tags(self):
        if self.flexible:
            for _ in range(self.varint()):
                self.varint()
                self.at += self.varint()


def is_flexible(request):
    return request.version >= FLEXIBLE_FROM[request.api]


def body_of(request):
    reader = Reader(request.body, is_flexible(request))
    reader.tags()
    return reader


def is_commit(request):
    """Of an EndTxn: is it a commit, no abort?"""
    body = body_of(request)
    body.text()             # transactional id
    body.number("q")        # producer id
    body.number("h")        # epoch
    return bool(body.number("b"))


def errors(request, answer):
    """The set of error codes in the answer to a request of a transaction."""
    reader = Reader(answer, is_flexible(request))
    reader.tags()
    if request.api != Api.PRODUCE:
        reader.number("i")  # throttle
    if request.api in (Api.INIT_PRODUCER_ID, Api.ADD_OFFSETS_TO_TXN, Api.END_TXN):
        return {reader.number("h")}
    found = set()
    for _ in range(reader.count()):
        reader.text()       # topic
        for _ in range(reader.count()):
            reader.number("i")
            found.add(reader.number("h"))
            if request.api == Api.PRODUCE:
                break       # of one partition, as librdkafka sends them
            reader.tags()
        if request.api == Api.PRODUCE:
            break
        reader.tags()
    return found


def produced(request):
    """Of a Produce request with one partition: {topic, partition, producer, epoch, sequence, count}."""
    body = body_of(request)
    body.text()             # transactional id
    body.number("h")        # acks
    body.number("i")        # timeout
    assert body.count() == 1
    topic = body.text()
    assert body.count() == 1
    partition = body.number("i")
    batch = body.bytes()
    producer, epoch, sequence, count = struct.unpack_from(">qhii", batch, 43)
    return {"topic": topic, "partition": partition, "producer": producer, "epoch": epoch,
            "sequence": sequence, "count": count}


def produce_refusal(request, error=NOT_LEADER_OR_FOLLOWER):
    """The answer to a Produce request with one partition (versions 5 to 10): nothing was written."""
    sent = produced(request)
    name = sent["topic"].encode()
    partition = struct.pack(">ihqqq", sent["partition"], error, -1, -1, -1)
    if is_flexible(request):
        # tags; one topic; one partition; no record errors, no message, tags; tags; throttle; tags
        return (b"\0\2" + bytes([len(name) + 1]) + name + b"\2" + partition + b"\1\0\0" + b"\0"
                + struct.pack(">i", 0) + b"\0")
    detail = struct.pack(">ih", 0, -1) if request.version >= 8 else b""
    return (struct.pack(">ih", 1, len(name)) + name + struct.pack(">i", 1) + partition + detail
            + struct.pack(">i", 0))
