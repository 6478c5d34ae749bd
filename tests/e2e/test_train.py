"""From a dataset to an answer: `train` on the command line, then `ask` with what came of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers import training as helper

from videoespresso.cli.app import main

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of peft about transformers
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of transformers about numpy
]
CLIP = Path(__file__).resolve().parents[2] / "examples/videos"


def test_what_was_taught_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trl")
    from tests.helpers.tiny_models import smolvlm  # noqa: PLC0415 - an extra

    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    source, base = helper.records(tmp_path / "d", 4), smolvlm(tmp_path / "base")
    few = ["--steps", "1", "--batch", "2", "--validation", "1"]

    assert main(["train", "evidence", str(source), "--base", f"hf:{base}",
                 "--out", str(tmp_path / "one"), *few]) == 0  # fmt: skip
    printed = capsys.readouterr()
    assert "* learning_rate  0.001" in printed.err
    assert 'weight_decay   0.02     paper, Table 8: "weight ratio"' in printed.err
    assert printed.out.splitlines()[0] == f"hf:{tmp_path / 'one'}"

    (tmp_path / "recipe.toml").write_text('evidence = "generated"\nrank = 4\n')
    assert main(["train", "answer", str(source), "--base", f"hf:{tmp_path / 'one'}", "--json",
                 "--out", str(tmp_path / "two"), "--config", str(tmp_path / "recipe.toml"),
                 "--rank", "16", *few]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out)["n"] == 1

    video = next(iter(sorted(CLIP.glob("*.mp4"))))
    assert main(["ask", str(video), "Why does the red car stop?", "--profile", "embedded",
                 "-m", f"reasoner=hf:{tmp_path / 'two'}", "--json"]) in (0, 3)  # fmt: skip
    answer = json.loads(capsys.readouterr().out)
    assert answer["usage"]["reasoner"]["calls"] >= 1
    assert str(tmp_path / "two") in json.dumps(answer["settings"])


def test_bad_input_is_a_line_a_hint_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = helper.records(tmp_path / "d", 4)
    for words, message in (
        (["evidence", str(tmp_path / "none"), "--base", "hf:x"], "is not a folder"),
        (["evidence", str(tmp_path), "--base", "hf:x"], "has no records for evidence"),
        (["evidence", str(source), "--base", "hf:x", "--batch", "3", "--rows", "2"],
         "a batch of 3"),
        (["evidence", str(source), "--base", "hf:x", "--config", str(tmp_path / "no")],
         "cannot be read"),
    ):  # fmt: skip
        assert main(["train", *words, "--out", str(tmp_path / "out")]) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert "hint: " in printed
    assert not (tmp_path / "out").exists()


def test_the_bench_measures_both(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from lab.train_bench import foreseen, measure  # noqa: PLC0415 - an extra
    from tests.helpers.tiny_models import smolvlm  # noqa: PLC0415 - an extra

    from videoespresso.training.base import find  # noqa: PLC0415 - an extra

    source, base = helper.records(tmp_path / "d", 2), find(f"hf:{smolvlm(tmp_path / 'base')}")
    found = measure("selector", base, source, 2, 1, 2)
    assert found["overhead"] > -1
    assert found["ours_rows_a_core_second"] > 0
    assert "overhead" not in measure("both", base, source, 1, 1, 1)
    more = helper.records(tmp_path / "more", 8)
    told = foreseen("selector", f"hf:{tmp_path / 'base'}", more, 1, 1)
    assert all(seconds > 0 for pair in told["seconds"] for seconds in pair)
    assert told["range"][0] <= told["foretold_of_taken"] <= told["range"][1]


@pytest.mark.timeout(600)
def test_the_guide_s_commands_run_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trl")
    from tests.e2e.test_readme import ROOT, blocks  # noqa: PLC0415 - only here

    page = blocks((ROOT / "docs/training.md").read_text())
    shown = [block for block in page if block.language == "bash"]
    commands = "\n".join(block.text for block in shown if not block.excuse)
    assert [block.excuse for block in shown].count(None) == 3
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "bin").mkdir()
    for name, what in (("python", '"$@"'), ("videoespresso", '-m videoespresso "$@"')):
        script = tmp_path / "bin" / name
        script.write_text(f"#!/bin/sh\nexec {sys.executable} {what}\n")
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "VIDEOESPRESSO_CACHE_DIR": str(tmp_path / "cache"),
    }
    ran = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "hf:out/both" in ran.stdout
    assert "hf:out/dpo" in ran.stdout
    assert "Traceback" not in ran.stderr
