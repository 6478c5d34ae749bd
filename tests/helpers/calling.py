"""A scripted chat model that can call tools: a function from messages and offered tools."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from tests.helpers.scripted import ScriptedModel

Decide = Callable[[list[BaseMessage], list[str]], AIMessage]
"""From the messages and the names of the offered tools to the reply."""


class CallingModel(ScriptedModel):
    """`decide` replies while tools are offered, the script otherwise; `heard` keeps the messages
    of each offer."""

    decide: Any
    heard: list[Any] = []  # noqa: RUF012 - pydantic copies it

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        return self.bind(offered=[tool["function"]["name"] for tool in tools])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if "offered" not in kwargs:
            return super()._generate(messages, stop, run_manager, **kwargs)
        self.heard.append(messages)
        reply = self.decide(messages, kwargs["offered"])
        return ChatResult(generations=[ChatGeneration(message=reply)])


def calls(*wanted: tuple[str, dict[str, Any]]) -> AIMessage:
    """A reply that calls these tools."""
    made = [ToolCall(name=name, args=args, id=f"c{k}") for k, (name, args) in enumerate(wanted)]
    return AIMessage("", tool_calls=made)


def in_turn(*replies: AIMessage) -> Decide:
    """These replies, one a turn, then "enough"."""
    left = list(replies)
    return lambda messages, offered: left.pop(0) if left else AIMessage("enough")
