"""The two protocols, and the authors' rule: replies in, verdicts and averages out.

    letter    which option the reply chooses (letters.py); micro average
    open      the paper's Algorithm 1: as near to the reference as tau asks, and no distractor
              nearer; macro average
    official  the authors' `score.py`, rebuilt from its description, for numbers to be set beside
              theirs: the first capital A to D anywhere

A number is of one protocol and says which. A reply is text, "" among them (a model that said
nothing is wrong), or None: there was none, so that the item was not measured.
"""

import re
from collections.abc import Callable, Iterable, Sequence

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
FEWEST_DISTRACTORS = 2


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
    _refuse(items, lambda i: not i.options, "no options", "--protocol open needs none.")
    _refuse(items, lambda i: i.letter is None, "no right letter", "It is `correct_answer`: (B).")
    twice = "options of which two have the same letter"
    _refuse(items, _letter_twice, twice, "Each has a letter of its own, from (A) on.")
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
    found = letter_of(reply, item.options)
    if found is None:
        guess = 1 / len(item.options) if unparsed == "guess" else 0.0
        return Verdict(id=item.id, credit=guess, why="unparsed")
    right = found == item.letter
    why: Why = "right" if right else "wrong"
    return Verdict(id=item.id, credit=float(right), why=why, letter=found)


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
    _refuse(items, lambda i: not i.answer.strip(), "no reference answer", "It is `answer`.")
    few = f"fewer than {FEWEST_DISTRACTORS} distractors"
    _refuse(items, lambda i: len(distractors(i)) < FEWEST_DISTRACTORS, few, "They are `options`.")
    near = _similarities(items, replies, encoder)
    verdicts = [_near(i, n, tau) for i, n in zip(items, near, strict=True)]
    return Scores(
        protocol="open",
        tau=tau,
        encoder=encoder.name,
        beside_paper=PAPER_ENCODER in encoder.name.lower() and tau == TAU,
        curve=tuple(_curve(items, near)),
        **dict(averages(items, verdicts)),
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
    items: Sequence[DatasetItem], replies: Sequence[str | None], encoder: Embedder
) -> list[Near]:
    """Each text is encoded once, so that two of the same words are as near to a third one."""
    said = [(i, r) for i, r in zip(items, replies, strict=True) if r is not None]
    texts = dict.fromkeys(t for i, r in said for t in (r, i.answer, *distractors(i)))
    rows = dict(zip(texts, encoder(list(texts)), strict=True)) if texts else {}

    def near(item: DatasetItem, reply: str) -> Near:
        others: NDArray[np.float32] = np.stack([rows[t] for t in (item.answer, *distractors(item))])
        cosines = (others * rows[reply]).sum(1)
        return float(cosines[0]), float(cosines[1:].max())

    return [None if r is None else near(i, r) for i, r in zip(items, replies, strict=True)]


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
    measured = [(i, n) for i, n in zip(items, near, strict=True) if n is not None]
    kept = [i for i, _ in measured]
    tasks = {task: sum(i.task == task for i in kept) for task in {i.task for i in kept} if task}
    for tau in TAUS if measured else ():
        credits = [float(n[0] > tau and n[1] <= n[0]) for _, n in measured]
        means = [c / tasks[i.task] for i, c in zip(kept, credits, strict=True) if i.task]
        micro = statistics.proportion(credits, [*map(video_of, kept)])
        yield CurvePoint(tau=tau, micro=micro, macro=sum(means) / len(tasks) if tasks else None)


# ---- the authors' rule

_FIRST = re.compile("[A-D]")


class Official(Record):
    """By the authors' rule: accuracy in percent, two decimals, over all items; 0.0 of none."""

    right: int
    items: int
    accuracy: float


def official_letter(text: object) -> str | None:
    """Their reading: the first capital A to D anywhere; None without one, and for no text."""
    found = _FIRST.search(text) if isinstance(text, str) else None
    return found[0] if found is not None else None


def official(outputs: Iterable[tuple[object, object]]) -> Official:
    """The accuracy of (model_output, correct_answer), as they stand in a file. An output without a
    letter is wrong, also where the answer has none (their script is described, not seen)."""
    read = [(official_letter(said), official_letter(right)) for said, right in outputs]
    hits = sum(said is not None and said == right for said, right in read)
    return Official(
        right=hits, items=len(read), accuracy=round(100 * hits / len(read), 2) if read else 0.0
    )


# ---- what cannot be scored


def _as_many(items: Sequence[DatasetItem], replies: Sequence[str | None]) -> None:
    if len(items) != len(replies):
        raise UserError(
            f"{len(replies)} replies to {len(items)} items", hint="Give one each, None for none."
        )


def _refuse(
    items: Sequence[DatasetItem], wrong: Callable[[DatasetItem], bool], what: str, hint: str
) -> None:
    """Raises UserError where it holds of an item."""
    found = [i for i in items if wrong(i)]
    if found:
        raise UserError(
            f"{len(found)} of {len(items)} items have {what}; the first: {found[0].question!r}",
            hint=hint,
        )
