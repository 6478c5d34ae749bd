"""Small plots as numbers: where each bar lies. The template draws them as SVG, without script."""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from videoespresso.dataset.inspect.stats import Share, Spread
from videoespresso.report.text import number, percent
from videoespresso.statistics import Estimate, round_width

WIDE, HIGH = 420.0, 150.0
"""Of a histogram's plot, in the drawing's own units; a page scales it."""
WIDEST = 60.0
"""Of a histogram's bar: three bars must not look like three walls."""
LABEL, ROW = 170.0, 22.0
"""Of a bar chart: room for a row's name, and a row's height."""
NAME = 26
"""Letters of a row's name; the whole is in its title."""


class Column(NamedTuple):
    """A bar of a histogram; `title` is shown on hover and read by screen readers."""

    x: float
    y: float
    width: float
    height: float
    title: str


class Histogram(NamedTuple):
    """columns, and (x, text) below the axis. most: the highest column's count."""

    title: str
    note: str
    columns: tuple[Column, ...]
    axis: tuple[tuple[float, str], ...]
    most: int


class Row(NamedTuple):
    """A row of a bar chart: a bar from x to x + width, whiskers low-high, a mark to compare with.

    Lengths are in the drawing's units; whiskers and mark are None where there are none.
    """

    name: str
    y: float
    x: float
    width: float
    low: float | None
    high: float | None
    mark: float | None
    text: str
    title: str


class Rows(NamedTuple):
    """A bar chart that lies on its side. axis: (x, text) of the ends of the scale."""

    title: str
    note: str
    rows: tuple[Row, ...]
    axis: tuple[tuple[float, str], ...]
    height: float


def histogram(title: str, spread: Spread | None, unit: str) -> Histogram | None:
    """How a number is spread; None of nothing."""
    if spread is None:
        return None
    bars = spread.bars
    most = max(bar.n for bar in bars)
    step = min(WIDE / len(bars), WIDEST)
    whole = all(b.low.is_integer() and b.high - b.low == 1 for b in bars)
    columns = []
    for k, bar in enumerate(bars):
        height = HIGH * bar.n / most
        over = k == len(bars) - 1 and spread.most >= bar.high
        where = number(bar.low) if whole else f"{number(bar.low)} to {number(bar.high)}"
        span = f"{number(bar.low)} or more" if over else where
        columns.append(
            Column(k * step + 0.5, HIGH - height, step - 1, height, f"{span} {unit}: {bar.n:,}")
        )
    every = math.ceil(len(bars) / 8)
    middle = step / 2 if whole else 0.0
    axis = tuple((k * step + middle, number(bars[k].low)) for k in range(0, len(bars), every))
    note = f"n {spread.n:,} · mean {number(spread.mean)} · median {number(spread.median)} {unit}"
    return Histogram(title, note, tuple(columns), axis, most)


def shares(
    title: str, note: str, figures: Sequence[tuple[str, Share | None, float | None]]
) -> Rows | None:
    """Shares with their intervals, each beside another share (0-1) where one is given."""
    if not any(share for _, share, _ in figures):
        return None
    highest = max(max(share.high if share else 0.0, mark or 0.0) for _, share, mark in figures)
    scale = (WIDE - LABEL) / max(highest, 0.01)

    def row(k: int, name: str, share: Share | None, mark: float | None) -> Row:
        n = f"{share.hits:,} of {share.n:,}, " if share else ""
        beside = f"; the paper's: {100 * mark:.1f} %" if mark is not None else ""
        return Row(
            name=_short(name),
            y=k * ROW,
            x=LABEL,
            width=share.value * scale if share else 0.0,
            low=LABEL + share.low * scale if share else None,
            high=LABEL + share.high * scale if share else None,
            mark=None if mark is None else LABEL + mark * scale,
            text=f"{share.hits:,}" if share else "0",
            title=f"{name}: {n}{percent(share)}{beside}",
        )

    rows = tuple(row(k, *one) for k, one in enumerate(figures))
    axis = ((LABEL, "0 %"), (WIDE, f"{100 * max(highest, 0.01):.0f} %"))
    return Rows(title, note, rows, axis, len(rows) * ROW)


def estimates(title: str, note: str, figures: Sequence[tuple[str, Estimate | None]]) -> Rows | None:
    """Shares of 0 to 1 with their intervals, on a scale that ends at 100 %; None of nothing."""
    known = [(name, estimate) for name, estimate in figures if estimate is not None]
    if not known:
        return None
    scale = WIDE - LABEL - 40

    def row(k: int, name: str, e: Estimate) -> Row:
        low, high = (None if end is None else LABEL + end * scale for end in (e.low, e.high))
        text = f"{100 * e.value:.0f} %"
        title = f"{name}: {e.text(unit='%')}, n {e.n:,}"
        return Row(_short(name), k * ROW, LABEL, e.value * scale, low, high, None, text, title)

    rows = tuple(row(k, *one) for k, one in enumerate(known))
    axis = ((LABEL, "0 %"), (LABEL + scale / 2, "50 %"), (LABEL + scale, "100 %"))
    return Rows(title, note, rows, axis, len(rows) * ROW)


class Point(NamedTuple):
    """A point with its whisker, and its name beside it: at its left or right, from text_x on, and
    moved down by shift."""

    name: str
    x: float
    y: float
    low: float | None
    high: float | None
    left: bool
    text_x: float
    shift: float
    title: str


class Points(NamedTuple):
    """Shares against a number. axis: (x, text)."""

    title: str
    note: str
    points: tuple[Point, ...]
    axis: tuple[tuple[float, str], ...]


def against(title: str, note: str, figures: Sequence[tuple[str, float, Estimate]]) -> Points | None:
    """Shares of 0 to 1 against numbers whose doublings are the same distance; 0 is at the left
    end. None of nothing."""
    if not figures:
        return None
    top = max(1.0, math.ceil(max(math.log2(1 + at) for _, at, _ in figures)))

    def x(at: float) -> float:
        return 20 + (WIDE - 60) * math.log2(1 + at) / top

    points: list[Point] = []
    for name, at, estimate in sorted(figures, key=lambda one: (one[1], one[0])):
        y = HIGH * (1 - estimate.value)
        ends = [None if end is None else HIGH * (1 - end) for end in (estimate.low, estimate.high)]
        at_y = y + 4
        while any(abs(p.x - x(at)) < 90 and abs(p.y + p.shift - at_y) < 11 for p in points):
            at_y += 11
        title_ = f"{name}: {number(at)}, {estimate.text(unit='%')}"
        left = x(at) > 0.7 * WIDE
        near = [x(other) for _, other, _ in figures if abs(x(other) - x(at)) < 14]
        text_x = min(near) - 7 if left else max(near) + 7  # beside all points that stand so near
        points.append(Point(name, x(at), y, ends[0], ends[1], left, text_x, at_y - y, title_))
    ticks = [0, *(2**k for k in range(int(top) + 1) if math.log2(1 + 2**k) <= top)]
    return Points(title, note, tuple(points), tuple((x(t), f"{t}") for t in ticks))


class Curves(NamedTuple):
    """Lines over the steps of a run. lines: (name, points, name of its colour); ys: (y, text) of
    the highest and the lowest value; axis: (x, text)."""

    title: str
    note: str
    lines: tuple[tuple[str, str, str], ...]
    ys: tuple[tuple[float, str], ...]
    axis: tuple[tuple[float, str], ...]


COLOURS: Final = ("select", "core", "good", "warn", "caption", "accent", "soft", "filter")
"""Of the lines of a chart, in order, as style.html names them."""


def curves(
    title: str, note: str, series: Sequence[tuple[str, Sequence[tuple[float, float]]]]
) -> Curves | None:
    """Named lines of (step, value) on one scale. None where there is no value."""
    values = [(step, value) for _, points in series for step, value in points]
    if not values:
        return None
    first, last = min(step for step, _ in values), max(step for step, _ in values)
    low, high = min(value for _, value in values), max(value for _, value in values)
    across, up = (last - first) or 1.0, (high - low) or 1.0
    lines = tuple(
        (
            name,
            " ".join(
                f"{WIDE * (step - first) / across:.1f},{HIGH * (1 - (value - low) / up):.1f}"
                for step, value in points
            ),
            COLOURS[k % len(COLOURS)],
        )
        for k, (name, points) in enumerate(series)
        if points
    )
    ys = ((0.0, f"{high:.3g}"), (float(HIGH), f"{low:.3g}"))
    return Curves(title, note, lines, ys, ((0.0, f"{first:g}"), (float(WIDE), f"{last:g}")))


def counts(title: str, note: str, figures: Sequence[tuple[str, int]]) -> Rows | None:
    """Plain counts, in the order given."""
    if not figures:
        return None
    scale = (WIDE - LABEL - 50) / max(max(n for _, n in figures), 1)
    rows = tuple(
        Row(_short(name), k * ROW, LABEL, n * scale, None, None, None, f"{n:,}", f"{name}: {n:,}")
        for k, (name, n) in enumerate(figures)
    )
    return Rows(title, note, rows, (), len(rows) * ROW)


def ranges(title: str, unit: str, figures: Iterable[tuple[str, Spread | None]]) -> Rows | None:
    """Spreads side by side: the bar holds the middle half, the whiskers 5 to 95 %, the mark is
    the median."""
    known = [(name, spread) for name, spread in figures if spread]
    if not known:
        return None
    top = max(spread.p95 for _, spread in known) or 1.0
    step = round_width(top / 4)
    top = math.ceil(top / step) * step
    scale = (WIDE - LABEL - 20) / top

    def row(k: int, name: str, s: Spread) -> Row:
        x, end, low, high, mark = (LABEL + v * scale for v in (s.p25, s.p75, s.p5, s.p95, s.median))
        summary = f"median {number(s.median)}, half in {number(s.p25)} to {number(s.p75)} {unit}"
        title = f"{name}: {summary}, n {s.n:,}"
        return Row(_short(name), k * ROW, x, max(end - x, 1.0), low, high, mark, "", title)

    rows = tuple(row(k, *one) for k, one in enumerate(known))
    steps = range(round(top / step) + 1)
    axis = tuple((LABEL + k * step * scale, number(k * step)) for k in steps)
    note = f"middle half, whiskers 5 to 95 %, mark at the median; {unit}"
    return Rows(title, note, rows, axis, len(rows) * ROW)


def _short(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 1] + "…"
