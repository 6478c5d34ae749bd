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
from videoespresso.models.embedded.teacher.captions import Film, film_of
from videoespresso.models.embedded.teacher.distractor import distract
from videoespresso.models.embedded.teacher.generator import generate
from videoespresso.models.embedded.teacher.verifier import annotate, verify
from videoespresso.theatre.truth import language

_LINE = re.compile(r"\(-?\d+(?:\.\d+)? s\) (.*)\[\d+\]")
PAIRS = 6
"""Pairs a group, where the prompt does not say."""
OPTIONS = 3
"""Wrong options, where the prompt does not say."""


class Task(NamedTuple):
    """What a role is given. pair: question and answer; number: how many replies the prompt wants,
    None where it does not say."""

    film: Film
    pair: tuple[str, str]
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
    """sha256 over the rules, their data and the language they read, 16 hex digits."""
    own = sorted(
        file for file in Path(__file__).parent.iterdir() if file.suffix in (".py", ".json")
    )
    texts = [file.read_bytes() for file in (*own, Path(language.__file__))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def _text(message: BaseMessage) -> str:
    """A message's words, without its pictures."""
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
    turns = [t for m, t in zip(messages, texts, strict=True) if m.type == "human"]
    return _ROLES[role](_task(texts[0], turns))


def _task(system: str, turns: Sequence[str]) -> Task:
    """Reads the user's turns. A later turn (what was wrong with a reply) changes the choice only.

    Only the lines between "Captions:" and the first other line are captions, so a caption cannot
    pass for a question, whatever it says.
    """
    task = next((text for text in reversed(turns) if text.startswith("Captions:")), None)
    if task is None:
        raise ModelError(
            "embedded:teacher reads captions, and the message has none",
            hint="It stands in for a teacher in `videoespresso dataset build` and nowhere else.",
        )
    lines = task.split("\n")[1:]
    captions = []
    while lines and (line := _LINE.fullmatch(lines[0])):
        captions.append(line[1].strip())
        lines = lines[1:]
    fields = dict(line.partition(": ")[::2] for line in lines)
    number = re.search(r"Please write (\d+) wrong", task) or re.search(r"at most (\d+)", system)
    return Task(
        film_of(captions),
        (fields.get("Question", ""), fields.get("Answer", "")),
        int(number[1]) if number else None,
        hashlib.sha256("\0".join(turns).encode()).hexdigest(),
    )


_ROLES: dict[str, Callable[[Task], dict[str, object]]] = {
    "generator": lambda t: generate(t.film, PAIRS if t.number is None else t.number, t.seed),
    "verifier": lambda t: verify(t.film, *t.pair),
    "annotator": lambda t: annotate(t.film, *t.pair),
    "distractor": lambda t: distract(
        t.film, *t.pair, OPTIONS if t.number is None else t.number, t.seed
    ),
}
