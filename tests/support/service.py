"""oncesinkd as the tests run it: a process with a configuration file in a folder of its own.

    service = Service(folder, {"job.name": "j", "bootstrap.servers": ..., "input.topics": "a"})
    service.start()                     # returns when its log says ready
    service.kill(); service.start()     # SIGKILL, and again
    service.terminate(); assert service.wait() == 0
    service.rows("SELECT batch, planned FROM in_doubt")

The program is build/$ONCESINK_PRESET/oncesinkd (default: debug). A program that dies with its test,
an own log file for all runs of one service, and no run passes with a sanitizer's report in it.
"""

import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import time

from kafka import die_with_parent

PRESET = os.environ.get("ONCESINK_PRESET", "debug")
BUILD = pathlib.Path(__file__).resolve().parents[2] / "build" / PRESET
SLOWNESS = 5 if PRESET in ("asan", "tsan", "coverage") else 1
READY_S_MAX = 10 * SLOWNESS
EXIT_S_MAX = 30 * SLOWNESS
REPORTS = re.compile(r"ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed")


def program(name="oncesinkd"):
    return str(BUILD / name)


class Service:
    def __init__(self, folder, settings):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = {"ledger.path": str(self.folder / "ledger.db"), **settings}
        self.ledger = pathlib.Path(self.settings["ledger.path"])
        self.file = self.folder / "oncesink.conf"
        self.log_path = self.folder / "oncesinkd.log"
        self.log_path.touch()
        self.process = None
        self.began = None
        self._mark = 0
        self._ledger = None

    def _write_settings(self):
        self.file.write_text("".join(f"{name} = {value}\n"
                                     for name, value in self.settings.items()))

    def start(self, *arguments, ready=True, failpoint=None, delay_us=None,
              clock_speed=None, without=None, environment=None, under=()):
        """Starts it; with ready, returns when it says so and fails when it ends before that."""
        assert self.process is None or self.process.poll() is not None, "it still runs"
        self._write_settings()
        environment = {**os.environ, **(environment or {})}
        if failpoint:
            environment["ONCESINK_FAILPOINT"] = failpoint
        if without:
            environment["ONCESINK_WITHOUT"] = without
        if delay_us:
            environment["ONCESINK_RECORD_DELAY_US"] = str(delay_us)
        if clock_speed:
            environment["ONCESINK_CLOCK_SPEED"] = str(clock_speed)
        self._mark = self.log_path.stat().st_size
        with self.log_path.open("ab") as log:
            self.began = time.monotonic()
            self.process = subprocess.Popen([*under, program(), *arguments, str(self.file)],
                                            stderr=log, stdout=log, stdin=subprocess.DEVNULL,
                                            cwd=self.folder, env=environment,
                                            preexec_fn=die_with_parent)
        if ready:
            self.await_log(r"\bready\b", READY_S_MAX)
        return self

    def run(self, *arguments, timeout_s=60, **options):
        """Starts it and waits for its end; returns the exit code."""
        self.start(*arguments, ready=False, **options)
        return self.wait(timeout_s)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def terminate(self):
        self.process.terminate()

    def signal(self, which):
        self.process.send_signal(which)

    def wait(self, timeout_s=EXIT_S_MAX):
        """The exit code, -9 after a kill. Taking longer than timeout_s fails the test."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"oncesinkd doesn't end:\n{self.log_tail()}") from None
        report = REPORTS.search(self.log())
        assert not report, f"{report.group()} in {self.log_path}:\n{self.log_tail(20000)}"
        return code

    def stop(self):
        """In order; anything but exit 0 fails the test."""
        self.terminate()
        code = self.wait()
        assert code == 0, f"exit {code}:\n{self.log_tail()}"

    def close(self):
        """For the end of a test, however it ended."""
        self.close_ledger()
        if self.running():
            self.kill()

    # what it says

    def log(self):
        """All it has said since its latest start."""
        with self.log_path.open("rb") as log:
            log.seek(self._mark)
            return log.read().decode(errors="replace")

    def log_tail(self, size=4000):
        return self.log_path.read_bytes()[-size:].decode(errors="replace")

    def await_log(self, pattern, timeout_s=READY_S_MAX):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log())
            if found:
                return found
            if self.process.poll() is not None and not re.search(pattern, self.log()):
                raise AssertionError(f"exit {self.process.returncode} before /{pattern}/:\n"
                                     f"{self.log_tail()}")
            time.sleep(0.002)
        raise AssertionError(f"no /{pattern}/ within {timeout_s} s:\n{self.log_tail()}")

    # its ledger, as a person with sqlite3 would read it

    def connection(self):
        if self._ledger is None:
            self._ledger = sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True, timeout=10,
                                           isolation_level=None, check_same_thread=False)
            self._ledger.row_factory = sqlite3.Row
        return self._ledger

    def close_ledger(self):
        if self._ledger:
            self._ledger.close()
            self._ledger = None

    def rows(self, query, *values):
        return self.connection().execute(query, values).fetchall()

    def one(self, query, *values):
        rows = self.rows(query, *values)
        return rows[0] if rows else None

    def in_doubt(self):
        """The unsettled batch or None."""
        return self.one("SELECT batch, tick, state, planned FROM in_doubt")


def failpoints():
    """The names this build knows."""
    asked = subprocess.run([program(), "--failpoints"], capture_output=True, text=True,
                           timeout=10, check=True)
    return asked.stdout.split()
