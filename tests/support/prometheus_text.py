"""A strict reader of Prometheus' text format 0.0.4: what promtool's check and its naming rules refuse
is refused here too.

    samples = parse(text)       # {(name, (("label", "value"), ...sorted)): value}; ValueError with the line
    value(samples, "oncesink_up", job_name="x")
"""

import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|Inf)|NaN")
TYPES = ("counter", "gauge")            # the others have samples of a form of their own
UNITS_NOT_BASE = ("_ms", "_milliseconds", "_minutes", "_hours", "_kilobytes", "_bits", "_percent")


def _fail(number, line, why):
    raise ValueError(f"line {number}: {why}: {line!r}")


def _unescape(text):
    return re.sub(r'\\(.)', lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def _sample(number, line):
    found = NAME.match(line)
    if not found:
        _fail(number, line, "no metric name")
    name, at, labels = found[0], found.end(), []
    if line[at:at + 1] == "{":
        at += 1
        while True:
            found = LABEL.match(line, at)
            if not found:
                _fail(number, line, "no label")
            if found[1].startswith("__") or found[1] in dict(labels):
                _fail(number, line, f"label {found[1]}")
            labels.append((found[1], _unescape(found[2])))
            at = found.end()
            if line[at:at + 1] == "}":
                break
            if line[at:at + 1] != ",":
                _fail(number, line, "neither , nor } behind a label")
            at += 1
        at += 1
    if line[at:at + 1] != " " or not NUMBER.fullmatch(line[at + 1:]):
        _fail(number, line, "no number behind one blank")
    return name, tuple(sorted(labels)), float(line[at + 1:])


def _check_name(number, line, name, kind):
    if (kind == "counter") != name.endswith("_total"):
        _fail(number, line, "counters, and only they, end in _total")
    if name.removesuffix("_total").endswith(UNITS_NOT_BASE):
        _fail(number, line, "not a base unit")


def parse(text):
    samples, helps, types, seen = {}, {}, {}, []
    if text and not text.endswith("\n"):
        raise ValueError("the last line has no end")
    for number, line in enumerate(text.split("\n")[:-1], 1):
        if line.startswith("#"):
            words = line.split(" ", 3)
            if len(words) < 4 or words[1] not in ("HELP", "TYPE") or not NAME.fullmatch(words[2]):
                _fail(number, line, "neither HELP nor TYPE of a metric")
            into = helps if words[1] == "HELP" else types
            if words[2] in into or words[2] in seen:
                _fail(number, line, "a second time, or behind its samples")
            into[words[2]] = words[3]
            if words[1] == "TYPE":
                if words[3] not in TYPES:
                    _fail(number, line, "type")
                _check_name(number, line, words[2], words[3])
            continue
        name, labels, value = _sample(number, line)
        if name not in helps or name not in types:
            _fail(number, line, "no HELP and TYPE before it")
        if name not in seen:
            seen.append(name)
        elif seen[-1] != name:
            _fail(number, line, "the metric's samples don't stand together")
        if (name, labels) in samples:
            _fail(number, line, "a second time")
        if types[name] == "counter" and not (value >= 0 and math.isfinite(value)):
            _fail(number, line, "a counter's value")
        samples[name, labels] = value
    return samples


def value(samples, name, **labels):
    """The one sample of that name whose labels include those given; None when there is none."""
    found = [value for (its_name, its_labels), value in samples.items()
             if its_name == name and set(labels.items()) <= set(its_labels)]
    assert len(found) <= 1, (name, labels, found)
    return found[0] if found else None
