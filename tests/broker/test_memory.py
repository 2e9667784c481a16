"""memory.max.bytes bounds the memory whatever the records are like: the release build in a memory cgroup that has
24 MiB more than that.

What is charged to the group beside the process's own memory (page cache of the ledger, socket buffers) the kernel
can take back. With ONCESINK_FULL=1 the backlog is 5 GB.
"""

import threading
import time

import pytest

import service as service_module
from conftest import FULL
from job import MODES
from memory_limit import MemoryLimit

MIB = 1 << 20
BESIDE = 24 * MIB
LARGE = 1_000_000
MAJOR_FAULTS_MAX = 2000     # reads of pages that were taken away: more would be thrashing
RUN_S_MAX = 900 if FULL else 120


@pytest.fixture(autouse=True)
def release(monkeypatch):
    build = service_module.BUILD.parent / "release"
    assert (build / "oncesinkd").is_file(), "no release build: tools/setup and tools/test make it"
    monkeypatch.setattr(service_module, "BUILD", build)


class Watch:
    """The most memory that a process has had, and how often it had to read a page again."""

    def __init__(self, pid):
        self.pid, self.peak, self.faults = pid, 0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._over.wait(0.01):
            try:
                with open(f"/proc/{self.pid}/status") as status:
                    for line in status:
                        if line.startswith("VmHWM"):
                            self.peak = int(line.split()[1]) * 1024
                with open(f"/proc/{self.pid}/stat") as stat:
                    self.faults = int(stat.read().rpartition(")")[2].split()[9])
            except OSError:
                return

    def end(self):
        self._over.set()
        self._thread.join()
        assert self.peak > 0
        return self


def run_killed(job, limit, kill_at):
    """To the end of the backlog, killed once when the outputs hold so many records (None: not at all)."""
    watches = []
    for kill in (True, False) if kill_at else (False,):
        job.service.start("--until-end", ready=False, under=limit.under)
        watch = Watch(job.service.pid)
        if kill:
            deadline = time.monotonic() + RUN_S_MAX
            while sum(job.output_ends().values()) < kill_at:
                assert job.service.running(), f"{limit.kills()} killed for want of memory\n{job.service.log_tail()}"
                assert time.monotonic() < deadline, job.service.log_tail()
                time.sleep(0.01)
            job.service.kill()
        else:
            code = job.service.wait(RUN_S_MAX)
            assert code == 0, (f"exit {code}, {limit.kills()} killed for want of memory, peak {watch.peak / MIB:.1f} MiB\n"
                               f"{job.service.log_tail()}")
        watches.append(watch.end())
    return watches


def relay_within(job, memory, beside=BESIDE, kill_at=None):
    with MemoryLimit(memory + beside) as limit:
        began = time.monotonic()
        watches = run_killed(job, limit, kill_at)
        seconds = time.monotonic() - began
        kills = limit.kills()
    for watch in watches:
        print(f"\nmemory.max.bytes {memory / MIB:.0f} MiB: peak {watch.peak / MIB:.1f} MiB,"
              f" {watch.faults} major faults, {seconds:.1f} s in all", end="")
    assert kills == 0
    for watch in watches:
        assert watch.peak <= memory + beside, f"{watch.peak / MIB:.1f} MiB"
        assert watch.faults <= MAJOR_FAULTS_MAX


def large_job(new_job, mode, memory, partitions=3, **configs):
    return new_job(inputs={"in": partitions}, outputs={"out": partitions},
                   configs={"in": configs, "out": configs},
                   settings={**MODES[mode], "memory.max.bytes": memory, "batch.interval.ms": 1000})


def drop_topics(job):
    job.topics("delete_topics", topics=[*job.inputs, *job.outputs])


@pytest.mark.parametrize("memory, count", [(32 * MIB, 5000 if FULL else 300), (4 * MIB, 1000 if FULL else 90)])
@pytest.mark.parametrize("mode", ["idempotent", "transactional"])
def test_a_backlog_of_large_records_is_relayed_though_killed_in_the_middle(new_job, mode, memory, count):
    """One batch of all there is; what was delivered before the kill is read back within the same limit."""
    job = large_job(new_job, mode, memory)
    job.feed(count, size=LARGE, style="plain")
    relay_within(job, memory, kill_at=count // 2)
    job.assert_exactly_once(count)
    drop_topics(job)


@pytest.mark.parametrize("mode", ["idempotent", "transactional"] if FULL else ["idempotent"])
def test_many_partitions_of_large_records_take_turns(new_job, mode):
    """An answer for each at the same time would be 100 MB."""
    job = large_job(new_job, mode, 8 * MIB, partitions=100)
    job.feed(200, size=LARGE, style="plain")
    relay_within(job, 8 * MIB, kill_at=100)
    job.assert_exactly_once(200)
    drop_topics(job)


def test_large_records_among_small_ones(new_job):
    job = large_job(new_job, "idempotent", 8 * MIB, partitions=12)
    for turn in range(3):
        job.feed(20_000, first=turn * 100_000, size=100)
        job.feed(48, first=turn * 100_000 + 50_000, size=LARGE, style="plain")
    relay_within(job, 8 * MIB, kill_at=30_000)
    job.assert_exactly_once(3 * 20_048)
    drop_topics(job)


@pytest.mark.parametrize("codec, size, count", [("zstd", LARGE, 300), ("gzip", 1000, 100_000)])
def test_records_that_compress_a_hundred_times(new_job, codec, size, count):
    """An answer of 256 KiB holds hundreds of megabytes of them."""
    job = large_job(new_job, "idempotent", 8 * MIB, partitions=12)
    job.feed(count, size=size, style="flat", codec=codec)
    relay_within(job, 8 * MIB, kill_at=count // 2)
    job.assert_exactly_once(count)
    drop_topics(job)


@pytest.mark.parametrize("mode", ["idempotent", "transactional"])
def test_a_record_that_is_larger_than_all_the_memory_passes_alone(new_job, mode):
    """Then it is what bounds the memory: it comes in an answer, another one is on its way, and one is sent."""
    size = 8 * LARGE
    job = large_job(new_job, mode, 4 * MIB, **{"max.message.bytes": 16 * MIB})
    for turn in range(4):
        job.feed(3000, first=turn * 10_000, size=100)
        job.feed(3, first=turn * 10_000 + 5000, size=size, style="plain")
    relay_within(job, 4 * MIB, beside=BESIDE + 3 * size, kill_at=6000)
    job.assert_exactly_once(4 * 3003)
    drop_topics(job)
