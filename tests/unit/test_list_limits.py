"""Lists in replies have an end: in the schema that a server gets, and in what is read."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.helpers import chat_server as fake
from tests.helpers.server_agent import agent

from videoespresso.agents import generator
from videoespresso.agents.annotator import Annotation
from videoespresso.agents.captioner import Sheet
from videoespresso.agents.distractor import Distractors
from videoespresso.agents.generator import MOST_PAIRS, Pairs
from videoespresso.agents.reasoner import Concluded, Evidence, Item
from videoespresso.agents.scorer import Scores
from videoespresso.agents.selector import Selection
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.client.structured_output import MOST_ITEMS, sent, shortened
from videoespresso.types import Caption

SCHEMAS: list[type[BaseModel]] = [
    *(Annotation, Concluded, Distractors, Evidence, Pairs, Scores, Selection, Sheet),
]
PAIR = {"question": "What falls?", "answer": "A cup.", "task": "Event Dynamic"}
CAPTIONS = [Caption(frame_id=f"v:{k}", time_s=float(k), text="A cup.") for k in range(3)]


def lists(node: Any) -> list[dict[str, Any]]:
    """Every list in a JSON schema."""
    if isinstance(node, list):
        return [found for child in node for found in lists(child)]
    if not isinstance(node, dict):
        return []
    own = [node] if node.get("type") == "array" else []
    return own + [found for child in node.values() for found in lists(child)]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: s.__name__)
def test_every_list_of_every_role_has_its_limit_in_the_schema_that_is_sent(
    schema: type[BaseModel],
) -> None:
    found = lists(sent(schema))
    assert found
    assert all(node["maxItems"] == MOST_ITEMS for node in found)


def test_a_list_is_sent_and_cut_as_its_role_says_and_the_reply_stays_paid(tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "replies.sqlite")
    with fake.Server([fake.say(json.dumps({"pairs": [PAIR] * 40}))]) as server:
        asker = agent(server, replies=replies)
        for _ in range(2):  # from the model, then from the cache
            assert len(generator.generate(asker, CAPTIONS).value.pairs) == MOST_PAIRS
        (request,) = server.requests
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["pairs"]["maxItems"] == MOST_PAIRS


def test_a_reply_that_was_cut_is_read_from_the_cache_as_it_was_from_the_model(
    tmp_path: Path,
) -> None:
    replies = ReplyCache(tmp_path / "replies.sqlite")
    text = json.dumps({"pairs": [PAIR] * 3})[:-30]
    with fake.Server([fake.say(text, finish="length")]) as server:
        for _ in range(2):
            reply = generator.generate(agent(server, replies=replies), CAPTIONS)
            assert len(reply.value.pairs) == 2, reply.how
        assert len(server.requests) == 1


def test_lists_in_lists_are_cut_too() -> None:
    items = [Item(name=f"thing {k}", box=[1, 2, 3, 4]) for k in range(MOST_ITEMS + 3)]
    steps = [{"frame": 1, "text": "a", "items": items}] * (MOST_ITEMS + 1)
    cut = shortened(Evidence.model_validate({"steps": steps}))
    assert len(cut.steps) == MOST_ITEMS
    assert {len(step.items) for step in cut.steps} == {MOST_ITEMS}
    assert cut.steps[0].items == items[:MOST_ITEMS]
