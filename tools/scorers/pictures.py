"""Scorers that look at pictures: `clip`, `vlm`, and `pixels`, which knows no question."""

from collections.abc import Sequence

import numpy as np

from videoespresso.errors import ToolError
from videoespresso.tools.frame_similarity import changed_share
from videoespresso.tools.pickers.base import Floats, Score
from videoespresso.tools.scorers.base import Film
from videoespresso.tools.scorers.texts import readable

SHEET = 16
"""Pictures on a sheet for `vlm`: four by four, each 160 pixels wide where a model takes 640."""
MANY_LANGUAGES = ("siglip2", "multilingual", "xlm", "m-clip")
"""In the name of an image–text model that knows more than English."""


def clip(question: str, film: Film) -> Score:
    """The cosine of picture and question under an image–text model."""
    search = film.search
    if search is None:
        raise ToolError("no image-text model is there", hint="`videoespresso models pull clip`.")
    latin = not any(part in search.name.lower() for part in MANY_LANGUAGES)
    readable(question, search.name, latin)
    if not question.strip():
        raise ToolError("clip needs a question", hint="pixels needs none.")
    text = search.texts([question])[0].astype(np.float64)
    return lambda positions: search.images(positions).astype(np.float64) @ text


def vlm(question: str, film: Film) -> Score:
    """What a model that sees says of each frame, 0 to 9, sixteen numbered pictures a call."""
    rate = film.rate
    if rate is None:
        raise ToolError("no model that sees is configured", hint="Choose another scorer.")
    if not question.strip():
        raise ToolError("vlm needs a question", hint="pixels needs none.")

    def score(positions: Sequence[int]) -> Floats:
        values: list[float] = []
        for start in range(0, len(positions), SHEET):
            part = positions[start : start + SHEET]
            values += rate(question, [film.image(at) for at in part])
        return np.array(values, dtype=np.float64)

    return score


def pixels(question: str, film: Film) -> Score:
    """The share of the picture, 0 to 1, that is new against the frame before; the first has 1."""
    prints = film.prints
    pairs = zip(prints[1:], prints, strict=False)
    new = [1.0, *(changed_share(after, before) for after, before in pairs)]
    return lambda positions: np.array([new[at] for at in positions])
