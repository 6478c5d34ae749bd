"""Rewards of stage 1 for TRL's GRPO: is the evidence of a reply that of the record? No torch.

Each is a reward function of TRL's, `(prompts, completions, **columns) -> list[float | None]`: a
number 0-1 a completion, None where the record cannot say. The columns are those of `columns`. What
they measure is in `evidence_scores`; docs/rewards.md says how they were held against cheating.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, get_args

from videoespresso import evidence_scores as scores
from videoespresso.dataset.formats import conversations
from videoespresso.dataset.formats.conversion_report import Unusable
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.evidence_scores import Placed
from videoespresso.theatre import Story, make_story
from videoespresso.theatre.style import StyleFamily
from videoespresso.theatre.truth import drawn_at, phases_of

Reward = Callable[..., list[float | None]]
Row = Mapping[str, Any]
"""The columns of one completion."""
Answerer = Callable[[Sequence[str], Sequence[Row]], Sequence[str | None]]
"""Stage 2: replies of stage 1 and the rows they belong to -> the chosen letters, or answers in
words where a row has no letter; None where nothing is answered."""
Truth = Callable[[str, str, float], bool | None]
"""(story, sentence, instant in seconds) -> whether it is so then; None: nobody can tell."""

KEPT: Final = 1024
"""Replies remembered as read, for several rewards are asked about the same ones; and stories."""


class Cited(NamedTuple):
    """A reply as read. steps: (sentence without needless space or capitals, frame from 1). names:
    of its items. boxes: xyxy with the frame's number in the place of an instant; in 0-1 where they
    are on the frame. signs: length of the whole reply."""

    steps: tuple[tuple[str, int], ...]
    names: tuple[str, ...]
    boxes: tuple[Placed, ...]
    signs: int

    @property
    def frames(self) -> list[int]:
        """The frames it is about, each once, in order."""
        return sorted({frame for _, frame in self.steps})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is there twice")
    return values


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refused)


@lru_cache(maxsize=KEPT)
def read(text: str) -> Cited | None:
    """A reply of stage 1; None unless it is JSON of exactly the reasoner's schema.

    Stricter than a reply is read at run time: nothing is mended, no key is missing, unknown or
    there twice, no number is a text, a truth, NaN or infinite, no half of a character (`encode`
    refuses it). What is taught is what is rewarded. Written out, for pydantic took twice as long.
    """
    steps: list[tuple[str, int]] = []
    names: list[str] = []
    boxes: list[Placed] = []
    try:
        reply = _DECODER.decode(text)
        if type(reply) is not dict or len(reply) != 1 or type(reply["steps"]) is not list:
            return None
        for step in reply["steps"]:
            sentence, frame, items = step["text"], step["frame"], step["items"]
            if len(step) != 3 or [type(sentence), type(frame), type(items)] != [str, int, list]:
                return None
            sentence.encode()
            steps.append((" ".join(sentence.casefold().split()), frame))
            for item in items:
                name, box = item["name"], item["box"]
                if len(item) != 2 or type(name) is not str or type(box) is not list:
                    return None
                name.encode()
                names.append(name)
                if box:
                    boxes.append(_placed(frame, box))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return Cited(tuple(steps), tuple(names), tuple(boxes), len(text))


def _placed(frame: int, box: list[Any]) -> Placed:
    """Raises ValueError unless it is four finite numbers, OverflowError for endless ones."""
    x0, y0, x1, y1 = box
    for corner in box:
        if (type(corner) is not int and type(corner) is not float) or not math.isfinite(corner):
            raise ValueError("no box")
    return Placed(float(frame), (x0 / 100, y0 / 100, x1 / 100, y1 / 100))


# ---- the columns


def columns(item: DatasetItem, story: str | None = None) -> dict[str, Any]:
    """What the rewards need of a record, as JSON, to stand beside its "prompt".

    reply: the record's own evidence as the reasoner writes it; times: the instants of the frames
    shown, in seconds, None where unknown; answer, options, letter: the record's. story: of a film
    of the theatre, as `theatre_truth` names it. Raises Unusable for a record without evidence,
    frames or pictures, and where its own reply is not in the form that is rewarded.
    """
    reply = str(conversations.evidence_conversation(item, "json", "frames")[-1].parts[0])
    if not in_form(reply, len(item.core_frames)):
        raise Unusable("evidence not in form", "a sentence is empty or there twice")
    return {
        "reply": reply,
        "times": [frame.time_s for frame in item.core_frames],
        "answer": item.answer,
        "options": list(item.options),
        "letter": item.letter,
        "story": story,
    }


def text_of(completion: Any) -> str:
    """The words of a completion: a text, or messages whose content is a text or has parts."""
    if isinstance(completion, str):
        return completion
    texts = []
    for message in completion:
        content = message.get("content") or ""
        parts = [content] if isinstance(content, str) else [p.get("text") or "" for p in content]
        texts += [str(part) for part in parts]
    return "".join(texts)


def _rows(completions: Sequence[Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns of each completion; whatever else TRL hands over is left out."""
    many = len(completions)
    lists = {k: v for k, v in given.items() if isinstance(v, list | tuple) and len(v) == many}
    if missing := [name for name in ("reply", "times") if name not in lists]:
        raise UserError(
            f"a reward lacks the column {missing[0]!r}",
            hint="Add what `videoespresso.training.rewards.columns(record)` gives to each row.",
        )
    return [{name: value[k] for name, value in lists.items()} for k in range(many)]


def _each(
    completions: Sequence[Any],
    given: Mapping[str, Any],
    score: Callable[[Cited, Cited, Row], float | None],
) -> list[float | None]:
    """score(reply, record, row) of each; 0 for a reply that cannot be read or has no step, None for
    a record that cannot be, or whose score is None."""
    scores: list[float | None] = []
    for completion, row in zip(completions, _rows(completions, given), strict=True):
        own = read(row["reply"])
        cited = read(text_of(completion))
        empty = cited or Cited((), (), (), 0)
        value = score(empty, own, row) if own is not None and own.steps else None
        scores.append(value if value is None or empty.steps else 0.0)
    return scores


# ---- the rewards


def in_form(text: str, shown: int) -> bool:
    """Whether a reply about that many frames is exactly in the form that is taught."""
    cited = read(text)
    return cited is not None and _in_form(cited, shown)


def _in_form(cited: Cited, shown: int) -> bool:
    on_frame = all(0 <= x0 <= x1 <= 1 and 0 <= y0 <= y1 <= 1 for _, (x0, y0, x1, y1) in cited.boxes)
    return (
        len(set(cited.steps)) == len(cited.steps) > 0
        and all(text and 1 <= frame <= shown for text, frame in cited.steps)
        and all(name.strip() for name in cited.names)
        and on_frame
    )


def format(prompts: Any, completions: Sequence[Any], **given: Any) -> list[float | None]:
    """1 for exactly our schema with a step at least, none empty or there twice, each about a frame
    that was shown, boxes on the frame, items named; else 0."""
    return _each(
        completions, given, lambda cited, own, row: float(_in_form(cited, len(row["times"])))
    )


def frames(prompts: Any, completions: Sequence[Any], **given: Any) -> list[float | None]:
    """F1 of the frames that the steps are about, against the record's; each frame once."""

    def score(cited: Cited, own: Cited, row: Row) -> float:
        right = len(set(cited.frames) & set(own.frames))
        return scores.agreement(right, len(cited.frames), right, len(own.frames)).f1

    return _each(completions, given, score)


def time(
    prompts: Any, completions: Sequence[Any], *, trainer_state: Any = None, **given: Any
) -> list[float | None]:
    """`evidence_scores.nearness` of the instants of these frames; None where the record does not
    know its own. trainer_state: TRL's, says how far the run is; without it the run is at its end.
    """
    most = getattr(trainer_state, "max_steps", 0) or 0
    sigma = scores.sigma_s(trainer_state.global_step / most if most > 0 else 1.0)

    def score(cited: Cited, own: Cited, row: Row) -> float | None:
        true = [_instant(row, frame) for frame in own.frames]
        known = [t for t in true if t is not None]
        if len(known) < len(true):
            return None
        instants = [_instant(row, frame) for frame in cited.frames]
        return scores.nearness([math.inf if t is None else t for t in instants], known, sigma)

    return _each(completions, given, score)


def _instant(row: Row, frame: int) -> float | None:
    times: Sequence[float | None] = row["times"]
    return times[frame - 1] if 1 <= frame <= len(times) else None


def boxes(prompts: Any, completions: Sequence[Any], **given: Any) -> list[float | None]:
    """`evidence_scores.boxes` on the same frames; None where the record has no box."""
    return _each(
        completions,
        given,
        lambda cited, own, row: scores.boxes(cited.boxes, own.boxes, 0.0) if own.boxes else None,
    )


def short(prompts: Any, completions: Sequence[Any], **given: Any) -> list[float | None]:
    """1 up to the length of the record's own reply, then that length by the reply's, in signs."""
    return _each(
        completions, given, lambda cited, own, row: min(1.0, own.signs / max(1, cited.signs))
    )


def useful(answerer: Answerer) -> Reward:
    """1 where stage 2 answers right with this evidence, else 0; it is not asked about a reply that
    cannot be read or has no step. None where the record has no answer."""

    def useful(prompts: Any, completions: Sequence[Any], **given: Any) -> list[float | None]:
        rows, texts = _rows(completions, given), [text_of(one) for one in completions]
        right = [row.get("letter") or row.get("answer") for row in rows]
        chosen = [k for k, text in enumerate(texts) if right[k] and (c := read(text)) and c.steps]
        replies = answerer([texts[k] for k in chosen], [rows[k] for k in chosen])
        scores = [None if true is None or true == "" else 0.0 for true in right]
        for k, answer in zip(chosen, replies, strict=True):
            scores[k] = float(_plain(answer or "") == _plain(str(right[k])))
        return scores

    return useful


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def true(truth: Truth) -> Reward:
    """Steps that are so at their frame's instant, each once, divided by the larger number of steps,
    the reply's or the record's. The record's own steps are so. None where there is no story."""

    def true(prompts: Any, completions: Sequence[Any], **given: Any) -> list[float | None]:
        def score(cited: Cited, own: Cited, row: Row) -> float | None:
            if row.get("story") is None:
                return None
            right = {s for s in set(cited.steps) if s in own.steps or _so(truth, s, row)}
            return len(right) / max(len(cited.steps), len(own.steps))

        return _each(completions, given, score)

    return true


def _so(truth: Truth, step: tuple[str, int], row: Row) -> bool:
    text, instant = step[0], _instant(row, step[1])
    return bool(text) and instant is not None and truth(row["story"], text, instant) is True


@lru_cache(maxsize=KEPT)
def _story(name: str) -> Story:
    style, _, seed = name.rpartition("-")
    families: tuple[StyleFamily, ...] = get_args(StyleFamily)
    for family in families:
        if style == family and seed.isdecimal():
            return make_story(int(seed), family)
    raise UserError(
        f"{name!r} is no story of the theatre",
        hint=f"A story is named by style and seed, as train-12; styles: {', '.join(families)}.",
    )


@lru_cache(maxsize=KEPT)
def _phases(name: str, sentence: str) -> set[int] | None:
    return phases_of(_story(name), sentence)


def theatre_truth(story: str, sentence: str, time_s: float) -> bool | None:
    """Whether all that a sentence says is so at an instant of a film of the theatre; None where it
    is not in the theatre's language. story: "train-12", its style and seed. Raises UserError."""
    phases = _phases(story, sentence)
    truth = _story(story)
    return None if phases is None else truth.phase_at(drawn_at(truth, time_s)) in phases
