"""Answers of runs before a judge: those of one run rated, those of two set against each other.

Of two answers the judge says which is better, in both orders; a verdict that turns with the order
is a tie, and counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from videoespresso import comparison, statistics
from videoespresso.agents import judge as role
from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.agents.judge import Preference
from videoespresso.comparison import Paired
from videoespresso.dataset_record import DatasetItem, EvidenceSentence
from videoespresso.errors import ModelError, ModelOutputError, UserError
from videoespresso.evaluation import judging, protocols
from videoespresso.evaluation.agreement import krippendorff, spearman
from videoespresso.evaluation.judging import Judged, Pictures, Sees
from videoespresso.evaluation.summary import Json, Series, item_of, reply_of
from videoespresso.memory.frames import FrameStore
from videoespresso.models.client.errors import redact
from videoespresso.statistics import Estimate
from videoespresso.types import CoreFrame, Record, Usage

_UNREADABLE = Preference(can_tell=False, reason="the reply could not be read")


class _Pair(NamedTuple):
    """Two records of one item, and what the judge is shown of it."""

    item: DatasetItem
    one: Json
    two: Json


class JudgedPairs(Record):
    """Which of two series a judge likes better, answer by answer; no number without `judge`,
    `snapshot`, `prompt` (a hash), `temperature` and `sees`.

    n: pairs that were shown; rated: those it could tell of in both orders. paired: the first's
    share of better answers minus the second's; what turns with the order is a tie. ties: of the
    rated. alpha: Krippendorff's, between the two orders. turned: the share whose verdict turns.
    length: Spearman's correlation of the verdict with how much longer the first answer is.
    agreement: of the pairs of which the letters call one right and one wrong, the share in which
    the right one is the better; None without letters.
    """

    first: str
    second: str
    judge: str
    snapshot: str
    prompt: str
    temperature: float | None
    sees: Sees
    n: int
    rated: int
    cannot_tell: int
    unreadable: int
    ties: int
    paired: Paired | None
    alpha: Estimate | None
    turned: Estimate | None
    length: Estimate | None
    agreement: Estimate | None
    usage: Usage


# ---- one run


def shown(one: Series) -> list[judging.Shown]:
    """The answers of a series that a judge can be shown, each with the true sentences that its
    record has. Raises UserError for items without a reference."""
    return judging.answered([_item(r) for r in one.records], [_said(r) for r in one.records])


def _said(record: Json) -> str | None:
    return None if "error" in record else record["reply"]


def _item(record: Json) -> DatasetItem:
    sentences = tuple(EvidenceSentence(text=text) for text in record["truth"].get("proof", ()))
    return item_of(record).model_copy(update={"evidence": sentences})


def pictures(records: Mapping[str, Sequence[Json]], store: FrameStore) -> Pictures:
    """The core frames that stand in the records of an item, in time order. Its result raises
    UserError where there is none, MemoryStoreError where the store has forgotten one."""

    def of(item: DatasetItem) -> list[Any]:
        core = [CoreFrame.model_validate(c) for r in records[item.id] for c in r.get("core", ())]
        frames = sorted({c.frame.id: c.frame for c in core}.values(), key=lambda f: f.time_s)
        if not frames:
            raise UserError(f"{item.id} was answered without frames", hint="--judge-sees nothing.")
        return store.images(frames)

    return of


def judge_series(one: Series, agent: Agent, sees: Sees, store: FrameStore) -> Judged:
    """Rates the answers of a series. Raises as `judging.judge`."""
    letters = one.about["protocol"] == "letter"
    items, replies = [item_of(r) for r in one.records], [reply_of(r) for r in one.records]
    return judging.judge(
        shown(one),
        agent,
        sees=sees,
        letters=protocols.letter(items, replies).verdicts if letters else (),
        pictures=pictures({r["item"]: [r] for r in one.records}, store),
    )


# ---- two


def _pairs(one: Series, other: Series) -> list[_Pair]:
    theirs = {r["item"]: r for r in other.records if _said(r)}
    pairs = [_Pair(_item(r), r, theirs[r["item"]]) for r in one.records
             if _said(r) and r["item"] in theirs]  # fmt: skip
    if not pairs:
        raise UserError(f"no item was answered in both of {one.name} and {other.name}")
    judging.answered([p.item for p in pairs], [p.one["reply"] for p in pairs])
    return pairs


def asked(one: Series, other: Series, sees: Sees, store: FrameStore) -> Iterator[tuple[Turn, ...]]:
    """Each pair in both orders, one after the other. Raises UserError for no pair."""
    pairs = _pairs(one, other)
    images = pictures({p.item.id: (p.one, p.two) for p in pairs}, store)
    for item, mine, theirs in pairs:
        evidence, frames = judging.seen(item, sees, images)
        both = (mine["reply"], theirs["reply"])
        for answers in (both, both[::-1]):
            yield role.pair_turns(item.question, item.answer, answers, evidence, frames)


def judge_pairs(
    one: Series, other: Series, agent: Agent, sees: Sees, store: FrameStore
) -> JudgedPairs:
    """Asks which answer is better. Raises UserError where nothing can be shown, ModelError where
    the judge cannot be reached, and BudgetExceeded; the same call goes on from what was asked."""
    prompt = role.pair_prompt()

    def instead(error: ModelError) -> Reply[Preference]:
        if not isinstance(error, ModelOutputError):
            raise error
        return Reply(_UNREADABLE, "", Usage(), ("unreadable",))

    replies = agent.typed_batch(prompt, asked(one, other, sees, store), Preference, None, instead)
    rated = [
        (pair, (_for_first(a.value), -_for_first(b.value)))
        for pair, a, b in zip(_pairs(one, other), replies[::2], replies[1::2], strict=True)
        if a.value.can_tell and b.value.can_tell
    ]
    every = [r.value for r in replies]
    return JudgedPairs(
        first=one.name,
        second=other.name,
        judge=redact(str(agent.spec)),
        snapshot=", ".join(sorted({r.snapshot for r in replies if r.snapshot})),
        prompt=prompt.sha,
        temperature=getattr(agent.model, "temperature", None),
        sees=sees,
        n=len(replies) // 2,
        rated=len(rated),
        cannot_tell=sum(not p.can_tell and p is not _UNREADABLE for p in every),
        unreadable=sum(p is _UNREADABLE for p in every),
        usage=sum((r.usage for r in replies), Usage()),
        **_worth(rated, letters=one.about["protocol"] == "letter"),
    )


def _for_first(said: Preference) -> int:
    """1 where the answer that was shown first is better, -1 where the other is, 0 for neither."""
    return {"one": 1, "two": -1}.get(said.better or "", 0)


def _worth(judged: Sequence[tuple[_Pair, tuple[int, int]]], *, letters: bool) -> dict[str, Any]:
    verdicts = [a if a == b else 0 for _, (a, b) in judged]
    videos = [pair.one["video"] for pair, _ in judged]
    longer = [float(len(p.one["reply"]) - len(p.two["reply"])) for p, _ in judged]
    apart = [
        (float(verdict == (1 if mine else -1)), pair.one["video"])
        for (pair, _), verdict in zip(judged, verdicts, strict=True)
        if letters and (mine := _right(pair.one)) != _right(pair.two)
    ]
    better, worse = ([v == side for v in verdicts] for side in (1, -1))
    return {
        "ties": verdicts.count(0),
        "paired": comparison.paired(better, worse, videos) if judged else None,
        "alpha": krippendorff([[float(a), float(b)] for _, (a, b) in judged], videos),
        "turned": statistics.proportion([float(a != b) for _, (a, b) in judged], videos)
        if judged
        else None,
        "length": spearman([float(v) for v in verdicts], longer),
        "agreement": statistics.proportion(*map(list, zip(*apart, strict=True))) if apart else None,
    }


def _right(record: Json) -> bool:
    return bool(record["said"] == record["letter"])
