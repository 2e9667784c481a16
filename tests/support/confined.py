"""confined.py PROGRAM ARGUMENTS…: runs the program under the system call filter of oncesinkd@.service,
as systemd would, but that a call outside of it kills (SIGSYS) instead of failing.

The sets are systemd's own (systemd-analyze syscall-filter), the filter is made by libseccomp, which
systemd brings along.
"""

import ctypes
import os
import pathlib
import re
import subprocess
import sys

UNIT = pathlib.Path(__file__).resolve().parents[2] / "tools/systemd/oncesinkd@.service"
KILL_PROCESS, ALLOW, FAIL_EPERM = 0x80000000, 0x7FFF0000, 0x00050001

# SQLite calls it when it runs as root, which the unit doesn't, and goes on when it fails.
ROOTS = {"fchown"}


def calls_of(name, sets):
    if not name.startswith("@"):
        return {name}
    return set().union(*(calls_of(each, sets) for each in sets[name]))


def systemds_sets():
    told = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], check=True,
                          capture_output=True, text=True).stdout
    sets, members = {}, None
    for line in re.sub(r"\x1b\[[0-9;]*m", "", told).splitlines():
        if line.startswith("@"):
            members = sets.setdefault(line.strip(), [])
        elif line.startswith("    ") and members is not None and not line.strip().startswith("#"):
            members.append(line.strip())
        elif not line.startswith(" "):
            members = None
    return sets


def allowed():
    sets, calls = systemds_sets(), set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M):
        named = set().union(*(calls_of(name, sets) for name in line.lstrip("~").split()))
        calls = calls - named if line.startswith("~") else calls | named
    # systemd always leaves these: without them nothing could be started.
    return calls | calls_of("@default", sets) | {"execve"}


def confine():
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(KILL_PROCESS)))
    calls = allowed()
    for call in sorted(calls | ROOTS):
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        action = ctypes.c_uint32(ALLOW if call in calls else FAIL_EPERM)
        if number >= 0:     # others aren't this machine's
            assert seccomp.seccomp_rule_add_exact(context, action, number, 0) == 0
    assert seccomp.seccomp_load(context) == 0


if __name__ == "__main__":
    confine()
    os.execv(sys.argv[1], sys.argv[1:])
