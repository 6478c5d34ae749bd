"""`onnx:` as a LangChain chat model: it reads the messages that every other model is sent."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from threading import Lock
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from videoespresso.models.client.messages import conversation
from videoespresso.models.onnx.files import export_files
from videoespresso.models.onnx.runtime import OnnxVlm


class OnnxChatModel(BaseChatModel):
    """Text out, images in, greedy; replies that must be JSON are held to their schema.

    path: a folder, or the id of a repository that is in the Hugging Face cache. dtype: the
    decoder's number format; threads: 0 for a number by the cores. One reply at a time.
    """

    path: str
    dtype: str = ""
    threads: int = 0
    max_tokens: int = 1024
    temperature: float = 0.0
    """For keys only: decoding is greedy."""

    guided: ClassVar[bool] = True
    """`json_schema=` may be bound: replies fit it."""
    schema_in_prompt: ClassVar[bool] = False
    """The schema holds the reply, so its text is left out: 300 tokens are seconds on a CPU."""

    _lock: Lock = PrivateAttr(default_factory=Lock)

    @property
    def _llm_type(self) -> str:
        return "videoespresso-onnx"

    @property
    def identity(self) -> str:
        """Names the weights for the reply cache."""
        return export_files(self.path, self.dtype).identity

    @cached_property
    def runtime(self) -> OnnxVlm:
        """The model, its graphs loaded when first used."""
        return OnnxVlm(self.path, self.dtype, self.threads)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """One reply. `stop` is not supported: the model ends its own replies."""
        *pieces, last = self._pieces(messages, kwargs)
        message = AIMessage(
            "".join(str(piece.content) for piece in pieces).strip(),
            response_metadata=last.response_metadata,
            usage_metadata=last.usage_metadata,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """Pieces of one reply, the last one with the usage."""
        for piece in self._pieces(messages, kwargs):
            if run_manager and piece.content:
                run_manager.on_llm_new_token(str(piece.content))
            yield ChatGenerationChunk(message=piece)

    def _pieces(
        self, messages: Sequence[BaseMessage], given: dict[str, Any]
    ) -> Iterator[AIMessageChunk]:
        """The reply as far as it decodes to whole letters, then what it took."""
        limit = int(given.get("max_tokens") or self.max_tokens)
        with self._lock:
            runtime = self.runtime
            prompt = runtime.prompt(*conversation(messages))
            ids: list[int] = []
            text = ""
            for token in runtime.steps(prompt, limit, given.get("json_schema")):
                ids.append(token)
                longer = runtime.sides.tokenizer.decode(ids)
                if not longer.endswith("\ufffd"):  # half a letter
                    yield AIMessageChunk(content=longer[len(text) :])
                    text = longer
        read, wrote = len(prompt[0]), len(ids)
        yield AIMessageChunk(
            content=runtime.sides.tokenizer.decode(ids)[len(text) :],
            response_metadata={"finish_reason": "length" if wrote >= limit else "stop"},
            usage_metadata=UsageMetadata(
                input_tokens=read, output_tokens=wrote, total_tokens=read + wrote
            ),
        )
