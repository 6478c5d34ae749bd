"""A batch whose replies are a real model's: the embedded pack behind a Batch API."""

from pathlib import Path

import pytest
from langchain_core.messages.utils import convert_to_messages
from tests.helpers.batch_server import BatchServer, Body
from tests.helpers.chat_server import completion

from videoespresso.agents.base import Agent
from videoespresso.agents.captioner import caption
from videoespresso.agents.checker import check
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.batch_api.collector import BatchCollector, Deferred
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.embedded import PACK_LVLM
from videoespresso.models.specs import ModelSpec
from videoespresso.theatre import make_story
from videoespresso.types import EvidenceStep

pytestmark = pytest.mark.skipif(
    not (PACK_LVLM / "pack.json").exists(), reason="the pack is not built (make pack)"
)
PACK = ModelSpec.parse("embedded:")


def by_the_pack(body: Body) -> tuple[int, Body]:
    """The body of a request, executed."""
    said = chat_model(PACK).invoke(convert_to_messages(body["messages"]))
    assert said.usage_metadata is not None
    usage = said.usage_metadata["input_tokens"], said.usage_metadata["output_tokens"]
    return 200, completion({"role": "assistant", "content": said.text}, "pack-1", usage=usage)


def test_a_batch_says_what_the_model_says(tmp_path: Path) -> None:
    story = make_story(1_000_003)
    images = [story.scene(story.duration_s * k / 4).render(320) for k in range(4)]
    evidence = [EvidenceStep(text="A red car stops at the light.", frame_id="f", time_s=1.0)]
    question = "Why does the red car stop?"
    usage_log, replies = UsageLog(), ReplyCache(tmp_path / "replies.sqlite")
    here = Agent("captioner", PACK, chat_model(PACK), usage_log=UsageLog())
    with BatchServer(by_the_pack) as server:
        spec = ModelSpec.parse(f"openai:pack@{server.url}")
        collector = BatchCollector(tmp_path / "batches", replies, Budget(), usage_log)
        agent = Agent(
            "captioner",
            spec,
            chat_model(spec),
            usage_log=usage_log,
            replies=replies,
            collector=collector,
        )
        with pytest.raises(Deferred):
            caption(agent, images)
        with pytest.raises(Deferred):
            check(agent, question, evidence, "The light is red.")
        assert [state.requests for state in collector.submit()] == [5]
        server.finish()
        (state,) = collector.poll()
        assert (state.good, state.bad) == (5, 0)
        assert caption(agent, images) == caption(here, images)
        verdict = check(agent, question, evidence, "The light is red.")
        assert verdict == check(here, question, evidence, "The light is red.")
        collector.close()
        assert not server.online
    assert usage_log.total().calls == 5
    captions = [entry.usage for entry in usage_log.entries() if entry.usage.images]
    alone = [entry.usage for entry in here.usage_log.entries() if entry.usage.images]
    assert sum(u.input_tokens for u in captions) == sum(u.input_tokens for u in alone) > 0
