"""The detector's recipe, end to end and very small: train, be killed, go on, export, score."""

import json
from pathlib import Path

import pytest

from videoespresso.theatre import LABELS
from videoespresso.tools.grounding import detector

TINY = "--images 8 --epochs 2 --imgsz 64 --width 0.0625 --batch 4 --validation 2 --test 3".split()  # noqa: SIM905 - as one types it


class Killed(BaseException):
    """Stands for kill -9 between two epochs."""


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # torch and ultralytics, while they train and export
def test_train_be_killed_go_on_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ultralytics")
    pytest.importorskip("onnx")
    from lab.detector import main  # noqa: PLC0415 - after the skips
    from ultralytics.utils.callbacks import base  # noqa: PLC0415 - the extra `yolo`

    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "config"))
    command = ["--out", str(tmp_path / "run"), "--pack", str(tmp_path / "pack"), *TINY]

    def die(trainer: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setitem(base.default_callbacks, "on_model_save", [die])
        with pytest.raises(Killed):
            main(command)
    rows = tmp_path / "run" / "train" / "results.csv"
    assert len(rows.read_text().splitlines()) == 1 + 1

    assert main(command) == 0
    assert len(rows.read_text().splitlines()) == 1 + 2, "it went on with the second epoch"
    last = tmp_path / "run" / "train" / "weights" / "last.pt"
    trained = last.stat().st_mtime_ns

    assert main(command) == 0
    assert last.stat().st_mtime_ns == trained, "a finished run is not trained again"

    pack = tmp_path / "pack"
    assert {path.name for path in pack.iterdir()} == {
        "detector.onnx",
        "detector.pt",
        "scores.json",
        "LICENSE",
    }
    for name in ("detector.onnx", "detector.pt"):
        assert str(tmp_path).encode() not in (pack / name).read_bytes()
    scores = json.loads((pack / "scores.json").read_text())
    assert scores["test"]["frames"] == 3
    assert scores["recipe"]["epochs"] == 2
    for spec in (f"onnx:{pack / 'detector.onnx'}", f"yolo:{pack / 'detector.pt'}"):
        assert detector(spec).labels == LABELS
    assert "AGPL-3.0" in (pack / "LICENSE").read_text()
