"""A process measured from its start to its end."""

import os
import pathlib
import resource
import subprocess
import time

from kafka import die_with_parent

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN_S_MAX = 600
LOOK_S = 0.02


def status_kib(pid, name):
    """A line of /proc/PID/status, such as VmHWM or VmRSS; None once the process has ended."""
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return None


def cpu_s(pid):
    """Of all threads so far, also of a process that has ended and isn't waited for yet."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(command, folder):
    """Its wall time, the CPU time of all its threads, and its peak memory; what it said is in
    folder/run.log. (ru_maxrss would count the parent's memory, so the peak is looked up while it runs.)"""
    log = folder / "run.log"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                   cwd=folder, preexec_fn=die_with_parent)
    peak = 0
    while process.poll() is None:
        peak = max(peak, status_kib(process.pid, "VmHWM") or 0)
        if time.monotonic() - began > RUN_S_MAX:
            process.kill()
        time.sleep(LOOK_S)
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        raise RuntimeError(f"exit {process.returncode}: {' '.join(command)}\n"
                           + log.read_text(errors="replace")[-3000:])
    return {"wall_s": wall_s,
            "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "peak_mib": peak / 1024}
