"""The pack's detector: a small one-stage network, its loss, and how its pictures are varied.

Written from the papers: sides of a box from each cell, as in FCOS (arXiv:1904.01355); levels added
from the top down, as in FPN (arXiv:1612.03144); task-aligned assignment, TOOD (arXiv:2108.07755);
complete IoU (arXiv:2005.03572).
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.ops import Conv2dNormActivation, box_iou, complete_box_iou_loss
from torchvision.transforms import v2 as transforms

from videoespresso.tools.detectors.onnx_yolo import PAD

STRIDE = 8
"""Pixels between the centres of two cells. The smallest things of the theatre are 8 pixels wide."""

COARSEST = 32
"""What a picture's sides must be multiples of."""

TOP, ALPHA, BETA = 10, 0.5, 6.0
"""Cells a thing may take, and the powers of score and overlap by which it chooses them. TOOD's own
are 13, 1 and 6; here things are small and scores young when it matters."""

BOX_WEIGHT = 5.0
"""The boxes' loss beside the labels'."""


_conv = partial(Conv2dNormActivation, kernel_size=3, activation_layer=nn.SiLU)
"""Convolution, batch normalisation, SiLU."""


class _Residual(nn.Module):  # type: ignore[misc]  # torch is not part of the core install
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Network(nn.Module):  # type: ignore[misc]  # torch is not part of the core install
    """Pictures (b, 3, h, w) in 0-1 to a logit a label (b, cells, labels) and corners (b, cells, 4)
    xyxy in pixels; a cell is 8 x 8 pixels, h and w are multiples of 32."""

    def __init__(self, labels: int, width: int = 40, head: int = 64) -> None:
        super().__init__()
        widths = (3 * 4**2, width, 2 * width, 16 * width // 5)
        self.unshuffle = nn.PixelUnshuffle(4)
        self.stages = nn.ModuleList(
            nn.Sequential(_conv(a, b, stride=2), *(_Residual(b) for _ in range(blocks)))
            for (a, b), blocks in zip(pairwise(widths), (2, 2, 1), strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(w, head, 1) for w in widths[1:])
        self.blend = _conv(head, head)
        self.labels, self.sides = (
            nn.Sequential(_conv(head, head), nn.Conv2d(head, out, 1)) for out in (labels, 4)
        )
        nn.init.constant_(self.labels[-1].bias, -4.6)  # a score of 0.01: most cells hold nothing

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        x, levels = self.unshuffle(pixels), []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        total = levels.pop()
        while levels:
            total = levels.pop() + F.interpolate(total, scale_factor=2.0)
        total = self.blend(total)
        sides = self.sides(total).clamp(max=5).exp().flatten(2).transpose(1, 2) * STRIDE
        at = centres(total.shape[2], total.shape[3], total.device)
        corners = torch.cat([at - sides[..., :2], at + sides[..., 2:]], dim=-1)
        return self.labels(total).flatten(2).transpose(1, 2), corners


class Exported(nn.Module):  # type: ignore[misc]  # torch is not part of the core install
    """The network with the output that `OnnxDetector` reads: (b, 4 + labels, cells), centre and
    size in pixels, then a score a label."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        logits, corners = self.network(pixels)
        first, second = corners.split(2, dim=-1)
        parts = [(first + second) / 2, second - first, logits.sigmoid()]
        return torch.cat(parts, dim=-1).transpose(1, 2)


def centres(rows: int, columns: int, device: Any = None) -> Tensor:
    """Centres (cells, 2) xy of the cells in pixels, row by row."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return ((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * STRIDE).to(device)


@torch.no_grad()  # type: ignore[untyped-decorator]
def assign(scores: Tensor, corners: Tensor, at: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Which thing each cell stands for, and how well: owners (cells,) and weights (cells,) in 0-1.

    scores (cells, labels), corners (cells, 4), centres (cells, 2), truth (things >= 1, 5) as in
    `Table.boxes`. A thing takes the best-aligned cells inside it; a cell wanted twice goes to the
    thing that it overlaps most. The best cell of a thing weighs its overlap, the others less; a
    cell that stands for nothing weighs 0.
    """
    boxes = truth[:, 1:]
    overlap = box_iou(boxes, corners)
    aligned = scores[:, truth[:, 0].long()].T ** ALPHA * overlap**BETA
    inside = ((at > boxes[:, None, :2]) & (at < boxes[:, None, 2:])).all(dim=-1)
    best = aligned.where(inside, -1.0).topk(min(TOP, len(at)), dim=1).indices
    chosen = torch.zeros_like(inside).scatter(1, best, True) & inside
    owners = overlap.where(chosen, -1.0).argmax(dim=0)
    chosen &= F.one_hot(owners, len(boxes)).T.bool()
    aligned, overlap = aligned * chosen, overlap * chosen
    scale = overlap.amax(dim=1) / aligned.amax(dim=1).clamp(min=1e-20)
    return owners, (aligned * scale[:, None]).sum(dim=0)


def loss(logits: Tensor, corners: Tensor, truths: Sequence[Tensor], at: Tensor) -> Tensor:
    """Loss of a batch: cross-entropy of the labels against the weights of the assignment, and 5
    times 1 - CIoU of the cells that stand for something. truths: (things, 5) a picture, see
    `Table.boxes`."""
    targets, wanted, weights = torch.zeros_like(logits), [], []
    for k, (scores, boxes, truth) in enumerate(zip(logits.sigmoid(), corners, truths, strict=True)):
        if not len(truth):  # a cell that stands for nothing weighs nothing, whatever is wanted
            truth = torch.zeros(1, 5, device=at.device)
        owners, weight = assign(scores, boxes, at, truth)
        targets[k, torch.arange(len(at)), truth[owners, 0].long()] = weight
        wanted.append(truth[owners, 1:])
        weights.append(weight)
    weight, aim = torch.stack(weights), torch.stack(wanted)
    taken = weight > 0
    missed = complete_box_iou_loss(corners[taken], aim[taken], reduction="none")
    labels = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    return (labels + BOX_WEIGHT * (weight[taken] * missed).sum()) / weight.sum().clamp(min=1)


def varied(pixels: NDArray[np.uint8], boxes: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """A row of `Table` as a picture (3, h, w) uint8 and its things (n, 5), flipped, scaled by up to
    20 %, shifted by up to 5 %, its brightness and saturation changed by up to 40 and 50 %, all by
    torch's global chance. Of boxes that leave the picture the rest stays, from 4 x 4 pixels on."""
    truth = torch.from_numpy(boxes[boxes[:, 0] >= 0])
    image = tv_tensors.Image(pixels.copy())
    corners = tv_tensors.BoundingBoxes(
        truth[:, 1:], format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=pixels.shape[1:]
    )
    seen = _VARY({"image": image, "boxes": corners, "labels": truth[:, 0]})
    return seen["image"], torch.cat([seen["labels"][:, None], seen["boxes"]], dim=1)


_VARY = transforms.Compose(
    [
        transforms.RandomHorizontalFlip(),
        transforms.RandomAffine(
            0,
            translate=(0.05, 0.05),
            scale=(0.8, 1.2),
            interpolation=transforms.InterpolationMode.BILINEAR,
            fill=PAD,
        ),
        transforms.ColorJitter(brightness=0.4, saturation=0.5),
        transforms.ClampBoundingBoxes(),
        transforms.SanitizeBoundingBoxes(min_size=4),
    ]
)
