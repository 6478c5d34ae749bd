"""A chat model that keeps what it was sent, and a reply cache that tells its keys."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from videoespresso.memory.replies import ReplyCache, StoredReply


class Recorder(BaseChatModel):
    """Replies in turn, the last one again and again; `heard` keeps messages and what was bound.

    The settings are those that are in a reply's key.
    """

    replies: tuple[str, ...] = ("",)
    refuses: tuple[str, ...] = ()
    heard: list[Any] = []  # noqa: RUF012 - pydantic copies it
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = 512
    seed: int | None = None
    max_pixels: int | None = None
    dtype: str | None = None
    identity: str | None = None
    openai_api_base: str | None = None

    @property
    def _llm_type(self) -> str:
        return "recorder"

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[Any, Any]:
        if kwargs["method"] in self.refuses:
            raise NotImplementedError
        return self.bind(bound={"schema": schema, "include_raw": include_raw, **kwargs})

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        return self.bind(bound={"tools": list(tools), "tool_choice": tool_choice, **kwargs})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self.replies[min(len(self.heard), len(self.replies) - 1)]
        self.heard.append((messages, {"stop": stop, **kwargs}))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(reply))])


class Keys(ReplyCache):
    """A reply cache that tells under which keys replies were put."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.put_under: list[str] = []

    def put(self, key: str, spec: str, role: str, reply: StoredReply) -> None:
        self.put_under.append(key)
        super().put(key, spec, role, reply)
