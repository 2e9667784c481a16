"""The process as a service: what it tells the service manager and metrics.file, what it notes in the
ledger, and that it hangs for nothing: neither for a broker that stands still nor for a library."""

import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

import confined
import prometheus_text
from kafka import Kafka
from manager import Manager
from service import PRESET, Service, SLOWNESS

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
needs_failpoints = pytest.mark.skipif(PRESET == "release", reason="built without failpoints")


@pytest.fixture
def manager(tmp_path):
    with Manager(tmp_path) as listening:
        yield listening


def await_true(condition, service, timeout_s=20):
    deadline = time.monotonic() + timeout_s * SLOWNESS
    while not (result := condition()):
        assert time.monotonic() < deadline, service.log_tail()
        time.sleep(0.02)
    return result


def in_mid_batch(job, delay_us=2000, **start):
    job.service.start(delay_us=delay_us, **start)
    if job.service.settings.get("delivery.mode") == "transactional":
        await_true(job.service.in_doubt, job.service, 30)
        time.sleep(0.3)     # a transaction shows nothing before its end
        return
    await_true(lambda: job.service.in_doubt() and job.tally()["records"] > 0, job.service, 30)


def widest_gap(times, begin, end):
    times = [begin, *(when for when in times if begin < when < end), end]
    return max(later - earlier for earlier, later in zip(times, times[1:]))


# ---- the service manager ----

def test_ready_status_signs_of_life_and_stopping_are_told(new_job, manager):
    job = new_job()
    job.feed(1500)
    in_mid_batch(job, environment=manager.environment(watchdog_s=2))
    delivering = time.monotonic()
    job.await_relayed(1500)
    settled = time.monotonic()
    time.sleep(2.5)                         # idle
    idle = time.monotonic()
    job.service.stop()
    stopping = manager.await_message("STOPPING", "1")
    ready, = manager.times("READY", "1")
    assert ready < delivering < settled < stopping
    assert len(manager.times("STOPPING")) == 1
    alive = manager.times("WATCHDOG", "1")
    # One each half second; a loaded machine may be late.
    assert widest_gap(alive, ready, settled) < 3, "while delivering"
    assert widest_gap(alive, settled, idle) < 3, "while idle"
    assert any("delivering" in status for status in manager.statuses()), manager.statuses()
    assert any("settled up to batch" in status for status in manager.statuses())
    assert manager.statuses()[-1] == "stopped: everything is settled"
    # Only a start and a stop ask for more time.
    assert all(not ready < when < stopping for when in manager.times("EXTEND_TIMEOUT_USEC"))


@needs_failpoints
def test_a_main_loop_that_hangs_gives_no_sign_of_life(new_job, manager):
    job = new_job()
    job.service.start(failpoint="deliver-middle:hang",
                      environment=manager.environment(watchdog_s=1))
    manager.await_message("WATCHDOG", after=manager.await_message("READY"))
    job.feed(1500)
    job.service.await_log("failpoint deliver-middle")
    hangs = time.monotonic()
    time.sleep(2)
    assert not [when for when in manager.times("WATCHDOG") if when > hangs + 0.5]
    assert job.service.running()            # it is the manager's part to end it
    job.service.kill()
    job.service.start()
    job.await_relayed(1500)
    job.service.stop()
    job.assert_exactly_once(1500)


def test_a_refusal_is_the_last_status(new_job, manager):
    job = new_job()
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    job.service.stop()
    job.service.ledger.unlink()
    assert job.service.run(environment=manager.environment()) == 77
    manager.await_message("STOPPING")
    assert manager.times("READY")[0] <= manager.times("STOPPING")[0]
    assert "ledger" in manager.statuses()[-1], manager.statuses()
    assert job.service.one("SELECT count(*) FROM events WHERE kind = 'refusal'")[0] == 1


def test_it_works_under_the_units_system_call_filter(new_job, manager):
    """Everything from a recovery to a stop; a call outside of the filter would kill it."""
    job = new_job(settings={"metrics.file": "m.prom"})
    job.feed(1500)
    in_mid_batch(job)
    job.service.kill()
    job.service.start(under=[sys.executable, confined.__file__],
                      environment=manager.environment(watchdog_s=2))
    job.await_relayed(1500)
    job.service.signal(signal.SIGUSR1)
    job.service.await_log("state: ")
    job.service.stop()
    job.assert_exactly_once(1500)
    nice = subprocess.run([sys.executable, confined.__file__, "/usr/bin/nice", "-n", "5", "true"],
                          timeout=60)
    assert nice.returncode == -signal.SIGSYS        # the filter does hold


# ---- metrics ----

def metrics(job):
    try:
        return prometheus_text.parse((job.service.folder / "m.prom").read_text())
    except FileNotFoundError:
        return {}


def await_metrics(job, name, wanted, **labels):
    return await_true(
        lambda: (found := metrics(job))
        and prometheus_text.value(found, name, **labels) == wanted and found, job.service)


def assert_agrees_with_the_ledger(job, found):
    def value(name, **labels):
        return prometheus_text.value(found, f"oncesink_{name}", job_name=job.name, **labels)

    totals = job.service.one("SELECT * FROM totals")
    assert value("batches_total") == totals["batches"]
    assert value("input_records_total") == totals["records"]
    assert value("output_records_total") == totals["outputs"]
    assert value("found_records_total") == totals["found"]
    assert value("recovered_batches_total") == totals["recovered"]
    assert value("set_aside_records_total") == totals["set_aside"]
    assert value("starts_total") == totals["starts"]
    for row in job.service.rows("SELECT topic, partition, next_offset FROM lag"):
        where = {"topic": row["topic"], "partition": str(row["partition"])}
        assert value("input_next_offset", **where) == row["next_offset"]
        assert value("input_end_offset", **where) - row["next_offset"] == value("input_lag", **where)
    last = job.service.one("SELECT * FROM batches LIMIT 1")
    assert value("settled_batch") == last["batch"]
    assert value("last_batch_processing_seconds") == last["processing_ms"] / 1000
    assert value("last_batch_scheduling_seconds") == last["scheduling_ms"] / 1000
    assert value("last_batch_records") == last["records"]
    assert {by: value("last_batch_limited", by=by) for by in ("none", "cap", "records", "minimum")} \
        == {by: last["limited_by"] == by for by in ("none", "cap", "records", "minimum")}
    for kind in ("recovery", "refusal", "gap", "topic", "mark"):
        assert value("events_total", kind=kind) == \
            job.service.one("SELECT count(*) FROM events WHERE kind = ?", kind)[0]
    assert value("doubled_records_total") == 0
    assert abs(value("metrics_timestamp_seconds") - time.time()) < 60
    assert value("up") == 1 and value("in_doubt_batches") == 0
    assert value("ledger_wal_bytes") > 0


def test_metrics_agree_with_the_ledger_and_end_with_the_service(new_job):
    job = new_job(settings={"metrics.file": "m.prom", "batch.interval.ms": 500})
    job.feed(1500)
    in_mid_batch(job)
    await_metrics(job, "oncesink_in_doubt_batches", 1)
    assert prometheus_text.value(metrics(job), "oncesink_input_lag", topic=f"{job.name}-in",
                                 partition="0") > 0
    job.service.kill()
    assert prometheus_text.value(metrics(job), "oncesink_up") == 1     # its time stamp tells
    job.service.start()
    job.await_relayed(1500)
    await_metrics(job, "oncesink_input_records_total", 1500)
    assert_agrees_with_the_ledger(job, await_metrics(job, "oncesink_in_doubt_batches", 0))
    before = prometheus_text.value(metrics(job), "oncesink_metrics_timestamp_seconds")
    await_true(lambda: prometheus_text.value(
        metrics(job), "oncesink_metrics_timestamp_seconds") > before, job.service)      # idle
    there = {name for name, _ in metrics(job)} | {"oncesink_exit_code"}
    named = set(re.findall(r"\boncesink_[a-z]\w+", README.read_text()))
    assert "oncesink_input_lag" in named and named <= there, named - there
    job.service.stop()
    assert sorted(path.name for path in job.service.folder.glob("m.prom*")) == []


def test_metrics_of_a_service_that_refuses_say_so(new_job):
    job = new_job(settings={"metrics.file": "m.prom", "shutdown.graceful": "false"})
    job.feed(1500)
    in_mid_batch(job)
    second = Service(job.service.folder / "second", {
        **job.service.settings, "ledger.path": job.service.ledger,
        "metrics.file": job.service.folder / "m.prom"})
    assert second.run() == 75
    assert prometheus_text.value(metrics(job), "oncesink_up") == 1     # the owner's file
    job.service.terminate()
    assert job.service.wait() == 75
    assert prometheus_text.value(metrics(job), "oncesink_up") == 0
    assert prometheus_text.value(metrics(job), "oncesink_exit_code") == 75
    assert prometheus_text.value(metrics(job), "oncesink_in_doubt_batches") == 1


def test_metrics_that_cant_be_written_are_a_warning_once(new_job):
    job = new_job(settings={"metrics.file": "nowhere/m.prom"})
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    job.feed(300, first=300)
    job.await_relayed(600)
    time.sleep(1)
    assert job.service.log().count("nowhere/m.prom can't be written") == 1
    (job.service.folder / "nowhere").mkdir()
    await_true(lambda: (job.service.folder / "nowhere/m.prom").exists(), job.service)
    job.service.stop()


# ---- events and signals ----

def kinds(job):
    return [row["kind"] for row in job.service.rows("SELECT kind FROM events")][::-1]


def test_starts_stops_recoveries_and_failed_starts_are_events(new_job):
    job = new_job()
    job.feed(1500)
    in_mid_batch(job)
    job.service.kill()
    job.service.start()
    job.await_relayed(1500)
    job.service.stop()
    assert kinds(job) == ["start", "start", "recovery", "stop"]
    job.service.settings.update({"security.protocol": "ssl", "ssl.ca.location": "/nowhere.pem"})
    assert job.service.run() == 78          # after the ledger was opened
    assert kinds(job)[4:] == ["start", "stop"]
    assert "ssl.ca.location" in job.service.one("SELECT text FROM events LIMIT 1")[0]


def test_the_first_line_names_versions_and_ledger_and_the_log_knows_the_journal(new_job):
    job = new_job()
    found = job.service.log_path.stat()
    job.service.start(environment={"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
    job.service.stop()
    lines = job.service.log().splitlines()
    for words in ("<5>oncesinkd ", "librdkafka 2.", "SQLite 3.", str(job.service.ledger)):
        assert words in lines[0], lines[0]
    assert all(line[0] == "<" and line[2] == ">" and line[1] in "34567" for line in lines), lines
    job.service.start(environment={"JOURNAL_STREAM": "1:1"})     # handed down, not stderr's
    job.service.stop()
    assert all(line.startswith("20") for line in job.service.log().splitlines())


def test_sigusr1_tells_the_state_and_sighup_stops(new_job):
    job = new_job()
    job.feed(300)
    job.service.start()
    job.await_relayed(300)
    job.service.signal(signal.SIGUSR1)
    job.service.await_log(r"state: idle, batch \d+, settled \d+, in flight 0")
    job.service.signal(signal.SIGHUP)
    assert job.service.wait() == 0
    job.assert_exactly_once(300)


# ---- what hangs ----

@needs_failpoints
def test_a_library_call_that_hangs_ends_the_process(new_job):
    job = new_job()
    job.feed(300)
    job.service.start(failpoint="client-destroy:hang", environment={"ONCESINK_DEADLINE_MS": "500"})
    job.await_relayed(300)
    job.service.terminate()
    began = time.monotonic()
    assert job.service.wait() == 75
    assert time.monotonic() - began < 10 * SLOWNESS
    assert "hangs; ending at once" in job.service.log()
    job.service.start()
    job.service.stop()
    job.assert_exactly_once(300)


@pytest.fixture(scope="module")
def own():
    with Kafka() as running:
        yield running


@pytest.fixture
def frozen(own):
    """Its process stands still (SIGSTOP) while this runs: connections stay open, nothing answers."""
    def freeze():
        own.process.send_signal(signal.SIGSTOP)
        return own
    yield freeze
    own.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("mode", ["idempotent", "transactional"])
def test_a_broker_that_stands_still_in_mid_batch_is_waited_for(own, peer, new_job, frozen, manager,
                                                               mode):
    job = new_job(at=peer.at(own.bootstrap), settings={"shutdown.timeout.ms": 1000,
                                                       "delivery.mode": mode})
    job.feed(2000)
    in_mid_batch(job, delay_us=1000, environment=manager.environment(watchdog_s=2))
    pid = job.service.pid
    job.service.close_ledger()
    frozen()
    began = time.monotonic()
    time.sleep(3.5)
    assert job.service.running(), job.service.log_tail()
    assert widest_gap(manager.times("WATCHDOG"), began, time.monotonic()) < 3
    own.process.send_signal(signal.SIGCONT)
    job.await_relayed(2000)
    assert job.service.pid == pid
    # And once more, to the end: a graceful stop can't succeed, and becomes a forced one.
    job.feed(2000, first=2000)
    await_true(lambda: job.service.in_doubt(), job.service)
    job.service.close_ledger()
    frozen()
    job.service.terminate()
    began = time.monotonic()
    code = job.service.wait(40 * SLOWNESS)
    took = time.monotonic() - began
    print(f"\nforced stop with a broker that stands still: exit {code} after {took:.1f} s")
    assert code == 75, job.service.log_tail()
    assert took < 15 * SLOWNESS
    own.process.send_signal(signal.SIGCONT)
    job.service.start()
    job.await_relayed(4000)
    job.service.stop()
    job.assert_exactly_once(4000)


def test_a_broker_that_stands_still_at_the_start_is_waited_for(own, peer, new_job, frozen, manager):
    job = new_job(at=peer.at(own.bootstrap))
    job.feed(300)
    frozen()
    job.service.start(environment=manager.environment(watchdog_s=2))
    began = manager.await_message("READY")
    time.sleep(3.5)
    assert job.service.running(), job.service.log_tail()
    assert widest_gap(manager.times("WATCHDOG"), began, time.monotonic()) < 3
    job.service.signal(signal.SIGUSR1)
    job.service.await_log("state: ")
    job.service.terminate()
    began = time.monotonic()
    assert job.service.wait(40 * SLOWNESS) == 0, job.service.log_tail()
    print(f"\nstop while starting, with a broker that stands still: {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 15 * SLOWNESS
    own.process.send_signal(signal.SIGCONT)
    job.service.start()
    job.await_relayed(300)
    job.service.stop()
    job.assert_exactly_once(300)
