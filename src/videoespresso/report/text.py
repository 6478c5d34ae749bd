"""Instants, money and letters as a person reads them; the page and the terminal share them."""

import string
from collections.abc import Iterable

from videoespresso.types import Usage


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


def total(usages: Iterable[Usage]) -> Usage:
    """The sum over the roles."""
    whole = Usage()
    for usage in usages:
        whole = whole + usage
    return whole


def printable(text: str) -> str:
    """Text without control characters: a caption must not move a terminal's cursor.

    Line breaks and tabs stay; what cannot be encoded (a file name that is not UTF-8) becomes '?'.
    """
    kept = "".join(c for c in text if c in "\n\t" or not (ord(c) < 32 or 127 <= ord(c) < 160))
    return kept.encode("utf-8", "replace").decode("utf-8")
