"""Instants, money and letters as a person reads them; the page and the terminal share them."""

import math
import re
import string
from collections.abc import Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING

from videoespresso.types import Answer, KeyItem, Usage

if TYPE_CHECKING:
    from videoespresso.dataset.inspect.blind_baselines import Guess
    from videoespresso.dataset.inspect.stats import Share

LONG = 2000
"""Characters of a text shown; no caption is longer, and a page must stay small."""


CONTROLS = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"  # of terminals
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u206f"  # of the direction of writing
    "\\u2028\\u2029\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e007f"  # breaks and tags nobody sees
)
"""What is never printed, as a class of a regular expression. What joins letters (U+200C, U+200D)
stays: Persian, and faces of several people, are written with it."""
_CONTROLS = re.compile(f"[{CONTROLS}]")


def clock(seconds: float) -> str:
    """Seconds from the stream's start as '0:07.5', '12:00.0' or '1:02:03.4'.

    Rounded to a tenth before it is split, so that 59.96 reads 1:00.0 and never 0:60.0.
    """
    tenths = round(seconds * 10)
    sign, tenths = ("-", -tenths) if tenths < 0 else ("", tenths)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{sign}{hours}:{minutes:02d}:{rest}" if hours else f"{sign}{minutes}:{rest}"


def instant(seconds: float | None) -> str:
    """`clock`, or "?" for an instant that is not known or is no number."""
    return "?" if seconds is None or not math.isfinite(seconds) else clock(seconds)


def number(value: float) -> str:
    """Three digits, and no more zeros than there are: '0.125', '3', '12.5', '12,345'."""
    whole = abs(value) >= 1000 or value == round(value)
    return f"{value:,.0f}" if whole else f"{value:.3g}"


def percent(share: "Share | Guess | None") -> str:
    """A share with its 95 % interval: '12.0 % (9.8-14.6)'; '-' for a share of nothing."""
    if share is None:
        return "-"
    if share.low is None or share.high is None:
        return f"{100 * share.value:.1f} % (too few videos)"
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f}-{100 * share.high:.1f})"


def clip(text: str) -> str:
    """At most LONG characters; a text that is cut ends in '…'."""
    return text if len(text) <= LONG else text[: LONG - 1] + "…"


def money(usd: float | None) -> str:
    """Dollars: four digits below a cent's worth, 'unknown' where a model has no known price."""
    if usd is None:
        return "unknown"
    return f"${usd:.4f}" if 0 < usd < 0.1 else f"${usd:,.2f}"


def letter(position: int) -> str:
    """The name of an option by its 0-based position: A ... Z, then AA, AB ..."""
    name = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        name = string.ascii_uppercase[rest] + name
    return name


def file_name(path: str) -> str:
    """The file's name alone."""
    return PurePath(path).name


def names_of(answer: Answer) -> str:
    """The names of the files that an answer is about."""
    return ", ".join(file_name(video.path) for video in answer.videos or (answer.video,))


def total(usages: Iterable[Usage]) -> Usage:
    """The sum over the roles."""
    whole = Usage()
    for usage in usages:
        whole = whole + usage
    return whole


def printable(text: str) -> str:
    """Text without control characters: a caption must not move a terminal's cursor, nor turn the
    order of the letters round it, so that a name reads as another. Everything that prints what
    somebody else wrote goes through here.

    Line breaks and tabs stay; what cannot be encoded (a file name that is not UTF-8) becomes '?'.
    """
    kept = _CONTROLS.sub("", text)
    return kept.encode("utf-8", "replace").decode("utf-8")


def item_text(item: KeyItem, *, detected: bool) -> str:
    """A key item with its boxes; "" for one without a box where no detector looked."""
    boxes = ", ".join(
        f"[{' '.join(f'{v:.2f}' for v in box.xyxy)}] {box.score:.2f}" for box in item.boxes
    )
    if not boxes and not detected:
        return ""
    return f"{item.name}: {boxes or 'not found'}"
