"""oncesink-recover as a person uses it: a command, its exit code, its answer, its complaint."""

import json
import pathlib
import sqlite3
import subprocess

from service import program


class Answer:
    def __init__(self, ran):
        self.code, self.text, self.complaint = ran.returncode, ran.stdout, ran.stderr

    def __repr__(self):
        return f"exit {self.code}\n{self.text}\n{self.complaint}"

    def json(self):
        return json.loads(self.text)


def recover(command, ledger, *arguments, timeout_s=60):
    return Answer(subprocess.run([program("oncesink-recover"), command, str(ledger),
                                  *map(str, arguments)], capture_output=True, text=True,
                                 timeout=timeout_s))


def content(ledger):
    """All that the ledger says; nothing when it isn't there."""
    if not pathlib.Path(ledger).exists():
        return None
    connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10)
    lines = list(connection.iterdump())
    connection.close()
    return lines


def do(command, ledger, *arguments):
    """Shown first, then done; nothing is changed by the showing."""
    before = content(ledger)
    shown = recover(command, ledger, *arguments)
    assert shown.code == 0 and "--yes" in shown.text, shown
    assert content(ledger) == before
    done = recover(command, ledger, *arguments, "--yes")
    assert done.code == 0 and "done: " in done.text, done
    sound = recover("verify", ledger)
    assert sound.code == 0, sound
    return done


def refused(command, ledger, *arguments, code=77):
    answer = recover(command, ledger, *arguments)
    assert answer.code == code, answer
    return answer.complaint
