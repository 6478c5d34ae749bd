"""What goes over the wire: turns of text and images as LangChain messages."""

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
from pydantic import BaseModel, Field

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
            sent.append(HumanMessage(content=blocks))
    return sent


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": data_uri(part)}}
