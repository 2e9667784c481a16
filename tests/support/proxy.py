"""A TCP proxy that knows Kafka's requests, between the clients under test and a real broker.

    with Kafka(proxied=True) as kafka, Proxy([kafka]) as proxy:
        settings["bootstrap.servers"] = kafka.proxied_bootstrap     # the product; the checker goes direct
        rule = proxy.add(cut_after(), api=Api.PRODUCE, client="orders", nth=3)
        ...
        rule.await_hits(1); proxy.seen(api=Api.PRODUCE)

The broker's listener PROXIED advertises the proxy's port, so no answer needs rewriting. Of a request the
proxy reads the header (api, version, correlation id, client id); answers are paired by correlation id.
The first rule that matches a request decides what becomes of it; without one it passes:

    delay(request_s, answer_s, gate)
                                the request waits before it is handed on (so long, or until the gate, a
                                threading.Event, is set), the answer likewise; what comes behind it on the
                                connection waits too, as it would in TCP
    cut_before()                the connection ends, the request is thrown away
    cut_after()                 the broker executes it; instead of its answer the client gets the end of
                                the connection
    hold()                      the connection ends and the request is kept; Held.release() hands it to the
                                broker on a connection of the proxy's own. With execute=True the broker also
                                executes it now: what is kept is a second copy
    answer(make, in_turn)       the broker never sees it; the client gets make(request) as the body, in_turn
                                only when the broker has answered a request from behind it
    let_pass()                  ends the search for a rule, and keeps the bytes in the log

What stands behind a cut request on the same connection may reach the broker or not, as in life. Rules may
be added and removed at any time, from any thread. Two threads a connection; a test's dozen is no matter.
"""

import enum
import random
import socket
import struct
import threading
import time

CONNECT_S_MAX = 10
ANSWER_S_MAX = 30
FRAME_BYTES_MAX = 256 << 20
GATE_S = 0.2
CHUNK_BYTES = 1 << 18


class Api(enum.IntEnum):
    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_CONFIGS = 32


class Request:
    """A request as it came: `frame` without its size, `body` what follows the client id. `act` is what
    was done with it, `answer` the answer's bytes behind the correlation id, and `answered_s` when it came
    from the broker. What no rule took has its header only."""

    def __init__(self, frame, broker, connection):
        if len(frame) < 10:
            raise ValueError("a request needs 10 bytes")
        api, self.version, self.correlation, size = struct.unpack_from(">hhih", frame)
        self.api = Api(api) if api in Api._value2member_map_ else api
        self.client = frame[10:10 + max(0, size)].decode()
        self.broker, self.connection = broker, connection
        self.frame, self.size = frame, len(frame)
        self.at_s = time.monotonic()
        self.act, self.answer, self.answered_s = None, None, None

    @property
    def body(self):
        return self.frame[10 + len(self.client.encode()):]

    def __repr__(self):
        api = self.api.name if isinstance(self.api, Api) else self.api
        return (f"<{api} v{self.version} #{self.correlation} of {self.client!r}, connection"
                f" {self.connection}, broker {self.broker}: {self.act}>")


class Act:
    """What becomes of a request: its name, and what the name needs."""

    def __init__(self, name, **how):
        self.name = name
        self.request_s, self.answer_s = how.get("request_s", 0), how.get("answer_s", 0)
        self.execute, self.make = how.get("execute", False), how.get("make")
        self.in_turn, self.gate = how.get("in_turn", False), how.get("gate")


def let_pass():
    return Act("pass")


def delay(request_s=0, answer_s=0, gate=None):
    return Act("delay", request_s=request_s, answer_s=answer_s, gate=gate)


def cut_before():
    return Act("cut before")


def cut_after():
    return Act("cut after")


def hold(execute=False):
    return Act("hold", execute=execute)


def answer(make, in_turn=False):
    return Act("answer", make=make, in_turn=in_turn)


class Held:
    """A request that the proxy keeps."""

    def __init__(self, request, port):
        self.request, self._port = request, port

    def release(self, port=None):
        """Hands it to its broker (or the one at `port`) now; returns the answer's bytes behind the
        correlation id."""
        with socket.create_connection(("127.0.0.1", port or self._port), CONNECT_S_MAX) as own:
            own.settimeout(ANSWER_S_MAX)
            own.sendall(struct.pack(">i", len(self.request.frame)) + self.request.frame)
            found = read_frame(own)
        if found is None:
            raise ConnectionError(f"the broker closed the connection on {self.request}")
        return found[4:]


class Rule:
    """Made by Proxy.add. `hits` are the requests that it acted upon, `held` those that it keeps."""

    def __init__(self, act, api, client, nth, times, chance, when, seed):
        self._act = act
        self._apis = None if api is None else {api} if isinstance(api, int) else set(api)
        self._client, self._nth, self._times = client, nth, times
        self._chance, self._when, self._random = chance, when, random.Random(seed)
        self._matched = 0
        self.hits, self.held = [], []
        self.changed = None     # the proxy's condition

    def judge(self, request):
        """The act for a request that it takes; None for others."""
        if ((self._times is not None and len(self.hits) >= self._times)
                or (self._apis is not None and request.api not in self._apis)
                or not request.client.startswith(self._client)
                or (self._when is not None and not self._when(request))):
            return None
        self._matched += 1
        if (self._matched < self._nth
                or (self._chance is not None and self._random.random() >= self._chance)):
            return None
        return self._act if isinstance(self._act, Act) else self._act(request)

    def await_hits(self, count=1, timeout_s=30):
        self._await(self.hits, count, timeout_s)
        return self.hits[count - 1]

    def await_held(self, count=1, timeout_s=30):
        self._await(self.held, count, timeout_s)
        return self.held[count - 1]

    def _await(self, what, count, timeout_s):
        with self.changed:
            done = self.changed.wait_for(lambda: len(what) >= count, timeout_s)
        assert done, f"{len(what)} of {count} requests for the rule after {timeout_s} s"


class Proxy:
    """Stands before the brokers given (Kafka(proxied=True), or anything with proxy_port and
    proxied_port); one set of rules and one log for all."""

    def __init__(self, brokers):
        self._ports = [(each.proxy_port, each.proxied_port) for each in brokers]
        self._changed = threading.Condition()   # over all below
        self._rules = []
        self._seen = []
        self._connections = set()
        self._count = 0
        self._listeners = []
        self.closing = threading.Event()

    def __enter__(self):
        for broker, (port, upstream) in enumerate(self._ports):
            listener = socket.create_server(("127.0.0.1", port))
            self._listeners.append(listener)
            _thread(self._accept, listener, broker, upstream)
        return self

    def __exit__(self, *_):
        self.closing.set()
        for listener in self._listeners:
            _end(listener)
        self.cut()

    def add(self, act, api=None, client="", nth=1, times=1, chance=None, when=None, seed=0):
        """A rule for requests of the apis whose client id begins with `client` and for which
        when(request) is true: from the nth of them on, `times` of them (None: for ever), each by
        `chance`. The act may be a function of the request, which may say None. Rules are asked in the order of their making."""
        rule = Rule(act, api, client, nth, times, chance, when, seed)
        rule.changed = self._changed
        with self._changed:
            self._rules.append(rule)
        return rule

    def remove(self, rule):
        with self._changed:
            self._rules.remove(rule)

    def clear(self):
        """Removes all rules and forgets what was seen."""
        with self._changed:
            self._rules.clear()
            self._seen.clear()

    def seen(self, api=None, client="", act=None):
        """The requests so far, oldest first."""
        with self._changed:
            return [each for each in self._seen
                    if (api is None or each.api == api) and each.client.startswith(client)
                    and (act is None or each.act == act)]

    def cut(self):
        """Ends every connection there is."""
        with self._changed:
            connections = list(self._connections)
        for each in connections:
            each.cut()

    # below: called by connections

    def judge(self, request, port):
        """The act for a request; notes both."""
        with self._changed:
            for rule in self._rules:
                act = rule.judge(request)
                if act is not None:
                    break
            else:
                rule, act = None, let_pass()
            request.act = act.name
            self._seen.append(request)
            if rule:
                rule.hits.append(request)
                if act.name == "hold":
                    rule.held.append(Held(request, port))
            else:
                request.frame = b""     # records by the megabyte, and nobody asked
            self._changed.notify_all()
        return act

    def answered(self, request, data):
        with self._changed:
            request.answered_s = time.monotonic()
            if request.frame:
                request.answer = data
            self._changed.notify_all()

    def closed(self, connection):
        with self._changed:
            self._connections.discard(connection)

    def _accept(self, listener, broker, upstream):
        while not self.closing.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", upstream), CONNECT_S_MAX)
            except OSError:     # a broker that is away: the client is to see it as such
                client.close()
                continue
            with self._changed:
                self._count += 1
                connection = _Connection(self, client, server, self._count, broker, upstream)
                self._connections.add(connection)
            if self.closing.is_set():
                connection.cut()
            connection.start()


class _Connection:
    def __init__(self, proxy, client, server, number, broker, port):
        for each in (client, server):
            each.settimeout(None)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.proxy, self.client, self.server = proxy, client, server
        self.number, self.broker, self.port = number, broker, port
        self.pending = {}                   # correlation id → (request, act)
        self.made = []                      # answers of the proxy's that wait for their turn
        self.writing = threading.Lock()     # of made, and of writing to the client

    def start(self):
        _thread(self._guard, self._requests)
        _thread(self._guard, self._answers)

    def cut(self):
        _end(self.client)
        _end(self.server)

    def _guard(self, loop):
        try:
            loop()
        except OSError:
            pass                        # either end is gone
        finally:
            self.cut()
            self.proxy.closed(self)

    def _requests(self):
        while True:
            frame = read_frame(self.client)
            if frame is None:
                return
            request = Request(frame, self.broker, self.number)
            act = self.proxy.judge(request, self.port)
            if act.name == "cut before" or (act.name == "hold" and not act.execute):
                return
            if act.name == "answer":
                self._make(request, act)
                continue
            if act.request_s and self.proxy.closing.wait(act.request_s):
                return
            while act.gate and not act.gate.wait(GATE_S):
                if self.proxy.closing.is_set():
                    return
            self.pending[request.correlation] = (request, act)
            self.server.sendall(struct.pack(">i", len(frame)) + frame)

    def _make(self, request, act):
        frame = struct.pack(">i", request.correlation) + act.make(request)
        if act.in_turn:
            with self.writing:
                self.made.append(frame)
        else:
            self._to_client(frame)

    def _answers(self):
        while True:
            frame = read_frame(self.server)
            if frame is None:
                return
            request, act = self.pending.pop(struct.unpack_from(">i", frame)[0])
            self.proxy.answered(request, frame[4:])
            if act.name in ("cut after", "hold"):
                return
            if act.answer_s and self.proxy.closing.wait(act.answer_s):
                return
            self._to_client(frame)

    def _to_client(self, frame):
        with self.writing:
            for each in (*self.made, frame):
                self.client.sendall(struct.pack(">i", len(each)) + each)
            self.made.clear()


def read_frame(source):
    """The next frame without its size; None when the other side has ended the connection."""
    head = _read(source, 4)
    if head is None:
        return None
    size, = struct.unpack(">i", head)
    if not 4 <= size <= FRAME_BYTES_MAX:
        raise OSError(f"a frame of {size} bytes")
    return _read(source, size)


def _read(source, size):
    parts = []
    while size > 0:
        part = source.recv(min(size, CHUNK_BYTES))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _end(which):
    try:
        which.shutdown(socket.SHUT_RDWR)    # wakes the thread that waits in it; close alone doesn't
    except OSError:
        pass
    which.close()


def _thread(target, *arguments):
    threading.Thread(target=target, args=arguments, daemon=True).start()
