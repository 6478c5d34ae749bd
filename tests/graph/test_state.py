"""Reducers do not know the order; routes are pure."""

import itertools
from typing import Any

from videoespresso.graphs.ask import enough_or_more
from videoespresso.graphs.state import add, merge_by, union, union_texts
from videoespresso.graphs.watch import new_or_known


def every_order(reducer: Any, writes: list[Any], start: Any) -> list[Any]:
    results = []
    for order in itertools.permutations(writes):
        value = start
        for write in order:
            value = reducer(value, write)
        results.append(value)
    return results


def test_frames_merge_in_time_order_whatever_comes_first() -> None:
    writes = [
        [{"id": "b", "time_s": 2.0}],
        [{"id": "a", "time_s": 1.0}, {"id": "b", "time_s": 2.0}],
        [{"id": "c", "time_s": 1.5}],
    ]
    results = every_order(merge_by("id"), writes, [])
    assert all(r == results[0] for r in results)
    assert [f["id"] for f in results[0]] == ["a", "c", "b"]


def test_two_writes_of_one_frame_do_not_depend_on_the_order() -> None:
    writes = [[{"id": "a", "time_s": 1.0, "text": x}] for x in ("one", "two", "three")]
    results = every_order(merge_by("id"), writes, [])
    assert all(r == results[0] for r in results)
    assert len(results[0]) == 1


def test_gaps_counters_and_warnings() -> None:
    gaps = [
        [{"stage": "a", "reason": "x"}],
        [{"stage": "b", "reason": "y"}],
        [{"stage": "a", "reason": "x"}],
    ]
    results = every_order(union, gaps, [])
    assert all(r == results[0] for r in results)
    assert len(results[0]) == 2
    counted = every_order(add, [{"decoded": 2}, {"decoded": 3, "shared": 1}, {}], {})
    assert all(c == {"decoded": 5, "shared": 1} for c in counted)
    assert all(w == ["a", "b"] for w in every_order(union_texts, [["b"], ["a"], ["b"]], []))


def test_routes() -> None:
    ask: Any = {"path": "", "question": "", "options": []}
    frames = [{"id": "a"}, {"id": "b"}]
    assert new_or_known({**ask, "frames": frames, "captions": [{"frame_id": "a"}]}) == "caption"
    both = [{"frame_id": "a"}, {"frame_id": "b"}]
    assert new_or_known({**ask, "frames": frames, "captions": both}) == "filter"
    doubt = {"carried": False, "missing": "x"}
    assert enough_or_more({**ask, "verdict": doubt, "round": 1}) == "look_again"
    assert enough_or_more({**ask, "verdict": doubt, "round": 2}) == "finish"
    assert enough_or_more({**ask, "verdict": {"carried": True}, "round": 1}) == "finish"
