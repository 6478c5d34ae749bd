"""Which frames may matter, before any is captioned: a scorer and a picker (`--select`).

Only what is proposed is captioned. `paper`, `retrieval` and `all` propose nothing, since they read
every caption.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videoespresso.agents import scorer as rater
from videoespresso.errors import ModelError, SettingsError, ToolError
from videoespresso.graphs.context import Context
from videoespresso.graphs.selection import PROPOSED, Candidates, Pair, pair_of, sees, strategy
from videoespresso.graphs.state import State, dump
from videoespresso.memory.image_vectors import ImageVectors
from videoespresso.models.image_text import image_text
from videoespresso.models.specs import EMBEDDED
from videoespresso.models.weights import pulled_spec
from videoespresso.tools.builtin.subtitles import beside, embedded
from videoespresso.tools.pickers import Frames, evenly, pick_frames, picker
from videoespresso.tools.scorers import Film, scorer
from videoespresso.types import FrameRef, Gap, Video

BLIND = Pair("pixels", "segments", PROPOSED, agent=True)
"""Without an image-text model: one frame a shot. It costs no call and knows no question."""
SEEING = Pair("clip", "mmr", PROPOSED, agent=True)
"""With one; it is the pair of `auto`."""

MORE = 4
"""Further candidates of a second look."""


def proposed(
    context: Context,
    video: Video,
    frames: Sequence[FrameRef],
    question: str,
    known: Mapping[str, str],
) -> dict[str, Any]:
    """`candidates`, `pair`, `seen` and `gaps` for the state; no candidates where every frame is to
    be captioned.

    known: frame id -> caption, of frames captioned before. A pair that cannot score the question or
    the film gives way to frames at even distances, with a gap that says why. Raises SettingsError
    for `clip` without a model.
    """
    name, pair = context.settings.select, pair_for(context, question)
    if not frames or (pair is None and not name.startswith(("uniform:", "keyframes"))):
        return {"pair": "paper"} if name == "auto" else {}
    if pair is None:
        chosen = strategy(name)(context, Candidates(question, "", frames, [], []))
        return {"candidates": _listed(chosen), "pair": name}
    if pair.scorer == "clip" and pulled_spec(context.settings, "clip") is None:
        raise SettingsError(
            f"--select {name} needs an image-text model",
            hint="`videoespresso models pull clip` fetches one; pixels+segments needs none.",
        )
    pick = _by_pair(context, pair, video, distinct(frames, known), question, known)
    seen = pair.agent and bool(known) and sees(context.agents["selector"])
    return pick | ({"seen": True} if seen else {})


def more(
    context: Context, video: Video, frames: Sequence[FrameRef], state: State
) -> list[dict[str, str]]:
    """Up to MORE further candidates for a second look, by the pair that proposed the first ones and
    the same question; none where the frames were not proposed by a pair for the selector."""
    pair = pair_for(context, state["question"])
    if pair is None or not pair.agent:
        return []
    before = {c["id"] for c in state["candidates"]}
    known = {c["frame_id"]: c["text"] for c in state["captions"]}
    wide = pair._replace(k=len(before) + MORE)
    pick = _by_pair(context, wide, video, distinct(frames, known), state["question"], known)
    new = [c for c in pick["candidates"] if c["id"] not in before]
    return [new[at] for at in evenly(len(new), MORE)]


def distinct(frames: Sequence[FrameRef], known: Mapping[str, str]) -> Sequence[FrameRef]:
    """Of frames that are known to show the same, word for word, the first alone: a film that
    repeats itself has a candidate for each of its scenes."""
    owners: dict[str, str] = {}
    for frame in frames:
        if text := known.get(frame.id, "").casefold().strip():
            owners.setdefault(text, frame.id)
    return [f for f in frames if owners.get(known.get(f.id, "").casefold().strip(), f.id) == f.id]


def pair_for(context: Context, question: str) -> Pair | None:
    """The pair that proposes frames; None where all are captioned, or the frames need no scores."""
    name, quick = context.settings.select, context.settings.quick
    if quick and name in ("auto", "paper"):
        return cheapest(context, question)
    return automatic(context, question) if name == "auto" else pair_of(name)


def cheapest(context: Context, question: str) -> Pair:
    """The pair that costs no call: by an image-text model where one was pulled."""
    return SEEING if question.strip() and pulled_spec(context.settings, "clip") else BLIND


def automatic(context: Context, question: str) -> Pair | None:
    """The pair by an image-text model, where one was pulled. None, which is `paper`, without one: a
    pair that knows no question had a frame of 55 % of what was asked about where captions had one
    of 90 % (docs/graph.md), and captions in sheets are paid with two cents an hour of film. None
    for the embedded captioner, too: its captions cost nothing."""
    own = context.agents["captioner"].spec.provider == EMBEDDED
    if own or pulled_spec(context.settings, "clip") is None:
        return None
    return cheapest(context, question)


def rated_by(context: Context, question: str) -> Pair | None:
    """The pair whose scorer calls a model, None where the scores cost no call."""
    pair = pair_for(context, question)
    return pair if pair is not None and pair.scorer == "vlm" else None


def _by_pair(
    context: Context,
    pair: Pair,
    video: Video,
    frames: Sequence[FrameRef],
    question: str,
    known: Mapping[str, str],
) -> dict[str, Any]:
    film = _film(context, pair, video, frames, known)
    try:
        score = scorer(pair.scorer)(question, film)
        vectors = None
        if pair.scorer == "clip" and pair.picker == "mmr" and film.search is not None:
            vectors = film.search.images(range(len(frames)))
        cuts = film.cuts if pair.picker == "segments" else ()
        picks = pick_frames(picker(pair.picker), score, Frames(film.times, vectors, cuts), pair.k)
    except (ToolError, ModelError) as error:
        reason = f"{pair.scorer} could not score: {error}; frames were taken at even distances"
        some = [frames[at].id for at in evenly(len(frames), pair.k)]
        even = [(name, f"one of {len(some)} at even distances") for name in some]
        gap = dump(Gap(stage="select", reason=reason))
        return {"candidates": _listed(even), "pair": f"uniform:{pair.k}", "gaps": [gap]}
    return {"candidates": _listed((frames[p.at].id, p.why) for p in picks), "pair": str(pair)}


def _listed(chosen: Any) -> list[dict[str, str]]:
    return [{"id": name, "why": why} for name, why in chosen]


def _film(
    context: Context,
    pair: Pair,
    video: Video,
    frames: Sequence[FrameRef],
    known: Mapping[str, str],
) -> Film:
    spec = pulled_spec(context.settings, "clip") if pair.scorer == "clip" else None
    whole = [(0.0, video.duration_s)]
    by_name = {f.id: at for at, f in enumerate(frames)}
    return Film(
        times=np.array([f.time_s for f in frames]),
        image=lambda at: context.store.image(frames[at]),
        captions={by_name[name]: text for name, text in known.items() if name in by_name},
        embed=context.embed,
        lines=lambda: sorted({*embedded(video.path, whole), *beside(video.path, whole)}),
        search=Remembered(context, spec, video, frames) if spec else None,
        rate=lambda text, images: rater.rate(context.scorer(), text, images),
    )


class Remembered:
    """An image-text model whose vectors of frames are kept beside the captions."""

    def __init__(
        self, context: Context, spec: str, video: Video, frames: Sequence[FrameRef]
    ) -> None:
        self.name, self._frames, self._image = spec, frames, context.store.image
        self._key = f"{video.id}-{context.plan.max_side}"
        self._model = image_text(spec)
        self._memory = context.memory

    @cached_property
    def _kept(self) -> ImageVectors:
        return ImageVectors(self._memory.where, self._model.identity)

    def images(self, positions: Sequence[int]) -> NDArray[np.float32]:
        """Vectors (n, d) of those frames; one that is known is not embedded again."""
        ids = [self._frames[at].id for at in positions]
        known = self._kept.get(self._key, ids)
        new = [self._frames[at] for at in positions if self._frames[at].id not in known]
        if new:
            rows = self._model.images([self._image(frame) for frame in new])
            made = dict(zip((f.id for f in new), rows, strict=True))
            self._kept.put(self._key, made)
            known |= made
        return np.stack([known[name] for name in ids])

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as vectors (n, d)."""
        return self._model.texts(texts)
