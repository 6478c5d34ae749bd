"""What a question will take, said before it is paid for, and found out without a call."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.graph.test_candidates import asked, film
from tests.helpers.paid_server import Paid, paid_context

from videoespresso.cli.app import main
from videoespresso.cli.console import Exit, err, out
from videoespresso.errors import VideoError
from videoespresso.graphs.dry_run import dry_run
from videoespresso.models.costs import question_budget
from videoespresso.settings import QUESTION_USD, Settings

QUESTION = "What is it?"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key-of-nobody")


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "minute.mp4", 60)


@pytest.mark.parametrize(
    "select", ["auto", "pixels+segments", "retrieval", "uniform:4", "pixels+top:2"]
)
def test_it_is_what_the_question_takes(tmp_path: Path, minute: Path, select: str) -> None:
    """Calls, pictures and captions, of a first and of a second question."""
    model = Paid()
    with paid_context(tmp_path, model, select=select) as context:
        for question in (QUESTION, "And what was there before?"):
            said = dry_run(context, [str(minute)], question)
            assert not model.calls, "no model is asked"
            answer = asked(context.renewed(), minute, question)
            assert said.captions == answer.work.captioned
            assert said.frames == len(answer.core_frames) + len(answer.dropped)
            assert {r: s.calls for r, s in said.roles.items()} == dict(model.calls)
            shown = {role: count for role, count in model.images.items() if role != "reasoner"}
            assert {r: s.images for r, s in said.roles.items() if r != "reasoner"} == shown
            assert model.images["reasoner"] <= said.roles["reasoner"].images
            assert (said.known == 0) == (question == QUESTION)
            model.calls.clear()
            model.images.clear()


def test_a_model_that_rates_frames_is_counted_and_not_asked(tmp_path: Path, minute: Path) -> None:
    model = Paid()
    with paid_context(tmp_path, model, select="vlm+top:2") as context:
        said = dry_run(context, [str(minute)], QUESTION)
        assert not model.calls
        assert said.roles["scorer"].images == said.frames
        asked(context, minute, QUESTION)
        assert model.calls["scorer"] == said.roles["scorer"].calls
        assert model.images["scorer"] == said.roles["scorer"].images


def test_several_videos_are_one_question(tmp_path: Path, minute: Path) -> None:
    other = film(tmp_path / "short.mp4", 10)
    with paid_context(tmp_path, Paid()) as context:
        one, two = (dry_run(context, [str(path)], QUESTION) for path in (minute, other))
        both = dry_run(context, [str(minute), str(other)], QUESTION)
    assert both.frames == one.frames + two.frames
    assert both.captions == one.captions + two.captions
    assert both.roles["reasoner"].calls == 2
    assert one.usd is not None
    assert both.usd is not None
    assert one.usd < both.usd < QUESTION_USD


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with paid_context(tmp_path, Paid()) as context, pytest.raises(VideoError):
        dry_run(context, [str(tmp_path / "none.mp4")], QUESTION)


def test_paid_models_have_a_limit_a_question() -> None:
    def limit(questions: int = 1, **given: object) -> float | None:
        return question_budget(Settings.load(given, environ={}), questions).max_usd

    assert limit(profile="openai") == limit(profile="gemini") == QUESTION_USD
    assert limit(4, profile="anthropic") == 4 * QUESTION_USD
    assert limit(profile="openai", budget_usd=2) == 2
    assert limit() is None, "nothing is paid for"
    assert limit(profile="openai", reasoner="openai:a-new-model") is None, "it could not be kept"
    assert limit(embedder="openai:text-embedding-3-small") == QUESTION_USD


def test_the_limit_ends_a_question_with_what_is_known(tmp_path: Path, minute: Path) -> None:
    model = Paid()
    with paid_context(tmp_path, model, budget_usd=0.0001) as context:
        answer = asked(context, minute)
    assert [gap.stage for gap in answer.gaps] == ["budget"]
    assert "0.0001" in answer.gaps[0].reason


def test_on_the_command_line(
    tmp_path: Path, minute: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """No request leaves: the key is nobody's, and another host would fail the test."""
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path))
    said = ["ask", str(minute), QUESTION, "--profile", "openai", "--dry-run", "--quiet"]
    for stream in (out, err):
        stream.cache_clear()
    assert main(said) == Exit.ANSWERED
    shown = capsys.readouterr().out
    assert "openai:gpt-4o?detail=high" in shown
    assert "limit: $0.25" in shown
    assert main([*said, "--json", "--select", "uniform:2"]) == Exit.ANSWERED
    found = json.loads(capsys.readouterr().out)
    assert (found["captions"], found["calls"], found["limit_usd"]) == (2, 4, QUESTION_USD)
    assert found["images"] == 2 + 2 * 2
    assert found["roles"]["captioner"]["calls"] == 1
    for stream in (out, err):
        stream.cache_clear()
