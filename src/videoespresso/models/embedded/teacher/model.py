"""The teacher as a LangChain chat model: it reads the very messages that other models are sent."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult

from videoespresso.errors import ModelError
from videoespresso.models.client.prices import text_tokens
from videoespresso.models.embedded.teacher.annotator import annotate
from videoespresso.models.embedded.teacher.distractor import distract
from videoespresso.models.embedded.teacher.generator import generate
from videoespresso.models.embedded.teacher.reading import Film, read_shot
from videoespresso.models.embedded.teacher.verifier import verify

_LINE = re.compile(r"\((-?\d+(?:\.\d+)?) s\) (.*)\[(\d+)\]")
_MOST = 6
"""Pairs a group, where the prompt does not say; and three wrong options."""
_OPTIONS = 3


class Sheet(NamedTuple):
    """What a role is given. number: the one in the cue or the prompt, None where there is none."""

    film: Film
    question: str
    answer: str
    number: int | None
    seed: str


class TeacherChatModel(BaseChatModel):
    """Rules on captions for dataset mode's four roles: no model, no tools, no JSON mode; the same
    messages get the same reply. Raises ModelError for any other role or message."""

    @property
    def _llm_type(self) -> str:
        return "videoespresso-teacher"

    @property
    def identity(self) -> str:
        """Digest of the rules: cached replies of other rules are not these ones'."""
        return _digest()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """One reply, in JSON."""
        texts = [_text(message) for message in messages]
        text = json.dumps(_reply(messages, texts), ensure_ascii=False)
        read, wrote = text_tokens(texts), text_tokens([text])
        usage = UsageMetadata(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)
        message = AIMessage(text, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])


@cache
def _digest() -> str:
    """sha256 over the source of the rules, 16 hex digits."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _text(message: BaseMessage) -> str:
    """A message's words; pictures are not looked at."""
    if isinstance(message.content, str):
        return message.content
    blocks = [{"text": b} if isinstance(b, str) else b for b in message.content]
    return "".join(str(block.get("text", "")) for block in blocks)


def _reply(messages: Sequence[BaseMessage], texts: Sequence[str]) -> dict[str, object]:
    first = texts[0].partition("\n")[0] if texts else ""
    role = first.removeprefix("You are the ").rstrip(".").strip()
    if not messages or messages[0].type != "system" or role not in _ROLES:
        raise ModelError(
            f"embedded:teacher knows dataset mode's roles only: {', '.join(_ROLES)}",
            hint="Choose another model for this role, for instance embedded: for the pack.",
        )
    asked = [t for m, t in zip(messages, texts, strict=True) if m.type == "human"]
    return _ROLES[role](_sheet(texts[0], asked))


def _sheet(system: str, asked: Sequence[str]) -> Sheet:
    """Reads the user's turns. A later turn (what was wrong with a reply) changes the choice only.

    Only the lines between "Captions:" and the first other line are captions, so a caption cannot
    pass for a question, whatever it says.
    """
    task = next((text for text in reversed(asked) if text.startswith("Captions:")), None)
    if task is None:
        raise ModelError(
            "embedded:teacher reads captions, and the message has none",
            hint="It stands in for a teacher in `videoespresso dataset build` and nowhere else.",
        )
    lines = task.split("\n")[1:]
    shots = []
    while lines and (line := _LINE.fullmatch(lines[0])):
        shots.append(read_shot(int(line[3]), float(line[1]), line[2].strip()))
        lines = lines[1:]
    fields = dict(
        line.split(": ", 1) for line in lines if line.startswith(("Question: ", "Answer: "))
    )
    number = re.search(r"Please write (\d+) wrong", task) or re.search(r"at most (\d+)", system)
    return Sheet(
        Film(tuple(shots)),
        fields.get("Question", ""),
        fields.get("Answer", ""),
        int(number[1]) if number else None,
        hashlib.sha256("\0".join(asked).encode()).hexdigest(),
    )


def _generator(sheet: Sheet) -> dict[str, object]:
    return generate(sheet.film, _MOST if sheet.number is None else sheet.number, sheet.seed)


def _verifier(sheet: Sheet) -> dict[str, object]:
    return verify(sheet.film, sheet.question, sheet.answer)


def _annotator(sheet: Sheet) -> dict[str, object]:
    return annotate(sheet.film, sheet.question, sheet.answer)


def _distractor(sheet: Sheet) -> dict[str, object]:
    count = _OPTIONS if sheet.number is None else sheet.number
    return distract(sheet.film, sheet.question, sheet.answer, count, sheet.seed)


_ROLES: dict[str, Callable[[Sheet], dict[str, object]]] = {
    "generator": _generator,
    "verifier": _verifier,
    "annotator": _annotator,
    "distractor": _distractor,
}
