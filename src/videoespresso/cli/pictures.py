"""Pictures in the terminal: kitty's protocol, iTerm2's, sixels, and on all others half blocks.

timg makes the blocks, and rich turns them into the colours that a terminal has. The protocols are
ours: textual-image asks the terminal when it is imported and sends kitty's pictures to stdout,
where answers may be; term-image needs Pillow below 11; timg's sixels do not say their shape.
"""

import base64
import functools
import io
import os
import re
import select
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.text import Text

Protocol = Literal["kitty", "iterm", "sixel", ""]

SIDE = 480
"""Longer side in pixels: a core frame is recognised and two fit on a screen."""
_CHUNK = 4096
"""Kitty takes at most this much base64 in one piece (its protocol's description)."""
_WAIT_S = 0.3
"""A terminal answers in a few milliseconds, one behind a slow line in some hundred."""
_ATTRIBUTES = re.compile(rb"\x1b\[\?([0-9;]*)c")
_SIXELS = b"4"
"""The attribute by which a terminal says that it draws sixels (DEC's list for DA1)."""


def attributes() -> bytes:
    """What the terminal answers when it is asked what it can do (DA1); b"" where it cannot be."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return b""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return b""
    stdin, answer = sys.stdin.fileno(), b""
    before = termios.tcgetattr(stdin)
    give_up = time.monotonic() + _WAIT_S
    try:
        tty.setcbreak(stdin)
        sys.stdout.write("\x1b[c")
        sys.stdout.flush()
        while not answer.endswith(b"c") and (left := give_up - time.monotonic()) > 0:
            if select.select([stdin], [], [], left)[0]:
                answer += os.read(stdin, 64)
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
    return answer


@functools.cache
def _attributes_once() -> bytes:
    """What is typed meanwhile would be read as an answer."""
    return attributes()


def protocol(
    environ: Mapping[str, str] | None = None, ask: Callable[[], bytes] = _attributes_once
) -> Protocol:
    """How this terminal shows pictures; "" when it cannot, or when nobody can know.

    A multiplexer between us and the terminal swallows or garbles the pictures. Terminals that
    have sixels say so when they are asked.
    """
    environ = os.environ if environ is None else environ
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if environ.get("TMUX") or term.startswith(("screen", "tmux")):
        return ""
    if environ.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if program in ("iTerm.app", "WezTerm") or environ.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    if term in ("", "dumb", "linux"):
        return ""
    answer = _ATTRIBUTES.search(ask())
    return "sixel" if answer and _SIXELS in answer[1].split(b";") else ""


def drawn(file: Path, how: Protocol) -> str:
    """What makes the terminal show a picture; "" when it cannot or the file is gone."""
    if not how or not file.is_file():
        return ""
    from PIL import Image

    with Image.open(file) as picture:
        small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    if how == "sixel":
        return sixels(small)
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    if how == "iterm":
        return f"\x1b]1337;File=inline=1;size={len(buffer.getvalue())}:{data}\a"
    return "".join(
        f"\x1b_G{'' if k else 'f=100,a=T,q=2,'}m={int(k + _CHUNK < len(data))};"
        f"{data[k : k + _CHUNK]}\x1b\\"
        for k in range(0, len(data), _CHUNK)
    )


COLUMNS = 72
"""Of a picture of blocks at most: with two pixels a letter, enough to tell who is where."""


def blocks(file: Path, width: int) -> "Text | None":
    """A picture in letters, each of them two pixels, at most `width` and COLUMNS wide. None where
    the file is gone or is no picture."""
    from PIL import Image
    from rich.text import Text
    from timg.methods import Ansi24HblockMethod

    try:
        with Image.open(file) as picture:
            small = picture.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    columns = min(COLUMNS, width)
    rows = max(2, round(columns * small.height / small.width / 2) * 2)
    ansi = Ansi24HblockMethod(small.resize((columns, rows))).to_string()
    return Text.from_ansi(ansi.rstrip("\n"))


_SIXEL_COLOURS = 255
"""Of the 256 registers that terminals have: one more stays for what is left out."""


def sixels(image: "Image") -> str:
    """An RGB picture as DEC's sixels: bands of six rows, each painted colour by colour. A
    character is a column of six pixels, 63 and a bit for each pixel set."""
    import numpy as np
    from PIL import Image as Pillow

    indexed = image.quantize(_SIXEL_COLOURS, dither=Pillow.Dither.FLOYDSTEINBERG)
    pixels = np.asarray(indexed)
    palette = np.asarray(indexed.getpalette(), dtype=int).reshape(-1, 3)
    parts = [f'\x1bP0;1q"1;1;{image.width};{image.height}']
    for colour in np.unique(pixels):
        red, green, blue = (round(100 * int(value) / 255) for value in palette[colour])
        parts.append(f"#{colour};2;{red};{green};{blue}")
    for top in range(0, image.height, 6):
        band = pixels[top : top + 6]
        weights = (1 << np.arange(len(band)))[:, None]
        lines = []
        for colour in np.unique(band):
            columns = 63 + ((band == colour) * weights).sum(axis=0)
            text = columns.astype(np.uint8).tobytes().decode("ascii").rstrip("?")
            lines.append(f"#{colour}{_RUN.sub(lambda run: f'!{len(run[0])}{run[1]}', text)}")
        parts.append("$".join(lines) + "-")
    return "".join(parts) + "\x1b\\"


_RUN = re.compile(r"(.)\1{3,}")
