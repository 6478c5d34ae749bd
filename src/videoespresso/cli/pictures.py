"""Pictures in the terminal, where it can show them: kitty's protocol and iTerm2's."""

import base64
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Protocol = Literal["kitty", "iterm", ""]

SIDE = 480
"""Longer side in pixels: a core frame is recognised and two fit on a screen."""
_CHUNK = 4096
"""Kitty takes at most this much base64 in one piece (its protocol's description)."""


def protocol(environ: Mapping[str, str] | None = None) -> Protocol:
    """How this terminal shows pictures; "" when it cannot, or when nobody can know.

    A multiplexer between us and the terminal swallows or garbles the pictures.
    """
    environ = os.environ if environ is None else environ
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if environ.get("TMUX") or term.startswith(("screen", "tmux")):
        return ""
    if environ.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if program in ("iTerm.app", "WezTerm") or environ.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    return ""


def drawn(file: Path, how: Protocol) -> str:
    """What makes the terminal show a picture; "" when it cannot or the file is gone."""
    if not how or not file.is_file():
        return ""
    from PIL import Image

    with Image.open(file) as picture:
        small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    if how == "iterm":
        return f"\x1b]1337;File=inline=1;size={len(buffer.getvalue())}:{data}\a"
    pieces = [data[k : k + _CHUNK] for k in range(0, len(data), _CHUNK)]
    said = []
    for number, piece in enumerate(pieces):
        first = "f=100,a=T,q=2," if number == 0 else ""
        more = int(number < len(pieces) - 1)
        said.append(f"\x1b_G{first}m={more};{piece}\x1b\\")
    return "".join(said)
