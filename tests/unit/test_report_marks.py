"""Boxes whose labels do not cover each other, and a timeline whose every colour is explained."""

import re
from pathlib import Path
from typing import get_args

import pytest
from tests.helpers.records import dataset, item

from videoespresso.report import page, parts, record_page
from videoespresso.types import DroppedFrame

ROOM = Path(page.__file__).parent


def labels(drawn: tuple[parts.DrawnBox, ...]) -> list[tuple[float, float, float]]:
    """(left, top, width) of each label, on the picture for which they were placed."""
    return [
        (
            b.left + b.width - 2.4 * (len(b.label) + 6) if b.left > 70 else b.left,
            (b.top if b.inside else b.top - 10) + 10 * b.row,
            2.4 * (len(b.label) + 6),
        )
        for b in drawn
    ]


@pytest.mark.parametrize(
    "corners",
    [
        [(0.1, 0.5, 0.4, 0.9), (0.12, 0.5, 0.45, 0.9), (0.1, 0.52, 0.3, 0.9)],
        [(0.1, 0.0, 0.4, 0.9), (0.1, 0.01, 0.4, 0.9)],
        [(0.8, 0.5, 0.99, 0.9), (0.85, 0.5, 0.98, 0.9)],
    ],
    ids=["above", "inside", "at the right edge"],
)
def test_labels_do_not_cover_each_other(corners: list[tuple[float, float, float, float]]) -> None:
    drawn = [parts.draw_box("the red car", 0.9, xyxy, 10) for xyxy in corners]
    assert any(
        abs(a[1] - b[1]) < 9
        for k, a in enumerate(labels(tuple(drawn)))
        for b in labels(tuple(drawn[:k]))
    )
    placed = labels(parts.apart(drawn))
    for k, (left, top, width) in enumerate(placed):
        for x, y, other in placed[:k]:
            assert abs(top - y) >= 9.5 or left >= x + other or x >= left + width


def test_a_label_with_room_stays_where_it_was() -> None:
    far = [parts.draw_box("car", 0.9, xyxy, 1) for xyxy in [(0, 0.5, 0.2, 1), (0.6, 0.5, 0.9, 1)]]
    assert parts.apart(far) == tuple(far)


def test_every_stage_has_a_colour_a_rule_and_a_legend() -> None:
    style = (ROOM / "style.html").read_text() + (ROOM / "charts.html").read_text()
    stages = get_args(DroppedFrame.model_fields["stage"].annotation)
    for stage in (*stages, "core", "group"):
        (rule,) = re.findall(rf"\.track i\.{stage} {{([^}}]*)}}", style)
        colour = re.search(r"background: var\((--\w+)\)", rule)
        assert colour, stage
        legend = "record_parts.html" if stage == "group" else "page.html"
        text = (ROOM / legend).read_text()
        assert f"var({colour[1]})" in text or f'"{stage}":' in text


@pytest.mark.parametrize(("index", "shown"), [(-1, False), (0, True), (12, True)])
def test_a_frame_whose_number_nobody_knows_has_none_on_the_page(
    tmp_path: Path, index: int, shown: bool
) -> None:
    record = item(1)
    frame = record.core_frames[0].model_copy(update={"index": index})
    record = record.model_copy(update={"core_frames": (frame,)})
    assert (f"frame {index}" in record_page.render(record, dataset(tmp_path, [record]))) is shown
