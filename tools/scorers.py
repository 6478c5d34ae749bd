"""Scorers: a question and a film's frames -> how relevant each frame is, asked in rounds.

    score = scorer("clip")("What does the dog do?", film)      # checks that it can
    score([0, 40, 80])                                          # three frames, not all

A scorer that cannot score this question or film raises ToolError saying why.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import SettingsError, ToolError
from videoespresso.memory.captions import Embedder
from videoespresso.models import plugins
from videoespresso.tools.pickers import Floats, Score
from videoespresso.tools.sampling import Fingerprint, changed_share, fingerprint, similar_frames

if TYPE_CHECKING:
    from PIL.Image import Image

# ---- what they may use


class ImageSearch(Protocol):
    """An image–text model over this film. name: its spec."""

    @property
    def name(self) -> str: ...

    def images(self, positions: Sequence[int]) -> NDArray[np.float32]:
        """Frames as unit vectors (n, d)."""

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as unit vectors (n, d)."""


Rate: TypeAlias = Callable[[str, "Sequence[Image]"], Sequence[float]]
"""A model that sees: (question, pictures) -> 0 to 9 for each."""


@dataclass(frozen=True)
class Film:
    """A film's frames, by position in time order.

    times: (n,) seconds. image: a frame's pixels. captions: position -> what is known of it already.
    embed: the caption memory's embedder. lines: (start_s, end_s, text) of subtitles, read when
    asked for. search, rate: None where no such model is configured.
    """

    times: Floats
    image: "Callable[[int], Image]"
    captions: Mapping[int, str]
    embed: Embedder
    lines: Callable[[], Sequence[tuple[float, float, str]]] = list
    search: ImageSearch | None = None
    rate: Rate | None = None

    @cached_property
    def prints(self) -> list[Fingerprint]:
        """The fingerprint of every frame; one picture is in memory at a time."""
        return [fingerprint(self.image(at)) for at in range(len(self.times))]

    @cached_property
    def cuts(self) -> tuple[int, ...]:
        """Positions at which something else is to be seen than just before."""
        pairs = zip(self.prints, self.prints[1:], strict=False)
        return tuple(at for at, (a, b) in enumerate(pairs, 1) if not similar_frames(a, b))


Scorer: TypeAlias = Callable[[str, Film], Score]
"""(question, film) -> a score that is asked in rounds. Raises ToolError where it cannot."""


# ---- that compare texts


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


# ---- that look at pictures


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


# ---- by name


GROUP = "videoespresso.scorers"
"""The entry point group for scorers of other packages."""
SCORERS: dict[str, Scorer] = {
    "captions": captions, "clip": clip, "pixels": pixels, "vlm": vlm, "words": words,
}  # fmt: skip


def scorer(name: str) -> Scorer:
    """Ours first, then a plug-in's. Raises SettingsError for a name that is none."""
    if name in SCORERS:
        return SCORERS[name]
    made: Scorer | None = plugins.plugin(GROUP, name)
    if made is None:
        raise SettingsError(f"no scorer {name!r}", hint=f"Known: {', '.join(known())}.")
    return made


def known() -> list[str]:
    """All names, ours and plug-ins'."""
    return sorted({*SCORERS, *(entry.name for entry in entry_points(group=GROUP))})
