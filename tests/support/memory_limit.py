"""A memory cgroup of its own for one program, version 1 or 2 of cgroups, whichever the machine has.

    with MemoryLimit(56 << 20) as limit:
        service.start(under=limit.under)
        ...
        limit.kills()       # how many processes the kernel ended for want of memory

It needs the right to make groups (root, or a delegated one): without it there is nothing to prove, and making the
limit fails, saying why.
"""

import itertools
import os
import pathlib
import time

_numbers = itertools.count(1)


def _own(controller):
    """This process's path in the hierarchy of a v1 controller, or "" for v2's."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(",") or (not controller and not names):
            return path
    return None


def _mounts(kind):
    """[(mount point, the hierarchy's path that is mounted there, options)]"""
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        head, tail = line.split(" - ", 1)
        fields, (what, _, options) = head.split(), tail.split(" ", 2)
        if what == kind:
            found.append((pathlib.Path(fields[4]), fields[3], options.split(",")))
    return found


def _places():
    """[(folder that a group may be made in, version)], the likeliest first."""
    for kind, controller, version in (("cgroup", "memory", 1), ("cgroup2", "", 2)):
        own = _own(controller)
        for mount, root, options in _mounts(kind):
            if version == 1 and controller not in options:
                continue
            inside = "/" if own is None else "/" + os.path.relpath(own, root)
            own_folder = pathlib.Path(os.path.normpath(f"{mount}{inside}"))
            for folder in (own_folder, own_folder.parent, mount):
                if folder.is_dir() and (folder == mount or mount in folder.parents):
                    yield folder, version


class MemoryLimit:
    def __init__(self, limit):
        self.limit = limit
        self.folder = self.version = None

    def __enter__(self):
        reasons = []
        for place, version in _places():
            folder = place / f"oncesink-{os.getpid()}-{next(_numbers)}"
            try:
                folder.mkdir()
            except OSError as why:
                reasons.append(f"{folder}: {why.strerror}")
                continue
            try:
                self._set(folder, version)
            except OSError as why:
                folder.rmdir()
                reasons.append(f"{folder}: no memory limit there: {why.strerror}")
                continue
            self.folder, self.version = folder, version
            return self
        raise AssertionError("no memory cgroup can be made here, so nothing bounds the memory and nothing is proved: "
                             + ("; ".join(reasons) or "no cgroup file system is mounted"))

    def _set(self, folder, version):
        name = "memory.limit_in_bytes" if version == 1 else "memory.max"
        (folder / name).write_text(str(self.limit))
        swap = folder / ("memory.memsw.limit_in_bytes" if version == 1 else "memory.swap.max")
        if swap.exists():
            swap.write_text(str(self.limit) if version == 1 else "0")

    def __exit__(self, *_):
        for _ in range(100):    # what ran in it was ended by its owner; the kernel may need a moment
            try:
                self.folder.rmdir()
                return
            except OSError:
                time.sleep(0.05)
        self.folder.rmdir()

    @property
    def under(self):
        """Begins a command line: the rest runs in the group."""
        return ("/bin/sh", "-c", f'echo $$ >"{self.folder}/cgroup.procs" && exec "$@"', "sh")

    def _number(self, file, word):
        for line in (self.folder / file).read_text().splitlines():
            if line.split()[0] == word:
                return int(line.split()[1])
        raise AssertionError(f"no {word} in {self.folder / file}")

    def kills(self):
        return self._number("memory.oom_control" if self.version == 1 else "memory.events", "oom_kill")

    def peak(self):
        """The most that was charged, page cache and socket buffers included; None where that isn't told."""
        file = self.folder / ("memory.max_usage_in_bytes" if self.version == 1 else "memory.peak")
        return int(file.read_text()) if file.exists() else None
