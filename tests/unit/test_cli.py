"""The command line's own part: what it shows, where, and how it ends. The work is scripted here."""

import errno
import json
import re
import sys
import types
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from videoespresso import errors
from videoespresso.cli import cache
from videoespresso.cli.app import main
from videoespresso.cli.ask import footer
from videoespresso.cli.console import (
    Exit,
    err,
    exit_code,
    fetching,
    out,
    say_error,
    show_table,
)
from videoespresso.errors import UserError
from videoespresso.report.card import page
from videoespresso.report.text import printable
from videoespresso.tools.fetch.transfer import Progress
from videoespresso.types import Answer, Box, EvidenceStep, Gap, KeyItem, Usage, Video

VIDEO = Video(id="ab" * 32, path="clip.mp4", duration_s=9, fps=Fraction(25), width=64, height=36)
ANSWER = Answer(
    question="Who?",
    options=("Ann", "Bo"),
    text="Bo does.",
    choice=1,
    checked=True,
    evidence=(
        EvidenceStep(
            text="Bo is first.",
            frame_id="x@3000",
            time_s=3.0,
            items=(
                KeyItem(name="Bo", boxes=(Box(label="person", xyxy=(0, 0.1, 0.5, 1), score=0.9),)),
                KeyItem(name="dog"),
            ),
        ),
    ),
    video=VIDEO,
    usage={"reasoner": Usage(calls=2, input_tokens=1500, output_tokens=20, images=3, usd=0.01)},
    settings={"detector": "onnx:detector.onnx"},
)


class Step(NamedTuple):
    node: str
    text: str
    data: dict[str, Any]


@pytest.fixture(autouse=True)
def _fresh_streams() -> None:
    """pytest swaps the streams for every test; the consoles hold on to the ones they saw."""
    out.cache_clear()
    err.cache_clear()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer | BaseException], dict[str, Any]]:
    """Puts a scripted `ask` in the place of the real one; returns what it was called with."""

    def put(result: Answer | BaseException) -> dict[str, Any]:
        called: dict[str, Any] = {}

        def ask(video: Path, question: str, **given: Any) -> Answer:
            called.update(given, video=video, question=question)
            if given["on_step"]:
                given["on_step"](Step("sample", "37 frames\nlooked at \x1b[31m", {}))
            if isinstance(result, BaseException):
                raise result
            return result

        module = types.ModuleType("videoespresso.api.ask")
        module.ask = ask  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "videoespresso.api.ask", module)
        return called

    return put


def test_steps_go_to_stderr_and_the_answer_to_stdout(script: Any, capsys: Any) -> None:
    script(ANSWER)
    assert main(["ask", "clip.mp4", "Who?", "--profile", "openai", "-v"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "frames go to api.openai.com",
        "sample    37 frames looked at [31m",
    ]
    *lines, seconds = shown.out.splitlines()
    assert lines == [
        "B. Bo does.",
        "    A. Ann",
        "  → B. Bo",
        "",
        "Evidence",
        "    0:03.0  Bo is first.",
        "            Bo: [0.00 0.10 0.50 1.00] 0.90",
        "            dog: not found",
        "",
        "core frames: none (0 of 0 looked at) · checked",
        "2 model calls (0 from cache), 1,500 + 20 tokens, 3 images, $0.0100",
    ]
    assert re.fullmatch(r"\d+\.\d s, of which models 0\.0 s", seconds)


def test_calls_side_by_side_are_not_a_part_of_the_time_that_passed() -> None:
    usage = {"captioner": Usage(calls=44, seconds=1111.0)}
    answer = ANSWER.model_copy(update={"usage": usage})
    assert footer(answer, 346.9).endswith("346.9 s, calls together 1111.0 s, several at a time")
    assert footer(answer, 2000.0).endswith("2000.0 s, of which models 1111.0 s")


def test_the_default_models_are_named_as_such(script: Any, capsys: Any) -> None:
    script(ANSWER)
    assert main(["ask", "clip.mp4", "Who?"]) == 0
    assert capsys.readouterr().err.startswith("note: No model is configured")
    assert main(["ask", "clip.mp4", "Who?", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_everything_given_arrives(script: Any, capsys: Any) -> None:
    called = script(ANSWER)
    line = "ask --option Ann -o Bo --select uniform:8 --profile openai -m reasoner=openai:x"
    line += " --detector off --tool count --fps 2 --max-usd 1.5 --max-calls 9 --max-frames 99"
    assert main([*line.split(), "--max-seconds", "60", "--quiet", "--", "-c.mp4", "-Who?"]) == 0
    settings = called["settings"]
    assert (called["video"], called["question"]) == (["-c.mp4"], "-Who?")
    assert (called["options"], called["tools"]) == (("Ann", "Bo"), ("count",))
    assert (called["select"], called["on_step"]) == ("uniform:8", None)
    assert (settings.profile, settings.reasoner) == ("openai", "openai:x")
    assert (settings.detector, settings.fps) == ("off", 2.0)
    assert (settings.budget_usd, settings.budget_calls) == (1.5, 9)
    assert (settings.budget_frames, settings.budget_seconds) == (99, 60.0)


def test_json_is_the_whole_answer_and_nothing_else(script: Any, capsys: Any) -> None:
    odd = ANSWER.model_copy(update={"text": 'a "quote"\n\x1b[2J é 한', "warnings": ("mind\nthis",)})
    script(odd)
    assert main(["ask", "clip.mp4", "Who?", "--json", "-q"]) == 0
    shown = capsys.readouterr()
    assert Answer.model_validate_json(shown.out) == odd
    assert shown.err == "warning: mind this\n"


def test_a_models_words_do_not_reach_the_terminal_as_commands(script: Any, capsys: Any) -> None:
    script(ANSWER.model_copy(update={"text": "\x1b[2J[bold]so[/bold] :smile: \x9b31m"}))
    assert main(["ask", "clip.mp4", "Who?", "--quiet"]) == 0
    assert capsys.readouterr().out == "B. [2J[bold]so[/bold] :smile: 31m\n"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, Exit.ANSWERED),
        ({"answered": False}, Exit.NOT_ANSWERED),
        ({"answered": False, "gaps": (Gap(stage="budget", reason="$1 spent"),)}, Exit.BUDGET),
        ({"gaps": (Gap(stage="ground", reason="failed"),)}, Exit.ANSWERED),
    ],
)
def test_how_an_answer_ends(script: Any, capsys: Any, changed: Any, code: Exit) -> None:
    script(ANSWER.model_copy(update=changed))
    assert main(["ask", "clip.mp4", "Who?"]) == code
    assert all(gap.reason in capsys.readouterr().err for gap in changed.get("gaps", ()))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.VideoError("the file\nis empty", hint="Give another."), 2),
        (errors.SettingsError("no such profile"), 2),
        (errors.ModelError("no answer", hint="Start it."), 4),
        (errors.ModelOutputError("not JSON"), 4),
        (errors.ToolError("it failed"), 4),
        (errors.MemoryStoreError("no room"), 4),
        (errors.BudgetExceeded("budget reached", hint="Raise it."), 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_known_error_is_a_line_and_a_hint(
    script: Any, capsys: Any, error: Any, code: int
) -> None:
    script(error)
    assert main(["ask", "clip.mp4", "Who?", "--quiet"]) == code
    shown = capsys.readouterr()
    message = " ".join(str(error).split())
    hint = f"hint:  {error.hint}\n" if error.hint else ""
    assert (shown.out, shown.err) == ("", f"error: {message}\n{hint}")


def test_every_error_has_a_code() -> None:
    kinds: list[type[errors.VideoEspressoError]] = [errors.VideoEspressoError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        assert exit_code(kind("x")) in set(Exit) - {Exit.ANSWERED, Exit.NOT_ANSWERED}
    assert len(kinds) > 8


def test_an_unknown_error_keeps_its_traceback(script: Any) -> None:
    script(ZeroDivisionError("a bug of ours"))
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        main(["ask", "clip.mp4", "Who?"])


def test_an_interruption_says_what_is_kept(script: Any, capsys: Any) -> None:
    script(KeyboardInterrupt())
    assert main(["ask", "clip.mp4", "Who?", "--quiet"]) == Exit.INTERRUPTED
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("interrupted; ")


def test_an_error_of_the_system_is_not_taken_for_a_closed_pipe(script: Any) -> None:
    script(OSError(errno.EIO, "the disk is broken"))
    with pytest.raises(OSError, match="the disk is broken"):
        main(["ask", "clip.mp4", "Who?", "--quiet"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask"],
        ["ask", "clip.mp4", "Who?", "--no-such-flag"],
        ["ask", "clip.mp4", "Who?", "--max-calls", "many"],
        ["ask", "clip.mp4", "Who?", "--model", "cook=openai:x"],
        ["ask", "clip.mp4", "Who?", "--model", "reasoner"],
        ["ask", "clip.mp4", "Who?", "--fps", "0"],
        ["ask", "clip.mp4", "Who?", "--report", "no/such/folder/r.html"],
        ["ask", "clip.mp4", "Who?", "--report", "clip.mp4"],
        ["models", "list", "--profile", "nobody"],
        ["no-such-command"],
    ],
    ids=lambda arguments: " ".join(arguments[-2:]),
)
def test_a_wrong_line_is_refused_before_anything_is_done(
    script: Any, capsys: Any, tmp_path: Path, monkeypatch: Any, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    called = script(ANSWER)
    assert main(arguments) == Exit.USER
    shown = capsys.readouterr()
    assert called == {}
    assert shown.out == ""
    assert shown.err


def test_no_arguments_show_the_help(capsys: Any) -> None:
    assert main([]) in (0, 2)  # typer changed its mind on the code between releases
    assert "Usage" in "".join(capsys.readouterr())


COMMANDS = [
    [], ["ask"], ["doctor"], ["models"], ["models", "list"], ["models", "test"], ["cache"],
    ["cache", "show"], ["cache", "clear"], ["memory"], ["memory", "stats"], ["memory", "rebuild"],
    ["mcp"], ["theatre"], ["theatre", "render"], ["theatre", "build"], ["chat"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_examples(command: list[str], capsys: Any) -> None:
    assert main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples" in shown
    assert "$ videoespresso" in shown


@pytest.mark.parametrize(
    "command", [[], ["dataset"], ["models"], ["eval"], ["train"]], ids=" ".join
)
def test_what_a_command_is_for_is_said_in_full(command: list[str], capsys: Any) -> None:
    assert main([*command, "--help"]) == 0
    printed = capsys.readouterr().out.partition("Commands:")[2].partition("Examples:")[0]
    assert printed.strip()
    assert "..." not in printed


def test_a_question_without_quotes_is_said_to_want_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").write_bytes(b"x")
    assert main(["ask", "clip.mp4", "Who", "wins", "it?"]) == Exit.USER
    said = capsys.readouterr().err
    assert "Who: no such file" in said
    assert "videoespresso ask clip.mp4 'Who wins it?'" in said


def test_all_files_are_looked_for_before_one_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").write_bytes(b"it would not be decoded")
    assert main(["ask", "clip.mp4", "clop.mp4", "Who wins?"]) == Exit.USER
    said = capsys.readouterr().err
    assert "clop.mp4: no such file" in said
    assert "did you mean clip.mp4?" in said


def test_the_help_documents_every_exit_code(capsys: Any) -> None:
    main(["ask", "--help"])
    printed = capsys.readouterr().out.partition("Exit codes:")[2]
    numbers = {int(line.split()[0]) for line in printed.splitlines() if line.split()}
    assert numbers == {int(code) for code in Exit}


def test_version(capsys: Any) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("videoespresso ")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (2.5e9, "2.5 GB")],
)
def test_sizes(count: int, text: str) -> None:
    assert cache.size(count) == text


def test_json_loses_nothing_and_commands_nothing(script: Any, capsys: Any) -> None:
    text = "\x1b\x7f\x9b é"
    path = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    script(
        ANSWER.model_copy(update={"text": text, "video": VIDEO.model_copy(update={"path": path})})
    )
    main(["ask", "clip.mp4", "Who?", "--json", "-q"])
    raw = capsys.readouterr().out
    assert not any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 for c in raw)
    assert "é" in raw
    assert json.loads(raw)["text"] == text
    assert json.loads(raw)["video"]["path"] == path


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(12_300_000, 80_000_000, 3.1e6), "fetching 12.3 of 80.0 MB, 3.1 MB/s, 0:22 left"),
        (Progress(0, 59_600_000, 1e6), "fetching 0.0 of 59.6 MB, 1.0 MB/s, 1:00 left"),
        (Progress(12_300_000, None, 3_100_000), "fetching 12.3 MB, 3.1 MB/s"),
        (Progress(0, 5_000_000_000, 1e6), "fetching 0.0 of 5000.0 MB, 1.0 MB/s, 83:20 left"),
        (Progress(0, 5, 0), "fetching 0.0 of 0.0 MB, 0.0 MB/s"),
    ],
)  # fmt: skip
def test_a_download_is_told_in_a_line(progress: Progress, line: str) -> None:
    said: list[str] = []
    fetching(said.append)(progress)
    assert said == [line]


@pytest.mark.parametrize(
    "mark",
    [*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c", "\x1b", "\x9b",
     "\x07", "\x08", "\r", "\x00", "\u2028", "\ufeff", "\U000e0041"],
)  # fmt: skip
def test_no_mark_reaches_a_terminal_a_page_or_json(mark: str, script: Any, capsys: Any) -> None:
    """Names that read as others (exe.4pm), and what moves a cursor: in every text of an answer."""
    bad = f"a{mark}b"
    answer = ANSWER.model_copy(
        update={"text": bad, "options": (bad, "Bo"), "choice": 1, "question": bad}
    )
    script(answer)
    assert main(["ask", "clip.mp4", bad, "--quiet", "--profile", "openai"]) == 0
    shown = capsys.readouterr()
    assert mark not in shown.out.replace("\n", "")
    assert "ab" in shown.out
    assert main(["ask", "clip.mp4", bad, "--json", "--profile", "openai"]) == 0
    text = capsys.readouterr().out
    assert mark not in text
    assert json.loads(text)["text"] == bad
    assert mark not in page("A", [answer], lambda *_: Path("missing"))
    show_table("name", rows=[[bad]])
    say_error(UserError(bad, hint=bad))
    shown = capsys.readouterr()
    assert mark not in (shown.out + shown.err).replace("\n", "")


def test_what_joins_letters_stays() -> None:
    assert printable("می\u200cخواهم 👩\u200d👩 \t\n") == "می\u200cخواهم 👩\u200d👩 \t\n"


@pytest.mark.parametrize(
    ("given", "proposed"),
    [("--nope", []), ("--jsn", ["--json"]), ("--max-us", ["--max-usd"])],
)
def test_an_unknown_option_proposes_what_is_like_it(
    given: str, proposed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", "a.mp4", "Who?", given]) == Exit.USER
    shown = capsys.readouterr().err
    assert f"No such option: {given}" in shown
    assert "videoespresso ask --help" in shown
    assert set(proposed) <= set(re.findall(r"--[\w-]+", shown.partition("(")[2]))
    assert "--model" not in shown
    assert proposed or "(" not in shown.partition("No such option")[2]
