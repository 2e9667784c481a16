"""The proxy of the fault tests does what it says: between raw sockets and a broker of six lines, which
notes what it executes, and in front of a real one."""

import socket
import struct
import threading
import time

import pytest

from kafka import free_ports
from proxy import (Api, Proxy, answer, cut_after, cut_before, delay, hold, let_pass,
                   read_frame)


class Echo:
    """Answers every request with its own body, and notes it."""

    def __init__(self):
        self.proxied_port, self.proxy_port = free_ports(2)
        self.executed = []
        self.listener = socket.create_server(("127.0.0.1", self.proxied_port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client):
        with client:
            while (frame := read_frame(client)) is not None:
                self.executed.append(frame[14:])    # behind the client id, which is "test"
                client.sendall(framed(frame[4:8] + frame[14:]))

    def close(self):
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(5)
        self.next = 0

    def send(self, api, body):
        self.next += 1
        self.socket.sendall(framed(struct.pack(">hhih", api, 0, self.next, 4) + b"test" + body))
        return self.next

    def receive(self):
        """(correlation id, body), or None: the connection has ended."""
        try:
            frame = read_frame(self.socket)
        except ConnectionResetError:
            return None
        return frame and (struct.unpack_from(">i", frame)[0], frame[4:])

    def ask(self, api, body):
        self.send(api, body)
        return self.receive()


def framed(frame):
    return struct.pack(">i", len(frame)) + frame


@pytest.fixture
def echo():
    running = Echo()
    yield running
    running.close()


@pytest.fixture
def proxy(echo):
    with Proxy([echo]) as running:
        yield running


@pytest.fixture
def connect(echo, proxy):
    clients = []

    def make():
        clients.append(Client(echo.proxy_port))
        return clients[-1]
    yield make
    for each in clients:
        each.socket.close()


def test_what_no_rule_takes_passes_and_is_logged(connect, proxy):
    client = connect()
    first, second = client.send(Api.PRODUCE, b"a"), client.send(99, b"b" * 1_000_000)
    assert client.receive() == (first, b"a")
    assert client.receive() == (second, b"b" * 1_000_000)
    assert [(each.api, each.client, each.act) for each in proxy.seen()] == [
        (Api.PRODUCE, "test", "pass"), (99, "test", "pass")]
    assert all(each.answered_s >= each.at_s for each in proxy.seen())


def test_the_log_keeps_the_bytes_that_a_rule_asks_for(connect, proxy):
    proxy.add(let_pass(), api=Api.END_TXN)
    client = connect()
    client.ask(Api.END_TXN, b"xy")
    client.ask(Api.FETCH, b"xy")
    ended, fetched = proxy.seen()
    assert ended.body == ended.answer == b"xy"
    assert fetched.body == b"" and fetched.answer is None and fetched.size == 16


@pytest.mark.parametrize("how", [{"request_s": 0.3}, {"answer_s": 0.3}])
def test_delay(connect, echo, proxy, how):
    rule = proxy.add(delay(**how), api=Api.FETCH)
    client = connect()
    began = time.monotonic()
    client.send(Api.FETCH, b"a")
    time.sleep(0.1)
    assert echo.executed == ([] if "request_s" in how else [b"a"])
    assert client.receive() == (1, b"a")
    assert time.monotonic() - began >= 0.3
    assert len(rule.hits) == 1


def test_a_gate(connect, echo, proxy):
    gate = threading.Event()
    proxy.add(delay(gate=gate), api=Api.FETCH)
    client = connect()
    client.send(Api.FETCH, b"a")
    time.sleep(0.3)
    assert echo.executed == []
    gate.set()
    assert client.receive() == (1, b"a")


def test_cut_before(connect, echo, proxy):
    proxy.add(cut_before(), api=Api.FETCH)
    assert connect().ask(Api.FETCH, b"a") is None
    assert connect().ask(Api.FETCH, b"b") == (1, b"b")
    assert echo.executed == [b"b"]


def test_cut_after(connect, echo, proxy):
    rule = proxy.add(cut_after(), api=Api.FETCH)
    client = connect()
    client.send(Api.METADATA, b"m")
    client.send(Api.FETCH, b"a")
    assert client.receive() == (1, b"m")
    assert client.receive() is None
    assert echo.executed == [b"m", b"a"]
    assert rule.await_hits().answered_s


def test_hold_keeps_the_request_until_it_is_released(connect, echo, proxy):
    rule = proxy.add(hold(), api=Api.FETCH)
    assert connect().ask(Api.FETCH, b"a") is None
    assert connect().ask(Api.FETCH, b"b") == (1, b"b")
    assert echo.executed == [b"b"]
    assert rule.await_held().release() == b"a"
    assert echo.executed == [b"b", b"a"]


def test_hold_of_a_second_copy(connect, echo, proxy):
    rule = proxy.add(hold(execute=True), api=Api.FETCH)
    assert connect().ask(Api.FETCH, b"a") is None
    assert echo.executed == [b"a"]
    rule.await_held().release()
    assert echo.executed == [b"a", b"a"]


def test_answer_is_made_without_the_broker(connect, echo, proxy):
    proxy.add(answer(lambda request: request.body + b"!"), api=Api.FETCH)
    client = connect()
    assert client.ask(Api.FETCH, b"a") == (1, b"a!")
    assert client.ask(Api.FETCH, b"b") == (2, b"b")
    assert echo.executed == [b"b"]


def test_an_answer_in_its_turn_comes_before_that_to_the_request_behind(connect, echo, proxy):
    proxy.add(answer(lambda _: b"no", in_turn=True), api=Api.FETCH)
    client = connect()
    first = client.send(Api.FETCH, b"a")
    time.sleep(0.1)
    second = client.send(Api.FETCH, b"b")
    assert client.receive() == (first, b"no")
    assert client.receive() == (second, b"b")
    assert echo.executed == [b"b"]


def test_rules_choose_by_api_client_count_and_content(connect, echo, proxy):
    proxy.add(let_pass(), api=Api.FETCH, when=lambda request: request.body == b"safe", times=None)
    proxy.add(cut_before(), client="another", times=None)
    by_count = proxy.add(cut_before(), api=[Api.FETCH, Api.PRODUCE], client="te", nth=3, times=2)
    fates = [connect().ask(api, body) is not None for api, body in [
        (Api.FETCH, b"1"), (Api.PRODUCE, b"2"), (Api.METADATA, b"-"), (Api.FETCH, b"safe"),
        (Api.FETCH, b"3"), (Api.PRODUCE, b"4"), (Api.FETCH, b"5")]]
    assert fates == [True, True, True, True, False, False, True]
    assert [each.body for each in by_count.hits] == [b"3", b"4"]
    assert echo.executed == [b"1", b"2", b"-", b"safe", b"5"]


def test_rules_by_chance(connect, echo, proxy):
    proxy.add(answer(lambda _: b"no"), api=Api.FETCH, chance=0.3, times=None, seed=5)
    client = connect()
    refused = [client.ask(Api.FETCH, b"x")[1] for _ in range(200)].count(b"no")
    assert 30 <= refused <= 90 and len(echo.executed) == 200 - refused


def test_an_act_by_request(connect, echo, proxy):
    rule = proxy.add(lambda request: {b"a": cut_before(), b"b": hold()}.get(request.body), times=None)
    assert [connect().ask(Api.FETCH, body) for body in (b"a", b"b", b"c")] == [None, None, (1, b"c")]
    assert [each.act for each in rule.hits] == ["cut before", "hold"]
    assert [each.request.body for each in rule.held] == [b"b"]


def test_a_removed_rule_does_nothing_and_one_that_nothing_met_says_so(connect, proxy):
    rule = proxy.add(cut_before(), api=Api.FETCH)
    proxy.remove(rule)
    assert connect().ask(Api.FETCH, b"a")
    with pytest.raises(AssertionError):
        rule.await_hits(1, timeout_s=0.1)


def test_cutting_all_connections(connect, proxy):
    one, two = connect(), connect()
    assert one.ask(Api.FETCH, b"a") and two.ask(Api.FETCH, b"a")
    proxy.cut()
    assert one.receive() is None and two.receive() is None
    assert connect().ask(Api.FETCH, b"b")


def test_a_broker_that_is_away_ends_the_connection(proxy, echo):
    echo.close()
    assert Client(echo.proxy_port).receive() is None


def test_several_brokers_have_one_log():
    one, two = Echo(), Echo()
    with Proxy([one, two]) as proxy:
        for each in (two, one):
            client = Client(each.proxy_port)
            assert client.ask(Api.FETCH, b"a")
            client.socket.close()
        assert [each.broker for each in proxy.seen()] == [1, 0]
    one.close()
    two.close()


def test_a_real_broker_names_the_proxy_to_those_who_come_through_it(proxied, peer, name):
    """The whole way, with Apache's client: were the broker's own port advertised, only the first
    connection would pass the proxy."""
    kafka, front = proxied
    through = peer.at(kafka.proxied_bootstrap)
    through("create_topics", topics={name: {"partitions": 1, "configs": {}}})
    lost = front.add(cut_after(), api=Api.PRODUCE)
    through("produce", records=[{"topic": name, "partition": 0, "value": "QUFB"}] * 3)
    assert len(lost.hits) == 1
    assert len(front.seen(Api.PRODUCE)) >= 2
    # Executed although its answer was lost, and not again when it was repeated.
    assert peer.at(kafka.bootstrap)("ends", topics=[name])[name]["0"]["high"] == 3
