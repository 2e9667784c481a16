"""Behind locked doors: TLS, SCRAM, client certificates and ACLs on a real Kafka. What can't work
ends in one line that names the thing, the place and the way out, with the right exit code; what may
come right is tried again; and no secret is anywhere."""

import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from job import Job
from kafka import die_with_parent
from secured import KEY_PASSWORD, PASSWORD, USER, SecuredKafka
from service import SLOWNESS, Service, program

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNT = 200


@pytest.fixture(scope="module")
def secured():
    with SecuredKafka() as running:
        yield running


@pytest.fixture
def at(secured, peer):
    """The peer's commands, by the door that is open to it."""
    return peer.at(secured.bootstrap)


@pytest.fixture
def new_job(at, secured, tmp_path, name):
    """A job that logs in at a listener, by default with a name and a password of its own."""
    jobs = []

    def make(listener="OPEN_SCRAM", settings=None, user=name, **how):
        if user == name and "SCRAM" in listener:
            at("password", user=name, password=f"secret-of-{name}")
            settings = {"sasl.username": name, "sasl.password": f"secret-of-{name}",
                        **(settings or {})}
        jobs.append(Job(at, tmp_path, name, settings=secured.login(listener, **(settings or {})),
                        **how))
        jobs[-1].feed(COUNT)
        return jobs[-1]
    yield make
    for job in jobs:
        job.close()


def rights(job):
    """What the job's user needs, as lists of resource, name and operation."""
    return ([["topic", topic, "read"] for topic in job.inputs]
            + [["topic", topic, operation] for topic in job.outputs
               for operation in ("read", "write")]
            + [["group", job.name, "read"], ["transactional_id", job.name, "write"],
               ["cluster", "kafka-cluster", "describe_configs"]]
            + [["topic", topic, "describe_configs"] for topic in (*job.inputs, *job.outputs)])


def lines(service, level):
    return [line for line in service.log().splitlines() if f"Z {level}: " in line]


def ends_with(service, code, *words):
    """Ends by itself, and says all of `words` in its only line of warning or error."""
    assert service.run(timeout_s=20 * SLOWNESS) == code, service.log_tail()
    said = lines(service, "error")
    slow = "until it works"     # of a machine with too much to do
    warned = [line for line in lines(service, "warning") if slow not in line]
    assert len(said) == 1 and not warned, service.log_tail()
    for word in words:
        assert word in said[0], said[0]


# ── a log-in that works ─────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("how", ["key", "locked_key", "pem"])
def test_a_client_certificate_lets_in(secured, new_job, monkeypatch, how):
    path = secured.authority.path
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secured.authority.folder))
    job = new_job("MTLS", {
        "key": {},
        "locked_key": {"ssl.key.location": path("client-locked.key"),
                       "ssl.key.password": KEY_PASSWORD},
        "pem": {"ssl.key.location": None, "ssl.certificate.location": None,
                "ssl.key.pem": "${file:${env:CREDENTIALS_DIRECTORY}/client.key}",
                "ssl.certificate.pem": "${file:${env:CREDENTIALS_DIRECTORY}/client.crt}"},
    }[how])
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    assert not lines(job.service, "warning"), job.service.log_tail()
    job.assert_exactly_once(COUNT)


# ── one that can't ──────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "wrong_password": ("SCRAM", {"sasl.password": "not-the-password"},
                       "sasl.username and sasl.password"),
    "unknown_user": ("SCRAM", {"sasl.username": "nobody"}, "sasl.username and sasl.password"),
    "other_mechanism": ("SCRAM", {"sasl.mechanisms": "PLAIN"}, "SCRAM-SHA-512"),
    "unknown_ca": ("SCRAM", {"ssl.ca.location": "stranger.crt"}, "ssl.ca.location"),
    "no_ca": ("SCRAM", {"ssl.ca.location": None}, "ssl.ca.location"),
    "expired_server_certificate": ("LATE", {}, "has expired"),
    "certificate_of_another_host": ("ELSEWHERE", {}, "another host"),
    "expired_client_certificate": ("MTLS", {"ssl.certificate.location": "client-expired.crt",
                                            "ssl.key.location": "client-expired.key"},
                                   "refused our certificate"),
    "no_client_certificate": ("MTLS", {"ssl.certificate.location": None, "ssl.key.location": None},
                              "wants a client certificate"),
    "client_certificate_of_a_stranger": ("MTLS", {"ssl.certificate.location": "stranger.crt",
                                                  "ssl.key.location": "stranger.key"},
                                         "wants a client certificate"),
}


def bare(secured, folder, listener, settings):
    """A service that won't come as far as needing topics."""
    settings = {name: secured.authority.path(value)
                if value and value.endswith((".crt", ".key")) else value
                for name, value in settings.items()}
    return Service(folder, {"job.name": "locked-out", "input.topics": "in",
                            **secured.login(listener, **settings)})


@pytest.mark.parametrize("how", REFUSED)
def test_a_log_in_that_cannot_work_ends_the_start(secured, tmp_path, how):
    listener, settings, words = REFUSED[how]
    service = bare(secured, tmp_path, listener, settings)
    ends_with(service, 78, "log-in to Kafka failed", secured.at(listener), words)
    assert PASSWORD not in service.log() and "not-the-password" not in service.log()


def test_a_log_in_where_none_is_wanted_ends_the_start(secured, tmp_path):
    service = bare(secured, tmp_path, "OPEN_SCRAM", {"bootstrap.servers": secured.bootstrap})
    ends_with(service, 78, secured.bootstrap, "security.protocol")


@pytest.mark.parametrize("how, words", [
    ({"ssl.key.location": "client-locked.key", "ssl.key.password": "not-the-password"},
     "ssl.key.password"),
    ({"ssl.ca.location": "nowhere.crt"}, "ssl.ca.location"),
    ({"ssl.certificate.location": "nowhere.crt"}, "ssl.certificate"),
])
def test_a_key_that_cannot_be_used_is_found_before_a_broker_is_asked(secured, tmp_path, how, words):
    service = bare(secured, tmp_path, "MTLS", how)
    ends_with(service, 78, words)
    assert "not-the-password" not in service.log()


@pytest.mark.parametrize("protocol, listener, words", [
    ("PLAINTEXT", "MTLS", "as a TLS listener does"),
    ("SSL", None, "as a listener without TLS does"),
    ("PLAINTEXT", "OPEN_SCRAM", "with a SASL log-in"),
])
def test_a_wrong_port_is_named_and_tried_again(secured, tmp_path, protocol, listener, words):
    """A load balancer that has no broker looks the same: no reason to end."""
    where = secured.at(listener) if listener else secured.bootstrap
    service = Service(tmp_path, {
        "job.name": "misled", "input.topics": "in", "bootstrap.servers": where,
        "security.protocol": protocol, "ssl.ca.location": secured.authority.path("ca.crt")})
    service.start()
    said = service.await_log(f"warning: .*{re.escape(where)}.*{words}.*").group()
    assert "security.protocol may have to be" in said
    service.stop()


# ── a log-in that goes wrong while it runs ──────────────────────────────────────────────────────

def test_a_password_that_changes_under_a_running_service(at, new_job):
    """The broker asks for it anew every 2 s (connections.max.reauth.ms)."""
    job = new_job("SCRAM")
    at("acls", user=job.name, acls=rights(job))
    job.service.start()
    job.await_relayed(COUNT)
    at("password", user=job.name, password="another")
    job.service.await_log(r"warning: .*sasl.username and sasl.password; trying again", 60)
    time.sleep(3)       # by then every connection has been asked
    job.feed(COUNT, first=COUNT)
    time.sleep(1)
    assert job.service.running(), job.service.log_tail()
    assert job.tally()["records"] < 2 * COUNT
    at("password", user=job.name, password=f"secret-of-{job.name}")
    job.await_relayed(2 * COUNT)
    job.service.stop()
    job.assert_exactly_once(2 * COUNT)


# ── ACLs ────────────────────────────────────────────────────────────────────────────────────────

TRANSACTIONAL = {"delivery.mode": "transactional"}

MISSING_AT_START = {
    "input_read": ("in", ["read", "describe_configs"], "Read on its inputs", {}),
    "output_read": ("out", ["read"], "Read on topic '{}-out'", {}),
    "output_write": ("out", ["write"], "Write on", {}),
    "output_write_transactional": ("out", ["write"], "Write on", TRANSACTIONAL),
    "output_unseen": ("out", ["read", "write", "describe_configs"], "'{}-out'", {}),
    "group": (None, ["read"], "Read on its group", {}),
}


@pytest.mark.parametrize("which", MISSING_AT_START)
def test_a_missing_acl_ends_the_start(at, new_job, which):
    topic, operations, words, settings = MISSING_AT_START[which]
    job = new_job(settings=settings)
    name = f"{job.name}-{topic}" if topic else job.name
    at("acls", user=job.name, acls=[right for right in rights(job)
                                    if right[1] != name or right[2] not in operations])
    ends_with(job.service, 77, words.format(job.name), "ACL", name)
    assert job.tally()["records"] == 0
    at("acls", user=job.name, acls=rights(job))
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(COUNT)


def test_a_transactional_id_that_may_not_be_used_ends_the_start(at, new_job):
    job = new_job(settings=TRANSACTIONAL)
    at("acls", user=job.name,
       acls=[right for right in rights(job) if right[0] != "transactional_id"])
    ends_with(job.service, 77, "the job's user needs the ACL Write on its transactional.id")
    at("acls", user=job.name, acls=rights(job))
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(COUNT)


MISSING_LATER = {
    "input_read": ("in", ["read"], "-in", {}),
    "output_write": ("out", ["write"], "Write on its outputs", {}),
    "group": (None, ["read"], "group", {}),
    "output_write_transactional": ("out", ["write"], "Write on topic", TRANSACTIONAL),
    "group_transactional": (None, ["read"], "group", TRANSACTIONAL),
    "transactional_id": (None, ["write"], "transactional.id", TRANSACTIONAL),
}


@pytest.mark.parametrize("which", MISSING_LATER)
def test_an_acl_that_is_taken_away_ends_the_service(at, new_job, which):
    """And when it is given back the next start finishes what was begun."""
    topic, operations, words, settings = MISSING_LATER[which]
    job = new_job(settings=settings)
    at("acls", user=job.name, acls=rights(job))
    job.service.start()
    job.await_relayed(COUNT)
    name = f"{job.name}-{topic}" if topic else job.name
    taken = [right for right in rights(job) if right[1] == name and right[2] in operations]
    at("acls", user=job.name, acls=taken, remove=True)
    job.feed(COUNT, first=COUNT)
    assert job.service.wait() == 77, job.service.log_tail()
    (said,) = lines(job.service, "error")
    assert words in said and re.search("the job's user (needs the|lacks) ACL", said), said
    at("acls", user=job.name, acls=taken)
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    job.assert_exactly_once(2 * COUNT)


def test_without_describe_configs_it_works_and_says_what_it_cannot_see(at, new_job):
    job = new_job()
    at("acls", user=job.name,
       acls=[right for right in rights(job) if right[2] != "describe_configs"])
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    (said,) = lines(job.service, "warning")
    assert "DescribeConfigs" in said
    job.assert_exactly_once(COUNT)


def readme_rights(job):
    """The README's kafka-acls lines, for this job."""
    found = []
    for line in (ROOT / "README.md").read_text().splitlines():
        if not line.strip().startswith("kafka-acls"):
            continue
        words = shlex.split(line, comments=True)
        pairs = list(zip(words, words[1:]))
        operations = [value for option, value in pairs if option == "--operation"]
        for option, value in pairs:
            value = value.replace("orders-copy", job.name)
            for operation in operations:
                operation = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation)
                if option == "--topic":
                    found.append(["topic", f"{job.name}-{value}", operation])
                elif option in ("--group", "--transactional-id"):
                    found.append([option[2:].replace("-", "_"), value, operation])
        if "--cluster" in words:
            found += [["cluster", "kafka-cluster", "describe_configs"]]
            assert operations == ["DescribeConfigs"], line
    return found


@pytest.mark.parametrize("mode", ["idempotent", "transactional"])
def test_the_acls_of_the_readme_are_enough(at, new_job, mode):
    """Also for a recovery, which reads the outputs back."""
    job = new_job(settings={"delivery.mode": mode}, inputs={"orders": 2, "returns": 2}, outputs={"orders_clean": 2,
                                                               "returns_clean": 2},
                  route="{topic}_clean")
    granted = readme_rights(job)
    assert {right[0] for right in granted} == {"topic", "group", "transactional_id", "cluster"}
    if mode == "idempotent":
        granted = [right for right in granted if right[0] in ("topic", "group")]
    at("acls", user=job.name, acls=granted)
    job.service.start(failpoint="settle-before-commit:kill")
    assert job.service.wait() == -signal.SIGKILL
    assert job.service.in_doubt()
    assert job.service.run("--until-end") == 0, job.service.log_tail()
    assert not lines(job.service, "warning"), job.service.log_tail()
    job.assert_exactly_once(COUNT)


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────

def test_no_secret_is_in_any_log_ledger_or_answer(secured, at, new_job, monkeypatch):
    """With all that librdkafka can tell of itself, too."""
    path = secured.authority.path
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secured.authority.folder))
    path("password").write_text(PASSWORD + "\n")
    job = new_job("SCRAM", user=USER, settings={
        "sasl.password": "${file:${env:CREDENTIALS_DIRECTORY}/password}",
        "ssl.certificate.location": path("client.crt"),
        "ssl.key.location": path("client-locked.key"), "ssl.key.password": KEY_PASSWORD,
        "debug": "all", "log.level": "debug"})
    at("acls", user=USER, acls=rights(job))
    job.service.start()
    job.await_relayed(COUNT)
    seen = {"command line": pathlib.Path(f"/proc/{job.service.pid}/cmdline").read_bytes()}
    job.service.stop()
    job.service.settings.update({"ssl.key.location": None, "ssl.key.password": None})
    job.service.settings = {key: value for key, value in job.service.settings.items() if value}
    job.service.settings["ssl.key.pem"] = "${file:${env:CREDENTIALS_DIRECTORY}/client.key}"
    assert job.service.run("--until-end") == 0
    seen["log"] = job.service.log_path.read_bytes()
    assert b"SCRAM" in seen["log"]      # librdkafka did tell
    for command in (["oncesinkd", "--check", job.service.file],
                    ["oncesinkd", "--status", job.service.file], ["oncesinkd", "--help"],
                    ["oncesink-recover", "status", job.service.ledger],
                    ["oncesink-recover", "verify", job.service.ledger]):
        ran = subprocess.run([program(command[0]), *map(str, command[1:])], capture_output=True,
                             timeout=60, check=True)
        seen[" ".join(map(str, command[:2]))] = ran.stdout + ran.stderr
    for file in job.service.folder.glob("ledger.db*"):
        seen[file.name] = file.read_bytes()
    key = secured.authority.text("client.key").splitlines()
    for secret in (PASSWORD, KEY_PASSWORD, key[1], key[2]):
        for where, content in seen.items():
            assert secret.encode() not in content, f"{secret} is in the {where}"
    assert b"[hidden]" in seen["oncesinkd --check"]


class Stray:
    """A process that lives for a second; its user is nobody when we are root."""

    def __init__(self, command, folder):
        user = os.getuid() or 65534

        def prepare():
            signal.signal(signal.SIGQUIT, signal.SIG_DFL)   # a background job may ignore it
            _, most = resource.getrlimit(resource.RLIMIT_CORE)
            resource.setrlimit(resource.RLIMIT_CORE, (most, most))
            if os.getuid() == 0:
                os.setgid(user)
                os.setuid(user)
            die_with_parent()
        process = subprocess.Popen(command, cwd=folder, preexec_fn=prepare,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1 * SLOWNESS)
        self.readable = pathlib.Path(f"/proc/{process.pid}/mem").stat().st_uid == user
        os.kill(process.pid, signal.SIGQUIT)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = status
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGQUIT, status
        self.left_core = os.WCOREDUMP(status)


def test_its_memory_is_for_nobody_and_it_leaves_no_core():
    """The kernel's own word, beside a process that hides nothing. A core is only looked for where
    the machine writes any."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copy(program(), folder / "oncesinkd")
        (folder / "job.conf").write_text("job.name = core\ninput.topics = in\n"
                                         "bootstrap.servers = 127.0.0.1:1\n")
        folder.chmod(0o777)
        plain = Stray(["sleep", "60"], folder)
        assert plain.readable
        ours = Stray([str(folder / "oncesinkd"), "job.conf"], folder)
        assert not ours.readable
        assert not ours.left_core
        print(f"memory: plain process readable, ours not; cores: plain {plain.left_core}, ours no")
