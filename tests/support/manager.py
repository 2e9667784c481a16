"""The service manager's end of sd_notify: a datagram socket that keeps what it is told, with times.

    with Manager(folder) as manager:
        service.start(environment=manager.environment(watchdog_s=1))
        manager.await_message("READY=1")
        manager.messages            # [(monotonic time, {"READY": "1", "STATUS": ...}), ...]
"""

import pathlib
import socket
import threading
import time


class Manager:
    def __init__(self, folder, abstract=False):
        self.name = f"@oncesink-test-{id(self)}-{time.monotonic_ns()}" if abstract \
            else str(pathlib.Path(folder) / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.name.replace("@", "\0", 1) if abstract else self.name)
        self.socket.settimeout(0.1)
        self.messages = []
        self._over = False
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over = True
        self._thread.join()
        self.socket.close()

    def _listen(self):
        while not self._over:
            try:
                text = self.socket.recv(65536).decode()
            except TimeoutError:
                continue
            lines = dict(line.split("=", 1) for line in text.splitlines())
            self.messages.append((time.monotonic(), lines))

    def environment(self, watchdog_s=None):
        settings = {"NOTIFY_SOCKET": self.name}
        if watchdog_s:
            settings["WATCHDOG_USEC"] = str(int(watchdog_s * 1_000_000))
        return settings

    def times(self, name, value=None):
        """When NAME (=VALUE) was told."""
        return [when for when, lines in list(self.messages)
                if name in lines and value in (None, lines[name])]

    def statuses(self):
        return [lines["STATUS"] for _, lines in list(self.messages) if "STATUS" in lines]

    def await_message(self, name, value=None, timeout_s=20, after=0.0):
        deadline = time.monotonic() + timeout_s
        while True:
            found = [when for when in self.times(name, value) if when > after]
            if found:
                return found[0]
            assert time.monotonic() < deadline, (name, value, self.messages[-5:])
            time.sleep(0.02)
