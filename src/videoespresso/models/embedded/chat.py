"""The pack as a LangChain chat model: it reads the very messages that other models are sent."""

import os
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from videoespresso.models.client.messages import conversation
from videoespresso.models.embedded import PACK_LVLM
from videoespresso.models.embedded.runtime import PackRuntime, Prompted


@lru_cache(maxsize=4)
def runtime(folder: Path = PACK_LVLM) -> PackRuntime:
    """The runtime of a pack folder, loaded once a process."""
    return PackRuntime(folder)


_AT_ONCE = threading.BoundedSemaphore(os.cpu_count() or 1)  # a call takes one core


class PackChatModel(BaseChatModel):
    """Text out, images in, greedy. No tools. JSON is what it was taught to write, and what it is
    held to where a schema is bound."""

    folder: Path = PACK_LVLM
    max_tokens: int = 512
    guided: ClassVar[bool] = True

    @property
    def _llm_type(self) -> str:
        return "videoespresso-pack"

    @property
    def identity(self) -> str:
        """Digest of the weights: cached replies of another pack are not this one's."""
        return str(runtime(self.folder).facts["digest"])

    @property
    def sizes(self) -> dict[str, int]:
        """Parameters of the language model and of the vision tower with its projection, patches
        and tokens of an image: for efficiency (evaluation/efficiency.py)."""
        facts = runtime(self.folder).facts
        named = ("language", "vision")
        counts = {name: int(facts[f"{name}_parameters"]) for name in named}
        return counts | {name: int(facts[name]) for name in ("patches", "image_tokens")}

    def _prompt(self, messages: Sequence[BaseMessage]) -> Prompted:
        return runtime(self.folder).prompt(*conversation(messages))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """One reply. `stop` is not supported: the pack ends its own replies."""
        prompt, schema = self._prompt(messages), kwargs.get("json_schema")
        with _AT_ONCE:
            text = runtime(self.folder).generate([prompt], self.max_tokens, schema)[0]
        message = AIMessage(text, usage_metadata=self._usage(prompt, text))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """Pieces of one reply, the last one with the usage."""
        prompt, schema, reply = self._prompt(messages), kwargs.get("json_schema"), ""
        with _AT_ONCE:
            for piece in runtime(self.folder).stream(prompt, self.max_tokens, schema):
                reply += piece
                if run_manager:
                    run_manager.on_llm_new_token(piece)
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", usage_metadata=self._usage(prompt, reply))
        )

    def _usage(self, prompt: Prompted, text: str) -> UsageMetadata:
        pack = runtime(self.folder)
        per_image = pack.facts["image_tokens"] + 2  # and the marks around it, less `<image>` itself
        read = pack.count(prompt.text) + per_image * len(prompt.images)
        wrote = pack.count(text)
        return UsageMetadata(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)
