"""What a scorer may use. All of it is handed in, so that scorers know no graph and no agent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from videoespresso.memory.captions import Embedder
from videoespresso.tools.frame_similarity import Fingerprint, fingerprint, similar_frames
from videoespresso.tools.pickers.base import Floats, Score

if TYPE_CHECKING:
    from PIL.Image import Image


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
