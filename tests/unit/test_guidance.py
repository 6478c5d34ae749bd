"""Replies held to their schema: right in form under any noise, and within their budget."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field
from tokenizers import Tokenizer

from videoespresso.agents.annotator import Annotation
from videoespresso.agents.checker import Verdict
from videoespresso.agents.distractor import Distractors
from videoespresso.agents.follower import Standalone
from videoespresso.agents.generator import Pairs
from videoespresso.agents.reasoner import Conclusion, Evidence
from videoespresso.agents.selector import Selection
from videoespresso.agents.verifier import Finding
from videoespresso.errors import ModelError
from videoespresso.models.client.structured_output import bounded, most_rest, numbers, one_of
from videoespresso.models.embedded import PACK_LVLM
from videoespresso.models.guidance import Vocabulary

TEXT = (PACK_LVLM / "tokenizer.json").read_text()
TOKENIZER = Tokenizer.from_str(TEXT)
END = TOKENIZER.token_to_id("<|end|>")
WIDTH = 1536
VOCABULARY = Vocabulary(TEXT, WIDTH, [END])

REPLIES: dict[type[BaseModel], Mapping[str, Any]] = {
    Selection: {"Kept.frame": numbers(1, 12), "Selection.core": {"maxItems": 12}},
    Evidence: {"Step.frame": numbers(1, 3)},
    Conclusion: {"Conclusion.choice": one_of(["A", "B", None])},
    Verdict: {},
    Standalone: {"Standalone.video": numbers(0, 2)},
    Pairs: {"Pairs.pairs": {"maxItems": 6}},
    Finding: {"Finding.criterion": one_of(["accuracy", ""])},
    Annotation: {"Sentence.core": numbers(1, 5)},
    Distractors: {"Distractors.wrong": {"minItems": 3, "maxItems": 6}},
}


def reply(schema: dict[str, Any], budget: int, noise: np.random.Generator) -> tuple[str, int]:
    """What a model says that likes no token more than another; the text and its tokens."""
    guidance, ids = VOCABULARY.guidance(schema, budget), []
    for _ in range(budget):
        token = int(guidance.masked(noise.normal(size=WIDTH).astype(np.float32)).argmax())
        ids.append(token)
        guidance.consume(token)
        if token == END:
            break
    return TOKENIZER.decode(ids), len(ids)


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
def test_noise_is_right_in_form_and_ends_in_time(kind: type[BaseModel]) -> None:
    schema = bounded(kind, REPLIES[kind])
    noise = np.random.default_rng(0)
    for budget in (most_rest(schema) + 4, 200, 512):
        for _ in range(20):
            text, used = reply(schema, budget, noise)
            kind.model_validate_json(text)  # not one in sixty is cut, or mended
            assert used <= budget


def test_what_was_shown_is_all_that_can_be_named() -> None:
    noise, seen = np.random.default_rng(1), set()
    schema = bounded(Evidence, {"Step.frame": numbers(2, 3), "Evidence.steps": {"minItems": 1}})
    for _ in range(30):
        value = Evidence.model_validate_json(reply(schema, 300, noise)[0])
        seen |= {step.frame for step in value.steps}
    assert seen == {2, 3}


class Sized(BaseModel):
    word: str = Field(max_length=7)
    count: int = Field(ge=3, lt=9)
    share: float
    kind: Literal["a", "b"] | None = None
    rows: list[list[int]] = Field(min_length=2)


def test_a_schemas_own_limits_stay() -> None:
    schema, noise = bounded(Sized), np.random.default_rng(2)
    for _ in range(40):
        Sized.model_validate_json(reply(schema, 150, noise)[0])
    assert schema["properties"]["word"]["maxLength"] == 7


def test_a_bound_of_no_field_is_a_mistake_in_the_role() -> None:
    with pytest.raises(KeyError, match="fame"):
        bounded(Evidence, {"Step.fame": numbers(1, 2)})
    with pytest.raises(KeyError, match="Stop"):
        bounded(Evidence, {"Stop.frame": numbers(1, 2)})


def test_the_likeliest_letter_is_kept_where_the_form_leaves_a_choice() -> None:
    wanted = '{"answered":true,"answer":"two dogs","choice":"B"}'
    ids = [*TOKENIZER.encode(wanted, add_special_tokens=False).ids, END]
    guidance = VOCABULARY.guidance(bounded(Conclusion, REPLIES[Conclusion]), 200)
    for token in ids:
        logits = np.zeros(WIDTH, np.float32)
        logits[token] = 1.0
        assert int(guidance.masked(logits).argmax()) == token
        guidance.consume(token)


def test_a_token_against_the_form_sets_the_rest_free() -> None:
    guidance = VOCABULARY.guidance(bounded(Verdict), 100)
    guidance.consume(END)
    logits = np.arange(WIDTH, dtype=np.float32)
    assert guidance.masked(logits) is logits


def test_a_generation_that_forbids_what_the_form_wants_gives_way() -> None:
    guidance = VOCABULARY.guidance(bounded(Verdict), 100)
    masked = guidance.masked(np.full(WIDTH, -np.inf, np.float32))
    assert TOKENIZER.decode([int(masked.argmax())]).startswith("{")


def test_what_cannot_be_held_is_said() -> None:
    with pytest.raises(ModelError, match="held to the schema"):
        VOCABULARY.guidance({"type": "array", "uniqueItems": True, "items": {}}, 10)
    with pytest.raises(ModelError, match="tokenizer"):
        Vocabulary("{}", 10, [0])
