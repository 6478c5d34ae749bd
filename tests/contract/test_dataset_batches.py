"""Dataset mode through the Batch API: the embedded models behind it, the same records as online."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages.utils import convert_to_messages
from tests.helpers.batch_server import BatchServer, Body
from tests.helpers.chat_server import completion

import videoespresso as ve
from videoespresso.dataset.batch_rounds import Batch
from videoespresso.errors import UserError
from videoespresso.models.chat import chat_model
from videoespresso.models.embedded import PACK_LVLM
from videoespresso.settings import DATASET_ROLES, Settings

pytestmark = pytest.mark.skipif(
    not (PACK_LVLM / "pack.json").exists(), reason="the pack is not built (make pack)"
)
VIDEO = Path(__file__).resolve().parents[2] / "examples/videos/street.mp4"


def embedded(body: Body) -> tuple[int, Body]:
    """A request's body, executed by the pack or, for dataset mode's own roles, by the teacher."""
    first = str(body["messages"][0]["content"]).partition("\n")[0]
    teacher = any(role in first for role in DATASET_ROLES)
    said = chat_model("embedded:teacher" if teacher else "embedded:").invoke(
        convert_to_messages(body["messages"])
    )
    assert said.usage_metadata is not None
    usage = said.usage_metadata["input_tokens"], said.usage_metadata["output_tokens"]
    return 200, completion({"role": "assistant", "content": said.text}, "pack-1", usage=usage)


def settings(cache: Path, server: BatchServer) -> ve.Settings:
    given: dict[str, Any] = dict.fromkeys(
        ("captioner", *DATASET_ROLES), f"openai:pack@{server.url}"
    )
    return ve.Settings.load(
        given | {"detector": "embedded:", "cache_dir": cache, "dynamic_fps": 1.0}, environ={}
    )


def records(folder: Path) -> list[dict[str, Any]]:
    """Without what tells batches from calls: the methods that were tried and the cost."""
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    for record in lines:
        del record["cost"]
        for made in record["made"].values():
            del made["how"], made["snapshot"]
    return lines


def test_batches_give_the_records_that_calls_give(tmp_path: Path) -> None:
    with BatchServer(embedded) as server:
        online = ve.build_dataset(
            VIDEO, tmp_path / "online", settings=settings(tmp_path / "a", server)
        )
        called = len(server.online)
        told: list[int] = []

        def tell(states: list[Any]) -> None:
            told.append(len(states))
            server.finish()

        batched = ve.build_dataset(
            VIDEO,
            tmp_path / "batched",
            settings=settings(tmp_path / "b", server),
            batch=Batch(poll_s=0.01, tell=tell),
        )
        assert len(server.online) == called, "nothing was asked online in batch mode"
        assert len(server.executed) == called, "as many requests as calls, none twice"
    assert batched.records == online.records > 0
    assert batched.deferred == 0
    assert records(tmp_path / "batched") == records(tmp_path / "online")


def test_what_is_sent_is_gone_on_with_another_day(tmp_path: Path) -> None:
    """Every call sends a round and ends; the replies come between the calls."""
    with BatchServer(embedded) as server:
        means = settings(tmp_path / "cache", server)
        out, rounds = tmp_path / "out", 0
        while True:
            built = ve.build_dataset(VIDEO, out, settings=means, batch=Batch(wait=False))
            rounds += 1
            if not built.deferred:
                break
            again = ve.build_dataset(VIDEO, out, settings=means, batch=Batch(wait=False))
            assert again.deferred == built.deferred, "what is under way is not sent again"
            server.finish()
            assert rounds < 10
        assert rounds == 6, "captions, pairs, verdicts, annotations, options, and the last look"
        assert not server.online
        assert len({json.dumps(body, sort_keys=True) for body in server.executed}) == len(
            server.executed
        )
    assert built.records > 0


def test_batches_without_a_model_that_takes_them_are_refused_before_anything_is_done(
    tmp_path: Path,
) -> None:
    """Silently paying the full price is not what --batch asks for."""
    settings = Settings.load({"profile": "embedded", "cache_dir": tmp_path / "cache"}, environ={})
    with pytest.raises(UserError, match="Batch API") as caught:
        ve.build_dataset(VIDEO, tmp_path / "out", settings=settings, batch=Batch())
    assert "--profile openai" in caught.value.hint
    assert not list((tmp_path / "out").glob("records*"))
