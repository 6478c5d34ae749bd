"""Ablations: conditions that change one thing, and the table over them."""

import math
from pathlib import Path
from typing import get_args

import pytest
from langchain_core.messages import BaseMessage
from tests.graph.test_eval_run import Bench, Sly, case, films, go  # noqa: F401 - a fixture
from tests.helpers.scripted import text_of

from videoespresso.errors import SettingsError, UserError
from videoespresso.evaluation import conditions
from videoespresso.evaluation.ablation import AXES, BUDGETS, Axis, ablation
from videoespresso.evaluation.conditions import variant
from videoespresso.settings import Settings


def test_a_condition_is_taken_apart() -> None:
    assert variant("uniform:8").over == {}
    found = variant("ours@tau=0.8,boxes=off")
    assert (found.base, found.checked) == ("ours", True)
    settings = found.settings(Settings(detector="embedded:"))
    assert (settings.tau, settings.detector) == (0.8, "off")
    assert variant("ours@tau=off").over["tau"] == math.inf
    assert not variant("retrieval@checker=off").checked
    assert not variant("ours@captions=off").captions


@pytest.mark.parametrize(
    "name", ["ours@", "ours@tau", "ours@tau=2", "ours@boxes=on", "ours@colour=red"]
)
def test_what_is_no_change_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        conditions.check((name,))


def test_what_is_given_cannot_be_changed() -> None:
    with pytest.raises(UserError, match="asked as it is"):
        conditions.check(("ours", "direct@boxes=off"))


def test_every_axis_begins_with_what_it_is_compared_with() -> None:
    assert set(AXES) == set(get_args(Axis))
    for names in AXES.values():
        conditions.check(names)
        assert names[0] == "ours"
        assert len({*names}) == len(names)


def test_the_table_of_a_run(tmp_path: Path, films: list[Path]) -> None:  # noqa: F811
    bench = Bench(tmp_path, [case(k, films[k // 2]) for k in range(4)])
    names = ("ours", "ours@tau=off", "ours@checker=off", "oracle-evidence")
    run = bench.run(conditions=names)
    records = go(run)
    assert not [r["error"] for r in records if "error" in r]
    by = {(r["condition"], r["item"]): r for r in records}
    checked, without = by["ours", "q0"], by["ours@checker=off", "q0"]
    assert (checked["checked"], without["checked"]) == (True, False)
    assert without["picked_s"] == checked["picked_s"]
    assert "check" in checked["nodes"]
    looking = {"caption", "remember"}  # the first question's; nothing is named after the hold
    assert {*without["nodes"]} == {*checked["nodes"]} - looking - {"check"}
    assert by["ours@tau=off", "q0"]["kept"] >= checked["kept"]
    table = ablation(run.plan.out, "anything", names)
    assert table.whole
    base, *others = table.rows
    assert (base.paired, base.holm) == (None, None)
    calls = {row.condition: row.means["model calls"].value for row in table.rows}
    assert calls["ours@checker=off"] < calls["ours"]
    gold = others[-1].paired
    assert gold is not None
    # `Sly` takes the second option, and the first where it is shown gold sentences
    assert (gold.first_only, gold.second_only, gold.difference.n) == (2, 2, 4)


def test_without_captions_the_reasoner_sees_the_same_frames_alone(
    tmp_path: Path,
    films: list[Path],  # noqa: F811
) -> None:
    bench = Bench(tmp_path, [case(0, films[0])])
    shown: dict[bool, list[str]] = {True: [], False: []}
    sly = Sly.reasoner

    def reasoner(self: Sly, messages: list[BaseMessage]) -> str:
        told = "\n".join(text_of(messages, k) for k in range(1, len(messages)))
        shown["Caption: room" in told].append(told)
        return sly(self, messages)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sly, "reasoner", reasoner)
        with_, without = go(bench.run(conditions=("ours", "ours@captions=off")))
    assert with_["picked_s"] == without["picked_s"]
    assert len(shown[True]) == len(shown[False]) > 0


def test_a_table_of_a_run_that_was_stopped(tmp_path: Path, films: list[Path]) -> None:  # noqa: F811
    bench = Bench(tmp_path, [case(0, films[0])])
    run = bench.run(conditions=("ours", "ours@tau=1"))
    run.start()
    table = ablation(run.plan.out, "filter", ("ours", "ours@tau=1"))
    assert not table.whole
    assert [(row.n, row.missing, row.accuracy) for row in table.rows] == [(0, 1, None)] * 2


def test_the_area_is_of_the_questions_asked_at_every_number_of_frames(
    tmp_path: Path,
    films: list[Path],  # noqa: F811
) -> None:
    bench = Bench(tmp_path, [case(k, films[k // 2]) for k in range(4)])
    names = AXES["budget"]
    run = bench.run(conditions=names)
    go(run)
    area = ablation(run.plan.out, "budget", names).area
    assert area is not None
    assert (area.value, area.n) == (0.0, 4), "both pick; the model does not care what it is shown"
    assert len(BUDGETS) == 5
