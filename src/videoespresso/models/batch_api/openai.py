"""OpenAI's Batch API: a file of requests now, their replies within a day, at half the price.

Also the two ends of it: what ChatOpenAI would send, and a reply that came as ChatOpenAI reads it.
Both by the real client with a transport that ends in this process, so that nothing is rebuilt here.
Limits and the form of the files: https://platform.openai.com/docs/guides/batch.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videoespresso.errors import ModelError
from videoespresso.models.chat import chat_model
from videoespresso.models.client.errors import model_errors
from videoespresso.models.client.http import files
from videoespresso.models.specs import ModelSpec

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from openai import OpenAI
    from openai.types import Batch

MOST_REQUESTS = 50_000
"""In one file."""
MOST_BYTES = 200_000_000
"""Of one file."""
ENDPOINT = "/v1/chat/completions"
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
"""A batch with one of these statuses changes no more."""

_TIMEOUT_S = 600.0
"""For a whole file, up or down."""
_TRIES = 4
_OURS = "videoespresso"
"""The metadata key under which a batch carries the name we gave it."""


class Offline:
    """A copy of a ChatOpenAI whose requests end here; thread-safe."""

    def __init__(self, model: "BaseChatModel") -> None:
        import openai  # noqa: PLC0415 - a second or two

        http = sys.modules[type(openai.DEFAULT_CONNECTION_LIMITS).__module__.partition(".")[0]]
        self._response = http.Response
        self._now = threading.local()
        client = openai.DefaultHttpxClient(
            transport=http.MockTransport(self._answer), verify=False, trust_env=False
        )  # nothing goes out, so no certificates are read: 30 ms
        root = _root(model).with_options(http_client=client)
        self._base = root.base_url.path.rstrip("/")
        self.model = model.model_copy(update={"root_client": root, "client": root.chat.completions})

    def sent(self, call: "Callable[[BaseChatModel], object]") -> tuple[str, dict[str, Any]]:
        """What the call sends when it is made on the model: the path behind the base URL, and the
        JSON body."""
        self._now.reply = (200, _NOTHING)
        call(self.model)
        sent: tuple[str, dict[str, Any]] = self._now.sent
        return sent

    def read(self, status: int, body: object) -> "BaseMessage":
        """A chat completion as ChatOpenAI reads it. Raises what the SDK raises."""
        self._now.reply = (status, body)
        return self.model.invoke("?")

    def _answer(self, request: Any) -> Any:
        path = str(request.url.path).removeprefix(self._base)
        self._now.sent = path, json.loads(request.content)
        status, body = self._now.reply
        return self._response(status, json=body)


_NOTHING = {
    "id": "",
    "object": "chat.completion",
    "created": 0,
    "model": "",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "{}"}}
    ],
}


def batchable(spec: ModelSpec, model: "BaseChatModel") -> bool:
    """Whether the model is OpenAI's, or one that is spoken to as such."""
    return spec.provider == "openai" and hasattr(model, "root_client")


def _root(model: "BaseChatModel") -> "OpenAI":
    client: OpenAI = model.root_client  # type: ignore[attr-defined]
    return client


class BatchApi:
    """The server's side. Address and key are those of ChatOpenAI (OPENAI_API_KEY, the base URL).

    Every method raises ModelError when the server cannot be reached or refuses; all but `create`
    are tried several times, for a second `create` would pay twice.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.model = chat_model(spec)
        self._once = _root(self.model).with_options(timeout=_TIMEOUT_S)
        self._client = self._once.with_options(max_retries=_TRIES - 1)

    def upload(self, path: Path, name: str) -> str:
        """Sends a file of requests; its id."""
        with model_errors(self.spec), path.open("rb") as file:
            return self._client.files.create(file=(_file_name(name), file), purpose="batch").id

    def find_file(self, name: str) -> str:
        """The id of a file that was uploaded under that name, "" when there is none."""
        with model_errors(self.spec):
            for file in self._client.files.list(purpose="batch"):
                if file.filename == _file_name(name):
                    return file.id
        return ""

    def create(self, file_id: str, name: str) -> "Batch":
        """Starts the batch; from here on it costs money."""
        with model_errors(self.spec):
            return self._once.batches.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_OURS: name},
            )

    def find(self, name: str) -> "Batch | None":
        """The batch that carries our name, if it was created."""
        with model_errors(self.spec):
            for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get(_OURS) == name:
                    return batch
        return None

    def get(self, batch_id: str) -> "Batch | None":
        """How the batch is; None when the server does not know it any more."""
        import openai  # noqa: PLC0415 - a second or two

        with model_errors(self.spec):
            try:
                return self._client.batches.retrieve(batch_id)
            except openai.NotFoundError:
                return None

    def lines(self, file_id: str) -> Iterator[str]:
        """A file's lines, one at a time: it may have 200 MB."""
        with model_errors(self.spec), ExitStack() as stack:
            with files(MOST_BYTES):
                content = self._client.files.with_streaming_response.content(file_id)
                response = stack.enter_context(content)
            yield from response.iter_lines()

    def delete(self, file_id: str) -> bool:
        """Deletes a file at the server; False when that failed, which harms nothing."""
        try:
            with model_errors(self.spec):
                self._client.files.delete(file_id)
        except ModelError:
            return False
        return True


def _file_name(name: str) -> str:
    return f"videoespresso-{name}.jsonl"
