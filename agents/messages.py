"""What goes over the wire: turns of text and images as LangChain messages."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from PIL.Image import Image
from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from videoespresso.models.images import data_uri, grid, pixel_sha

Part = str | Image


class Call(BaseModel):
    """A tool that a model wants called. fault: why its arguments cannot be read, if they cannot."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    id: str
    fault: str = ""


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation: texts and images in the order in which they are read.

    calls: the tools an assistant's turn calls. answers: the id of the call a tool's turn answers.
    """

    role: Literal["user", "assistant", "tool"]
    parts: tuple[Part, ...]
    calls: tuple[Call, ...] = ()
    answers: str = ""


def images_in(turns: Sequence[Turn]) -> list[Image]:
    """All images, in order."""
    return [part for turn in turns for part in turn.parts if isinstance(part, Image)]


def texts_in(turns: Sequence[Turn]) -> list[str]:
    """All texts, in order."""
    return [part for turn in turns for part in turn.parts if isinstance(part, str)]


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
            if isinstance(part, Image):
                number += 1
                if number == 1:
                    parts.append(sheet)
                part = f"[image {number}: number {number} in the grid]"
            parts.append(part)
        gridded.append(replace(turn, parts=tuple(parts)))
    return tuple(gridded)


def fingerprint(turns: Sequence[Turn]) -> list[list[Any]]:
    """The turns for a cache key: images by the sha of their pixels."""
    return [
        [turn.role]
        + [part if isinstance(part, str) else {"image": pixel_sha(part)} for part in turn.parts]
        + [{"call": call.model_dump()} for call in turn.calls]
        + ([{"answers": turn.answers}] if turn.answers else [])
        for turn in turns
    ]


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


def messages(system: str, turns: Sequence[Turn]) -> list[BaseMessage]:
    """The system message and the turns; images are encoded here and nowhere earlier."""
    sent: list[BaseMessage] = [SystemMessage(system)]
    for turn in turns:
        if turn.role == "assistant":
            calls = [ToolCall(name=c.name, args=c.arguments, id=c.id) for c in turn.calls]
            sent.append(AIMessage("".join(texts_in([turn])), tool_calls=calls))
        elif turn.role == "tool":
            sent.append(ToolMessage("".join(texts_in([turn])), tool_call_id=turn.answers))
        else:
            blocks: list[str | dict[str, Any]] = [_block(part) for part in turn.parts]
            sent.append(Pictured(content=blocks))
    return sent


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": data_uri(part)}}
