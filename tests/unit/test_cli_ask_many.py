"""`ask-many`: what it shows, counts and returns. The answering is scripted here."""

import json
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from videoespresso import errors
from videoespresso.api.answer import Answer
from videoespresso.api.ask_many_records import Failure, QuestionResult
from videoespresso.cli.app import main
from videoespresso.cli.ask_many import from_old_name
from videoespresso.cli.console import Exit, err, out
from videoespresso.types import Usage, Video

VIDEO = Video(id="ab" * 32, path="a.mp4", duration_s=9, fps=Fraction(25), width=64, height=36)


def done(
    line: int, text: str = "yes\x1b[31m", *, known: bool = False, **more: Any
) -> QuestionResult:
    usage = {"reasoner": Usage(calls=2, cached_calls=1, usd=0.01)}
    answer = Answer(question="Who?", text=text, video=VIDEO, usage=usage, **more)
    return QuestionResult(
        key=f"{line}", line=line, id=f"q{line}", question="Who?", answer=answer, known=known
    )


def failed(line: int, kind: str = "VideoError") -> QuestionResult:
    return QuestionResult(
        key=f"{line}", line=line, question="?", error=Failure(kind=kind, text="no\nfile")
    )


@pytest.fixture(autouse=True)
def _fresh_streams() -> None:
    out.cache_clear()
    err.cache_clear()


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of four questions, in the current folder."""
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"video": "a.mp4", "question": f"{k}?"}) for k in range(4)]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    return tmp_path / "q.jsonl"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, questions: Path) -> Any:
    """Puts scripted records, or an error after them, in the place of the real ones."""

    def put(*records: QuestionResult | BaseException | str) -> dict[str, Any]:
        called: dict[str, Any] = {}

        def ask_many(questions: Path, **given: Any) -> Iterator[QuestionResult]:
            called.update(given, questions=questions)
            for record in records:
                if isinstance(record, BaseException):
                    raise record
                if record == CTRL_C:
                    signal.raise_signal(signal.SIGINT)
                else:
                    if not record.known:
                        given["budget"].start()
                        given["budget"].finish(usage=COST)
                    yield record

        monkeypatch.setattr("videoespresso.api.ask_many.ask_many", ask_many)
        return called

    return put


CTRL_C = "ctrl-c"
COST = Usage(calls=2, usd=0.01)
LINE = ["ask-many", "q.jsonl", "--out", "a.jsonl"]


def test_progress_on_stderr_and_counts_on_stdout(script: Any, capsys: Any) -> None:
    script(done(1, known=True), done(3), failed(2), done(4, "not seen", answered=False))
    assert main([*LINE, "--profile", "openai"]) == Exit.USER
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "frames go to api.openai.com",
        "[2/4] q3: yes[31m",
        "[3/4] line 2: error: no file",
        "[4/4] q4: not seen",
    ]
    assert shown.out.splitlines() == [
        "2 answered, 1 not answered, 1 failed of 4 (1 known from before)",
        "6 model calls (2 from cache), $0.0300 · a.jsonl",  # what failed was paid, too
    ]


def test_everything_given_arrives(script: Any, capsys: Any) -> None:
    called = script(*(done(k) for k in range(1, 5)))
    more = "--jobs 3 --retry-errors --max-calls 7 --tool count --select all --json -q"
    assert main([*LINE, *more.split()]) == Exit.ANSWERED
    shown = capsys.readouterr()
    assert shown.err == ""
    summary = json.loads(shown.out)
    assert (summary["answered"], summary["left"], summary["ended"]) == (4, 0, "done")
    assert summary["usage"]["calls"] == 8
    assert (called["questions"], called["out"]) == (Path("q.jsonl"), Path("a.jsonl"))
    assert (called["jobs"], called["retry_errors"], called["tools"]) == (3, True, ["count"])
    assert (called["settings"].budget_calls, called["settings"].select) == (7, "all")


@pytest.mark.parametrize(
    ("kinds", "code"),
    [(["VideoError", "UserError"], 2), (["ModelError"], 4), (["VideoError", "ToolError"], 4)],
)
def test_errors_decide_the_code(script: Any, capsys: Any, kinds: list[str], code: int) -> None:
    script(*(failed(k, kind) for k, kind in enumerate(kinds)), done(3), done(4))
    assert main(LINE) == code


@pytest.mark.parametrize(
    ("end", "code", "ended"),
    [
        (KeyboardInterrupt(), Exit.INTERRUPTED, "interrupted"),
        (errors.BudgetExceeded("budget reached", hint="Raise it."), Exit.BUDGET, "budget"),
    ],
)
def test_a_run_that_ends_early_says_how_to_go_on(
    script: Any, capsys: Any, end: BaseException, code: Exit, ended: str
) -> None:
    script(done(1), end)
    assert main([*LINE, "--json", "-q"]) == code
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    assert (summary["ended"], summary["answered"], summary["left"]) == (ended, 1, 3)
    assert (
        "the same command asks the rest" if ended == "interrupted" else "Raise it."
    ) in shown.err


def test_ctrl_c_lets_what_is_under_way_finish(script: Any, capsys: Any) -> None:
    called = script(done(1), CTRL_C, done(2))
    before = signal.getsignal(signal.SIGINT)
    assert main([*LINE, "--json", "-q"]) == Exit.INTERRUPTED
    assert called["stop"].is_set()
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    assert (summary["ended"], summary["answered"], summary["left"]) == ("interrupted", 2, 2)
    assert "2 of 4 questions are in a.jsonl" in shown.err
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_leaves_at_once(script: Any, capsys: Any) -> None:
    script(done(1), CTRL_C, CTRL_C, done(2))
    assert main([*LINE, "--json", "-q"]) == Exit.INTERRUPTED
    assert json.loads(capsys.readouterr().out)["answered"] == 1


def test_ctrl_c_after_the_last_question_interrupts_nothing(script: Any, capsys: Any) -> None:
    script(*(done(k) for k in range(1, 5)), CTRL_C)
    assert main([*LINE, "--json", "-q"]) == Exit.ANSWERED
    assert json.loads(capsys.readouterr().out)["ended"] == "done"


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask-many", "q.jsonl"],
        ["ask-many", "--out", "a.jsonl"],
        ["ask", "clip.mp4", "Who?", "--out", "a.jsonl"],
        ["ask", "clip.mp4"],
        [*LINE, "clip.mp4"],
        [*LINE, "--option", "a"],
        [*LINE, "--report", "r.html"],
        [*LINE, "--jobs", "0"],
        ["ask", "--batch", "q.jsonl"],
        ["ask-many", "none.jsonl", "--out", "a.jsonl"],
    ],
    ids=" ".join,
)
def test_the_two_forms_do_not_mix(script: Any, capsys: Any, arguments: list[str]) -> None:
    called = script(done(1))
    assert main(arguments) == Exit.USER
    shown = capsys.readouterr()
    assert called == {}
    assert shown.out == ""
    assert shown.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "--batch", "q.jsonl", "--out", "a.jsonl", "--jobs", "3"],
        ["ask", "--jobs", "3", "--out", "a.jsonl", "--batch=q.jsonl"],
    ],
    ids=" ".join,
)
def test_the_old_name_says_the_new_one_and_does_the_same(
    script: Any, capsys: Any, arguments: list[str]
) -> None:
    called = script(*(done(k) for k in range(1, 5)))
    assert main([*arguments, "--profile", "openai", "--quiet"]) == Exit.ANSWERED
    assert (called["questions"], called["out"]) == (Path("q.jsonl"), Path("a.jsonl"))
    assert called["jobs"] == 3
    (note,) = capsys.readouterr().err.splitlines()
    assert "ask-many" in note


def test_a_question_may_read_like_the_old_option() -> None:
    assert from_old_name(["ask", "clip.mp4", "--", "--batch"]) is None
    assert from_old_name(["chat", "--batch", "q.jsonl"]) is None
