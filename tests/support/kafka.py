"""A real Kafka for the tests: one KRaft node on free ports of 127.0.0.1.

    with Kafka() as kafka:          # formatted, started, ready
        kafka.bootstrap             # "127.0.0.1:PORT"
        kafka.kill(); kafka.start() # as after a power cut: same ports, same data
        kafka.stop(); kafka.start() # as after an orderly restart

With proxied=True it also serves clients that come through a proxy (tests/support/proxy.py): at
proxied_bootstrap, which is proxy_port, handed on to proxied_port.

The jars are those that `tools/setup test` leaves in the cache. Leaving the `with` ends the broker and
removes its data; a broker whose test process died is ended by the kernel (PR_SET_PDEATHSIG: the thread that
starts a process must live as long as the process shall).
"""

import ctypes
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

VERSION = "4.3.1"
STOP_S_MAX = 30
PORTS = 10_240, 32_768

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
log.cleaner.backoff.ms=200
log.cleaner.dedupe.buffer.size=8388608
log.initial.task.delay.ms=100
log.segment.delete.delay.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
"""


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "oncesink"


def classpath(name="kafka", target="test"):
    """The jars that `tools/setup TARGET` leaves in the cache as NAME-VERSION."""
    jars = cache_dir() / f"{name}-{VERSION}"
    if not any(jars.glob("kafka-clients-*.jar")):
        raise RuntimeError(f"no Kafka in {jars}: run tools/setup {target}")
    return str(jars / "*")


def java(memory, *arguments):
    """The command line of a program of Kafka's."""
    return ["java", f"-Xmx{memory}", "-XX:+UseSerialGC", "-Xshare:auto",
            "-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", classpath(), *arguments]


def die_with_parent():
    """Runs in a child before exec: the kernel kills it when the thread that started it is gone."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_ports(count):
    """Below those that the kernel gives to outgoing connections: such a one could take the port before
    its broker does, or while it is away."""
    sockets = []
    try:
        while len(sockets) < count:
            one = socket.socket()
            try:
                one.bind(("127.0.0.1", random.randrange(*PORTS)))
                sockets.append(one)
            except OSError:
                one.close()
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Kafka:
    READY_S_MAX = 60

    def __init__(self, memory="512m", proxied=False, **properties):
        """Properties with dots are given as keyword arguments with underscores."""
        self.memory = memory
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="oncesink-kafka-"))
        self.port, self.controller_port, self.proxied_port, self.proxy_port = free_ports(4)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.proxied_bootstrap = f"127.0.0.1:{self.proxy_port}"
        self.log_path = self.dir / "kafka.log"
        self.process = None
        text = PROPERTIES.format(port=self.port, controller_port=self.controller_port,
                                 data=self.dir / "data")
        if proxied:
            text = self._with_proxied_listener(text)
        self.file = self.dir / "kafka.properties"
        self.file.write_text(text)
        self.configure(**properties)

    def configure(self, **properties):
        """For the next start; a property that is there already gets this value."""
        with self.file.open("a") as file:
            file.writelines(f"{name.replace('_', '.')}={value}\n"
                            for name, value in properties.items())

    def _with_proxied_listener(self, text):
        """One listener more, PROXIED, which clients are told is where the proxy listens."""
        more = {"listeners": f"PROXIED://127.0.0.1:{self.proxied_port}",
                "advertised.listeners": f"PROXIED://127.0.0.1:{self.proxy_port}",
                "listener.security.protocol.map": "PROXIED:PLAINTEXT"}
        return "".join(f"{line},{more[line.split('=')[0]]}\n" if line.split("=")[0] in more
                       else f"{line}\n" for line in text.splitlines())

    def __enter__(self):
        try:
            self.format()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def format(self, *arguments):
        subprocess.run(
            java("128m", "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format",
                       "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(self.file),
                       *arguments),
            check=True, stdout=subprocess.DEVNULL, stderr=self.log_path.open("ab"),
            timeout=self.READY_S_MAX)

    def start(self):
        """Starts it and waits until it serves; on the same ports and data each time."""
        self.launch()
        self.await_ready()

    def launch(self):
        self._mark = self.log_path.stat().st_size
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                java(self.memory, "kafka.Kafka", str(self.file)), stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, cwd=self.dir, preexec_fn=die_with_parent)

    def await_ready(self):
        deadline = time.monotonic() + self.READY_S_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with self.log_path.open("rb") as log:
                log.seek(self._mark)
                if b"Kafka Server started" in log.read():
                    return
            time.sleep(0.05)
        raise RuntimeError("Kafka didn't start:\n" + self.log_tail())

    def kill(self):
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """In order."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError("Kafka didn't stop in order:\n" + self.log_tail()) from None

    def log_tail(self, size=4000):
        return self.log_path.read_bytes()[-size:].decode(errors="replace")
