"""How core frames are chosen: one contract, several strategies (`--select`).

A strategy gets the candidates and returns (frame id, why) in time order. `paper` and `retrieval`
choose among the captions that survived the semantic filter; `uniform:K`, `keyframes` and `all` are
what the evaluation compares them with. `SCORER+PICKER[:K]` and `auto` caption only what a scorer
and a picker proposed (proposal.py); with a K that is the choice, without the selector is shown the
candidates and chooses.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from videoespresso.agents import selector
from videoespresso.agents.base import Agent
from videoespresso.agents.prompt_parts import Shown
from videoespresso.errors import ModelError, SettingsError
from videoespresso.graphs.context import Context
from videoespresso.graphs.state import within
from videoespresso.models.profiles import look_side
from videoespresso.settings import Settings
from videoespresso.tools import pickers, scorers
from videoespresso.tools.pickers import evenly
from videoespresso.tools.semantic_filter import STOP_WORDS
from videoespresso.types import Caption, FrameRef

READS = 20
"""Captions the selector is shown at most; with more, retrieval narrows first. What the embedded
selector was trained to read."""
RETRIEVED = 3
"""Core frames of `retrieval`: the paper's mean is 2.36-2.98 (Table 4)."""
MOST_SHOWN = 32
"""Frames that `keyframes` and `all` show the reasoner at most, evenly spread."""

PROPOSED = 8
"""Candidates of a pair among which the selector chooses."""

MOST_LOOKED_AT = 16
"""Candidates that the selector is shown on a second look, when closer frames are among them."""

NAMING_NOTHING = STOP_WORDS | frozenset(
    [
        *("what", "which", "who", "whom", "whose", "when", "where", "why", "how", "does", "did"),
        *("with", "for", "from", "into", "onto", "before", "after", "first", "last", "next"),
        *("his", "her", "their", "they", "she", "one", "other", "else", "all", "any", "not", "has"),
        *("many", "much", "most", "color", "colour", "kind", "doing", "end", "video", "film"),
    ]
)
"""Words of a question that name nothing which could be seen."""

Chosen = list[tuple[str, str]]


@dataclass(frozen=True)
class Candidates:
    """What there is to choose from. `question`: with what the checker missed, on a second look.

    reasons: frame id -> why it was proposed, where only some frames were; frames, captions and kept
    are then those only. again: it is a second look, and closer frames are among them.
    """

    question: str
    video_key: str
    frames: Sequence[FrameRef]
    captions: Sequence[Caption]
    kept: Sequence[Caption]
    reasons: Mapping[str, str] = field(default_factory=dict)
    again: bool = False


class Pair(NamedTuple):
    """A scorer and a picker. agent: the selector chooses among the k that they propose."""

    scorer: str
    picker: str
    k: int
    agent: bool = False

    def __str__(self) -> str:
        return f"{self.scorer}+{self.picker}:{self.k}"


def _nearest(context: Context, c: Candidates, k: int) -> list[Caption]:
    """The k kept captions nearest to the question, in time order; of equal ones the first alone,
    since a film that repeats itself would fill all places with one."""
    first = {caption.text.casefold(): caption for caption in reversed(c.kept)}
    kept = {caption.frame_id: caption for caption in first.values()}
    captions = context.memory.search(
        c.question, [c.video_key], k, keep=lambda caption: caption.frame_id in kept
    )
    near = [kept[f.caption.frame_id] for f in captions]
    return sorted(near, key=lambda caption: caption.time_s)


def paper(context: Context, c: Candidates) -> Chosen:
    """The selector reads the captions and the question (paper, equations 4-6)."""
    if c.reasons:  # a looped film has many frames with the same words
        texts = {caption.text.casefold(): caption for caption in reversed(c.kept)}
        c = replace(c, kept=sorted(texts.values(), key=lambda caption: caption.time_s))
    shown = list(c.kept) if len(c.kept) <= READS else _nearest(context, c, READS)
    if not shown:
        return []
    agent = context.agents["selector"]
    picked = selector.select(agent, c.question, shown)
    if picked:
        return [
            (shown[k].frame_id, why) for k, why in _with_named(agent, c.question, shown, picked)
        ]
    return [(i, f"{why} (the selector chose none)") for i, why in retrieval(context, c)]


def _with_named(
    agent: Agent, question: str, shown: Sequence[Caption], picked: Sequence[tuple[int, str]]
) -> Sequence[tuple[int, str]]:
    """And, of a small model's choice, a caption that has what the question names where none that it
    picked has; of several the one with most of the question's words."""
    if sees(agent):
        return picked
    asked, has = _words(question), [_words(caption.text) for caption in shown]
    missing = asked.intersection(*(asked - has[k] for k, _ in picked)) & set[str]().union(*has)
    if not missing:
        return picked
    best = max(range(len(shown)), key=lambda k: (len(missing & has[k]), len(asked & has[k]), -k))
    return sorted([*picked, (best, f"the question names {', '.join(sorted(missing & has[best]))}")])


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.casefold())) - NAMING_NOTHING


def seen(context: Context, c: Candidates) -> Chosen:
    """The selector is shown the candidates, with captions where there are any; of frames with the
    same words one. A model in this process, or one that takes no pictures, reads the captions."""
    agent, captions = context.agents["selector"], {x.frame_id: x.text for x in c.captions}
    if not c.reasons or not sees(agent):
        return paper(context, c)
    kept = {caption.frame_id for caption in c.kept}
    frames, texts = [], set()
    for frame in c.frames:
        text = captions.get(frame.id, "").casefold()
        if (not text or frame.id in kept) and (not text or text not in texts):
            frames.append(frame)
            texts.add(text)
    frames = [frames[k] for k in evenly(len(frames), MOST_LOOKED_AT)]
    side = look_side(agent.spec)
    shown = [
        Shown(within(context.store.image(f), side), f.time_s, captions.get(f.id, ""))
        for f in frames
    ]
    try:
        picked = selector.look(agent, c.question, shown)
    except ModelError:
        if not c.kept:
            raise
        return paper(context, c)
    if picked:
        return [(frames[k].id, why) for k, why in picked]
    some = [frames[k].id for k in evenly(len(frames), RETRIEVED)]
    return [(name, f"{c.reasons[name]} (the selector chose none)") for name in some]


def sees(agent: Agent) -> bool:
    """Whether the selector is shown pictures: small models in this process take one for another."""
    return not agent.spec.in_process


def retrieval(context: Context, c: Candidates) -> Chosen:
    """The captions nearest to the question."""
    return [
        (caption.frame_id, "its caption is near the question")
        for caption in _nearest(context, c, RETRIEVED)
    ]


def uniform(count: int) -> Callable[[Context, Candidates], Chosen]:
    """`count` frames, evenly spread over the video's duration."""

    def choose(context: Context, c: Candidates) -> Chosen:
        if c.reasons or not c.frames:
            return proposed_ones(context, c)
        end = c.frames[-1].time_s
        wanted = [(k + 0.5) * end / count for k in range(count)]
        picked = {min(c.frames, key=lambda f, t=t: abs(f.time_s - t)).id for t in wanted}  # type: ignore[misc]
        return [(f.id, f"one of {count} at even distances") for f in c.frames if f.id in picked]

    return choose


def keyframes(context: Context, c: Candidates) -> Chosen:
    """The encoder's key frames (sampled as such, see `sample`)."""
    if c.reasons:
        return proposed_ones(context, c)
    some = evenly(len(c.frames), MOST_SHOWN)
    return [(c.frames[k].id, "a key frame of the encoding") for k in some]


def everything(context: Context, c: Candidates) -> Chosen:
    """All frames that survived the filter."""
    return [(c.kept[k].frame_id, "all are shown") for k in evenly(len(c.kept), MOST_SHOWN)]


def proposed_ones(context: Context, c: Candidates) -> Chosen:
    """All that was proposed; on a second look the captions nearest to what was missing."""
    if c.again:
        return retrieval(context, c)
    return [(f.id, c.reasons[f.id]) for f in c.frames if f.id in c.reasons]


def pair_of(name: str) -> Pair | None:
    """The pair that a name of `--select` stands for, None for a name of another form. Raises
    SettingsError for a scorer or picker that is not known."""
    match = re.fullmatch(r"([^+]+)\+([^+]+?)(?::(\d{1,3}))?", name)
    if match is None or match[3] == "0":
        return None
    scorers.scorer(match[1])
    pickers.picker(match[2])
    return Pair(match[1], match[2], int(match[3] or PROPOSED), agent=match[3] is None)


def checked(settings: Settings) -> None:
    """Raises SettingsError for a strategy that does not exist, or that captions with --quick."""
    strategy(settings.select)
    if settings.quick and settings.select in ("retrieval", "all"):
        raise SettingsError(
            f"--select {settings.select} reads captions, and --quick makes none",
            hint="Leave one of the two out.",
        )


def selects(name: str) -> bool:
    """Whether the selector is asked under that name."""
    return strategy(name) in (paper, seen)


def core_count(name: str, typical: int) -> int:
    """Core frames under that name at most; `typical` where models choose."""
    pair, (kind, _, count) = pair_of(name), name.partition(":")
    if pair is not None:
        return typical if pair.agent else pair.k
    if kind == "uniform":
        return int(count)
    return MOST_SHOWN if kind in ("keyframes", "all") else typical


def strategy(name: str) -> Callable[[Context, Candidates], Chosen]:
    """The strategy of a name. Raises SettingsError for one that is none."""
    plain = {
        "auto": seen, "paper": paper, "retrieval": retrieval, "keyframes": keyframes,
        "all": everything,
    }  # fmt: skip
    pair = pair_of(name)
    if pair is not None:
        return seen if pair.agent else proposed_ones
    if name in plain:
        return plain[name]
    match = re.fullmatch(r"uniform:(\d{1,3})", name)
    if match and int(match[1]) > 0:
        return uniform(int(match[1]))
    raise SettingsError(
        f"no selection strategy {name!r}",
        hint="Known: auto, paper, retrieval, uniform:K (K from 1 to 999), keyframes, all, and "
        f"SCORER+PICKER[:K], SCORER one of {', '.join(scorers.known())}, PICKER one of "
        f"{', '.join(pickers.known())}.",
    )
