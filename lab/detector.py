"""Trains the pack's detector: a small network for the theatre's objects, in plain torch.

    python -m lab.detector --out runs/detector

Draws frames, trains from scratch, exports to ONNX, scores what was exported on test frames. Stopped
anywhere, the same command goes on where it was, to the same weights. Needs the extra `train`. On a
machine that does other things set OMP_NUM_THREADS=1: threads that wait for each other are slower.
"""

import argparse
import json
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch.optim.swa_utils import AveragedModel

from lab.detector_data import Table, frame_table, split_frames
from lab.detector_net import COARSEST, STRIDE, Exported, Network, centres, loss, varied
from lab.detector_score import score
from videoespresso.theatre import LABELS, SPLITS
from videoespresso.tools.detectors.base import CONFIDENCE, Detector
from videoespresso.tools.detectors.onnx import OnnxDetector
from videoespresso.training.pack.export import halved

log = logging.getLogger(__name__)

OPSET = 17
"""Understood by every onnxruntime the core allows (>= 1.20)."""

WARM, COOL = 100, 0.4
"""Steps in which the learning rate rises, and the share of the last ones in which it falls."""

PARTS = ("network", "average", "optimizer")
"""What a checkpoint holds of a run, beside its step."""


@dataclass(frozen=True)
class Recipe:
    """What is trained. width: channels of the first stage; rate: AdamW's, at its peak; average:
    what the averaged weights, which are exported, keep of themselves a step."""

    frames: int = 8000
    steps: int = 3400
    batch: int = 8
    imgsz: int = 320
    width: int = 40
    rate: float = 2e-3
    average: float = 0.998
    checkpoint: int = 100
    test: int = 1000

    @property
    def taught(self) -> dict[str, Any]:
        """What the weights depend on."""
        return {k: v for k, v in asdict(self).items() if k not in ("checkpoint", "test")}

    @property
    def height(self) -> int:
        """16:9, up to a multiple of the coarsest cell."""
        return -(-self.imgsz * 9 // 16 // COARSEST) * COARSEST


class Run:
    """A training run: everything that changes while it lasts, and its checkpoint."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(0)
        self.recipe, self.device, self.step = recipe, device, 0
        self.network = Network(len(LABELS), recipe.width).to(device)
        self.average = AveragedModel(self.network, avg_fn=self._averaged, use_buffers=True)
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        rest = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.02}, {"params": rest, "weight_decay": 0.0}]
        )

    def _averaged(self, mean: Any, new: Any, seen: Any) -> Any:
        kept = min(self.recipe.average, (1 + int(seen)) / (10 + int(seen)))  # forgets the start
        return new + (mean - new) * kept

    def learn(self, table: Table, at: torch.Tensor) -> float:
        """One step; its pictures and their variations follow from its number. The loss."""
        torch.manual_seed(self.step)
        places = np.arange(self.recipe.batch) + self.step * self.recipe.batch
        order = np.random.default_rng(int(places[0]) // len(table.boxes))
        rows = order.permutation(len(table.boxes))[places % len(table.boxes)]
        drawn = [varied(table.pixels[row], table.boxes[row]) for row in rows]
        pixels = torch.stack([picture for picture, _ in drawn]).to(self.device).float() / 255
        warm, left = (self.step + 1) / WARM, 1 - self.step / self.recipe.steps
        cool = (1 - math.cos(math.pi * min(1.0, left / COOL))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * min(warm, cool)
        self.network.train()
        logits, corners = self.network(pixels)
        lost = loss(logits, corners, [truth.to(self.device) for _, truth in drawn], at)
        self.optimizer.zero_grad()
        lost.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return float(lost.detach())

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        part = path.with_suffix(".part")
        states = {name: getattr(self, name).state_dict() for name in PARTS}
        torch.save({"step": self.step, "recipe": self.recipe.taught, **states}, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint of the same recipe. Raises `ValueError` for another's."""
        kept = torch.load(path, map_location=self.device, weights_only=True)
        if kept["recipe"] != self.recipe.taught:
            raise ValueError(f"{path} is of another recipe: {kept['recipe']}")
        self.step = kept["step"]
        for name in PARTS:
            getattr(self, name).load_state_dict(kept[name])


def train(recipe: Recipe, out: Path) -> Network:
    """Trains, or goes on from the last checkpoint; the averaged weights."""
    table = frame_table(out / "data", recipe.frames, recipe.height, recipe.imgsz)
    run = Run(recipe, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    last = out / "last.pt"
    if last.is_file():
        run.load(last)
    at = centres(recipe.height // STRIDE, recipe.imgsz // STRIDE, run.device)
    lost = []
    while run.step < recipe.steps:
        lost.append(run.learn(table, at))
        if run.step % recipe.checkpoint == 0 or run.step == recipe.steps:
            run.save(last)
            log.info("step %d of %d, loss %.3f", run.step, recipe.steps, np.mean(lost))
            lost.clear()
    network: Network = run.average.module.cpu()
    return network


def export(network: Network, recipe: Recipe, path: Path) -> Path:
    """`path`, an ONNX file with float16 weights that `OnnxDetector` reads."""
    torch.onnx.export(
        Exported(network).eval(),
        (torch.zeros(1, 3, recipe.height, recipe.imgsz),),
        str(path),
        input_names=["images"],
        output_names=["boxes"],
        opset_version=OPSET,
        dynamo=False,
    )
    graph = onnx.load(path)
    facts = {
        "description": "VideoEspresso theatre detector",
        "license": "Apache-2.0",
        "task": "detect",
        "imgsz": str([recipe.height, recipe.imgsz]),
        "names": str(dict(enumerate(LABELS))),
    }
    onnx.helper.set_model_props(graph, facts)
    for node in graph.graph.node:
        node.doc_string = ""
    onnx.save(graph, path)
    halved(path)
    onnx.checker.check_model(path)
    return path


def measure(detector: Detector, recipe: Recipe) -> dict[str, Any]:
    """Scores of a detector, as the product runs it, on frames it has never seen."""
    return {
        "metric": "box F1 at IoU 0.5, one frame a story at an even random instant",
        "interval": "95 %, bootstrap over frames",
        "confidence": CONFIDENCE,
        "recipe": asdict(recipe),
        "seeds": {
            "train": f"< {SPLITS['train'][1]}",
            "test": f"{SPLITS['test'][0]} + {recipe.test}",
        },
        "test": score(detector, split_frames(recipe.test, "test")),
        "test_held_out_style": score(detector, split_frames(recipe.test, "test", "held_out")),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 when the detector is trained, exported and scored."""
    parser = argparse.ArgumentParser(prog="lab.detector", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/detector"))
    parser.add_argument("--pack", type=Path, help="also put the result into this folder")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    given = vars(parser.parse_args(argv))
    out, pack = given.pop("out"), given.pop("pack")
    recipe = Recipe(**given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    weights = export(train(recipe, out), recipe, out / "detector.onnx")
    scores = measure(OnnxDetector(weights, name="embedded:"), recipe)
    (out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    log.info("test %s", json.dumps(scores["test"]["overall"]))
    log.info("held-out style %s", json.dumps(scores["test_held_out_style"]["overall"]))
    if pack:
        pack.mkdir(parents=True, exist_ok=True)
        for name in ("detector.onnx", "scores.json"):
            shutil.copyfile(out / name, pack / name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
