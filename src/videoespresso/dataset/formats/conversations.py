"""Our records as conversations to train on: the prompt a role gets at run time, and its reply.

Two stages (paper, section 3.3): core frames and the question, then the evidence; the evidence, then
the answer. And the selector's: captions and the question, then the core frames (equations 4-6).
The user's messages come from `agents/prompt_parts.py`, so what is trained is what will be asked.

In the formats of the trainers. TRL: {"prompt": […], "completion": […], "images": […]}, contents as
lists of blocks, so that only the completion is learned. LLaMA-Factory and ms-swift: {"messages":
[…], "images": […]} with <image> where a picture stands; there the last message alone is learned
with `mask_history: true` and `--loss_scale last_round`. ms-swift writes boxes as each family reads
them, where they stand in "objects" and not in the text.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from videoespresso.agents import prompt_parts
from videoespresso.agents.prompts import load
from videoespresso.dataset.formats.conversion_report import Unusable
from videoespresso.dataset.formats.inline import released_tag
from videoespresso.dataset.formats.release import evidence_text
from videoespresso.dataset.formats.released_boxes import RELEASED
from videoespresso.dataset_record import LETTERS, DatasetItem, EvidenceSentence, FrameBox, KeyFrame
from videoespresso.types import Box

Replies = Literal["json", "text"]
"""json: as our own reasoner answers, with its system message. text: as in the paper, the evidence
as a sentence with its boxes inside, and no system message."""
Shows = Literal["frames", "video"]
SAME_S = 1e-3
"""A core frame and a caption this near are the same frame."""


@dataclass(frozen=True)
class Medium:
    """A picture or a film in a message, by its path."""

    path: str
    kind: Literal["image", "video"] = "image"


Part = str | Medium


@dataclass(frozen=True)
class Message:
    """A message."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]


Conversation = tuple[Message, ...]
"""Messages; the last one is the assistant's and the only one to be learned."""


def media_in(conversation: Conversation) -> Iterator[Medium]:
    """What a conversation shows, in order."""
    return (part for message in conversation for part in message.parts if isinstance(part, Medium))


def evidence_conversation(item: DatasetItem, replies: Replies, shows: Shows) -> Conversation:
    """Stage 1. Raises Unusable for a record that lacks what it needs."""
    if not item.evidence:
        raise Unusable("no evidence")
    prompt = Message("user", _prompt(item, replies, shows))
    reply = _steps(item) if replies == "json" else evidence_text(item, released_tag(RELEASED))
    return (*_system("reasoner", replies), prompt, Message("assistant", (reply,)))


def answer_conversation(item: DatasetItem, replies: Replies, shows: Shows) -> Conversation:
    """Stage 2: the conversation of stage 1 goes on. Raises Unusable as stage 1."""
    options = item.options if item.letter else ()
    answer = item.options[LETTERS.index(item.letter)] if item.letter else item.answer
    if replies == "json":
        reply = compact({"answered": True, "answer": answer, "choice": item.letter})
    else:
        reply = f"({item.letter}) {answer}" if item.letter else answer
    return (
        *evidence_conversation(item, replies, shows),
        Message("user", prompt_parts.answer_parts(options)),
        Message("assistant", (reply,)),
    )


def select_conversation(item: DatasetItem, replies: Replies) -> Conversation:
    """The selector's. Raises Unusable where the group's captions or their instants are missing."""
    rows = [(c.time_s, c.text) for c in item.captions if c.time_s is not None]
    if len(rows) < 2 or len(rows) < len(item.captions):
        raise Unusable("no captions to select from", "the group's captions or instants are missing")
    kept = sorted(
        {(_place(frame, item), frame.caption or frame.captioned) for frame in item.core_frames}
    )
    if not kept:
        raise Unusable("no core frames")
    if replies == "json":
        reply = compact({"core": [{"why": why, "frame": at + 1} for at, why in kept]})
    else:
        reply = "\n".join(prompt_parts.one_line(item.captions[at].text) for at, _ in kept)
    prompt = Message("user", prompt_parts.select_parts(item.question, rows))
    return (*_system("selector", replies), prompt, Message("assistant", (reply,)))


def caption_conversations(item: DatasetItem) -> Iterator[Conversation]:
    """The captioner's, one a core frame that has a picture and a caption. Raises Unusable for a
    record without any."""
    frames = [f for f in item.core_frames if f.image and (f.captioned or f.caption)]
    if not frames:
        raise Unusable("no core frame with a picture and a caption")
    for frame in frames:
        prompt = Message("user", prompt_parts.caption_parts(Medium(frame.image)))
        reply = prompt_parts.one_line(frame.captioned or frame.caption)
        yield (*_system("captioner", "json"), prompt, Message("assistant", (reply,)))


def core_places(item: DatasetItem) -> set[int]:
    """The captions of the core frames, by position. Raises Unusable where one has none."""
    return {_place(frame, item) for frame in item.core_frames}


def _place(frame: KeyFrame, item: DatasetItem) -> int:
    """The caption of a core frame, by its frame or its instant."""
    for at, caption in enumerate(item.captions):
        if frame.frame_id and caption.frame_id == frame.frame_id:
            return at
        times = (frame.time_s, caption.time_s)
        if times[0] is not None and times[1] is not None and abs(times[0] - times[1]) < SAME_S:
            return at
    raise Unusable("a core frame is none of the captions' frames")


def _system(role: str, replies: Replies) -> tuple[Message, ...]:
    return (Message("system", (load(role).text,)),) if replies == "json" else ()


def _prompt(item: DatasetItem, replies: Replies, shows: Shows) -> tuple[Part, ...]:
    if shows == "video":
        if not item.video.path:
            raise Unusable("no video")
        film = Medium(item.video.path, "video")
        return (
            film,
            *prompt_parts.evidence_parts(item.question, list[prompt_parts.Shown[Medium]]()),
        )
    if not item.core_frames or not all(frame.image for frame in item.core_frames):
        raise Unusable("no core frames", "a core frame has no image")
    frames = [shown(item, n, replies) for n in range(len(item.core_frames))]
    return prompt_parts.evidence_parts(item.question, frames)


def shown(item: DatasetItem, number: int, replies: Replies) -> prompt_parts.Shown[Medium]:
    """A core frame: with caption and boxes as at run time, without them as in the paper. Boxes are
    all that a detector saw; of a record that does not know them, those of its evidence."""
    frame = item.core_frames[number]
    picture = Medium(frame.image)
    if replies == "text":
        return prompt_parts.Shown(picture, frame.time_s)
    if frame.boxes is None:
        named = (b for sentence in item.evidence for b in _boxes(sentence, number, item))
    else:
        named = (_box(box, "") for box in frame.boxes)
    boxes = tuple(dict.fromkeys(named))
    return prompt_parts.Shown(picture, frame.time_s, frame.captioned or frame.caption, boxes)


def _boxes(sentence: EvidenceSentence, number: int, item: DatasetItem) -> Iterator[Box]:
    """The boxes of a sentence's items that are on a core frame, named as a detector names them."""
    only = 0 if len(item.core_frames) == 1 else None
    for named in sentence.items:
        for box in named.boxes:
            if (only if box.frame is None else box.frame) == number:
                yield _box(box, named.name)


def _box(box: FrameBox, name: str) -> Box:
    score = 1.0 if box.score is None else box.score
    return Box(label=box.label or name, xyxy=box.xyxy, score=score)


def _steps(item: DatasetItem) -> str:
    """Stage 1 as our reasoner replies. Raises Unusable where a sentence's frame is not known."""
    steps = []
    for sentence in item.evidence:
        number = _frame_of(sentence, len(item.core_frames))
        items: list[dict[str, Any]] = []
        for named in sentence.items:
            alone = sentence.model_copy(update={"items": (named,)})
            boxes = [list(prompt_parts.percent(box)) for box in _boxes(alone, number, item)]
            items += [{"name": named.name, "box": box} for box in boxes or [[]]]
        steps.append({"text": sentence.text, "frame": number + 1, "items": items})
    return compact({"steps": steps})


def _frame_of(sentence: EvidenceSentence, frames: int) -> int:
    """Its core frame: as it says, the only one, or the one that all its boxes are on."""
    on = {box.frame for named in sentence.items for box in named.boxes}
    (number,) = on if len(on) == 1 else (None,)
    for known in (sentence.frame, 0 if frames == 1 else None, number):
        if known is not None:
            return known
    raise Unusable(
        "evidence without a frame",
        "nobody says which core frame it is on; --replies text needs none",
    )


def compact(value: object) -> str:
    """JSON as the pack was trained to write it, readable in any language."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_PLACEHOLDER = re.compile(r"<(image|video|audio|bbox|ref-object|cot-process|start-image)>")
"""What LLaMA-Factory and ms-swift replace, wherever it stands."""


def trl(conversation: Conversation) -> dict[str, Any]:
    """A row for TRL's SFTTrainer."""
    row: dict[str, Any] = {
        "prompt": [_blocks(message) for message in conversation[:-1]],
        "completion": [_blocks(conversation[-1])],
    }
    if any(media_in(conversation)):
        row["images"] = [medium.path for medium in media_in(conversation)]
    return row


def _blocks(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": [_block(part) for part in message.parts]}


def _block(part: Part) -> dict[str, Any]:
    """Each block has the same keys: a column has one type, in JSON lines and in Parquet."""
    if isinstance(part, Medium):
        return {"type": part.kind, "text": None}
    return {"type": "text", "text": part}


def tagged(conversation: Conversation) -> dict[str, Any]:
    """A row for LLaMA-Factory (sharegpt with OpenAI's tags) and ms-swift."""
    row: dict[str, Any] = {
        "messages": [
            {"role": t.role, "content": "".join(map(_text, t.parts))} for t in conversation
        ]
    }
    for medium in media_in(conversation):
        row.setdefault(f"{medium.kind}s", []).append(medium.path)
    return row


def _text(part: Part) -> str:
    """A placeholder for a picture; one in somebody's text is none."""
    if isinstance(part, Medium):
        return f"<{part.kind}>"
    return _PLACEHOLDER.sub(r"[\1]", part)


def with_objects(conversation: Conversation, item: DatasetItem) -> dict[str, Any]:
    """A row for ms-swift of replies in text: the evidence with <ref-object> where a name stands
    that has boxes, and a <bbox> for each; "objects" says which, in their order.

    norm1: boxes are 0-1, which ms-swift turns into the thousandths or the pixels of the model it
    trains. image_id: the picture whose pixels those are; of a box whose core frame is not said,
    its sentence's, else the first: the frames of a video have one size.
    """
    row = tagged(conversation)
    names, boxes, pictures = list[str](), list[list[float]](), list[int]()

    def tag(name: str, of: tuple[FrameBox, ...]) -> str:
        if not of:
            return name
        names.append(name)
        boxes.extend(list(box.xyxy) for box in of)
        pictures.extend(box.frame or 0 for box in of)
        return "<ref-object>" + "<bbox>" * len(of)

    plain = item.model_copy(update={"evidence": tuple(map(_plain, item.evidence))})
    reply = next(m for m in row["messages"] if m["role"] == "assistant")
    reply["content"] = evidence_text(plain, tag)
    row["objects"] = {"ref": names, "bbox": boxes, "bbox_type": "norm1", "image_id": pictures}
    return row


def _plain(sentence: EvidenceSentence) -> EvidenceSentence:
    """The sentence without placeholders, as long as it was, and its boxes on its core frame."""
    items = []
    for named in sentence.items:
        frames = [sentence.frame if box.frame is None else box.frame for box in named.boxes]
        boxes = tuple(
            box.model_copy(update={"frame": frame})
            for box, frame in zip(named.boxes, frames, strict=True)
        )
        items.append(named.model_copy(update={"name": _text(named.name), "boxes": boxes}))
    return sentence.model_copy(update={"text": _text(sentence.text), "items": tuple(items)})


def dataset_info(files: dict[str, str], media: str) -> dict[str, Any]:
    """LLaMA-Factory's dataset_info.json. files: name of the data set -> its file; media: the
    column with what is shown ("images", "videos"), "" for none."""
    columns = {"messages": "messages"} | ({media: media} if media else {})
    tags = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    }
    return {
        name: {"file_name": file, "formatting": "sharegpt", "columns": columns, "tags": tags}
        for name, file in files.items()
    }
