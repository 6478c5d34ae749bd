"""Pairs to prefer between: what a record replies, and the same with one thing wrong in it.

A planted fault keeps the form: as many steps, each about a frame that was shown, boxes on the
frame. So what is learned from a pair is the fault, not a length or a shape. It is judged by the
record alone: nobody looks whether another frame shows the same, or another box fits as well.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from videoespresso import evidence_scores as scores
from videoespresso.dataset import records_io
from videoespresso.dataset.formats.conversations import compact
from videoespresso.dataset.formats.conversion_report import Unusable
from videoespresso.dataset.inspect.record_measures import digest
from videoespresso.dataset.inspect.split import parts
from videoespresso.dataset_record import LETTERS, DatasetItem, Reject
from videoespresso.errors import UserError
from videoespresso.training import data as records
from videoespresso.training import rewards
from videoespresso.training.data import Data, Row
from videoespresso.training.recipes import SUPERVISED, Stage

Step = dict[str, Any]
"""text, frame from 1, items: [{"name", "box": [x0, y0, x1, y1] in hundredths, or []}]."""
Steps = list[Step]

APART: Final = 0.1
"""Overlap of a moved box with a true one, at most; `evidence_scores.BOX_IOU` counts as the same."""
TRIES: Final = 50
"""Places that are tried for a moved box, and steps of other videos for an unsupported one."""
FALSE: Final = ("hallucination", "accuracy", "continuity")
"""The verifier's criteria by which an answer is wrong, not only poor (agents/verifier.py)."""


def rows_of(source: str | Path, stage: Stage, *, allow_leak: bool = False) -> Data:
    """The rows of a stage (`data.load`), for `prefer` as pairs; of it and `rl` those records whose
    evidence is in the form that is taught. Raises UserError as it does, and for none left."""
    read = records.load(source, stage, allow_leak=allow_leak)
    if stage in SUPERVISED:
        return read
    left_out = dict(read.left_out)
    train, validation = (_in_form(rows, left_out) for rows in (read.train, read.validation))
    if stage == "prefer":
        rejects = _rejects(Path(source))
        train, validation = (list(_pairs(rows, rejects)) for rows in (train, validation))
    if not train:
        raise UserError(
            f"{source}: nothing is left to learn {stage} from: {records.reasons(left_out)}",
            hint="A pair needs evidence about one of several frames, with boxes, or with names."
            if stage == "prefer"
            else "docs/training.md says what each stage needs of a record.",
        )
    return replace(
        read,
        train=tuple(train),
        validation=tuple(validation),
        left_out=left_out,
        sha=records.sha_of(train),
    )


def _in_form(rows: Sequence[Row], left_out: dict[str, int]) -> list[Row]:
    kept = []
    for row in rows:
        try:
            if row.item is not None:
                rewards.columns(row.item)
                kept.append(row)
        except Unusable as why:
            left_out[why.criterion] = left_out.get(why.criterion, 0) + 1
    return kept


def _rejects(folder: Path) -> dict[tuple[bytes, int | None], list[Reject]]:
    """The pairs that the verifier found wrong, by video and group."""
    rejects: dict[tuple[bytes, int | None], list[Reject]] = {}
    for place in (folder, *(folder / name for name in parts(folder))):
        for reject in records_io.read_rejects(place):
            if reject.criterion in FALSE and reject.answer.strip():
                key = (digest(reject.video_id or reject.video), reject.group)
                rejects.setdefault(key, []).append(reject)
    return rejects


def _pairs(
    rows: Sequence[Row], rejects: dict[tuple[bytes, int | None], list[Reject]]
) -> Iterator[Row]:
    """A pair of each source that a record allows. Rows are conversations of both stages."""
    steps = {row.id: evidence_of(row) for row in rows}
    others = [(row.video, step) for row in rows for step in steps[row.id]]
    for row in rows:
        own, item = steps[row.id], row.item
        if item is None:
            continue
        for source, plant in FAULTS.items():
            rng = random.Random(f"{row.id} {source}")
            foreign = [step for v, step in rng.choices(others, k=TRIES) if v != row.video]
            made = plant(own, len(item.core_frames), rng, foreign, _words(item))
            if (
                made is not None
                and made != own
                and rewards.in_form(_reply(made), len(item.core_frames))
            ):
                yield pair(row, _reply(made), source)
        yield from _refused(row, own, item, rejects.get((row.video, item.group), []))


def evidence_of(row: Row) -> Steps:
    """The steps of a record's own evidence."""
    return list(json.loads(str(row.conversation[2].parts[0]))["steps"])


def pair(row: Row, rejected: str, source: str, stage: int = 1) -> Row:
    """A pair of a row of both stages: its evidence (stage 1) or its answer (2), and a worse one."""
    return replace(
        row,
        id=f"{row.id} ({source})",
        conversation=row.conversation[: 2 * stage + 1],
        learned=(2 * stage,),
        rejected=rejected,
        source=source,
    )


def _reply(steps: Steps) -> str:
    return compact({"steps": steps})


def _words(item: DatasetItem) -> str:
    """All that a record says, in small letters."""
    texts = [e.text for e in item.evidence] + [
        f"{f.caption} {f.captioned}" for f in item.core_frames
    ]
    texts += [c.text for c in item.captions] + [item.question, item.answer, *item.options]
    return " ".join(texts).casefold()


# ---- planted faults: (steps, frames shown, rng, other videos' steps, the record's words) -> steps
# with one thing wrong, or None where there is nothing to plant


def wrong_frame(
    own: Steps, shown: int, rng: random.Random, foreign: Steps, words: str
) -> Steps | None:
    """A step said of a frame that the evidence does not use; where it uses all, two steps change
    frames. In the order of the frames, as records have it."""
    used = {step["frame"] for step in own}
    spare = [n for n in range(1, shown + 1) if n not in used]
    if spare:
        k, n = rng.randrange(len(own)), rng.choice(spare)
        return _ordered(_changed(own, k, frame=n))
    choices = [
        (k, j)
        for j in range(len(own))
        for k in range(j)
        if own[k]["frame"] != own[j]["frame"] and _content(own[k]) != _content(own[j])
    ]
    if not choices:
        return None
    k, j = rng.choice(choices)
    made = _changed(own, k, frame=own[j]["frame"])
    return _ordered(_changed(made, j, frame=own[k]["frame"]))


def moved_box(
    own: Steps, shown: int, rng: random.Random, foreign: Steps, words: str
) -> Steps | None:
    """A box of the same size elsewhere on its frame, off all of that name there."""
    places = [(k, i) for k, s in enumerate(own) for i, one in enumerate(s["items"]) if one["box"]]
    rng.shuffle(places)
    for k, i in places:
        name, (x0, y0, x1, y1) = own[k]["items"][i]["name"], own[k]["items"][i]["box"]
        true = [
            one["box"]
            for step in own
            for one in step["items"]
            if step["frame"] == own[k]["frame"] and one["name"] == name and one["box"]
        ]
        for _ in range(TRIES):
            x, y = rng.randint(0, 100 - (x1 - x0)), rng.randint(0, 100 - (y1 - y0))
            box = [x, y, x + x1 - x0, y + y1 - y0]
            if all(scores.overlap(box, one) <= APART and box != one for one in true):
                items = [dict(one) for one in own[k]["items"]]
                items[i]["box"] = box
                return _changed(own, k, items=items)
    return None


def wrong_actor(
    own: Steps, shown: int, rng: random.Random, foreign: Steps, words: str
) -> Steps | None:
    """A step that says of another of the evidence's things what it says of one; the box stays."""
    names = sorted({one["name"] for step in own for one in step["items"] if one["name"].strip()})
    choices = []
    for k, step in enumerate(own):
        here = {one["name"] for one in step["items"]}
        for old in sorted(here & set(names)):
            for new in sorted(set(names) - here):
                text = _renamed(step["text"], old, new)
                alike = _in(new, step["text"]) or _in(old, new) or text == step["text"]
                if not alike and text.casefold() not in words:
                    choices.append((k, old, new, text))
    if not choices:
        return None
    k, old, new, text = rng.choice(choices)
    items = [{**one, "name": new if one["name"] == old else one["name"]} for one in own[k]["items"]]
    return _changed(own, k, text=text, items=items)


def unsupported_step(
    own: Steps, shown: int, rng: random.Random, foreign: Steps, words: str
) -> Steps | None:
    """A step of another video in the place of one, about a thing that this record never names."""
    for step in foreign:
        if any(one["name"].strip() and not _in(one["name"], words) for one in step["items"]):
            k = rng.randrange(len(own))
            return _changed(own, k, text=step["text"], items=step["items"])
    return None


FAULTS: Final[
    dict[str, Callable[[Steps, int, random.Random, Steps, str], Steps | None]]
] = {
    "wrong frame": wrong_frame,
    "moved box": moved_box,
    "wrong actor": wrong_actor,
    "unsupported step": unsupported_step,
}  # fmt: skip


def _changed(own: Steps, k: int, **what: Any) -> Steps:
    return [{**step, **what} if n == k else step for n, step in enumerate(own)]


def _ordered(steps: Steps) -> Steps:
    return sorted(steps, key=lambda step: int(step["frame"]))


def _content(step: Step) -> tuple[str, str]:
    return step["text"], json.dumps(step["items"])


def _in(name: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(name.casefold())}\b", text.casefold()) is not None


def _renamed(text: str, old: str, new: str) -> str:
    """The sentence with the one for the other; its article and its capital follow."""

    def name(match: re.Match[str]) -> str:
        article, was = match.group(1) or "", match.group(2)
        if article.strip().casefold() in ("a", "an"):
            article = f"{article[0]}{'n' if new[0].casefold() in 'aeiou' else ''} "
        return article + (new[0].upper() + new[1:] if was[0].isupper() else new)

    pattern = rf"\b(an? )?({re.escape(old)})\b"
    return re.sub(pattern, name, text, flags=re.IGNORECASE)


# ---- what the verifier refused


def _refused(row: Row, own: Steps, item: DatasetItem, refused: Sequence[Reject]) -> Iterator[Row]:
    """Pairs of the refused pairs about the same frames: a wrong answer to the record's question,
    and what the captions do not show as a step of the evidence."""
    claims = [r for r in refused if r.criterion == "hallucination"]
    claims = [r for r in claims if r.answer.casefold() not in _words(item)]
    if claims:
        rng = random.Random(f"{row.id} refused")
        claim, k = rng.choice(claims), rng.randrange(len(own))
        items = [one for one in own[k]["items"] if _in(one["name"], claim.answer)]
        text = " ".join(claim.answer.split())
        yield pair(row, _reply(_changed(own, k, text=text, items=items)), "refused: hallucination")
    for reject in refused:
        answer, choice = reject.answer.strip(), None
        if _plain(reject.question) != _plain(item.question) or _plain(answer) == _plain(
            item.answer
        ):
            continue
        if item.letter is not None:  # a reply without a letter would be known by that
            if answer not in item.options or answer == item.options[LETTERS.index(item.letter)]:
                continue
            choice = LETTERS[item.options.index(answer)]
        reply = compact({"answered": True, "answer": answer, "choice": choice})
        yield pair(row, reply, f"refused: {reject.criterion}", stage=2)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")
