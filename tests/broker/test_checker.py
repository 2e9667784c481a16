"""The checker is tested before it judges anything: each planted fault must be found, by its name.

The peer writes the copies itself (command copy): a perfect one, or one with a fault planted.
Faults are looked for in every layout that the product's tests use.
"""

import pytest

COUNT = 3000

# kind planted → what the checker must count, exactly, where headers name the input
BY_HEADER = {
    "loss": {"missing": 1},
    "double": {"doubled": 1},
    "swap": {"out_of_order": 1},
    "key": {"changed_key": 1},
    "value": {"changed_value": 1},
    "header": {"changed_headers": 1},
    "header_order": {"changed_headers": 1},
    "header_lost": {"changed_headers": 1},
    "provenance_lost": {"unexpected": 1, "missing": 1},
    "timestamp": {"changed_timestamp": 1},
    "partition": {"misplaced": 1},
}

# name → input topics with partitions, output topics with partitions, routes, partitioner
LAYOUTS = {
    "three_to_three": ({"a": 3}, {"x": 3}, {"a": "x"}, "same"),
    "three_to_two": ({"a": 3}, {"x": 2}, {"a": "x"}, "same"),
    "two_topics_to_one": ({"a": 2, "b": 2}, {"x": 2}, {"a": "x", "b": "x"}, "same"),
    "by_key": ({"a": 3}, {"x": 2}, {"a": "x"}, "key"),
}

COUNTED = ("missing", "doubled", "changed_key", "changed_value", "changed_headers",
           "changed_timestamp", "out_of_order", "misplaced", "unexpected")


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request, topics):
    """Inputs of one layout, fed once for all its copies: (input routes, new output maker)."""
    inputs, outputs, routes, partitioner = LAYOUTS[request.param]
    prefix = f"checker-{request.param}-"
    topics("create_topics", topics={prefix + name: {"partitions": count}
                                    for name, count in inputs.items()})
    topics("feed", count=COUNT, seed=5, size=60, style="mixed", transaction=100, abort_every=4,
           topics={prefix + name: list(range(count)) for name, count in inputs.items()})
    number = iter(range(1000))

    def fresh():
        copy = f"{prefix}copy{next(number)}-"
        topics("create_topics", topics={copy + name: {"partitions": count}
                                        for name, count in outputs.items()})
        return {"routes": {prefix + one: copy + other for one, other in routes.items()},
                "partitioner": partitioner}
    return fresh


def counted(result):
    return {kind: result[kind] for kind in COUNTED if result[kind]}


def test_a_clean_copy_is_found_clean(topics, layout):
    wanted = layout()
    topics("copy", **wanted)
    result = topics("check", **wanted)
    assert result["clean"], result
    assert result["in"] == result["out"] == COUNT


@pytest.mark.parametrize("kind", BY_HEADER)
def test_a_planted_fault_is_found(topics, layout, kind):
    wanted = layout()
    topics("copy", faults=[{"kind": kind, "nth": COUNT // 2}], **wanted)
    result = topics("check", **wanted)
    assert not result["clean"]
    assert counted(result) == BY_HEADER[kind], result
    assert result["examples"]
    # The sequence and the sum say so too, so that no view hides behind another.
    headless = kind == "provenance_lost"
    assert result["sequence_differs"] >= 1 or headless, result
    assert result["sum_differs"] == (0 if headless or kind in ("swap", "partition") else 1), result


@pytest.mark.parametrize("kind", [kind for kind in BY_HEADER if kind != "provenance_lost"])
def test_a_planted_fault_is_found_without_headers(topics, name, kind):
    one, other = name, name + "-out"
    topics("create_topics", topics={one: {"partitions": 2}, other: {"partitions": 2}})
    topics("feed", topics={one: [0, 1]}, count=500, seed=9, size=40, style="mixed")
    wanted = {"routes": {one: other}, "provenance": "none"}
    topics("copy", faults=[{"kind": kind, "nth": 200}], **wanted)
    result = topics("check", **wanted)
    assert not result["clean"]
    expected = {"loss": "missing", "double": "doubled", "swap": "out_of_order"}
    assert result[expected.get(kind, "unexpected")] >= 1, result


def test_faults_are_all_counted(topics, layout):
    wanted = layout()
    topics("copy", faults=[{"kind": "loss", "nth": 100 * i} for i in range(1, 8)]
           + [{"kind": "double", "nth": 50 + 200 * i} for i in range(1, 6)], **wanted)
    result = topics("check", **wanted)
    assert counted(result) == {"missing": 7, "doubled": 5}, result


def test_an_empty_output_is_not_a_clean_one(topics, layout):
    result = topics("check", **layout())
    assert not result["clean"]
    assert result["missing"] == COUNT and result["out"] == 0


def test_a_copy_made_twice_is_all_doubled(topics, layout):
    wanted = layout()
    topics("copy", **wanted)
    topics("copy", **wanted)
    result = topics("check", **wanted)
    assert counted(result) == {"doubled": COUNT}, result


def test_a_strangers_records_are_told_from_the_jobs(topics, layout):
    wanted = layout()
    outputs = sorted(set(wanted["routes"].values()))
    stranger = topics.begin("stranger", topics=outputs, open=outputs, rate=500)
    topics("copy", **wanted)
    stranger.stop()
    assert stranger.result()["written"] > 0
    result = topics("check", **wanted)
    assert result["clean"] and result["strangers"] > 0, result


def test_what_was_set_aside_must_not_be_in_the_output(topics, layout):
    wanted = layout()
    topics("copy", **wanted)
    topic = sorted(wanted["routes"])[0]
    first = topics("fetch", to={topic: {0: 1}}, isolation="read_committed")["records"][0]
    result = topics("check", absent=[[topic, 0, first["offset"]]], **wanted)
    assert counted(result) == {"unexpected": 1}, result


def test_an_unfinished_transaction_hides_nothing_that_was_committed(topics, name):
    """Inputs end at the last stable offset for a read_committed job, else at the high watermark."""
    one, other = name, name + "-out"
    topics("create_topics", topics={one: {"partitions": 1}, other: {"partitions": 1}})
    topics("feed", topics={one: [0]}, count=50, style="mixed")
    stranger = topics.begin("stranger", topics=[other], open=[one], rate=50)
    while True:
        ends = topics("ends", topics=[one])[one]["0"]
        if ends["high"] > ends["stable"]:
            break
    wanted = {"routes": {one: other}}
    topics("copy", **wanted)
    result = topics("check", **wanted)
    assert result["clean"] and result["in"] == 50, result
    uncommitted = topics("check", isolation_in="read_uncommitted", **wanted)
    assert uncommitted["missing"] == ends["high"] - 50 > 0, uncommitted
    stranger.stop()
    stranger.result()
