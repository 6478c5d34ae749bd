"""The tasks for lmms-eval give the letter accuracy that `eval score` gives, in lmms-eval itself.

It wants an older av than we do, so that it gets an environment of its own, which is downloaded:
`make test-integrations`.
"""

import json
import os
import site
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers.letter_replies import PLAIN
from tests.helpers.released import bench_record

import videoespresso as ve

pytestmark = [pytest.mark.network, pytest.mark.extras, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LMMS_EVAL = "lmms-eval==0.7.3"
ITEMS = 200


def environment(folder: Path) -> Path:
    """Python of a fresh environment that has what this one has, and lmms-eval without its own
    dependencies."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "ours.pth").write_text("\n".join(site.getsitepackages()))
    pip = [folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", LMMS_EVAL], check=True)
    subprocess.run([*pip, "loguru", "evaluate", "sacrebleu", "pytz"], check=True)
    return folder / "bin/python"


def test_the_same_replies_have_the_same_accuracy(tmp_path: Path) -> None:
    said = [case[0] for case in PLAIN]
    replies = [said[k % len(said)] for k in range(ITEMS)]
    records = [
        bench_record(question=f"Who {k}?", video_path=f"all_video/{k % 40}.mp4",
                     correct_answer=f"({'ABCD'[k % 3]})")
        for k in range(ITEMS)
    ]  # fmt: skip
    (tmp_path / "bench_hard.json").write_text(json.dumps(records))
    (tmp_path / "replies.json").write_text(json.dumps(replies))
    (tmp_path / "all_video").mkdir()
    for k in range(40):
        (tmp_path / f"all_video/{k}.mp4").touch()
    scored = [r | {"model_output": reply} for r, reply in zip(records, replies, strict=True)]
    (tmp_path / "outputs.json").write_text(json.dumps(scored))

    script = ROOT / "tests/helpers/lmms_eval_run.py"
    ran = subprocess.run(
        [environment(tmp_path / "env"), script, ROOT / "integrations/lmms_eval", "replies.json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "VIDEOESPRESSO_VIDEOS": str(tmp_path),
                          "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.rpartition("RESULTS ")[2])

    letter = ve.score(tmp_path / "outputs.json").scores
    theirs = found["videoespresso_letter"]
    assert letter.micro is not None
    assert 0.1 < letter.micro.value < 0.9
    assert theirs["letter,none"] == pytest.approx(letter.micro.value)
    assert theirs["unparsed,none"] == pytest.approx(letter.whys.get("unparsed", 0) / ITEMS)
    assert float(theirs["letter_stderr_clustered,none"]) > 0, "questions of a video are clusters"
    open_ended = ve.score(tmp_path / "outputs.json", protocol="open").scores
    assert open_ended.micro is not None
    assert found["videoespresso_open"]["open,none"] == pytest.approx(open_ended.micro.value)
