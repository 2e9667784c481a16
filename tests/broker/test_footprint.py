"""What an idle service costs, and how soon it is ready. Measured on the release build, whatever
ONCESINK_PRESET says; the figures are printed (pytest -s, or in a failure)."""

import os
import statistics
import time

import pytest

import service as service_module

RSS_KIB_MAX = 12 * 1024
CPU_SHARE_MAX = 0.003
READY_S_MAX = 0.100


@pytest.fixture
def release(monkeypatch):
    build = service_module.BUILD.parent / "release"
    assert (build / "oncesinkd").is_file(), "no release build: tools/setup and tools/test make it"
    monkeypatch.setattr(service_module, "BUILD", build)


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("mode, relayed", [
    ("idempotent", 0), ("idempotent", 100_000), ("transactional", 100_000)])
def test_idle_it_takes_little(release, new_job, full, mode, relayed):
    """Connected, with topics known, batch interval at its default of 1 s, nothing to relay (any more)."""
    job = new_job(settings={"batch.interval.ms": 1000, "delivery.mode": mode})
    if relayed:
        job.feed(relayed, style="plain")
    job.service.start()
    if relayed:
        job.await_relayed(relayed)
    time.sleep(5)
    seconds = 60 if full else 20
    before = cpu_seconds(job.service.pid)
    time.sleep(seconds)
    share = (cpu_seconds(job.service.pid) - before) / seconds
    resident = resident_kib(job.service.pid)
    print(f"\n{mode}, idle after {relayed} records: {resident} KiB resident,"
          f" {100 * share:.2f} % of a core over {seconds} s")
    job.service.stop()
    assert resident <= RSS_KIB_MAX, f"{resident} KiB"
    assert share < CPU_SHARE_MAX, f"{100 * share:.2f} % of a core"


def test_ready_comes_at_once(release, new_job):
    """The median of ten starts on a ledger that has settled batches."""
    job = new_job()
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    job.service.stop()
    taken = []
    for _ in range(10):
        job.service.start()
        taken.append(time.monotonic() - job.service.began)
        job.service.stop()
    print(f"\nready after {1000 * statistics.median(taken):.0f} ms"
          f" (most {1000 * max(taken):.0f} ms)")
    assert statistics.median(taken) < READY_S_MAX, taken
