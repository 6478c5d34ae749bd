"""Turns of text and images as LangChain messages, and the reply to them."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import ceil, sqrt
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from videoespresso.errors import ModelError
from videoespresso.models.client.errors import redact
from videoespresso.models.client.reading import spoken

JPEG_QUALITY = 92
"""Hard to tell from the original at a tenth of a PNG's size."""

GRID_SIDE = 2048
"""Longest side of a grid in pixels: what OpenAI's high detail and most vision encoders keep."""

MOST_TOKENS = 100_000_000
"""Of one call: ten times what the longest context holds, 2026-11."""

_HELD_BACK = frozenset(
    {"content_filter", "refusal", "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT"}
    | {"SPII", "LANGUAGE", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"}
)
"""Why a reply ended where nothing may be said: OpenAI's word, Anthropic's, and Gemini's."""

_LABEL_HEIGHT = 22
_GAP = 4

Part = str | Image.Image


class Call(BaseModel):
    """A tool that a model wants called. fault: why its arguments cannot be read, if they cannot."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    id: str
    fault: str = ""


class Called(BaseModel):
    """What a model that may call tools said: the calls it wants made, none when it has enough."""

    # this docstring and that of `Call` are in the keys of stored replies (Request.key)
    text: str = ""
    calls: list[Call] = Field(default_factory=list)


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation: texts and images in the order in which they are read.

    calls: the tools an assistant's turn calls. answers: the id of the call a tool's turn answers.
    """

    role: Literal["user", "assistant", "tool"]
    parts: tuple[Part, ...]
    calls: tuple[Call, ...] = ()
    answers: str = ""


@dataclass(frozen=True)
class ModelReply:
    """One reply as the model gave it. cut: it hit its length limit. Tokens are 0 when not reported.

    snapshot: which model the server says it was, with its fingerprint; "" when it says nothing.
    refusal: the words in which the model, or a filter before it, refused; "" when nothing did.
    """

    text: str
    cut: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    snapshot: str = ""
    refusal: str = ""

    def __post_init__(self) -> None:
        """A count that no reply can have is none: no bill is made of it."""
        for name in ("input_tokens", "output_tokens"):
            count = getattr(self, name)
            possible = isinstance(count, int | float) and 0 <= count <= MOST_TOKENS
            object.__setattr__(self, name, int(count) if possible else 0)


def images_in(turns: Sequence[Turn]) -> list[Image.Image]:
    """All images, in order."""
    return [part for turn in turns for part in turn.parts if isinstance(part, Image.Image)]


def texts_in(turns: Sequence[Turn]) -> list[str]:
    """All texts, in order."""
    return [part for turn in turns for part in turn.parts if isinstance(part, str)]


def fingerprint(turns: Sequence[Turn]) -> list[list[Any]]:
    """The turns for a cache key: images by the sha of their pixels."""
    return [
        [turn.role]
        + [part if isinstance(part, str) else {"image": pixel_sha(part)} for part in turn.parts]
        + [{"call": call.model_dump()} for call in turn.calls]
        + ([{"answers": turn.answers}] if turn.answers else [])
        for turn in turns
    ]


# ---- out


def messages(
    system: str, turns: Sequence[Turn], detail: str = "", *, system_first: bool = True
) -> list[BaseMessage]:
    """The system message and the turns; images are encoded here and nowhere earlier.

    detail: how closely OpenAI is to look at the images; "" says nothing of it. system_first: else
    the server takes no system message, and its text opens the first turn.
    """
    sent: list[BaseMessage] = [SystemMessage(system)] if system_first else []
    if not system_first and turns:
        first = replace(turns[0], parts=(f"{system}\n\n", *turns[0].parts))
        turns = (first, *turns[1:])
    for turn in turns:
        if turn.role == "assistant":
            calls = [ToolCall(name=c.name, args=c.arguments, id=c.id) for c in turn.calls]
            sent.append(AIMessage("".join(texts_in([turn])), tool_calls=calls))
        elif turn.role == "tool":
            sent.append(ToolMessage("".join(texts_in([turn])), tool_call_id=turn.answers))
        else:
            blocks: list[str | dict[str, Any]] = [_block(part, detail) for part in turn.parts]
            sent.append(Pictured(content=blocks))
    return sent


def _block(part: Part, detail: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    about = {"detail": detail} if detail else {}
    return {"type": "image_url", "image_url": {"url": data_uri(part), **about}}


class Pictured(HumanMessage):
    """A user's message that sends its pictures to the model, and shows a name for each to whoever
    serializes or prints it: traces (LangSmith, OpenTelemetry), logs, LangChain's own caches."""

    @model_serializer(mode="wrap")
    def _named(self, rest: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**rest(self), "content": _unseen(self.content)}

    def to_json(self) -> Any:
        """As LangChain's tracers write it down."""
        return HumanMessage(content=_unseen(self.content)).to_json()

    def __repr_args__(self) -> Any:
        return [("content", _unseen(self.content))]

    def pretty_repr(self, html: bool = False) -> str:
        """As LangChain prints it."""
        return HumanMessage(content=_unseen(self.content)).pretty_repr(html)


def _unseen(content: Any) -> Any:
    """The blocks, with a name in the place of each picture: as a block of text, since whoever reads
    the trace would take it for an address."""
    if isinstance(content, str):
        return content
    return [_name(block) if _is_picture(block) else block for block in content]


def _is_picture(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "image_url"


def _name(block: dict[str, Any]) -> dict[str, str]:
    sha = hashlib.sha256(str(block["image_url"]["url"]).encode()).hexdigest()
    return {"type": "text", "text": f"[image {sha[:16]}]"}


# ---- in


def model_reply(output: Any, *, calls: bool = False) -> ModelReply:
    """What came back, with keys taken out: of a message, or {"raw": message} of a typed call.

    calls: tools were offered; the text is a `Called` as JSON then.
    """
    message = output["raw"] if isinstance(output, dict) else output
    if not isinstance(message, AIMessage):
        return ModelReply(_whole(spoken(redact(str(getattr(message, "content", message) or "")))))
    about = message.response_metadata
    stop = about.get("finish_reason") or about.get("stop_reason") or about.get("done_reason")
    cut = stop in ("length", "max_tokens", "MAX_TOKENS")
    text = spoken(str(message.text), ended=bool(stop) and not cut)
    if calls:
        text = _called(message, text).model_dump_json()
    elif message.tool_calls:
        args = [call["args"] for call in message.tool_calls]  # one was wanted; some have nothing
        text = json.dumps(next(filter(None, args), {}), ensure_ascii=False)
    elif message.invalid_tool_calls:
        text = message.invalid_tool_calls[0].get("args") or text
    tokens = message.usage_metadata
    refusal = redact(str(message.additional_kwargs.get("refusal") or ""))
    blocked = (about.get("prompt_feedback") or {}).get("block_reason")  # Gemini's, of the request
    if (stop in _HELD_BACK or blocked) and not text.strip():
        why = str(getattr(blocked, "value", blocked) or stop)
        refusal = refusal or f"a content filter held the reply back ({redact(why)})"
    return ModelReply(
        _whole(redact(text)),
        cut=cut,
        input_tokens=tokens["input_tokens"] if tokens else 0,
        output_tokens=tokens["output_tokens"] if tokens else 0,
        snapshot=" ".join(
            str(about[name]) for name in ("model_name", "system_fingerprint") if about.get(name)
        ),
        refusal=_whole(refusal),
    )


def _whole(text: str) -> str:
    """Without halves of characters, which JSON can name and no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _called(message: AIMessage, text: str) -> Called:
    """A message's words and calls, those among them that cannot be read too; each has an id."""
    calls = [
        Call(name=call["name"], arguments=call["args"], id=call["id"] or f"call{n}")
        for n, call in enumerate(message.tool_calls)
    ]
    calls += [
        Call(
            name=broken.get("name") or "?",
            id=broken.get("id") or f"broken{n}",
            fault="its arguments are not a JSON object",
        )
        for n, broken in enumerate(message.invalid_tool_calls)
    ]
    return Called(text=text.strip(), calls=calls)


# ---- images


def pixel_sha(image: Image.Image) -> str:
    """sha256 over size, mode and pixels: the same whatever file the image came from."""
    header = f"{image.mode} {image.width}x{image.height} ".encode()
    return hashlib.sha256(header + image.tobytes()).hexdigest()


def data_uri(image: Image.Image) -> str:
    """The image as a JPEG data URI; transparency is laid on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def from_data_uri(uri: str) -> Image.Image:
    """The image in a data URI, RGB. Raises ValueError if it is not one."""
    head, comma, body = uri.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64") and comma):
        raise ValueError("not an image data URI")
    return Image.open(BytesIO(base64.b64decode(body))).convert("RGB")


def conversation(
    messages: Sequence[BaseMessage],
) -> tuple[list[dict[str, Any]], list[Image.Image]]:
    """LangChain messages as chat templates want them, and their pictures in order: for models in
    this process. Raises ModelError for a picture that is no readable data URI."""
    roles = {"human": "user", "ai": "assistant"}
    turns: list[dict[str, Any]] = []
    images: list[Image.Image] = []
    for message in messages:
        blocks = [message.content] if isinstance(message.content, str) else message.content
        parts: list[dict[str, Any]] = []
        for block in blocks:
            if isinstance(block, dict) and block.get("type") == "image_url":
                url = block["image_url"]
                try:
                    images.append(from_data_uri(url["url"] if isinstance(url, dict) else url))
                except (OSError, ValueError) as error:
                    raise ModelError("an image in the prompt cannot be read") from error
                parts.append({"type": "image"})
            else:
                text = block if isinstance(block, str) else str(block.get("text", ""))
                parts.append({"type": "text", "text": text})
        turns.append({"role": roles.get(message.type, message.type), "content": parts})
    return turns, images


def grid(images: Sequence[Image.Image]) -> Image.Image:
    """One image with all of them, in reading order, each under its number from 1.

    For models that take one image a request. The grid is at most GRID_SIDE pixels a side; cells
    shrink to fit, never grow.
    """
    columns = ceil(sqrt(len(images)))
    rows = ceil(len(images) / columns)
    width = max(image.width for image in images)
    height = max(image.height for image in images)
    scale = min(
        1.0,
        (GRID_SIDE - _GAP * (columns + 1)) / (columns * width),
        (GRID_SIDE - _GAP - rows * (_GAP + _LABEL_HEIGHT)) / (rows * height),
    )
    cell_w, cell_h = max(1, int(width * scale)), max(1, int(height * scale))
    step_x, step_y = cell_w + _GAP, cell_h + _LABEL_HEIGHT + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LABEL_HEIGHT - 6)
    for i, image in enumerate(images):
        x, y = _GAP + (i % columns) * step_x, _GAP + (i // columns) * step_y
        draw.text((x + 2, y + 1), str(i + 1), fill="black", font=font)
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        sheet.paste(image.convert("RGB").resize(size), (x, y + _LABEL_HEIGHT))
    return sheet


def as_one_image(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The same turns with a labelled grid where the first image stood; the others become words.

    Turns with fewer than two images come back as they are.
    """
    images = images_in(turns)
    if len(images) < 2:
        return tuple(turns)
    sheet, number = grid(images), 0
    gridded: list[Turn] = []
    for turn in turns:
        parts: list[Part] = []
        for part in turn.parts:
            if isinstance(part, Image.Image):
                number += 1
                if number == 1:
                    parts.append(sheet)
                part = f"[image {number}: number {number} in the grid]"
            parts.append(part)
        gridded.append(replace(turn, parts=tuple(parts)))
    return tuple(gridded)
