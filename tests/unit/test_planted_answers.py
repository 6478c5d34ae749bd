"""A judge judged: planted answers, and what is made of its opinions of them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import chat_server as fake
from tests.unit.test_judging import ABSTAINS, judge_of, opinion

from videoespresso import statistics
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit, err, out
from videoespresso.evaluation import judging
from videoespresso.evaluation.planted_answers import (
    KINDS,
    PADDING,
    RIGHT,
    PlantedAnswer,
    auc,
    planted_answers,
    worth,
)

PLANTED = planted_answers(50)


def test_as_many_of_each_kind_and_the_same_for_the_same_seed() -> None:
    assert Counter(p.kind for p in PLANTED) == dict.fromkeys(KINDS, 10)
    assert planted_answers(50) == PLANTED
    assert planted_answers(50, seed=1) != PLANTED
    assert len(planted_answers(13)) == 13
    with pytest.raises(ValueError, match="fewer than one"):
        planted_answers(4)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda p: f"{p.kind} {p.item.id}")
def test_what_is_right_says_the_reference_and_what_is_wrong_does_not(
    planted: PlantedAnswer,
) -> None:
    reference = planted.item.answer.strip(".").casefold()
    assert (reference in planted.reply.casefold()) is planted.right
    assert planted.right is (planted.kind in RIGHT)
    assert (PADDING[0] in planted.reply) is (planted.kind == "padded")
    if planted.kind == "wrong order":
        assert sorted(planted.reply.strip(".").casefold().split(", then ")) == sorted(
            reference.split(", then ")
        )
    assert planted.item.evidence


def shown() -> list[judging.Shown]:
    return [(p.item, p.reply) for p in PLANTED]


def test_a_judge_who_knows_and_one_who_likes_length() -> None:
    right = {p.reply for p in PLANTED if p.right}
    knows = judge_of(lambda answer, _: opinion(9 if answer in right else 3))
    found = worth(PLANTED, judging.judge(shown(), knows, sees="nothing"))
    assert found.auc is not None
    assert (found.auc.value, found.auc.interval) == (1.0, statistics.ALIKE)
    assert {kind: e.value for kind, e in found.means.items()} == {
        kind: 9 if kind in RIGHT else 3 for kind in KINDS
    }
    assert found.planted == found.rated == dict.fromkeys(KINDS, 10)

    likes = judge_of(lambda answer, _: opinion(min(10, 1 + len(answer) // 40)))
    found = worth(PLANTED, judging.judge(shown(), likes, sees="nothing"))
    assert found.auc is not None
    assert found.auc.low is not None
    assert found.auc.high is not None
    assert found.auc.low < found.auc.value < found.auc.high < 0.95
    assert found.means["padded"].value > found.means["true"].value


def test_what_it_cannot_tell_of_is_not_rated() -> None:
    padded = {p.reply for p in PLANTED if p.kind == "padded"}
    agent = judge_of(lambda answer, _: ABSTAINS if answer in padded else opinion(5))
    found = worth(PLANTED, judging.judge(shown(), agent, sees="nothing"))
    assert "padded" not in found.rated
    assert "padded" not in found.means
    assert found.auc is not None
    assert found.auc.value == 0.5
    nobody = worth(PLANTED, judging.judge(shown(), judge_of(lambda *_: ABSTAINS), sees="nothing"))
    assert (nobody.auc, nobody.means) == (None, {})


def test_the_area_by_hand() -> None:
    scores, right = [3.0, 5.0, 5.0, 1.0, 4.0], [True, True, False, False, True]
    found = auc(scores, right, ["a", "b", "c", "d", "e"])
    assert found is not None
    # 3>5 no, 3>1; 5=5 half, 5>1; 4>5 no, 4>1
    assert found.value == pytest.approx((0 + 1 + 0.5 + 1 + 0 + 1) / 6)
    assert found.n == 5
    assert auc([1, 2], [True, True], ["a", "b"]) is None
    one = auc([1, 2], [True, False], ["a", "a"])
    assert one is not None
    assert one.low is None


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    out.cache_clear()
    err.cache_clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    with fake.Server([fake.say(opinion(7))]) as server:
        line = ["eval", "judge", f"openai:some@{server.url}", "--n", "10"]
        assert main([*line, "--dry-run"]) == Exit.ANSWERED
        assert json.loads(capsys.readouterr().out)["calls"] == 20
        assert server.requests == []
        assert main([*line, "--out", "judge.json"]) == Exit.ANSWERED
    shown_ = capsys.readouterr().out
    assert "AUC, right above wrong: 0.50 (no variation)" in shown_
    written = json.loads(Path("judge.json").read_text())
    assert written["auc"]["value"] == 0.5
    assert written["judged"]["prompt"]
    assert main(["eval", "judge", "embedded:"]) == Exit.USER
