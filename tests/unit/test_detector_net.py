"""The pack's detector: what its network says, which cell learns what, how pictures are varied."""

from typing import Any

import numpy as np
import pytest

from videoespresso.tools.detectors.onnx_yolo import decode

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
from lab import detector_net as net  # noqa: E402 - after the skips

pytestmark = pytest.mark.extras

AT = net.centres(8, 8)
"""A picture of 64 x 64 pixels."""


def truth(*rows: tuple[float, ...]) -> Any:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)


def test_cells_lie_row_by_row() -> None:
    assert net.centres(2, 3).tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]


def test_boxes_hold_their_cell_and_are_read_as_they_were_meant() -> None:
    torch.manual_seed(0)
    network = net.Network(3, width=10, head=8).eval()
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        logits, corners = network(pictures)
    assert logits.shape == (1, 64, 3)
    assert (corners[0, :, :2] < AT).all()
    assert (corners[0, :, 2:] > AT).all()
    assert logits.sigmoid().mean() == pytest.approx(0.01, abs=0.005), "at first nothing is there"

    with torch.no_grad():
        network.labels[-1].bias.fill_(2.0)  # now everything is
        head = net.Exported(network)(pictures)
        sure = network(pictures)[0].sigmoid().numpy()[0].max(axis=1)
    assert head.shape == (1, 4 + 3, 64)
    found, scores, classes = decode(head.numpy(), 3)
    assert len(found) > 1
    assert scores[0] == pytest.approx(sure.max())
    assert found[0] == pytest.approx(corners[0, int(sure.argmax())].numpy(), abs=1e-3)
    assert set(classes) <= {0, 1, 2}


def test_a_thing_takes_the_best_cells_inside_it() -> None:
    things = truth((1, 0, 0, 40, 40))  # 25 cells lie in it
    scores = torch.full((64, 2), 0.5)
    corners = torch.cat([AT - 4, AT + 4], dim=1)
    corners[:12] = things[0, 1:]  # these have the box; two rows of five cells are inside, two not
    corners[0, 3] = 30.0  # and one has three quarters of it
    _, weights = net.assign(scores, corners, AT, things)
    taken = weights.nonzero().flatten().tolist()
    assert taken[:6] == [0, 1, 2, 3, 4, 8]
    assert len(taken) == net.TOP
    assert weights[[1, 2, 3, 4, 8]].tolist() == pytest.approx([1.0] * 5)
    assert weights[0] == pytest.approx(0.75**net.BETA, rel=1e-4)


def test_a_cell_wanted_twice_goes_where_it_overlaps_most() -> None:
    things = truth((0, 0, 0, 24, 24), (1, 4, 4, 20, 20))
    corners = torch.cat([AT - 8, AT + 8], dim=1)
    corners[9] = things[1, 1:]  # the centre of both
    owners, weights = net.assign(torch.full((64, 2), 0.5), corners, AT, things)
    assert owners[9] == 1
    assert weights[9] == pytest.approx(1.0)
    assert {int(k) for k in owners[weights > 0]} == {0, 1}
    assert (weights <= 1).all()


def test_the_score_decides_between_equal_boxes() -> None:
    things = truth((1, 0, 0, 16, 16))
    corners = things[0, 1:].expand(64, 4)
    scores = torch.full((64, 2), 0.1)
    scores[9, 1], scores[8, 0] = 0.9, 0.9  # the other label's score is nothing to it
    _, weights = net.assign(scores, corners, AT, things)
    assert weights[9] == pytest.approx(1.0)
    assert weights[8] == pytest.approx((1 / 9) ** net.ALPHA, rel=1e-4)


def test_the_smallest_thing_has_a_cell() -> None:
    for x in np.arange(0.0, 8.0, 0.5):
        things = truth((0, x, x, x + 8.5, x + 8.5))
        _, weights = net.assign(
            torch.full((64, 1), 0.5), torch.cat([AT - 4, AT + 4], dim=1), AT, things
        )
        assert (weights > 0).any()


def test_loss_is_nothing_for_the_truth_and_falls_towards_it() -> None:
    things = truth((1, 0, 0, 16, 16))  # four cells
    corners = things[0, 1:].expand(1, 64, 4).clone()
    logits = torch.full((1, 64, 2), -20.0)
    logits[0, [0, 1, 8, 9], 1] = 20.0
    assert net.loss(logits, corners, [things], AT) == pytest.approx(0.0, abs=1e-4)
    assert net.loss(logits, corners, [truth()], AT) == pytest.approx(80.0, rel=1e-3)
    assert net.loss(-logits, corners, [things], AT) > 100
    logits.requires_grad_()
    corners = (corners + torch.tensor([-2.0, 0.0, 3.0, 0.0])).requires_grad_()
    net.loss(logits, corners, [things], AT).backward()
    assert corners.grad is not None
    assert (corners.grad[0, 0, 0] < 0, corners.grad[0, 0, 2] > 0) == (True, True)
    assert (corners.grad[0, 63] == 0).all()


def test_boxes_move_with_what_they_frame() -> None:
    pixels = np.zeros((3, 96, 160), np.uint8)
    pixels[:, 30:60, 40:90] = 255
    boxes = np.array([[7, 40, 30, 90, 60], [-1] * 5], np.float32)
    torch.manual_seed(0)
    seen = [net.varied(pixels, boxes) for _ in range(40)]
    for picture, things in seen:
        rows, columns = np.nonzero(picture[0].numpy() > 0.7 * float(picture.max()))
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert things[:, 0].tolist() == [7]
        assert things[0, 1:].numpy() == pytest.approx(np.array(edges), abs=1.5)
    widths = [float(things[0, 3] - things[0, 1]) for _, things in seen]
    assert (min(widths), max(widths)) == (pytest.approx(40, abs=3), pytest.approx(60, abs=3))
    assert pixels.sum() == 3 * 30 * 50 * 255, "the table is left as it was"
