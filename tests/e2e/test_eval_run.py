"""`videoespresso eval run | compare | report` as a person types them, with the embedded models."""

import json
import re
from pathlib import Path

import pytest

from videoespresso.cli.app import main
from videoespresso.cli.console import Exit
from videoespresso.models.embedded import domain

pytestmark = pytest.mark.timeout(600)


def said(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str, str]:
    code = main(["eval", *command])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_from_the_benchmark_to_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    looks: list[int] = []
    monkeypatch.setattr(domain, "is_theatre", lambda images: looks.append(len(images)) or True)
    run = ("run", "theatre:test", "--n", "2", "--out", str(tmp_path / "run"), "--profile",
           "embedded", "--condition", "ours", "--condition", "blind")  # fmt: skip
    code, printed, _ = said(capsys, *run, "--dry-run", "--json")
    assert code == 0
    forecast = json.loads(printed)
    assert (forecast["records"], forecast["known"], forecast["usd"]) == (4, 0, 0.0)
    assert not (tmp_path / "run").exists(), "nothing is asked, nothing is made"
    code, printed, err = said(capsys, *run, "--json", "-q")
    assert code == Exit.ANSWERED, err
    found = json.loads(printed)
    assert [c["condition"] for c in found["conditions"]] == ["ours", "blind"]
    assert all(c["scores"]["measured"] == 2 for c in found["conditions"])
    assert not looks, "the films are made here: nothing asks whether they are the theatre's"
    assert "acc@evidence" in found["conditions"][0]["evidence"]
    before = (tmp_path / "run/records.jsonl").read_bytes()
    code, printed, _ = said(capsys, *run, "-q")
    assert (code, (tmp_path / "run/records.jsonl").read_bytes()) == (0, before)
    assert "theatre:test, protocol letter" in printed
    rows = r"^Condition +n +Videos +Unparsed +Micro, % \(95 %\)\nours +2 of 2 .*\)$"
    assert re.search(rows, printed, re.M), "80 columns are enough"
    code, printed, _ = said(capsys, "compare", str(tmp_path / "run"))
    assert code == 0
    rows = r"^First − second +n +Videos +Points \(95 %\)\nours − blind +2 .*\)$"
    assert re.search(rows, printed, re.M)
    code, printed, _ = said(capsys, "report", str(tmp_path / "run"), "--json")
    assert json.loads(printed)["runs"][0]["benchmark"] == "theatre:test"
    page = tmp_path / "page.html"
    code, _, _ = said(capsys, "report", str(tmp_path / "run"), "--html", str(page))
    assert code == 0
    assert "theatre:test" in page.read_text()
    code, _, err = said(capsys, "report", str(tmp_path / "run"), "--html", str(page))
    assert code == Exit.USER, "a page that exists stays"
    assert "--force" in err


def test_missing_videos_end_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    bench = tmp_path / "bench_hard.json"
    item = {
        "video_path": "all_video/set/a#1.mp4", "question": "Why?", "task": "Causal Analysis",
        "options": ["(A): x", "(B): y", "(C): z"], "correct_answer": "(B)", "answer": "y",
    }  # fmt: skip
    bench.write_text(json.dumps([item]))
    run = ("run", str(bench), "--out", str(tmp_path / "run"), "--profile", "embedded")
    code, printed, _ = said(capsys, *run, "--dry-run")
    assert code == 0
    assert "1 videos are not there" in printed
    code, printed, err = said(capsys, *run, "-q")
    assert code == Exit.NOT_ANSWERED
    assert "0 of 1" in printed
    assert "a#1.mp4" in err


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("run", "nothing.json", "--out", "x"), "no benchmark and no file"),
        (("run", "theatre:test", "--out", "x", "--condition", "direct"), "core frames of ours"),
        (("run", "theatre:test", "--out", "x", "--condition", "best"), "no condition 'best'"),
        (("run", "theatre:test", "--out", "file"), "file is no folder"),
        (("run", "theatre:test", "--out", "other"), "run.json is no run's"),
        (("compare", "other"), "no folder of a run"),
        (("compare", "nowhere"), "no folder of a run"),
        (("report", "nowhere"), "no folder of a run"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(
    command: tuple[str, ...],
    what: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    Path("file").write_text("")
    Path("other").mkdir()
    Path("other/run.json").write_text("[1]")
    code, _, err = said(capsys, *command)
    assert code == Exit.USER
    assert what in err
    assert "Traceback" not in err
    assert not (tmp_path / "x").exists()
