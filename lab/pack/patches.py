"""The truth behind each patch of a frame, and the read-outs that teach the vision tower with it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from videoespresso.theatre import LABELS, SceneObject
from videoespresso.theatre.scene import Actor, Phase, prop_of
from videoespresso.theatre.stories import MOODS, SETTINGS, WEATHERS
from videoespresso.training.pack.shape import IMAGE_SIZE, PATCH

LOOKS = ("man", "woman", "boy", "girl", "cook", "officer", "builder")
COLORS = ("red", "blue", "green", "yellow", "purple", "white", "black")
POSES = ("stand", "walk", "run", "kick", "wave", "stop", "hold", "up", "phone", "sleep")
DOING = (
    "is red",
    "is green",
    "is on",
    "is off",
    "stands",
    "breaks",
    "blooms",
    "wilts",
    "smokes",
    "rings",
    "drives",
    "stops",
    "drives past",
    "crosses",
    "runs",
    "takes",
    "flies",
    "sits",
    "logs",
    "boxes",
    "fruit",
    "sand",
)
HEADS = {
    "label": len(LABELS) + 1,
    "look": len(LOOKS) + 1,
    "color": len(COLORS) + 1,
    "mood": len(MOODS) + 1,
    "pose": len(POSES) + 1,
    "doing": len(DOING) + 1,
    "setting": len(SETTINGS),
    "weather": len(WEATHERS) + 1,
}
GRID = IMAGE_SIZE // PATCH


def _index(options: tuple[str, ...], value: str) -> int:
    return options.index(value) + 1 if value in options else 0


def _patch_row(o: SceneObject, actor: Actor) -> tuple[int, ...]:
    is_person = o.label == "person"
    doing = actor.act if actor.act in DOING else actor.act.split(" ")[0]
    if actor.cargo and actor.act == "drives":
        doing = actor.cargo
    return (
        _index(LABELS, o.label),
        _index(LOOKS, actor.who) if is_person else 0,
        _index(COLORS, actor.color) if o.label in ("person", "car", "bus", "truck") else 0,
        _index(MOODS, actor.mood) if is_person else 0,
        _index(POSES, prop_of(actor)[0]) if is_person else 0,
        0 if is_person else _index(DOING, doing),
    )


def patch_truth(objects: Sequence[SceneObject], phase: Phase) -> NDArray[np.uint8]:
    """(GRID, GRID, 8) class numbers: the smallest object over each patch centre, and the scene."""
    actors = {a.key: a for a in phase.actors}
    out = np.zeros((GRID, GRID, len(HEADS)), np.uint8)
    out[..., 6] = SETTINGS.index(phase.setting)
    out[..., 7] = _index(WEATHERS, phase.weather)
    centres = (np.arange(GRID) + 0.5) / GRID
    big_first = sorted(objects, key=lambda o: -(o.xyxy[2] - o.xyxy[0]) * (o.xyxy[3] - o.xyxy[1]))
    for o in big_first:
        x0, y0, x1, y1 = o.xyxy
        xs, ys = (centres >= x0) & (centres <= x1), (centres >= y0) & (centres <= y1)
        out[np.ix_(ys, xs)] = [*_patch_row(o, actors[o.key]), out[0, 0, 6], out[0, 0, 7]]
    return out


class PatchHeads(nn.Module):  # type: ignore[misc]  # torch is not part of the core install
    """One linear read-out a kind of truth, thrown away after the stage."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, n) for n in HEADS.values())

    def forward(self, x: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses, right = [], []
        seen = truth[..., 0] > 0
        for i, head in enumerate(self.heads):
            logits = head(x)
            losses.append(
                nn.functional.cross_entropy(logits.flatten(0, 1), truth[..., i].flatten())
            )
            right.append((logits.argmax(-1) == truth[..., i])[seen].float().mean())
        return torch.stack(losses).sum(), torch.stack(right)
