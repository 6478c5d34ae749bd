"""The structured-output ladder, climbed without a model; schemas; the grid; retries."""

import json

import pytest
from PIL import Image
from pydantic import BaseModel, Field

from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.models.client.errors import UnsupportedError
from videoespresso.models.client.messages import (
    GRID_SIDE,
    Turn,
    as_one_image,
    data_uri,
    from_data_uri,
    grid,
    images_in,
    messages,
    pixel_sha,
)
from videoespresso.models.client.retry import Retries
from videoespresso.models.client.structured_output import (
    LADDER,
    Attempt,
    Climbed,
    Rung,
    Said,
    climb,
    read,
    strict_schema,
)


class Step(BaseModel):
    text: str
    box: tuple[float, float, float, float] = (0, 0, 1, 1)


class Reply(BaseModel):
    steps: list[Step]
    default: str = "x"


GOOD = Said('{"steps": [{"text": "a"}]}')
PROSE = Said("I think the second frame.")
VIOLATING = Said('{"steps": 3}')
EMPTY = Said("  ")
CUT = Said('{"steps": [', cut=True)
NO = UnsupportedError("no")

Outcome = Said | UnsupportedError


def run(
    outcomes: list[Outcome], rungs: tuple[Rung, ...] = LADDER
) -> tuple[Climbed[Reply] | Exception, list[Attempt], list[Rung]]:
    """(result or error, attempts, rungs found unusable)"""
    attempts: list[Attempt] = []
    unable: list[Rung] = []
    steps = climb(Reply, rungs, unable.append)
    try:
        attempts.append(next(steps))
        for outcome in outcomes:
            attempts.append(steps.send(outcome))
    except StopIteration as done:
        return done.value, attempts, unable
    except ModelError as error:
        return error, attempts, unable
    raise AssertionError(f"more was asked for: {attempts[-1]}")


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
    outcomes: list[Outcome], how: list[str], unable: list[Rung]
) -> None:
    result, attempts, found = run(outcomes)
    assert isinstance(result, Climbed)
    assert list(result.how) == how
    assert sorted(found) == unable
    assert len(attempts) == len(outcomes)


def test_the_retry_carries_the_words_and_the_fault() -> None:
    result, attempts, _ = run([VIOLATING, GOOD], ("prompt",))
    assert isinstance(result, Climbed)
    assert attempts[0] == Attempt("prompt")
    assert attempts[1].again is not None
    assert attempts[1].again[0] == VIOLATING.text
    assert "steps" in attempts[1].again[1]


def test_a_hopeless_reply_is_an_error_with_everything_that_was_tried() -> None:
    result, attempts, unable = run([NO, PROSE, PROSE, VIOLATING])
    assert isinstance(result, ModelOutputError)
    assert result.reply == VIOLATING.text
    assert "json_schema: refused; tool: not JSON; prompt: not JSON; prompt: steps" in str(result)
    assert len(attempts) == 4
    assert unable == ["json_schema"]  # refused, while others were answered; prose proves nothing


def test_a_request_refused_on_every_rung_says_nothing_about_rungs() -> None:
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
    value, note = read(Reply, Said(text))
    assert value == Reply(steps=[Step(text="a")])
    assert (note == "repaired") is repaired


@pytest.mark.parametrize(
    "text", ["", "no", "42", "[]", "{}", '"{"', '{"steps": "a"}', "{{{", "null"]
)
def test_replies_that_cannot(text: str) -> None:
    value, note = read(Reply, Said(text))
    assert value is None
    assert note


def test_faults_are_short_and_do_not_repeat_the_values() -> None:
    many = json.dumps({"steps": [{"text": 1, "secret": "s3cret"}] * 50})
    value, note = read(Reply, Said(many))
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


# ---- images


def test_one_image_turns_keep_their_order_and_words() -> None:
    red, blue = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (20, 40), "blue")
    turns = (
        Turn("user", ("Q", red, "one")),
        Turn("assistant", ("A",)),
        Turn("user", (blue, "two")),
    )
    gridded = as_one_image(turns)
    assert len(images_in(gridded)) == 1
    assert [turn.role for turn in gridded] == ["user", "assistant", "user"]
    assert gridded[2].parts == ("[image 2: number 2 in the grid]", "two")
    assert isinstance(gridded[0].parts[1], Image.Image)
    assert gridded[0].parts[2:] == ("[image 1: number 1 in the grid]", "one")
    assert as_one_image(turns[:1]) == turns[:1]


@pytest.mark.parametrize("count", [2, 3, 5, 16, 100])
def test_the_grid_shows_every_image_and_stays_small(count: int) -> None:
    colours = [(255 - n, n, 128) for n in range(count)]
    sheet = grid([Image.new("RGB", (640, 360), colour) for colour in colours])
    assert max(sheet.size) <= GRID_SIDE
    seen = {colour for _, colour in sheet.getcolors(1 << 24) or []}
    assert set(colours) <= seen


def test_labels_are_drawn() -> None:
    plain = Image.new("RGB", (100, 60), "red")
    seen = {colour for _, colour in grid([plain, plain]).getcolors(1 << 16) or []}
    assert (0, 0, 0) in seen


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "LA"])
def test_every_mode_survives_the_way_out(mode: str) -> None:
    image = Image.new("RGB", (16, 8), "white").convert(mode)
    back = from_data_uri(data_uri(image))
    assert (back.size, back.mode) == ((16, 8), "RGB")
    assert all(sum(pixel) > 720 for _, pixel in back.getcolors() or [])  # type: ignore[arg-type]


def test_transparent_is_white_and_the_sha_is_of_pixels() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert from_data_uri(data_uri(clear)).getpixel((4, 4)) == (255, 255, 255)
    assert pixel_sha(clear) == pixel_sha(clear.copy())
    assert pixel_sha(clear) != pixel_sha(clear.convert("RGB"))
    with pytest.raises(ValueError, match="data URI"):
        from_data_uri("https://example.com/x.jpg")


def test_the_wire_keeps_the_order_of_parts() -> None:
    image = Image.new("RGB", (8, 8))
    sent = messages("sys", [Turn("user", ("a", image, "b")), Turn("assistant", ("c",))])
    assert [message.type for message in sent] == ["system", "human", "ai"]
    assert [block["type"] for block in sent[1].content] == ["text", "image_url", "text"]  # type: ignore[index]
    assert sent[0].content == "sys"
    assert sent[2].content == "c"


# ---- retries


def error(after: float | None = None, retryable: bool = True) -> ModelError:
    return ModelError("m", retryable=retryable, retry_after_s=after)


def test_backoff_doubles_is_bounded_and_jittered() -> None:
    retries = Retries(tries=10, base_s=1.0, longest_s=8.0)
    for tried, most in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (9, 8.0)):
        waits = [retries.wait_s(tried, error()) for _ in range(50)]
        assert all(wait is not None and most / 2 <= wait <= most for wait in waits)
        assert len(set(waits)) > 1
    assert retries.wait_s(10, error()) is None


def test_a_servers_word_counts_within_reason() -> None:
    retries = Retries(longest_s=60.0)
    assert retries.wait_s(1, error(after=5.0)) == 5.0
    assert retries.wait_s(1, error(after=0.0)) == 0.0
    assert retries.wait_s(1, error(after=61.0)) is None
    assert retries.wait_s(1, error(after=5.0, retryable=False)) is None
