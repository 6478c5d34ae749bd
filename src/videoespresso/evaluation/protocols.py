"""The two protocols, and the authors' rule: replies in, verdicts and averages out.

    letter    which option the reply chooses (letters.py); micro average
    open      the paper's Algorithm 1: as near to the reference as tau asks, and no distractor
              nearer; macro average
    judge     an overall rating above the middle by a language model (judging.py); micro average
    official  the authors' `score.py`, rebuilt from its description, for numbers to be set beside
              theirs: the first capital A to D anywhere

A number is of one protocol and says which. A reply is text, "" among them (a model that said
nothing is wrong), or None: there was none, so that the item was not measured.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from videoespresso import statistics
from videoespresso.dataset_record import LETTERS, DatasetItem
from videoespresso.errors import UserError
from videoespresso.evaluation.scores import (
    CurvePoint,
    Scores,
    Unparsed,
    Verdict,
    Why,
    averages,
    video_of,
)
from videoespresso.letters import letter_of
from videoespresso.memory.captions import Embedder
from videoespresso.types import Record

TAU = 0.80
"""Paper, Algorithm 1: the similarity that must be exceeded."""
PAPER_ENCODER = "bge-m3"
"""In the name of the encoder whose numbers may be set beside the paper's."""
TAUS = tuple(k / 20 for k in range(21))
"""Where the curve of the open protocol is drawn."""
PASSES = 5.5
"""A judge's overall rating above the middle of 1 to 10 is "good"."""
FEWEST_DISTRACTORS = 2
AT_ONCE = 4096
"""Pairs of texts whose vectors are multiplied at a time: 32 MB of bge-m3's."""


def letter(
    items: Sequence[DatasetItem], replies: Sequence[str | None], *, unparsed: Unparsed = "wrong"
) -> Scores:
    """The multiple-choice protocol.

    unparsed: what a reply counts in which no letter can be told: nothing, or as much as a guess
    gets on average (1 of the number of options), without drawing. Raises UserError for an item
    without options, with one letter twice or without a right letter, and for another number of
    replies than of items.
    """
    _as_many(items, replies)
    _refuse(items, [not i.options for i in items], "no options", "--protocol open needs none.")
    _refuse(
        items, [i.letter is None for i in items], "no right letter", "It is `correct_answer`: (B)."
    )
    twice = "options of which two have the same letter"
    _refuse(
        items, [*map(_letter_twice, items)], twice, "Each has a letter of its own, from (A) on."
    )
    verdicts = [_chosen(i, r, unparsed) for i, r in zip(items, replies, strict=True)]
    return Scores(
        protocol="letter",
        unparsed_counts=unparsed,
        beside_paper=False,
        **dict(averages(items, verdicts)),
    )


_LABEL = re.compile(r"\s*\(?([A-Za-z])\)?\s*[:.)]")


def _letter_twice(item: DatasetItem) -> bool:
    """Labels that are in order are taken off when a file is read, so these are not."""
    labels = [match[1].upper() for option in item.options if (match := _LABEL.match(option))]
    return len(labels) == len(item.options) and len({*labels}) < len(labels)


def _chosen(item: DatasetItem, reply: str | None, unparsed: Unparsed) -> Verdict:
    if reply is None:
        return Verdict(id=item.id, credit=None, why="not measured")
    letter = letter_of(reply, item.options)
    if letter is None:
        guess = 1 / len(item.options) if unparsed == "guess" else 0.0
        return Verdict(id=item.id, credit=guess, why="unparsed")
    right = letter == item.letter
    why: Why = "right" if right else "wrong"
    return Verdict(id=item.id, credit=float(right), why=why, letter=letter)


def open_ended(
    items: Sequence[DatasetItem],
    replies: Sequence[str | None],
    *,
    encoder: Embedder,
    tau: float = TAU,
) -> Scores:
    """The paper's Algorithm 1: right where the reply's cosine to the reference answer exceeds tau
    and that to no distractor exceeds it; a tie with a distractor is right, as it is written.

    The distractors are the other options. beside_paper: encoder and tau are the paper's. Raises
    UserError for an item without an answer or with fewer than two distractors, a tau that is not
    from 0 to 1, and another number of replies; ModelError where the encoder does not answer.
    """
    _as_many(items, replies)
    if not 0 <= tau <= 1:
        raise UserError(f"tau is {tau}", hint=f"It is a cosine from 0 to 1; the paper's is {TAU}.")
    _refuse(items, [not i.answer.strip() for i in items], "no reference answer", "It is `answer`.")
    few = f"fewer than {FEWEST_DISTRACTORS} distractors"
    false = [distractors(item) for item in items]
    _refuse(items, [len(d) < FEWEST_DISTRACTORS for d in false], few, "They are `options`.")
    near = _similarities(items, false, replies, encoder)
    verdicts = [_near(i, n, tau) for i, n in zip(items, near, strict=True)]
    return Scores(
        protocol="open",
        tau=tau,
        encoder=encoder.name,
        beside_paper=PAPER_ENCODER in encoder.name.lower() and tau == TAU,
        curve=tuple(_curve(items, near)),
        **dict(averages(items, verdicts)),
    )


def by_judge(
    items: Sequence[DatasetItem],
    replies: Sequence[str | None],
    ratings: Mapping[str, float],
    judge: str,
) -> Scores:
    """What a judge calls good: an overall rating above PASSES. ratings: item -> its overall rating,
    the mean of both orders. A reply without words is wrong, one without a rating not measured."""
    _as_many(items, replies)

    def verdict(item: DatasetItem, reply: str | None) -> Verdict:
        if reply is None:
            return Verdict(id=item.id, credit=None, why="not measured")
        if not reply.strip():
            return Verdict(id=item.id, credit=0.0, why="wrong")
        if item.id not in ratings:
            return Verdict(id=item.id, credit=None, why="no rating")
        good = ratings[item.id] > PASSES
        return Verdict(id=item.id, credit=float(good), why="right" if good else "wrong")

    verdicts = [verdict(i, r) for i, r in zip(items, replies, strict=True)]
    return Scores(
        protocol="judge", judge=judge, beside_paper=False, **dict(averages(items, verdicts))
    )


def distractors(item: DatasetItem) -> list[str]:
    """The options but the right one; where no letter says which, but those that are the answer."""
    if item.letter is not None:
        right = LETTERS.index(item.letter)
        return [option for k, option in enumerate(item.options) if k != right]
    answer = item.answer.strip().casefold()
    return [option for option in item.options if option.strip().casefold() != answer]


Near = tuple[float, float] | None
"""A reply's cosine to the reference, and to the nearest distractor; None where there is none."""


def _similarities(
    items: Sequence[DatasetItem],
    false: Sequence[Sequence[str]],
    replies: Sequence[str | None],
    encoder: Embedder,
) -> list[Near]:
    """Each text is encoded once, so that two of the same words are as near to a third one."""
    rows: dict[str, int] = {}
    replied: list[int] = []
    others: list[int] = []
    first: list[int] = []
    for item, wrong, reply in zip(items, false, replies, strict=True):
        if reply is not None:
            first.append(len(others))
            others += [rows.setdefault(t, len(rows)) for t in (item.answer, *wrong)]
            replied += [rows.setdefault(reply, len(rows))] * (len(others) - len(replied))
    if not rows:
        return [None] * len(items)
    vectors = np.asarray(encoder(list(rows)))
    cosines: NDArray[np.float32] = np.concatenate(
        [
            (vectors[others[k : k + AT_ONCE]] * vectors[replied[k : k + AT_ONCE]]).sum(1)
            for k in range(0, len(others), AT_ONCE)
        ]
    )
    reference = cosines[first]
    cosines[first] = -np.inf
    nearest = np.maximum.reduceat(cosines, first)
    near = zip(reference.tolist(), nearest.tolist(), strict=True)
    return [None if reply is None else next(near) for reply in replies]


def _near(item: DatasetItem, near: Near, tau: float) -> Verdict:
    if near is None:
        return Verdict(id=item.id, credit=None, why="not measured")
    why: Why = "threshold" if near[0] <= tau else "distractor" if near[1] > near[0] else "right"
    return Verdict(
        id=item.id,
        credit=float(why == "right"),
        why=why,
        reference=round(near[0], 6),
        distractor=round(near[1], 6),
    )


def _curve(items: Sequence[DatasetItem], near: Sequence[Near]) -> Iterable[CurvePoint]:
    """The accuracies at TAUS, of what was measured."""
    kept = [i for i, n in zip(items, near, strict=True) if n is not None]
    if not kept:
        return
    reference, distractor = np.array([n for n in near if n is not None]).T
    right = (reference > np.array(TAUS)[:, None]) & (distractor <= reference)  # (taus, items)
    columns = [*right.astype(float), np.ones(len(kept))]
    videos = statistics.by_cluster([*map(video_of, kept)], *columns)
    known = [task is not None for task in dict.fromkeys(i.task for i in kept)]
    tasks = statistics.by_cluster([i.task for i in kept], *columns)[known]
    for k, tau in enumerate(TAUS):
        micro = statistics.clustered(videos[:, [k, -1]])
        macro = float((tasks[:, k] / tasks[:, -1]).mean()) if len(tasks) else None
        yield CurvePoint(tau=tau, micro=micro, macro=macro)


# ---- the authors' rule

_FIRST = re.compile("[A-D]")


class Official(Record):
    """By the authors' rule: accuracy in percent, two decimals, over all items; 0.0 of none."""

    right: int
    items: int
    accuracy: float


def official_letter(text: object) -> str | None:
    """Their reading: the first capital A to D anywhere; None without one, and for no text."""
    match = _FIRST.search(text) if isinstance(text, str) else None
    return match[0] if match is not None else None


def official(outputs: Iterable[tuple[object, object]]) -> Official:
    """The accuracy of (model_output, correct_answer), as they stand in a file. An output without a
    letter is wrong, also where the answer has none (their script is described, not seen)."""
    read = [(official_letter(reply), official_letter(right)) for reply, right in outputs]
    hits = sum(reply is not None and reply == right for reply, right in read)
    return Official(
        right=hits, items=len(read), accuracy=round(100 * hits / len(read), 2) if read else 0.0
    )


# ---- what cannot be scored


def _as_many(items: Sequence[DatasetItem], replies: Sequence[str | None]) -> None:
    if len(items) != len(replies):
        raise UserError(
            f"{len(replies)} replies to {len(items)} items", hint="Give one each, None for none."
        )


def _refuse(items: Sequence[DatasetItem], wrong: Sequence[bool], what: str, hint: str) -> None:
    """Raises UserError where it holds of an item."""
    if any(wrong):
        raise UserError(
            f"{sum(wrong)} of {len(items)} items have {what}; the first: "
            f"{items[wrong.index(True)].question!r}",
            hint=hint,
        )
