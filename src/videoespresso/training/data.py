"""Records as rows to learn from: the conversations of `dataset/formats`, and which video is where.

What is trained is what is asked: system prompt, pictures, captions and boxes come from the same
functions as at run time.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from PIL import Image

from videoespresso.dataset import records_io
from videoespresso.dataset.formats import conversations
from videoespresso.dataset.formats.conversations import Conversation, Medium, Message
from videoespresso.dataset.formats.conversion_report import Unusable
from videoespresso.dataset.formats.media import Media
from videoespresso.dataset.inspect.record_measures import video_key
from videoespresso.dataset.inspect.split import parts, point
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.models.hf_weights import shown
from videoespresso.training.recipes import Stage

SHARE: Final = 0.05
"""Of the videos, for validation where a dataset has no split."""
SEED: Final = 7
"""Of that split, as of `dataset split`."""
VALIDATION: Final = ("validation", "val", "dev")
TRL: Final[dict[Stage, str]] = {
    "evidence": "evidence.jsonl",
    "answer": "answer.jsonl",
    "both": "answer.jsonl",
    "selector": "select.jsonl",
}
"""The files of `--to trl` and `--to trl-selector`."""
TRL_FORM: Final[dict[Stage, str]] = {"selector": "trl-selector"}
NAMED = 5
"""Records named in a message."""


@dataclass(frozen=True)
class Row:
    """A conversation to learn from. id: the record's, and for a captioner its frame's place.
    item: None where the source is no record of ours. learned: which messages of the assistant's.
    rejected: of a pair, the reply that is worse than the last message; source: what is wrong with
    it."""

    id: str
    video: bytes
    conversation: Conversation
    learned: tuple[int, ...]
    item: DatasetItem | None = None
    rejected: str = ""
    source: str = ""

    def sides(self) -> tuple["Row", ...]:
        """The row, and of a pair the same with the worse reply in the place of the last one."""
        if not self.rejected:
            return (self,)
        worse = (*self.conversation[:-1], Message("assistant", (self.rejected,)))
        return self, replace(self, conversation=worse, rejected="")


@dataclass(frozen=True)
class Data:
    """The rows of a stage. left_out: records without what the stage needs, by reason. leaked: ids
    of the training rows whose video is in another part, too."""

    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    left_out: dict[str, int]
    leaked: tuple[str, ...]
    sha: str
    split: str


def load(source: str | Path, stage: Stage, *, allow_leak: bool = False) -> Data:
    """The rows of a dataset's folder, of its parts (`dataset split`), or of one of `--to trl`.

    Raises UserError for a folder that is none of these, where nothing is left for the stage, and
    for parts that share a video unless allow_leak.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", hint="Give a dataset's folder.")
    left_out: dict[str, int] = {}
    names = parts(folder)
    if (folder / records_io.RECORDS).is_file():
        rows = _ours(folder, stage, left_out)
        train, validation = _divided(rows)
        others, split = validation, f"by video, {SHARE:.0%} for validation"
    elif "train" in names:
        loaded = {name: _ours(folder / name, stage, left_out) for name in names}
        train, split = loaded.pop("train"), f"its parts: {', '.join(names)}"
        others = [row for rows in loaded.values() for row in rows]
        validation = next((loaded[name] for name in VALIDATION if name in loaded), [])
    elif stage in TRL and (folder / TRL[stage]).is_file():
        train, validation = _divided(_trl(folder / TRL[stage], stage))
        others, split = validation, f"by pictures, {SHARE:.0%} for validation"
    else:
        raise UserError(
            f"{folder} has no records for {stage}",
            hint="Give a dataset's folder (with records.jsonl, or with train/ of `dataset split`)"
            + (f", or one of `dataset export --to {TRL_FORM.get(stage, 'trl')}`." * (stage in TRL)),
        )
    if not train:
        raise UserError(
            f"{folder} has no record to learn {stage} from: {reasons(left_out)}",
            hint="docs/training.md says what each stage needs of a record.",
        )
    leaked = _leaked(train, others)
    if leaked and not allow_leak:
        names_ = ", ".join(leaked[:NAMED]) + (", …" if len(leaked) > NAMED else "")
        raise UserError(
            f"{len(leaked)} records to learn from are of videos that another part has, too: "
            f"{names_}",
            hint="Divide it anew with `dataset split`, or add --allow-leak.",
        )
    return Data(tuple(train), tuple(validation), left_out, leaked, sha_of(train), split)


def sha_of(rows: Sequence[Row]) -> str:
    """Names what is learned from these rows."""
    kept = [(r.id, r.conversation, *([r.rejected] if r.rejected else [])) for r in rows]
    return hashlib.sha256(repr(kept).encode("utf-8", "replace")).hexdigest()


def first(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows of the first so many prompts: a pair's prompt is that of the record's others."""
    kept = dict.fromkeys(row.conversation[:2] for row in rows)
    some = set(list(kept)[:count])
    return [row for row in rows if row.conversation[:2] in some]


def reasons(left_out: dict[str, int]) -> str:
    """Why records were left out, and how many."""
    return "; ".join(f"{n} {why}" for why, n in left_out.items()) or "it is empty"


def _divided(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """(train, validation) by video; a dataset of one video has no validation."""
    videos = sorted({row.video for row in rows}, key=lambda video: point(video, SEED))
    aside = set(videos[: max(1, round(SHARE * len(videos)))]) if len(videos) > 1 else set()
    return (
        [row for row in rows if row.video not in aside],
        [row for row in rows if row.video in aside],
    )


def _leaked(train: Sequence[Row], others: Sequence[Row]) -> tuple[str, ...]:
    elsewhere = {row.video for row in others}
    return tuple(row.id for row in train if row.video in elsewhere)


def _ours(folder: Path, stage: Stage, left_out: dict[str, int]) -> list[Row]:
    media = Media(folder, local=True)
    rows: list[Row] = []
    for item in records_io.read_items(folder):
        try:
            made = [(name, media.opened(one)) for name, one in _MAKERS[stage](item)]
        except Unusable as why:
            left_out[why.criterion] = left_out.get(why.criterion, 0) + 1
            continue
        for name, one in made:
            rows.append(Row(item.id + name, video_key(item), one, _learned(one, stage), item))
    return rows


def _captions(item: DatasetItem) -> Iterator[tuple[str, Conversation]]:
    """One a core frame with a caption. Raises Unusable where there is none."""
    made = list(conversations.caption_conversations(item))
    return ((f"#{number}", one) for number, one in enumerate(made, 1))


_MAKERS: dict[Stage, Callable[[DatasetItem], Iterator[tuple[str, Conversation]]]] = {
    "evidence": lambda item: iter(
        [("", conversations.evidence_conversation(item, "json", "frames"))]
    ),
    "answer": lambda item: iter([("", conversations.answer_conversation(item, "json", "frames"))]),
    "both": lambda item: iter([("", conversations.answer_conversation(item, "json", "frames"))]),
    "selector": lambda item: iter([("", conversations.select_conversation(item, "json"))]),
    "captioner": _captions,
    "prefer": lambda item: iter([("", conversations.answer_conversation(item, "json", "frames"))]),
    "rl": lambda item: iter([("", conversations.answer_conversation(item, "json", "frames"))]),
}


def _learned(conversation: Conversation, stage: Stage) -> tuple[int, ...]:
    """The replies that carry loss: the last one, for `both` each."""
    replies = [k for k, message in enumerate(conversation) if message.role == "assistant"]
    return tuple(replies if stage == "both" else replies[-1:])


def _trl(file: Path, stage: Stage) -> list[Row]:
    """Rows of `--to trl`. Raises UserError that names the line."""
    rows = []
    for number, line in records_io.lines_of(file):
        try:
            value = json.loads(line)
            images = iter(value.get("images") or [])
            messages = [*value["prompt"], *value["completion"]]
            one = tuple(Message(m["role"], _parts(m["content"], images)) for m in messages)
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise UserError(
                f"{file} line {number} is no row of --to trl: {error!r}",
                hint="Write it anew: `videoespresso dataset export DATA --to trl --out DIR`.",
            ) from error
        for medium in conversations.media_in(one):
            if not Path(medium.path).is_file():
                raise UserError(
                    f"{file} line {number}: {medium.path} is not there", hint="Export it anew."
                )
        seen = "\x1f".join(m.path for m in conversations.media_in(one)) or str(number)
        video = hashlib.blake2b(seen.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        rows.append(Row(f"line {number}", video, one, _learned(one, stage)))
    return rows


def _parts(content: Any, images: Iterator[str]) -> tuple[conversations.Part, ...]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return tuple(
        Medium(next(images)) if block["type"] == "image" else str(block["text"]) for block in blocks
    )


def with_evidence(row: Row, text: str) -> Row:
    """A row of stage 2 whose evidence is that text."""
    replies = [k for k, m in enumerate(row.conversation) if m.role == "assistant"]
    changed = list(row.conversation)
    changed[replies[0]] = Message("assistant", (text,))
    return replace(row, conversation=tuple(changed))


def picture(medium: Medium, side: int) -> Image.Image:
    """A picture as it is shown at run time, RGB. Raises UserError for one that cannot be read."""
    try:
        with Image.open(medium.path) as image:
            return shown(image.convert("RGB"), side)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(
            f"{medium.path} cannot be read: {error}", hint="`dataset validate` finds all of them."
        ) from error
