"""Answers rated by a judge, each in both orders, and what the judge itself is worth.

No judge is taken at its word: how far its two ratings of an answer agree, how often its verdict
turns with the order, whether it likes length, and how it agrees with the letters stand beside its
means. What it is shown of the video is `sees`: pictures of core frames, the evidence of the
benchmark, or nothing.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import Field

from videoespresso import statistics
from videoespresso.agents import judge as role
from videoespresso.agents.base import Agent, Prompt, Reply, Turn
from videoespresso.agents.judge import CRITERIA, ORDERS, Opinion, Preference
from videoespresso.dataset.formats.timestamps import below
from videoespresso.dataset.inspect.validate import FAULTS
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import ModelError, ModelOutputError, SettingsError, UserError
from videoespresso.evaluation.agreement import krippendorff, spearman
from videoespresso.evaluation.protocols import PASSES
from videoespresso.evaluation.scores import Verdict, video_of
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import redact
from videoespresso.models.client.prices import image_tokens, price, text_tokens
from videoespresso.models.client.rate_limit import RateLimits
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings
from videoespresso.statistics import Estimate
from videoespresso.types import Record, Usage

Sees = Literal["frames", "evidence", "nothing"]
Pictures = Callable[[DatasetItem], Sequence[Image.Image]]
"""The core frames that a judge is shown of an item, in time order."""
REPLY_TOKENS = 90
"""Tokens of a judge's reply, for the forecast: the JSON and a short sentence."""
_UNREADABLE = Opinion(can_tell=False, reason="the reply could not be read")


class JudgeForecast(Record):
    """What judging will take, as if nothing were cached. usd: None for a price nobody knows."""

    judge: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None


class Opinions(Record):
    """A judge's opinions of one answer, in the orders of `ORDERS`; None where it could not tell."""

    id: str
    overall: tuple[int | None, int | None]
    ratings: dict[str, float] = Field(default_factory=dict)
    reasons: tuple[str, str] = ("", "")


class Judged(Record):
    """What a judge said of all answers. It is no number without `judge`, `snapshot`, `prompt` (a
    hash), `temperature` and `sees`.

    temperature: as it was asked, None for a model that takes none, as reasoning models.
    n: answers that were shown to it; rated: of these, those it could tell of at least once.
    cannot_tell, unreadable: replies, two an answer. ratings: means over answers, of both orders,
    on 1 to 10. alpha: Krippendorff's, between the overall ratings of both orders. turned: of the
    answers rated twice, the share whose verdict (above PASSES or not) turns with the order.
    length: Spearman's correlation of overall with the answer's length in signs. agreement: share of
    answers of which the verdict is that of the letter protocol, None without it.
    """

    judge: str
    snapshot: str
    prompt: str
    temperature: float | None
    sees: Sees
    n: int
    rated: int
    cannot_tell: int
    unreadable: int
    ratings: dict[str, Estimate]
    alpha: Estimate | None
    turned: Estimate | None
    length: Estimate | None
    agreement: Estimate | None
    usage: Usage
    opinions: tuple[Opinions, ...] = Field(repr=False)


def open_judge(
    spec: str, settings: Settings, *, max_usd: float | None = None, budget: Budget | None = None
) -> Agent:
    """The judge a spec names, at temperature 0. max_usd: for all its calls, beside the settings'
    limits; budget: what it shares with others in their place. Raises SettingsError for a spec that
    cannot be, and for the embedded models, which know the theatre's words only."""
    for schema in (Opinion, Preference):
        role.may_abstain(schema)
    parsed = ModelSpec.parse(spec)
    if parsed.provider == "embedded":
        raise SettingsError(
            f"{spec} cannot judge", hint="Name a language model, e.g. --judge openai:gpt-4o."
        )
    budget = Budget.of(settings) if budget is None else budget
    if max_usd is not None:
        budget.max_usd = max_usd
    return Agent(
        "judge",
        parsed,
        chat_model(parsed, timeout_s=settings.timeout_s),
        usage_log=UsageLog(),
        replies=ReplyCache(settings.cache_dir / "replies.sqlite"),
        budget=budget,
        concurrency=settings.concurrency,
        rate_limit=RateLimits.of(settings).limit(parsed),
        timeout_s=settings.timeout_s,
    )


def check(agent: Agent) -> None:
    """Asks about an answer to see that the judge is there, before anything else is paid for. Raises
    ModelError where it is not; what it says is its own matter."""
    turns = role.turns("Which colour has snow?", "It is white.", "White.", [], ORDERS[0])
    with contextlib.suppress(ModelOutputError):
        agent.typed(role.prompt(), turns, Opinion, role.bounds())


Shown = tuple[DatasetItem, str]
"""An item and the answer to be judged."""


def answered(items: Sequence[DatasetItem], replies: Sequence[str | None]) -> list[Shown]:
    """What a judge can be shown. Raises UserError for items without a reference answer."""
    pairs = [(i, r) for i, r in zip(items, replies, strict=True) if r is not None and r.strip()]
    blank = [i for i, _ in pairs if not i.answer.strip()]
    if blank:
        raise UserError(
            f"{len(blank)} items have no reference answer; the first: {blank[0].question!r}",
            hint="A judge compares with `answer`.",
        )
    return pairs


def pictures_of(source: Path) -> Pictures:
    """Those that a benchmark's records name, below its folder. Its result raises UserError for an
    item without any, and for one that cannot be read."""
    folder = source if source.is_dir() else source.parent

    def pictures(item: DatasetItem) -> list[Image.Image]:
        names = [frame.image for frame in item.core_frames if frame.image]
        try:
            opened = [Image.open(path) for n in names if (path := below(folder, n)) is not None]
            for picture in opened:
                picture.load()
        except FAULTS as error:
            raise UserError(f"{item.id}: a core frame cannot be read: {error}") from error
        if not opened:
            raise UserError(
                f"{item.id} has no picture of a core frame",
                hint="--judge-sees frames needs them below the benchmark's folder.",
            )
        return [picture.convert("RGB") for picture in opened]

    return pictures


def seen(item: DatasetItem, sees: Sees, pictures: Pictures | None) -> tuple[list[str], Any]:
    """The evidence and the pictures that the judge is shown. Raises UserError for frames that
    nobody has."""
    if sees != "frames":
        return [e.text for e in item.evidence] if sees == "evidence" else [], ()
    if pictures is None:
        raise UserError("there are no pictures to show", hint="--judge-sees evidence, or nothing.")
    return [], pictures(item)


def forecast(
    shown: Sequence[Shown], spec: ModelSpec, sees: Sees, pictures: Pictures | None = None
) -> JudgeForecast:
    """What asking about each answer twice takes, as `forecast_of`."""
    return forecast_of(_asked(shown, sees, pictures), role.prompt(), spec)


def forecast_of(asked: Iterable[Sequence[Turn]], prompt: Prompt, spec: ModelSpec) -> JudgeForecast:
    """What calls take: four signs a token, REPLY_TOKENS a reply, pictures as `image_tokens`."""
    calls = tokens = 0
    for turns in asked:
        parts = [part for turn in turns for part in turn.parts]
        images = [part for part in parts if isinstance(part, Image.Image)]
        calls += 1
        tokens += text_tokens([prompt.text, *(part for part in parts if isinstance(part, str))])
        tokens += sum(image_tokens(spec, *image.size) for image in images)
    known = price(spec)
    replies = REPLY_TOKENS * calls
    return JudgeForecast(
        judge=str(spec),
        calls=calls,
        input_tokens=tokens,
        output_tokens=replies,
        usd=None if known is None else known.usd(tokens, replies),
    )


def _asked(
    shown: Sequence[Shown], sees: Sees, pictures: Pictures | None
) -> Iterator[tuple[Turn, ...]]:
    """Each answer in both orders, one after the other; pictures are read when it is their turn."""
    for item, reply in shown:
        evidence, images = seen(item, sees, pictures)
        for order in ORDERS:
            yield role.turns(item.question, item.answer, reply, evidence, order, images)


def judge(
    shown: Sequence[Shown],
    agent: Agent,
    *,
    sees: Sees,
    letters: Sequence[Verdict] = (),
    pictures: Pictures | None = None,
) -> Judged:
    """Asks the judge about each answer in both orders, and judges the judge.

    letters: verdicts of the letter protocol, by their items' ids. pictures: for sees="frames". A
    reply that cannot be read is
    counted and rates nothing. Raises ModelError where the judge cannot be reached, and
    BudgetExceeded; what was asked until then is in the cache, and the same call goes on from it.
    """
    prompt = role.prompt()

    def instead(error: ModelError) -> Reply[Opinion]:
        if not isinstance(error, ModelOutputError):
            raise error
        return Reply(_UNREADABLE, "", Usage(), ("unreadable",))

    asked = _asked(shown, sees, pictures)
    replies = agent.typed_batch(prompt, asked, Opinion, role.bounds(), instead)
    pairs = list(zip(replies[::2], replies[1::2], strict=True))
    rated = [
        (item, reply, opinions)
        for (item, reply), pair in zip(shown, pairs, strict=True)
        if (opinions := [r.value for r in pair if r.value.can_tell])
    ]
    snapshots = sorted({r.snapshot for r in replies if r.snapshot})
    whole = [r.value for r in replies]
    return Judged(
        judge=redact(str(agent.spec)),
        snapshot=", ".join(snapshots),
        prompt=prompt.sha,
        temperature=getattr(agent.model, "temperature", None),
        sees=sees,
        n=len(shown),
        rated=len(rated),
        cannot_tell=sum(not o.can_tell and o is not _UNREADABLE for o in whole),
        unreadable=sum(o is _UNREADABLE for o in whole),
        usage=sum((r.usage for r in replies), Usage()),
        opinions=tuple(_opinions(i, p) for (i, _), p in zip(shown, pairs, strict=True)),
        **_worth(rated, {v.id: v.credit == 1 for v in letters if v.credit is not None}),
    )


Rated = tuple[DatasetItem, str, list[Opinion]]


def _worth(rated: Sequence[Rated], letters: dict[str, bool]) -> dict[str, Any]:
    """The means, and how far they are to be trusted."""
    videos = [video_of(item) for item, *_ in rated]
    overall = [_mean(opinions, "overall") for *_, opinions in rated]
    twice = [
        (video_of(i), [float(o.overall or 0) for o in os]) for i, _, os in rated if len(os) > 1
    ]
    turned = [float((a > PASSES) != (b > PASSES)) for _, (a, b) in twice]
    both = [
        (float((rating > PASSES) == letters[item.id]), video_of(item))
        for (item, *_), rating in zip(rated, overall, strict=True)
        if item.id in letters
    ]
    return {
        "ratings": {
            name: statistics.mean([_mean(opinions, name) for *_, opinions in rated], videos)
            for name in (CRITERIA if rated else ())
        },
        "alpha": krippendorff([r for _, r in twice], [v for v, _ in twice]),
        "turned": statistics.proportion(turned, [v for v, _ in twice]) if twice else None,
        "length": spearman(overall, [float(len(reply)) for _, reply, _ in rated]),
        "agreement": statistics.proportion(*map(list, zip(*both, strict=True))) if both else None,
    }


def _mean(opinions: Sequence[Opinion], name: str) -> float:
    return sum(float(getattr(o, name)) for o in opinions) / len(opinions)


def _opinions(item: DatasetItem, pair: Sequence[Reply[Opinion]]) -> Opinions:
    opinions = [r.value for r in pair if r.value.can_tell]
    first, second = (r.value for r in pair)
    return Opinions(
        id=item.id,
        overall=(first.overall, second.overall),
        ratings={name: _mean(opinions, name) for name in CRITERIA} if opinions else {},
        reasons=(first.reason, second.reason),
    )
