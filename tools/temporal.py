"""From words back to an instant (paper, step 9, eq. 3): t = argmax_k cos(phi(c), phi(c_k)).

A model that writes about a group of captions paraphrases them, so strings do not match; what it
wrote is placed at the caption of the group whose embedding is nearest, and at that caption's frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from videoespresso.errors import ToolError
from videoespresso.memory.captions import Embedder
from videoespresso.tools.semantic_filter import DIGITS
from videoespresso.types import Caption, FrameRef


@dataclass(frozen=True)
class Located:
    """Where a text happens.

    time_s: the frame's exact instant in seconds. score: cosine with that frame's caption.
    """

    text: str
    frame_id: str
    time_s: float
    score: float


def locate(
    texts: Sequence[str],
    group: Sequence[Caption],
    embed: Embedder,
    frames: Sequence[FrameRef] = (),
    *,
    in_order: bool = False,
) -> list[Located | None]:
    """For each text the caption of the group nearest to it; None for a blank text.

    Equal scores go to the earliest caption. in_order: the texts are in the order of time, so of
    captions with equal scores (a scene that comes back) the first after the text before is taken,
    where there is one; eq. 3 alone cannot tell them apart. With `frames` the result is one of
    them: the caption's own, or when it is not there the nearest in time (the earlier of two), so
    that the instant is always the pts of a frame that exists. Raises ToolError when the group has
    no caption with words in it.
    """
    captions = sorted((c for c in group if c.text.strip()), key=lambda c: (c.time_s, c.frame_id))
    if not captions:
        raise ToolError(
            "there are no captions to place a text among",
            hint="Caption the frames first, or widen the group.",
        )
    distinct_texts = list(dict.fromkeys(text for text in texts if text.strip()))
    distinct_captions = list(dict.fromkeys(caption.text for caption in captions))
    if not distinct_texts:
        return [None] * len(texts)
    cosines = np.round(embed(distinct_texts) @ embed(distinct_captions).T, DIGITS)
    column = {text: k for k, text in enumerate(distinct_captions)}
    row_of = dict(zip(distinct_texts, cosines, strict=True))
    places: list[Located | None] = []
    after_s = -np.inf
    for text in texts:
        if text not in row_of:
            places.append(None)
            continue
        row = row_of[text]
        scores = row[[column[caption.text] for caption in captions]]
        equal = [captions[k] for k in np.flatnonzero(scores == scores.max())]
        later = (caption for caption in equal if in_order and caption.time_s > after_s)
        best = next(later, equal[0])
        after_s = best.time_s
        frame_id, time_s = _frame(best, frames)
        places.append(Located(text, frame_id, time_s, float(scores.max())))
    return places


def nearest_frame(time_s: float, frames: Sequence[FrameRef]) -> FrameRef:
    """The frame nearest to an instant in seconds, the earlier of two; frames is not empty."""
    return min(frames, key=lambda frame: (abs(frame.time_s - time_s), frame.time_s))


def _frame(caption: Caption, frames: Sequence[FrameRef]) -> tuple[str, float]:
    """Id and instant of the caption's frame, snapped to one of `frames` if there are any."""
    if not frames:
        return caption.frame_id, caption.time_s
    own = (frame for frame in frames if frame.id == caption.frame_id)
    frame = next(own, None) or nearest_frame(caption.time_s, frames)
    return frame.id, frame.time_s
