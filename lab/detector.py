"""Trains the pack's detector: a small YOLO for the theatre's objects, through ultralytics.

    python -m lab.detector --out runs/yolo

Renders a dataset, trains from scratch, exports to ONNX, scores what was exported on test frames.
Stopped anywhere, the same command goes on where it was. On CUDA the defaults are a larger network,
more frames and more epochs. Needs the extras `yolo` and `train`; ultralytics and the weights it
trains are AGPL-3.0.
"""

import argparse
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.detector_data import split_frames, write_dataset
from lab.detector_score import score
from videoespresso.theatre import LABELS, SPLITS
from videoespresso.tools.detectors.base import CONFIDENCE
from videoespresso.tools.detectors.onnx import OnnxDetector
from videoespresso.tools.detectors.ultralytics import import_yolo

log = logging.getLogger(__name__)

OPSET = 17
"""Understood by every onnxruntime the core allows (>= 1.20)."""

LICENSE = """\
detector.pt and detector.onnx were trained with ultralytics (https://github.com/ultralytics/ultralytics)
from an architecture of its YOLO11 family, on pictures drawn by videoespresso.theatre.

They are licensed under the GNU Affero General Public License, version 3 (AGPL-3.0-only), unlike the
code around them, which is Apache-2.0. The full text: https://www.gnu.org/licenses/agpl-3.0.txt
If you offer a program with these weights to others, also over a network, you owe them its source
under AGPL-3.0, or need an enterprise licence from Ultralytics. To do without them, use
--detector off, onnx:YOUR_OWN.onnx or hf:MODEL. They come without any warranty.
"""


@dataclass(frozen=True)
class Recipe:
    """What is trained. width: channels relative to YOLO11x; depth: repeats relative to it."""

    images: int = 4000
    epochs: int = 12
    imgsz: int = 320
    width: float = 0.125
    depth: float = 0.5
    batch: int = 16
    validation: int = 200
    test: int = 1000


CUDA = Recipe(images=20_000, epochs=60, width=0.25, batch=64, validation=500)
"""The same on a GPU: YOLO11n's own size, longer."""


def architecture(recipe: Recipe, out: Path) -> Path:
    """YOLO11 narrowed to the recipe's width, as a yaml ultralytics can build."""
    from ultralytics.nn.tasks import yaml_model_load  # noqa: PLC0415 - the extra `yolo`

    plan = yaml_model_load("yolo11n.yaml")
    plan.pop("yaml_file", None)
    plan.update(nc=len(LABELS), scales={"n": [recipe.depth, recipe.width, 1024]})
    path = out / "yolo11n-theatre.yaml"
    path.write_text(json.dumps(plan))  # JSON is YAML
    return path


def train(recipe: Recipe, out: Path) -> Path:
    """Trains, or goes on from the last checkpoint; returns the best weights.

    Rectangular batches, because every frame is 16:9: three fifths of the work of square ones.
    """
    import torch  # noqa: PLC0415 - the extra `train`

    yolo = import_yolo()
    from ultralytics.data import utils  # noqa: PLC0415 - the extra `yolo`

    utils.check_font = lambda font: None  # else it fetches Arial for plots, and we make none
    data = write_dataset(out / "data", recipe.images, recipe.validation)
    weights = out / "train" / "weights"
    last = weights / "last.pt"
    if last.is_file():
        if torch.load(last, map_location="cpu", weights_only=False)["epoch"] < 0:
            return weights / "best.pt"  # finished: ultralytics has stripped the optimizer
        yolo(str(last)).train(resume=True)
        return weights / "best.pt"
    yolo(str(architecture(recipe, out)), task="detect").train(
        data=str(data),
        epochs=recipe.epochs,
        imgsz=recipe.imgsz,
        batch=recipe.batch,
        nbs=recipe.batch,  # a step a batch: so few epochs have none to accumulate
        project=str(out.resolve()),
        name="train",
        exist_ok=True,
        pretrained=False,
        optimizer="AdamW",
        lr0=2e-3,
        cos_lr=True,
        warmup_epochs=0.5,
        rect=True,
        translate=0.05,
        scale=0.2,
        workers=0 if not torch.cuda.is_available() else 8,
        cache="ram",
        amp=torch.cuda.is_available(),
        plots=False,
        seed=0,
    )
    return weights / "best.pt"


def export(best: Path, recipe: Recipe, out: Path) -> Path:
    """detector.pt and detector.onnx in `out`, both in half precision and free of the trainer's
    paths."""
    import onnx  # noqa: PLC0415 - the extra `train`
    import torch  # noqa: PLC0415 - the extra `train`

    from lab.pack.export import halved  # noqa: PLC0415 - the extra `train`

    yolo = import_yolo()
    height = -(-recipe.imgsz * 9 // 16 // 32) * 32  # 16:9, up to a multiple of the stride
    size = [height, recipe.imgsz]
    made = Path(
        yolo(str(best)).export(format="onnx", imgsz=size, opset=OPSET, simplify=False, device="cpu")
    )
    graph = onnx.load(made)
    kept = {p.key: p.value for p in graph.metadata_props if p.key in _METADATA}
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {**kept, "description": "VideoEspresso theatre detector"})
    for node in graph.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(graph)
    onnx.save(graph, out / "detector.onnx")
    halved(out / "detector.onnx")
    checkpoint: dict[str, Any] = torch.load(best, map_location="cpu", weights_only=False)
    torch.save(_without_paths(checkpoint), out / "detector.pt")
    (out / "LICENSE").write_text(LICENSE)
    return out / "detector.onnx"


_METADATA = ("author", "version", "license", "stride", "task", "batch", "imgsz", "names", "end2end")


def _without_paths(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint with what a reader needs: model, versions, settings that are not paths."""
    args = {
        key: value
        for key, value in checkpoint["train_args"].items()
        if key not in ("data", "model", "project", "name", "save_dir", "resume")
    }
    model = (checkpoint.get("ema") or checkpoint["model"]).half()  # ema until training is over
    model.args = {key: value for key, value in dict(model.args).items() if key in args}
    vars(model).pop("pt_path", None)
    model.yaml["yaml_file"] = Path(model.yaml.get("yaml_file", "")).name
    kept = {key: checkpoint.get(key) for key in ("version", "license", "train_metrics")}
    return {**kept, "epoch": -1, "model": model, "ema": None, "optimizer": None, "train_args": args}


def measure(weights: Path, recipe: Recipe) -> dict[str, Any]:
    """Scores of the exported detector, as the product runs it, on frames it has never seen."""
    detector = OnnxDetector(weights, name="embedded:")
    return {
        "metric": "box F1 at IoU 0.5, one frame a story at an even random instant",
        "interval": "95 %, bootstrap over frames",
        "confidence": CONFIDENCE,
        "recipe": asdict(recipe),
        "seeds": {
            "train": f"< {SPLITS['train'][1]}",
            "validation": f"{SPLITS['validation'][0]} + {recipe.validation}",
            "test": f"{SPLITS['test'][0]} + {recipe.test}",
        },
        "validation": score(detector, split_frames(recipe.validation, "validation")),
        "test": score(detector, split_frames(recipe.test, "test")),
        "test_held_out_style": score(detector, split_frames(recipe.test, "test", "held_out")),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 when the detector is trained, exported and scored."""
    import torch  # noqa: PLC0415 - the extra `train`

    base = CUDA if torch.cuda.is_available() else Recipe()
    parser = argparse.ArgumentParser(prog="lab.detector", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/yolo"))
    parser.add_argument("--pack", type=Path, help="also put the result into this folder")
    for name, value in asdict(base).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    given = vars(parser.parse_args(argv))
    out, pack = given.pop("out"), given.pop("pack")
    recipe = Recipe(**given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    weights = export(train(recipe, out), recipe, out)
    scores = measure(weights, recipe)
    (out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    log.info("test %s", json.dumps(scores["test"]["overall"]))
    log.info("held-out style %s", json.dumps(scores["test_held_out_style"]["overall"]))
    if pack:
        pack.mkdir(parents=True, exist_ok=True)
        for name in ("detector.pt", "detector.onnx", "scores.json", "LICENSE"):
            shutil.copyfile(out / name, pack / name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
