"""Typed replies read without a model: the methods in turn, repair, the retry; schemas."""

import json

import pytest
from pydantic import BaseModel, Field

from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.models.client.errors import UnsupportedError
from videoespresso.models.client.messages import ModelReply
from videoespresso.models.client.reading import read
from videoespresso.models.client.structured_output import (
    METHODS,
    Attempt,
    Method,
    Parsed,
    strict_schema,
    structured_output,
)


class Step(BaseModel):
    text: str
    box: tuple[float, float, float, float] = (0, 0, 1, 1)


class Reply(BaseModel):
    steps: list[Step]
    default: str = "x"


GOOD = ModelReply('{"steps": [{"text": "a"}]}')
PROSE = ModelReply("I think the second frame.")
VIOLATING = ModelReply('{"steps": 3}')
EMPTY = ModelReply("  ")
CUT = ModelReply('{"steps": [', cut=True)
NO = UnsupportedError("no")

Outcome = ModelReply | UnsupportedError


def run(
    outcomes: list[Outcome], methods: tuple[Method, ...] = METHODS
) -> tuple[Parsed[Reply] | Exception, list[Attempt], list[Method]]:
    """(result or error, attempts, methods not to be tried again)"""
    attempts: list[Attempt] = []
    unable: list[Method] = []

    def ask(attempt: Attempt) -> Outcome:
        attempts.append(attempt)
        return outcomes[len(attempts) - 1]

    try:
        return structured_output(Reply, methods, ask, unable.append), attempts, unable
    except ModelError as error:
        return error, attempts, unable


@pytest.mark.parametrize(
    ("outcomes", "how", "unable"),
    [
        ([GOOD], ["json_schema: ok"], []),
        ([NO, GOOD], ["json_schema: refused", "tool: ok"], ["json_schema"]),
        (
            [NO, NO, GOOD],
            ["json_schema: refused", "tool: refused", "prompt: ok"],
            ["json_schema", "tool"],
        ),
        ([PROSE, GOOD], ["json_schema: not JSON", "tool: ok"], ["json_schema"]),
        ([EMPTY, GOOD], ["json_schema: the reply is empty", "tool: ok"], []),
        ([CUT, GOOD], ["json_schema: the reply was cut at the length limit", "tool: ok"], []),
        (
            [PROSE, NO, PROSE, GOOD],
            ["json_schema: not JSON", "tool: refused", "prompt: not JSON", "prompt: ok"],
            ["json_schema", "tool"],
        ),
    ],
)  # fmt: skip
def test_what_was_tried_and_what_is_not_tried_again(
    outcomes: list[Outcome], how: list[str], unable: list[Method]
) -> None:
    result, attempts, unusable = run(outcomes)
    assert isinstance(result, Parsed)
    assert list(result.how) == how
    assert sorted(unusable) == unable
    assert len(attempts) == len(outcomes)


def test_the_retry_carries_the_words_and_the_fault() -> None:
    result, attempts, _ = run([VIOLATING, GOOD], ("prompt",))
    assert isinstance(result, Parsed)
    assert attempts[0] == Attempt("prompt")
    assert attempts[1].again is not None
    assert attempts[1].again[0] == VIOLATING.text
    assert "steps" in attempts[1].again[1]


@pytest.mark.parametrize("text", ["", "  ", "<think>\nHm, let me see"])
def test_a_reply_that_used_its_limit_for_nothing_is_not_asked_for_in_other_forms(
    text: str,
) -> None:
    result, attempts, unable = run([ModelReply(text, cut=True)])
    assert isinstance(result, ModelOutputError)
    assert "length limit before it said anything" in str(result)
    assert "thinking off" in (result.hint or "")
    assert (len(attempts), unable) == (1, [])


def test_prose_that_was_cut_says_nothing_against_the_form_that_asks_for_json_in_words() -> None:
    prose = ModelReply("The man walks and", cut=True)
    result, attempts, _ = run([prose, prose, ModelReply('{"steps": []}')])
    assert isinstance(result, Parsed)
    assert [a.method for a in attempts] == ["json_schema", "tool", "prompt"]


def test_after_a_second_reply_cut_at_its_limit_no_other_form_is_tried() -> None:
    result, attempts, unable = run([CUT, CUT])
    assert isinstance(result, ModelOutputError)
    assert "before anything in them was whole" in str(result)
    assert (len(attempts), unable) == (2, [])


def test_a_hopeless_reply_is_an_error_with_everything_that_was_tried() -> None:
    result, attempts, unable = run([NO, PROSE, PROSE, VIOLATING])
    assert isinstance(result, ModelOutputError)
    assert result.reply == VIOLATING.text
    assert "json_schema: refused; tool: not JSON; prompt: not JSON; prompt: steps" in str(result)
    assert len(attempts) == 4
    assert unable == ["json_schema"]  # refused, while others were answered; prose proves nothing


def test_a_request_refused_in_every_form_says_nothing_about_forms() -> None:
    result, _, unable = run([NO, NO, NO])
    assert result is NO
    assert unable == []


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ('{"steps": [{"text": "a"}]}', False),
        (' \n{"steps": [{"text": "a"}]}\n', False),
        ('```json\n{"steps": [{"text": "a"}]}\n```', False),
        ('Sure, here it is:\n```\n{"steps": [{"text": "a"}]}\n```\nAnything else?', False),
        ('<think>{"steps": 1} no, more</think>{"steps": [{"text": "a"}]}', False),
        ('Sure! {"steps": [{"text": "a"}]}', True),
        ("{'steps': [{'text': 'a'}]}", True),
        ('{"steps": [{"text": "a"},]}', True),
        ('{"steps": [{"text": "a"', True),
        ('{steps: [{text: "a"}]}', True),
    ],
)
def test_replies_that_can_be_read(text: str, repaired: bool) -> None:
    value, note = read(Reply, text)
    assert value == Reply(steps=[Step(text="a")])
    assert (note == "repaired") is repaired


@pytest.mark.parametrize(
    "text", ["", "no", "42", "[]", "{}", '"{"', '{"steps": "a"}', "{{{", "null"]
)
def test_replies_that_cannot(text: str) -> None:
    value, note = read(Reply, text)
    assert value is None
    assert note


def test_faults_are_short_and_do_not_repeat_the_values() -> None:
    many = json.dumps({"steps": [{"text": 1, "secret": "s3cret"}] * 50})
    value, note = read(Reply, many)
    assert value is None
    assert "and 45 more" in note
    assert "s3cret" not in note
    assert len(note) < 500


def test_the_strict_schema_has_no_defaults_no_tuples_and_all_fields() -> None:
    schema = strict_schema(Reply)
    assert schema["required"] == ["steps", "default"]
    assert schema["additionalProperties"] is False
    step = schema["$defs"]["Step"]
    assert step["required"] == ["text", "box"]
    assert step["properties"]["box"]["items"] == {"type": "number"}
    assert step["properties"]["box"]["minItems"] == 4
    text = json.dumps(schema)
    assert "prefixItems" not in text
    assert '"default": "x"' not in text
    assert set(schema["properties"]) == {"steps", "default"}


def test_a_mixed_tuple_becomes_an_array_of_either() -> None:
    class Mixed(BaseModel):
        pair: tuple[str, int] = Field(description="d")

    pair = strict_schema(Mixed)["properties"]["pair"]
    assert pair["items"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert (pair["minItems"], pair["maxItems"]) == (2, 2)
