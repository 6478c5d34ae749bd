"""What is wrong with a question is said before anything is decoded."""

from collections.abc import Sequence
from pathlib import Path

import pytest

import videoespresso as ve
from videoespresso.api.ask import check_question
from videoespresso.cli.app import main
from videoespresso.cli.ask import code_of
from videoespresso.cli.console import Exit

VIDEO = Path(__file__).resolve().parents[2] / "examples/videos/room.mp4"

WRONG: list[tuple[str, Sequence[str], str]] = [
    (" \n", (), "the question is empty"),
    ("Who?", ["Ann"], "one option is no choice: 'Ann'"),
    ("Who?", "Ann", "the options are one text: 'Ann'"),
    ("Who?", ["Ann", " "], "an option is empty"),
    ("Who?", ["Ann", "Bo", "ann "], "the option 'ann ' is given twice"),
    ("Who?", [1, 2], "an option is no text: 1"),  # type: ignore[list-item]
]


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No video may be opened."""
    for opener in ("av.open", "videoespresso.graphs.context.open_video"):
        monkeypatch.setattr(opener, lambda *_given, **_more: pytest.fail("opened"))


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize(("question", "options", "message"), WRONG, ids=[w[2] for w in WRONG])
def test_python_refuses_it(question: str, options: Sequence[str], message: str) -> None:
    with pytest.raises(ve.UserError, match=message) as raised:
        ve.ask(VIDEO, question, options=options)
    assert raised.value.hint


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize(
    "arguments",
    [
        ["", "--option", "A", "--option", "B"],
        ["Who?", "--option", "Ann"],
        ["Who?", "--option", "Ann", "--option", "Ann"],
        ["Who?", "--report", str(VIDEO)],
        ["Who?", "--report", "/nowhere/r.html"],
        ["Who?", "--select", "uniform:0"],
        ["Who?", "--select", "best"],
        ["Who?", "--fps", "0"],
        ["Who?", "--max-usd", "-1"],
        ["Who?", "--max-calls", "-1"],
        ["Who?", "--tool", "no_such_tool"],
        ["Who?", "--profile", "no_such_profile"],
    ],
    ids=" ".join,
)
def test_the_command_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", str(VIDEO), *arguments]) == Exit.USER
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "error: " in shown.err
    assert "hint: " in shown.err


@pytest.mark.usefixtures("sealed")
def test_the_seal_holds() -> None:
    with pytest.raises(pytest.fail.Exception, match="opened"):
        ve.ask(VIDEO, "Who?")


def test_what_is_fine_passes() -> None:
    check_question("Who?", [])
    check_question("Who?", ("Ann", "Bo"))


def test_a_reply_that_is_none_of_the_options_answers_nothing() -> None:
    from tests.unit.test_report import answer  # noqa: PLC0415 - only here

    assert code_of(answer()) == Exit.ANSWERED
    assert code_of(answer(choice=None)) == Exit.NOT_ANSWERED
    assert code_of(answer(choice=None, options=())) == Exit.ANSWERED
