"""Judges of runs: what they are shown, what is kept of it, and pairs in both orders."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from tests.graph.test_eval_run import Bench, case, films, go  # noqa: F401 - a fixture
from tests.helpers import chat_server as fake

from videoespresso.agents.base import Agent
from videoespresso.agents.judge import CRITERIA
from videoespresso.api.evaluate import judge_of as judge_of_run
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit
from videoespresso.errors import ModelError, UserError
from videoespresso.evaluation import judged_runs
from videoespresso.evaluation.compare import compare
from videoespresso.evaluation.summary import keep_judged, series, summary
from videoespresso.memory.frames import FrameStore
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.testing import ScriptedModel, text_of

RATED = json.dumps({"reason": "so", "can_tell": True} | dict.fromkeys(CRITERIA, 8))


def judge_of(said: Callable[[str, list[Any]], str]) -> Agent:
    """A judge that says `said(text, pictures)`."""

    def reply(messages: list[BaseMessage]) -> str:
        blocks = messages[1].content
        shown = [] if isinstance(blocks, str) else [b for b in blocks if b["type"] != "text"]  # type: ignore[index]
        return said(text_of(messages, 1), shown)

    model = ScriptedModel(script={"judge": reply}, asked={})
    spec = ModelSpec.parse("hf:scripted")
    return Agent("judge", spec, model, usage_log=UsageLog(), budget=Budget())


def better(which: str | None) -> str:
    return json.dumps({"reason": "so", "can_tell": which is not None, "better": which})


def answers(text: str) -> list[str]:
    return [line.partition(": ")[2] for line in text.splitlines() if line.startswith("Answer ")]


@pytest.fixture
def judged(tmp_path: Path, films: list[Path]) -> Bench:  # noqa: F811
    bench = Bench(tmp_path, [case(k, films[k // 2]) for k in range(4)])
    bench.run_ = bench.run(conditions=("ours", "oracle-evidence"), protocol="letter")  # type: ignore[attr-defined]
    go(bench.run_)  # type: ignore[attr-defined]
    return bench


def test_pairs_are_judged_in_both_orders_and_what_turns_is_a_tie(
    judged: Bench, tmp_path: Path
) -> None:
    store = FrameStore(tmp_path / "cache" / "frames")
    ours, gold = series(tmp_path / "run")
    # `Sly`: ours says green, gold evidence makes it red; q0 and q2 are red
    likes_red = judge_of(lambda text, _: better("one" if "red" in answers(text)[0] else "two"))
    found = judged_runs.judge_pairs(gold, ours, likes_red, "nothing", store)
    assert (found.n, found.rated, found.ties, found.cannot_tell) == (4, 4, 0, 0)
    assert found.paired is not None
    assert (found.paired.first_only, found.paired.second_only) == (4, 0)
    assert found.turned is not None
    assert found.turned.value == 0
    assert found.agreement is not None
    assert found.agreement.value == 0.5, "red is right of two questions"
    first = judged_runs.judge_pairs(
        gold, ours, judge_of(lambda *_: better("one")), "nothing", store
    )
    assert (first.ties, first.turned and first.turned.value) == (4, 1.0)
    assert first.paired is not None
    assert first.paired.difference.value == 0
    assert first.alpha is not None
    assert first.alpha.value < 0
    unsure = judged_runs.judge_pairs(
        gold, ours, judge_of(lambda *_: better(None)), "nothing", store
    )
    assert (unsure.rated, unsure.cannot_tell, unsure.paired) == (0, 8, None)


@pytest.mark.parametrize("sees", ["frames", "evidence", "nothing"])
def test_a_judge_sees_what_is_said(judged: Bench, tmp_path: Path, sees: Any) -> None:
    store = FrameStore(tmp_path / "cache" / "frames")
    asked: list[tuple[str, int]] = []

    def said(text: str, pictures: list[Any]) -> str:
        asked.append((text, len(pictures)))
        return better("neither") if "Answer two" in text else RATED

    ours, gold = series(tmp_path / "run")
    judged_runs.judge_pairs(ours, gold, judge_of(said), sees, store)
    judged_runs.judge_series(ours, judge_of(said), sees, store)
    assert len(asked) == 16
    assert all((count > 0) == (sees == "frames") for _, count in asked)
    assert all(("the gold sentence" in text) == (sees == "evidence") for text, _ in asked)


def test_a_run_by_a_judge_is_scored_by_what_it_said(tmp_path: Path, films: list[Path]) -> None:  # noqa: F811
    bench = Bench(tmp_path, [case(k, films[k // 2]) for k in range(4)])
    run = bench.run(conditions=("ours",), protocol="judge")
    records = go(run)
    assert {r["reply"] for r in records} == {"it is red"}, "options are not shown"
    with pytest.raises(UserError, match="was not judged"):
        summary(run.plan.out)
    [ours] = series(run.plan.out)
    likes = judge_of(lambda text, _: RATED if "colour, 0" in text else RATED.replace("8", "2"))
    store = FrameStore(tmp_path / "cache" / "frames")
    keep_judged([(ours, judged_runs.judge_series(ours, likes, "nothing", store))])
    [found] = summary(run.plan.out).conditions
    assert (found.scores.protocol, found.scores.judge) == ("judge", "hf:scripted")
    assert found.scores.micro is not None
    assert (found.scores.micro.value, found.scores.micro.n) == (0.25, 4)
    assert found.judged is not None
    assert found.judged.ratings["overall"].value == (8 + 3 * 2) / 4
    kept = (run.plan.out / "records.jsonl").read_text()
    (run.plan.out / "records.jsonl").write_text(kept.replace("it is red", "it is blue"))
    with pytest.raises(UserError, match="answers changed since"):
        summary(run.plan.out)


def test_two_protocols_are_never_set_beside_each_other(judged: Bench, tmp_path: Path) -> None:
    other = judged.run(out="open", conditions=("ours",), protocol="open")
    go(other)
    with pytest.raises(UserError, match="never set beside each other"):
        compare([tmp_path / "run", other.plan.out], allow=["protocol", "prompts"])


def test_a_judge_that_does_not_answer_ends_a_run_before_its_first_item(
    tmp_path: Path,
    films: list[Path],  # noqa: F811
) -> None:
    bench = Bench(tmp_path, [case(0, films[0])])
    run = bench.run(conditions=("ours",), protocol="judge")
    with pytest.raises(UserError, match="needs a judge"):
        judge_of_run(run, None)
    with (
        fake.Server([fake.status(401, "no such key")]) as server,
        pytest.raises(ModelError),
    ):
        judge_of_run(run, f"openai:some@{server.url}")
    assert bench.calls == 0
    assert not run.plan.out.exists()


def test_the_command_asks_about_pairs(
    judged: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    run = str(tmp_path / "run")
    assert main(["eval", "compare", run, "--max-usd", "1"]) == Exit.USER
    with fake.Server([fake.say(better("one"))]) as server:
        line = ["eval", "compare", run, "--judge", f"openai:some@{server.url}"]
        assert main([*line, "--judge-sees", "frames", "--dry-run"]) == Exit.ANSWERED
        seen = json.loads(capsys.readouterr().out)
        assert (seen["calls"], server.requests) == (8, [])
        assert main([*line, "--dry-run"]) == Exit.ANSWERED
        assert json.loads(capsys.readouterr().out)["input_tokens"] < seen["input_tokens"]
        assert main([*line, "--judge-sees", "frames"]) == Exit.ANSWERED
        assert all("image_url" in json.dumps(r["messages"]) for r in server.requests)
    printed = capsys.readouterr().out
    assert "4 pairs in both orders, 4 rated, 4 ties" in printed
    assert "verdicts that turn with the order" in printed
