"""Model providers of another package: one whose client is httpx's, and one that has its own way."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr


class _Sdk:
    """As SDKs are: the client is some steps down."""

    def __init__(self) -> None:
        self._session = httpx.Client(follow_redirects=True, timeout=None)

    def post(self, url: str, words: str) -> str:
        return self._session.post(url, json={"words": words}).text


class OverHttpx(BaseChatModel):
    """Asks with a client that follows redirects and waits for ever."""

    url: str
    _sdk: Any = PrivateAttr(default_factory=_Sdk)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = self.post(str(messages[-1].content))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def post(self, words: str) -> str:
        reply: str = self._sdk.post(self.url, words)
        return reply

    @property
    def _llm_type(self) -> str:
        return "other"


class OverUrllib(OverHttpx):
    """Asks without httpx, and waits for ever."""

    def post(self, words: str) -> str:
        request = urllib.request.Request(self.url, json.dumps(words).encode())
        with urllib.request.urlopen(request) as reply:
            return str(reply.read().decode())

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with urllib.request.urlopen(urllib.request.Request(self.url, b"")) as reply:
            while word := reply.read(1):
                yield ChatGenerationChunk(message=AIMessageChunk(word.decode()))


def over_httpx(model: str, *, base_url: str, **given: Any) -> BaseChatModel:
    return OverHttpx(url=base_url)


def over_urllib(model: str, *, base_url: str, **given: Any) -> BaseChatModel:
    return OverUrllib(url=base_url)
