"""`videoespresso eval score`: what it shows and how it ends."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.helpers.released import bench_record, write

from videoespresso.cli import eval_score
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit, err, out
from videoespresso.evaluation.protocols import TAU
from videoespresso.evaluation.scores import Protocol, Unparsed
from videoespresso.models.embedders import DEFAULT


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out.cache_clear()
    err.cache_clear()
    monkeypatch.chdir(tmp_path)


def outputs(said: list[str | None], **more: Any) -> None:
    records = [
        bench_record(question=f"Who {k}?", video_path=f"v{k}.mp4", **more) for k in range(len(said))
    ]
    for record, one in zip(records, said, strict=True):
        record |= {} if one is None else {"model_output": one}
    write(Path("out.json"), records)


def test_the_choices_are_those_of_the_protocols() -> None:
    """Said twice, so that --help loads no protocol."""
    assert get_args(get_args(eval_score.ProtocolOption)[0]) == get_args(Protocol)
    assert get_args(get_args(eval_score.UnparsedOption)[0]) == get_args(Unparsed)
    assert (TAU, DEFAULT) == (0.8, "wordllama")
    assert eval_score.score.__defaults__ is not None
    assert {TAU, DEFAULT} <= set(eval_score.score.__defaults__)


def test_all_measured_ends_well(capsys: Any) -> None:
    outputs(["B", "C", "(B)", "A cat jumps."])
    assert main(["eval", "score", "out.json"]) == Exit.ANSWERED
    shown = capsys.readouterr()
    assert shown.err == ""
    table = [line.split() for line in shown.out.splitlines()]
    assert shown.out.startswith(
        "protocol letter, a reply without a letter counts as wrong\n4 items"
    )
    assert ["micro", "*", "4", "50.0"] in [line[:4] for line in table]
    assert ["Event", "Process", "4", "50.0"] in [line[:4] for line in table]
    assert "points or more (80 % power" in shown.out


def test_items_that_stand_there_twice_are_counted_and_said(capsys: Any) -> None:
    outputs(["B", "C"])
    records = json.loads(Path("out.json").read_text())
    write(Path("out.json"), [*records, records[0]])
    assert main(["eval", "score", "out.json"]) == Exit.ANSWERED
    assert "1 items stand there before, and count each time" in capsys.readouterr().err
    assert main(["eval", "score", "out.json", "--json"]) == Exit.ANSWERED
    found = json.loads(capsys.readouterr().out)
    assert (found["repeated"], found["scores"]["items"]) == (1, 3)


def test_the_guess_and_the_authors_rule(capsys: Any) -> None:
    outputs(["Answer: B", "C", "(B)", "no"])
    assert main(["eval", "score", "out.json", "--unparsed", "guess", "--official"]) == 0
    shown = capsys.readouterr().out
    assert "counts as a guess" in shown
    assert "56.2 (" in shown  # (1 + 0 + 1 + 1/4) / 4
    assert "official: 25.00 % of 4 items" in shown
    assert "it reads 1 replies otherwise; of 1 one of the two says right" in shown


def test_what_was_not_measured_is_said_and_ends_with_3(capsys: Any) -> None:
    outputs(["B", None], task="Weather")
    assert main(["eval", "score", "out.json", "--json"]) == Exit.NOT_ANSWERED
    shown = capsys.readouterr()
    found = json.loads(shown.out)["scores"]
    assert (found["items"], found["measured"], found["unknown_tasks"]) == (2, 1, {"Weather": 2})
    assert found["micro"]["value"] == 1.0
    assert found["over_all"]["value"] == 0.5
    assert "1 items have no reply" in shown.err


def test_open_says_whose_numbers_they_are_not(capsys: Any) -> None:
    outputs(["He first waits, then hands over the envelope.", "a dog"])
    line = ["eval", "score", "out.json", "--protocol", "open"]
    assert main(line) == Exit.ANSWERED
    shown = capsys.readouterr()
    assert "tau 0.8, encoder wordllama:l2_supercat_256" in shown.out
    assert "lost by the threshold 1 (50.0 %)" in shown.out
    assert "not set beside the paper's" in shown.err
    assert main([*line, "--tau", "0", "--json"]) == Exit.ANSWERED
    assert json.loads(capsys.readouterr().out)["scores"]["tau"] == 0


def test_files_are_written_whole_and_replace_nothing_unasked(capsys: Any) -> None:
    outputs(["Answer: B", "b", None])
    line = ["eval", "score", "out.json", "--to", "official", "--out", "theirs.json"]
    assert main(line) == Exit.NOT_ANSWERED
    written = json.loads(Path("theirs.json").read_text())
    assert [r["model_output"] for r in written] == ["(B) Answer: B", "(B) b", None]
    assert main(line) == Exit.USER
    assert main([*line, "--force"]) == Exit.NOT_ANSWERED
    assert main(["eval", "score", "theirs.json", "--out", "scores.json"]) == Exit.NOT_ANSWERED
    assert json.loads(Path("scores.json").read_text())["scores"]["measured"] == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (["--to", "official"], "--to official is a file of letters"),
        (["--to", "official", "--protocol", "open", "--out", "x.json"], "is a file of letters"),
        (["--protocol", "open", "--official"], "the authors' rule is for letters"),
        (["--out", "out.json"], "is the source itself"),
        (["--protocol", "open", "--encoder", "nobody:knows"], "not an embedder"),
        (["--items", "none.json"], "no such file"),
    ],
)
def test_what_cannot_be_done_is_refused(more: list[str], what: str, capsys: Any) -> None:
    outputs(["B"])
    before = Path("out.json").read_bytes()
    assert main(["eval", "score", "out.json", *more]) == Exit.USER
    shown = capsys.readouterr().err
    assert what in " ".join(shown.split())
    assert "hint:" in shown
    assert Path("out.json").read_bytes() == before


def test_a_file_without_options_says_what_needs_them(capsys: Any) -> None:
    outputs(["B"], options=..., correct_answer=...)
    assert main(["eval", "score", "out.json"]) == Exit.USER
    assert "1 of 1 items have no options" in capsys.readouterr().err
