"""The detector's recipe, end to end and very small: train, be killed, go on, export, score."""

import json
import sys
from pathlib import Path

import pytest

from videoespresso.theatre import LABELS
from videoespresso.tools.grounding import detector

TINY = "--frames 12 --steps 40 --checkpoint 20 --imgsz 64 --width 10 --batch 4 --test 3".split()  # noqa: SIM905 - as one types it


class Killed(BaseException):
    """Stands for kill -9 after a checkpoint."""


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # torch, while it exports
def test_train_be_killed_go_on_and_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("torchvision")
    pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, "ultralytics", None)  # importing it would fail
    from lab import detector as lab  # noqa: PLC0415 - after the skips

    def command(name: str) -> list[str]:
        return ["--out", str(tmp_path / name), "--pack", str(tmp_path / name / "pack"), *TINY]

    caplog.set_level("INFO")
    assert lab.main(command("whole")) == 0
    first, last = (float(r.getMessage().split("loss ")[1]) for r in caplog.records[:2])
    assert last < first * 0.8, "it learns"

    step = lab.Run.learn

    def die(run: lab.Run, *given: object) -> float:
        if run.step == 27:
            raise Killed
        return step(run, *given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(lab.Run, "learn", die)
        with pytest.raises(Killed):
            lab.main(command("run"))
    caplog.clear()
    assert lab.main(command("run")) == 0
    steps = [r.getMessage() for r in caplog.records if "step" in r.getMessage()]
    assert [line.split(",")[0] for line in steps] == ["step 40 of 40"], "it went on from step 20"

    one, other = (tmp_path / name / "pack" / "detector.onnx" for name in ("whole", "run"))
    assert one.read_bytes() == other.read_bytes(), "and came to the same weights"
    caplog.clear()
    assert lab.main(command("run")) == 0
    assert not any("step" in r.getMessage() for r in caplog.records), "nothing is trained twice"

    assert {path.name for path in other.parent.iterdir()} == {"detector.onnx", "scores.json"}
    assert str(tmp_path).encode() not in other.read_bytes()
    scores = json.loads((other.parent / "scores.json").read_text())
    assert (scores["test"]["frames"], scores["recipe"]["steps"]) == (3, 40)
    assert detector(f"onnx:{other}").labels == LABELS
    with pytest.raises(ValueError, match="another recipe"):
        lab.main([*command("run"), "--steps", "41"])
