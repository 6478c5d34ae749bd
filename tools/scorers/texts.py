"""Scorers that compare texts: what the memory holds of the frames, and what is spoken."""

from collections.abc import Sequence

import numpy as np

from videoespresso.errors import ToolError
from videoespresso.tools.pickers.base import Floats, Score
from videoespresso.tools.scorers.base import Film

NEAR_S = 3.0
"""A line counts for frames up to this far from it: about one line before and after."""
LATIN = ("wordllama",)
"""How names of embedders begin that know languages in Latin letters only. Of another one it is not
known, and it is asked."""


def captions(question: str, film: Film) -> Score:
    """How near a frame's caption is to the question (cosine); NaN for a frame without one."""
    readable(question, film.embed.name, latin_only(film.embed.name))
    known = [(at, text) for at, text in sorted(film.captions.items()) if text.strip()]
    if not known:
        raise ToolError("no frame of this video is captioned yet", hint="Choose another scorer.")
    near = _cosines(film, question, [text for _, text in known])
    by_position = dict(zip([at for at, _ in known], near, strict=True))
    return lambda positions: np.array([by_position.get(at, np.nan) for at in positions])


def words(question: str, film: Film) -> Score:
    """How near to the question is what is spoken then, by the subtitles: no picture is needed.
    Where nothing is spoken that is 0, as for words that have nothing to do with it."""
    readable(question, film.embed.name, latin_only(film.embed.name))
    lines = film.lines()
    if not lines:
        raise ToolError("this video has no subtitles", hint="Choose another scorer.")
    near = _cosines(film, question, [text for _, _, text in lines])

    def score(positions: Sequence[int]) -> Floats:
        scores = []
        for time_s in film.times[list(positions)]:
            there = [
                value
                for (start, end, _), value in zip(lines, near, strict=True)
                if start - NEAR_S <= time_s <= end + NEAR_S
            ]
            scores.append(max(there, default=0.0))
        return np.array(scores, dtype=np.float64)

    return score


def latin_only(name: str) -> bool:
    """Whether an embedder of that name knows Latin letters only."""
    return name.startswith(LATIN)


def readable(question: str, name: str, latin: bool) -> None:
    """Raises ToolError for a question in letters that a model of Latin ones does not know."""
    letters = [c for c in question if c.isalpha()]
    if latin and letters and sum(ord(c) > 0x24F for c in letters) > len(letters) / 2:
        raise ToolError(
            f"{name} does not know the language of the question",
            hint="Take an embedder of many languages, or --select vlm+focus:8.",
        )


def _cosines(film: Film, question: str, texts: Sequence[str]) -> list[float]:
    """The texts' cosines with the question; each different text is embedded once."""
    different = list(dict.fromkeys(texts))
    vectors = film.embed([question, *different]).astype(np.float64)
    near = dict(zip(different, (vectors[1:] @ vectors[0]).tolist(), strict=True))
    return [near[text] for text in texts]
