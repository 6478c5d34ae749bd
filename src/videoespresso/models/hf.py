"""`hf:PATH_OR_ID`: a transformers image-text-to-text model, in this process.

Options stand behind a question mark: hf:OpenGVLab/InternVL3-1B-hf?dtype=bfloat16&device=cuda:1;
a LoRA adapter behind a plus: hf:BASE+ADAPTER.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from threading import Lock, Thread
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from PIL import Image
from pydantic import Field, PrivateAttr

from videoespresso.models import hf_weights
from videoespresso.models.client.messages import data_uri, from_data_uri
from videoespresso.models.costs import FRAME
from videoespresso.models.guidance import GuidedLogits, Vocabulary

MAX_PIXELS = 1024 * 1024
"""Larger images are reduced to this area first: encoders tile, and memory grows with area."""


BATCH = 4
"""Requests that are answered together when so many wait: on a GPU nearly as fast as one of them."""


@dataclass(eq=False)
class _Request:
    """A request that waits for the weights, and its result or error."""

    messages: list[BaseMessage]
    options: dict[str, Any]
    result: ChatResult | None = None
    error: Exception | None = None


class HfChatModel(BaseChatModel):
    """A local or hub model through AutoModelForImageTextToText and AutoProcessor.

    path: a folder or a hub id, BASE+ADAPTER, or an adapter's folder (hf_weights.py); a hub id is
    one that was fetched before, and remote code is never run.
    dtype: "auto" (as saved, float32 on a CPU) or a torch dtype's name. device: "auto" (cuda, mps,
    cpu), or a torch device. One generation at a time, the weights are shared: requests that wait
    meanwhile are answered together, at most `batch` of them.
    """

    path: str
    dtype: str = "auto"
    device: str = "auto"
    max_pixels: int = MAX_PIXELS
    max_tokens: int = 1024
    temperature: float = 0.0
    batch_size: int = Field(default=BATCH, ge=1, alias="batch")

    guided: ClassVar[bool] = True
    """`json_schema=` may be bound: replies fit it."""

    _vocabularies: dict[int, Vocabulary] = PrivateAttr(default_factory=dict)
    _lock: Lock = PrivateAttr(default_factory=Lock)
    _waiting: list[_Request] = PrivateAttr(default_factory=list)
    _waiting_lock: Lock = PrivateAttr(default_factory=Lock)

    @property
    def _llm_type(self) -> str:
        return "videoespresso-hf"

    @property
    def identity(self) -> str:
        """Names the weights for the reply cache."""
        return hf_weights.identity(self.path)

    def check_weights(self) -> None:
        """Raises as `hf_weights.located`: known before anything is decoded."""
        hf_weights.located(self.path)

    @cached_property
    def _recipe(self) -> hf_weights.Shown:
        return hf_weights.asked_as(self.path)

    @property
    def schema_in_prompt(self) -> bool:
        """Whether prompts hold the reply's schema (request.py)."""
        return self._recipe.schema

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """(processor, model in eval mode), loaded at first use."""
        return hf_weights.load(self.path, self.dtype, self.device)

    @property
    def sizes(self) -> dict[str, int] | None:
        """Active parameters of the language model and of the vision tower with its projection,
        patches and tokens of an image as large as a frame of a wide video; None where it cannot be
        known. Loads the weights."""
        processor, model = self._loaded
        if not hf_weights.converses(processor):
            return None
        picture = {"type": "image_url", "image_url": {"url": data_uri(Image.new("RGB", FRAME))}}
        seen = picture_sizes(model, self._inputs([[HumanMessage([picture])]]))
        return None if seen is None else active_parameters(model) | seen

    def _inputs(self, conversations: Sequence[Sequence[BaseMessage]]) -> Any:
        """The messages through the model's own chat template, on its device."""
        processor, model = self._loaded
        if not hf_weights.converses(processor):
            inputs = hf_weights.caption_inputs(self.path, processor, model, conversations)
            return inputs.to(model.device, dtype=model.dtype)
        inputs = processor.apply_chat_template(
            [[self._message(message) for message in one] for one in conversations],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **({"processor_kwargs": {"padding": True}} if len(conversations) > 1 else {}),
        )
        return inputs.to(model.device, dtype=model.dtype)

    def _message(self, message: BaseMessage) -> dict[str, Any]:
        """A LangChain message as transformers' chat templates want it; no text in it is a mark."""
        role = {"human": "user", "ai": "assistant"}.get(message.type, message.type)
        content: list[dict[str, Any]] = []
        blocks = [message.content] if isinstance(message.content, str) else message.content
        for block in blocks:
            if isinstance(block, dict) and block.get("type") == "image_url":
                image = from_data_uri(block["image_url"]["url"])
                image = hf_weights.shown(image, self._recipe.side)
                content.append({"type": "image", "image": _reduced(image, self.max_pixels)})
            else:
                text = block if isinstance(block, str) else str(block.get("text", ""))
                content.append({"type": "text", "text": hf_weights.neutral(text, self._marks)})
        return {"role": role, "content": content}

    @cached_property
    def _marks(self) -> tuple[str, ...]:
        return hf_weights.control_tokens(self._loaded[0])

    def _options(self, stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        processor, _ = self._loaded
        options: dict[str, Any] = {"max_new_tokens": kwargs.get("max_tokens", self.max_tokens)}
        options["do_sample"] = self.temperature > 0
        if self.temperature > 0:
            options["temperature"] = self.temperature
        if stop:
            options |= {"stop_strings": stop, "tokenizer": processor.tokenizer}
        if schema := kwargs.get("json_schema"):
            options["logits_processor"] = self._guided_logits(schema, options["max_new_tokens"])
        return options

    def _guided_logits(self, schema: dict[str, Any], budget: int) -> list[GuidedLogits]:
        """What holds replies to the schema. Raises ModelError for a model that only captions."""
        processor, model = self._loaded
        if not hf_weights.converses(processor):
            raise hf_weights.cannot_converse(self.path)
        backend = getattr(processor.tokenizer, "backend_tokenizer", None)
        if backend is None:  # a tokenizer in Python alone; the schema is in the prompt, too
            return []
        ends = model.generation_config.eos_token_id
        ends = processor.tokenizer.eos_token_id if ends is None else ends
        return [
            GuidedLogits(
                self._vocabularies,
                backend.to_str(),
                ends if isinstance(ends, list) else [ends],
                schema,
                budget,
            )
        ]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = _Request(messages, {"stop": stop, **kwargs})
        with self._waiting_lock:
            self._waiting.append(request)
        with self._lock:  # by now another thread may have answered it
            if request.result is None and request.error is None:
                self._answer(self._batch_of(request))
        if request.error is not None:
            raise request.error
        assert request.result is not None
        return request.result

    def _batch_of(self, request: _Request) -> list[_Request]:
        """The request and others that wait with the same options, taken off the list."""
        with self._waiting_lock:
            alike = [a for a in self._waiting if a is not request and a.options == request.options]
            some = [request, *alike[: self.batch_size - 1]]
            self._waiting = [a for a in self._waiting if a not in some]
        return some

    def _answer(self, some: list[_Request]) -> None:
        """Answers them together; where that fails (memory, a processor) one by one."""
        try:
            results = self._results([a.messages for a in some], some[0].options)
        except Exception as error:  # noqa: BLE001 - raised in the thread of the request
            if len(some) == 1:
                some[0].error = error
                return
            for one in some:
                self._answer([one])
        else:
            for one, result in zip(some, results, strict=True):
                one.result = result

    def _results(
        self, conversations: Sequence[Sequence[BaseMessage]], given: dict[str, Any]
    ) -> list[ChatResult]:
        processor, model = self._loaded  # says what to install when torch is missing
        inputs = self._inputs(conversations)
        options = self._options(given["stop"], given)
        outputs = model.generate(**inputs, **options)
        length = _prompt_length(model, inputs)
        results = []
        for k, output in enumerate(outputs):
            new = _until_end(output[length:].tolist(), model.generation_config.eos_token_id)
            cut = len(new) >= options["max_new_tokens"]
            message = AIMessage(
                processor.decode(new, skip_special_tokens=True).strip(),
                response_metadata={"finish_reason": "length" if cut else "stop"},
                usage_metadata=_usage(_read(inputs, k), len(new)),
            )
            results.append(ChatResult(generations=[ChatGeneration(message=message)]))
        return results

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with self._lock:
            processor, model = self._loaded  # says what to install when transformers is missing
            from transformers import TextIteratorStreamer  # noqa: PLC0415 - an optional extra

            inputs = self._inputs([messages])
            streamer = TextIteratorStreamer(
                processor.tokenizer, skip_prompt=True, skip_special_tokens=True
            )
            failed: list[BaseException] = []
            made: list[Any] = []
            options = self._options(stop, kwargs) | {"streamer": streamer}
            thread = Thread(target=_generate_into, args=(model, inputs, options, made, failed))
            thread.start()
            for piece in streamer:
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
            thread.join()
        if failed:
            raise failed[0]
        new = len(made[0]) - _prompt_length(model, inputs)
        yield ChatGenerationChunk(message=_last(new, _read(inputs, 0), options))


def _generate_into(
    model: Any, inputs: Any, options: dict[str, Any], made: list[Any], failed: list[BaseException]
) -> None:
    """The streaming thread. What it raises is handed over: a streamer alone would wait forever."""
    try:
        made.extend(model.generate(**inputs, **options))
    except BaseException as error:  # noqa: BLE001 - raised again by the reader
        failed.append(error)
        options["streamer"].end()


def _prompt_length(model: Any, inputs: Any) -> int:
    """How much of an output comes before the reply: the prompt, or what an encoder-decoder begins
    with, which may be the very token that ends a reply."""
    if getattr(model.config, "is_encoder_decoder", False):
        return 1
    if "input_ids" not in inputs:
        return 0
    return int(inputs["input_ids"].shape[1])


def _read(inputs: Any, row: int) -> int:
    """Tokens of a row's prompt, padding left out; 0 for a captioner that is given none."""
    return int(inputs["attention_mask"][row].sum()) if "attention_mask" in inputs else 0


def _last(new: int, length: int, options: dict[str, Any]) -> AIMessageChunk:
    """What ends a stream of `new` tokens: its usage, and whether it was cut."""
    cut = new >= options["max_new_tokens"]
    return AIMessageChunk(
        content="",
        response_metadata={"finish_reason": "length" if cut else "stop"},
        usage_metadata=_usage(length, new),
    )


def _until_end(tokens: list[int], ends: int | list[int] | None) -> list[int]:
    """The tokens up to the first that ends a reply, and with it; padding follows."""
    marks = {ends} if isinstance(ends, int) else set(ends or ())
    position = next((k for k, token in enumerate(tokens) if token in marks), len(tokens))
    return tokens[: position + 1]


def _reduced(image: Image.Image, max_pixels: int) -> Image.Image:
    """The image with at most max_pixels, its shape kept."""
    area = image.width * image.height
    if area <= max_pixels:
        return image
    scale = (max_pixels / area) ** 0.5
    return image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))


def _usage(input_tokens: int, output_tokens: int) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
    )


_TOWER = re.compile("vision|visual|image|projector|connector|merger|qformer|resampler")
"""In the name of a weight of the vision tower, or of what leads from it to the language model, in
transformers' models."""
_EXPERTS = ".experts."


def active_parameters(model: Any) -> dict[str, int]:
    """{"language": …, "vision": …}: weights that are active for a token, and for a patch of an
    image; of a mixture of experts, those of as many as a token is sent to."""
    counts = {"language": 0.0, "vision": 0.0}
    text = getattr(model.config, "text_config", model.config)
    every = getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None)
    share = getattr(text, "num_experts_per_tok", None) or every
    for name, weight in model.named_parameters():
        active = share / every if every and _EXPERTS in name else 1.0
        counts["vision" if _TOWER.search(name) else "language"] += active * weight.numel()
    return {side: round(count) for side, count in counts.items()}


def picture_sizes(model: Any, inputs: Any) -> dict[str, int] | None:
    """{"patches": …, "image_tokens": …} of the one picture in the processor's `inputs`: patches
    that the tower reads, and tokens that the language model does. None where the inputs do not
    say it."""
    config = model.config
    token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    if token is None or "input_ids" not in inputs or "pixel_values" not in inputs:
        return None
    if "image_grid_thw" in inputs:
        patches = int(inputs["image_grid_thw"].prod())
    else:
        side = getattr(getattr(config, "vision_config", None), "patch_size", None)
        if side is None:
            return None
        rows, columns = (side, side) if isinstance(side, int) else side
        *tiles, _, height, width = inputs["pixel_values"].shape
        patches = prod(tiles) * (height // rows) * (width // columns)
    return {"patches": patches, "image_tokens": int((inputs["input_ids"] == token).sum())}
