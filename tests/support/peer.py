"""The Python end of the peer (tests/support/peer): one JVM a test run, commands by JSON lines.

    peer = Peer().start()
    topics = peer.at("127.0.0.1:PORT")
    topics("create_topics", topics={"a": {"partitions": 3}})    # waits, returns the result
    feeding = topics.begin("feed", topics={"a": [0, 1]}, count=1000, rate=100)
    feeding.stop(); feeding.result()

Any thread may call. A command that fails raises PeerError with what the peer said.
"""

import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import subprocess
import tempfile
import threading

from kafka import classpath, die_with_parent

SOURCES = pathlib.Path(__file__).resolve().parent / "peer"
BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
ANSWER_S_MAX = 300


class PeerError(Exception):
    pass


def compiled(place=SOURCES, jars=None):
    """The folder of the class files of a folder's sources, compiled unless these very sources are
    already. Without jars: against Kafka's."""
    sources = sorted(place.glob("*.java"))
    print_of_them = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources))
    folder = BUILD / f"{place.name}-{print_of_them.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix=f"{place.name}-new-") as new:
        fresh = pathlib.Path(new) / "classes"
        subprocess.run(["javac", "-nowarn", "--release", "17", "-cp", jars or classpath(), "-d",
                        str(fresh), *map(str, sources)], check=True)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():     # another run has made the same in the meantime
                raise
    return folder


class Running:
    """A command under way."""

    def __init__(self, peer, command, number, future):
        self._peer, self._command, self._number, self._future = peer, command, number, future

    def stop(self):
        self._peer.call(None, "stop", target=self._number)

    def done(self):
        return self._future.done()

    def result(self, timeout_s=ANSWER_S_MAX):
        try:
            return self._future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            raise PeerError(f"no answer to {self._command} within {timeout_s} s") from None


class Peer:
    def __init__(self, memory="1g"):
        self._memory = memory
        self._numbers = itertools.count(1)
        self._waiting = {}
        self._lock = threading.Lock()       # of _waiting
        self._writing = threading.Lock()    # of standard input; never held by the reader
        self.log = None

    def start(self):
        self.log = tempfile.NamedTemporaryFile(prefix="oncesink-peer-", suffix=".log")
        self._process = subprocess.Popen(
            ["java", f"-Xmx{self._memory}", "-XX:+UseSerialGC",
             "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
             "-cp", os.pathsep.join([str(compiled()), classpath()]), "Peer"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            preexec_fn=die_with_parent)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.log.close()

    def at(self, bootstrap):
        return At(self, bootstrap)

    def begin(self, bootstrap, command, **arguments):
        number = next(self._numbers)
        future = concurrent.futures.Future()
        request = {"id": number, "cmd": command, "bootstrap": bootstrap, **arguments}
        with self._lock:
            self._waiting[number] = future
        with self._writing:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return Running(self, command, number, future)

    def call(self, bootstrap, command, timeout_s=ANSWER_S_MAX, **arguments):
        return self.begin(bootstrap, command, **arguments).result(timeout_s)

    def _read(self):
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._lock:
                future = self._waiting.pop(answer["id"])
            if "error" in answer:
                future.set_exception(PeerError(answer["error"]))
            else:
                future.set_result(answer["result"])
        with self._lock:
            for future in self._waiting.values():
                future.set_exception(PeerError("the peer has ended"))
            self._waiting.clear()


class At:
    """The peer's commands at one broker."""

    def __init__(self, peer, bootstrap):
        self.peer, self.bootstrap = peer, bootstrap

    def __call__(self, command, **arguments):
        return self.peer.call(self.bootstrap, command, **arguments)

    def begin(self, command, **arguments):
        return self.peer.begin(self.bootstrap, command, **arguments)
