"""What a question will take, before it is paid for: calls, pictures and dollars, by role.

An estimate from sizes and prices. Replies in the cache, retries, tools that a reasoner calls more
than once and a second look are not in it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from pydantic import computed_field

from videoespresso.agents.base import Agent
from videoespresso.agents.prompts import load
from videoespresso.graphs.selection import Pair, core_count, sees, selects
from videoespresso.models.client.prices import image_tokens, price, text_tokens
from videoespresso.models.profiles import look_side
from videoespresso.tools.base import parameters
from videoespresso.tools.scorers import SHEET as SCORED_AT_ONCE
from videoespresso.types import FrameRef, Progress, Record

if TYPE_CHECKING:
    from videoespresso.graphs.context import Context
    from videoespresso.graphs.state import State

CAPTION_TOKENS = 60
"""Of a caption, a selection or a verdict: two or three sentences. A guess, as are the others."""
CORE_FRAMES = 3
"""Core frames where the selector or the captions choose: the paper's mean is 2.4."""
REASONED_TOKENS = 400
"""Written by a reasoner in both stages: some sentences with their items, and an answer."""


class RoleShare(Record):
    """What one role takes. model: its spec. usd: None where its price is not known."""

    model: str
    calls: int
    images: int
    usd: float | None


class Estimate(Record):
    """What a question will take.

    select: the strategy, and in brackets the pair that `auto` came to. frames: looked at; known:
    how many of them have a caption from before; captions: how many will be made. roles: who is
    asked at all. limit_usd: where the question would end, None for no limit.
    """

    select: str
    frames: int
    known: int
    captions: int
    roles: Mapping[str, RoleShare]
    limit_usd: float | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def calls(self) -> int:
        """Model calls."""
        return sum(share.calls for share in self.roles.values())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def images(self) -> int:
        """Pictures sent."""
        return sum(share.images for share in self.roles.values())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def usd(self) -> float | None:
        """Dollars; None where a model has no known price."""
        costs = [share.usd for share in self.roles.values()]
        return None if None in costs else sum(usd for usd in costs if usd is not None)

    def __str__(self) -> str:
        cost = "at a price that is not known"
        if self.usd is not None:
            cost = f"${self.usd:.{3 if self.usd else 2}f}"
        known = "" if self.captions else ", all known from before"
        calls = f"{self.calls} call{'s' * (self.calls != 1)}"
        return f"{self.frames} frame{'s' * (self.frames != 1)}{known}, about {calls}, {cost}"


@dataclass(frozen=True)
class Looked:
    """What is known of a video before its captions are paid for.

    frames: all that were sampled. new: how many need a caption. candidates: how many frames the
    selector reads of, None for all. pair: what proposed them. scored: pictures that a model rates
    for it. known: captions in memory.
    """

    frames: Sequence[FrameRef]
    new: int
    candidates: int | None = None
    pair: str = ""
    scored: int = 0
    known: int = 0

    @property
    def read(self) -> int:
        """Captions that the selector reads."""
        return len(self.frames) if self.candidates is None else self.candidates


def at_most(pair: Pair, frames: Sequence[FrameRef], known: int) -> Looked:
    """Before a model has rated the frames: it may rate all, and what it proposes may all be new."""
    count = min(pair.k, len(frames))
    return Looked(frames, count, count, str(pair), scored=len(frames), known=known)


def estimate(context: "Context", videos: Sequence[Looked]) -> Estimate:
    """For one question about these videos, all of which were sampled."""
    width, height = _largest(videos)
    agents, select = context.agents, context.settings.select
    quick, one_stage = context.settings.quick, context.settings.one_stage
    new = 0 if quick else sum(video.new for video in videos)
    core = sum(
        video.read if quick else min(core_count(select, CORE_FRAMES), len(video.frames))
        for video in videos
    )
    roles: dict[str, RoleShare] = {}

    def add(role: str, calls: int, images: int, text: int, written: int, size: int = 0) -> None:
        if not calls:
            return
        agent = agents["selector" if role == "scorer" else role]
        per_token, scale = price(agent.spec), min(1.0, size / max(width, height)) if size else 1.0
        tokens = calls * text_tokens([load(role).text]) + text
        tokens += images * image_tokens(agent.spec, int(width * scale), int(height * scale))
        usd = None if per_token is None else per_token.usd(tokens, written)
        roles[role] = RoleShare(model=str(agent.spec), calls=calls, images=images, usd=usd)

    scored = [video.scored for video in videos]
    add(
        "scorer",
        sum(math.ceil(n / SCORED_AT_ONCE) for n in scored),
        sum(scored),
        0,
        8 * sum(scored),
    )
    sheet = max(1, agents["captioner"].sheet)
    sheets = 0 if quick else sum(math.ceil(video.new / sheet) for video in videos)
    add("captioner", sheets, new, 0, new * CAPTION_TOKENS)
    if selects(select) and not quick:
        read = sum(video.read for video in videos) * CAPTION_TOKENS
        pictures = sum(_pictures(agents["selector"], video) for video in videos)
        side = look_side(agents["selector"].spec) or 0
        add("selector", len(videos), pictures, read, CAPTION_TOKENS * len(videos), side)
    offered = not quick and any(parameters(tool) is not None for tool in context.tools)
    side = look_side(agents["reasoner"].spec) or 0
    turns = (1 if one_stage else 2) + (offered and agents["reasoner"].can_call)
    add("reasoner", turns, turns * core, turns * core * CAPTION_TOKENS, REASONED_TOKENS, side)
    add("checker", 0 if quick else 1, 0, REASONED_TOKENS, CAPTION_TOKENS)
    return Estimate(
        select=_named(select, videos),
        frames=sum(len(video.frames) for video in videos),
        known=sum(video.known for video in videos),
        captions=new,
        roles=roles,
        limit_usd=context.budget.max_usd,
    )


def _pictures(agent: Agent, video: Looked) -> int:
    """How many the selector is shown: the candidates, or one sheet of them."""
    if not video.candidates or not sees(agent):
        return 0
    return video.candidates if video.candidates <= agent.sheet else 1


def to_come(context: "Context", state: "State", looked: Looked) -> None:
    """Says what the question will take, before the first call that is paid; of several films for
    each, by its name."""
    if context.on_progress is not None and looked.frames:
        film = f"{PurePath(state['path']).name}: " if len(state.get("paths", ())) > 1 else ""
        context.on_progress(Progress("plan", f"{film}{estimate(context, [looked])}"))


def _named(select: str, videos: Sequence[Looked]) -> str:
    pairs = sorted({video.pair for video in videos} - {"", select})
    return f"{select} ({', '.join(pairs)})" if pairs else select


def _largest(videos: Sequence[Looked]) -> tuple[int, int]:
    frames = [frame for video in videos for frame in video.frames]
    return max(((f.width, f.height) for f in frames), default=(1, 1))
