"""Servers and models as they are: each dialect once through every role's real schema.

The server's replies are good ones, said in the way of a dialect: what an agent makes of them must
be what it makes of the plain reply, and what a server cannot take is left out from then on.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel
from tests.helpers import chat_server as fake
from tests.helpers.dialects import FRAMES, ROLES, SAID, THOUGHT, WRITTEN, spoken
from tests.helpers.server_agent import agent

from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.agents.checker import Verdict
from videoespresso.agents.reasoner import Conclusion, Evidence, conclude
from videoespresso.agents.selector import Selection
from videoespresso.agents.verifier import Finding
from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.client.errors import BusyError, RefusedError
from videoespresso.models.client.reading import read
from videoespresso.models.client.reading import spoken as spoken_words

PROMPT = Prompt("captioner", "You are helpful.", "0" * 64)
ASKED = (Turn("user", ("What is there?",)),)
CAPTION = "A white bar stands at place 7."

GOOD: dict[type[BaseModel], Any] = {
    Selection: {"core": [{"why": "the start", "frame": 1}, {"why": "the end", "frame": 3}]},
    Evidence: {
        "steps": [
            {"text": "A bar.", "frame": 1, "items": [{"name": "bar", "box": [10, 10, 50, 90]}]},
            {"text": "It moves.", "frame": 2, "items": []},
        ]
    },
    Conclusion: {"answered": True, "answer": "the white bar", "choice": None},
    Verdict: {"carried": True, "missing": ""},
}


@pytest.mark.parametrize("name", ROLES)
def test_a_role_reads_its_reply_in_every_dialect(name: str) -> None:
    call, good = ROLES[name]
    said = {dialect: spoken(dialect, good) for dialect in (*SAID, *WRITTEN)}
    script = [behave for behave in said.values() if behave is not None]
    with fake.Server(script) as server:
        asker = agent(server)
        plain = call(asker)
        for dialect in list(said)[1 : len(script)]:
            assert call(asker) == plain, dialect
        assert len(server.requests) == len(script)


@pytest.mark.parametrize(
    "text",
    [
        "a sign that says <STOP> or [EXIT], and 3 < 4",
        "A slide: Here is my thought process: buy. Here is my response: no.",
        "analysis of a blood sample by an assistant, final slide",
        "An analysis, an assistantfinal, a finalA: words on a screen.",
        "final score 3 to 1 on the board",
        "analysisPage.tsx is open in the editor; a man types.",
        "Here's my thought process: so begins the slide; a woman reads it.",
        "finalScore: 12 is shown on the board.",
        "finalReport.docx",
        "final[0] is marked in the code.",
        "finaljsonA car is written on a wall.",
        "A slide that says <thinking> and </thinking> in red. A teacher points at it.",
    ],
)
def test_words_that_only_look_like_markers_stay(text: str) -> None:
    with fake.Server([fake.say(text)]) as server:
        assert agent(server).text(PROMPT, ASKED).value == text


@pytest.mark.parametrize(
    "thought",
    ["analysisWe see a car", "assistantanalysisThe user asks", "<think>a car</think>"],
)
def test_a_thought_alone_says_nothing(thought: str) -> None:
    assert spoken_words(thought) == ""


@pytest.mark.parametrize(
    "begun", ["Here is my thought process: a car", "**Here's my thinking process:** a", "analysisA"]
)
def test_what_may_yet_be_a_thought_says_nothing_before_its_end(begun: str) -> None:
    assert spoken_words(begun, ended=False) == ""
    said = fake.say(begun, finish="length")
    with fake.Server([said]) as server, pytest.raises(ModelOutputError, match="before it said"):
        agent(server).text(PROMPT, ASKED)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("finalA car", "A car"),
        ('final{"answered": true}', '{"answered": true}'),
        ('analysisHm.assistantfinal json{"a": 1}', '{"a": 1}'),
        ("analysisHm.assistantfinaljson on a sign", "json on a sign"),
        ("Here's my thought process: says <think>. Here's my response: A car", "A car"),
        ("Here's my thinking process: short. Now my response: A car", "A car"),
        ("Okay, it says <think> and </think> in red.</think>A slide", "A slide"),
        ("It says <think> and </think> in red.<|im_end|>", "It says <think> and </think> in red."),
    ],
)
def test_what_is_said_behind_a_thought(said: str, wanted: str) -> None:
    assert spoken_words(said) == wanted


def test_keys_in_other_letters_are_the_fields_unless_both_are_there() -> None:
    text = '{"Answered": true, "ANSWER ": "a bar"}'
    assert read(Conclusion, text)[0] == Conclusion(answered=True, answer="a bar")
    both = '{"answered": true, "Answered": false, "answer": "a bar"}'
    assert read(Conclusion, both)[0] == Conclusion(answered=True, answer="a bar")
    nested = '{"Steps": [{"Text": "A bar.", "Frame": 1, "Items": [{"Name": "bar"}]}]}'
    value, _ = read(Evidence, nested)
    assert value is not None
    assert value.steps[0].items[0].name == "bar"


def test_a_listener_never_gets_a_thought() -> None:
    heard: list[str] = []
    with fake.Server([fake.say(SAID["think"]("so it is"))]) as server:
        agent(server).with_listener(heard.append).text(PROMPT, ASKED)
    assert heard[-1].strip() == "so it is"
    assert not any("draft" in text for text in heard)


@pytest.mark.parametrize("form", ["think without its opening", "two fences", "prose around it"])
def test_a_listener_gets_the_answer_that_was_read(form: str) -> None:
    text = json.dumps(GOOD[Conclusion])
    if form in SAID:
        said = SAID[form](text).replace(THOUGHT, 'Draft: {"answered": true, "answer": "a draft"}')
    else:
        said = WRITTEN[form](GOOD[Conclusion])
    heard: list[str] = []
    with fake.Server([fake.say(said)]) as server:
        conclusion = conclude(agent(server), "What?", FRAMES, "{}", words=heard.append)
    assert conclusion.answer == heard[-1] == GOOD[Conclusion]["answer"]
    assert not any("draft" in text for text in heard)


def test_an_unfinished_thought_says_nothing_and_is_not_asked_for_twice() -> None:
    with fake.Server([fake.say(f"<think>{THOUGHT}", finish="length")]) as server:
        with pytest.raises(ModelOutputError, match="length limit before it said anything") as e:
            agent(server).text(PROMPT, ASKED)
        assert "thinking off" in (e.value.hint or "")
        assert len(server.requests) == 1


STEPS = GOOD[Evidence]["steps"]


@pytest.mark.parametrize(
    ("schema", "found", "wanted"),
    [
        (Evidence, STEPS, GOOD[Evidence]),
        (Selection, {"core": [1, 3]}, {"core": [{"frame": 1}, {"frame": 3}]}),
        (Selection, {"core": [{"why": None, "frame": "Frame 2"}]}, {"core": [{"frame": 2}]}),
        (
            Evidence,
            {"steps": [{"text": "a", "frame": 1, "items": ["bar"]}]},
            {"steps": [{"text": "a", "frame": 1, "items": [{"name": "bar"}]}]},
        ),
        (
            Evidence,
            {"steps": [{"text": "a", "frame": 1, "items": {"name": "bar", "box": None}}]},
            {"steps": [{"text": "a", "frame": 1, "items": [{"name": "bar"}]}]},
        ),
        (
            Evidence,
            {"steps": [{"text": "a", "frame": 1, "items": None}]},
            {"steps": [{"text": "a", "frame": 1}]},
        ),
        (Evidence, STEPS[:1], {"steps": STEPS[:1]}),
        (Verdict, {"carried": True, "missing": None}, {"carried": True}),
        (Conclusion, {"answered": False, "answer": None}, {"answered": False, "answer": ""}),
        (Conclusion, {"answered": False}, {"answered": False, "answer": ""}),
        (
            Finding,
            {"accepted": True, "criterion": "hallucination"},
            {"accepted": False, "criterion": "hallucination"},
        ),
        (
            Finding,
            {"accepted": True, "criterion": "None."},
            {"accepted": True, "criterion": "None."},
        ),
    ],
)  # fmt: skip
def test_read_with_good_will(schema: type[BaseModel], found: Any, wanted: Any) -> None:
    value, note = read(schema, json.dumps(found))
    assert value == schema.model_validate(wanted), note


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (Selection, "{}"),  # all its fields have defaults, and yet it is no reply
        (Evidence, '{"thought": "hm"}'),
        (Evidence, "[]"),
        (Conclusion, '{"answered": true, "answer": null}'),
        (Evidence, "[" * 100_000),
        (Evidence, '{"steps": ' + "[" * 100_000),
        (Evidence, '{"a":' * 100_000),
        (Selection, '{"core": [{"frame": %s}]}' % ("9" * 5000)),
        (Selection, '{"core": [{"frame": 1e400}]}'),
        (Selection, '{"core": [{"frame": NaN}]}'),
    ],
)
def test_what_is_no_reply(schema: type[BaseModel], text: str) -> None:
    value, note = read(schema, text)
    assert value is None
    assert note


def test_half_a_character_does_not_reach_a_file() -> None:
    value, _ = read(Conclusion, '{"answered": true, "answer": "a \\ud83d b"}')
    assert value is not None
    assert value.answer.encode() == b"a ? b"


CUT_IN: dict[str, Callable[[dict[str, Any]], str]] = {
    "plain": json.dumps,
    "list": lambda g: json.dumps(g["steps"]),
    "list in an object": lambda g: json.dumps({"result": g["steps"]}),
    "words": lambda g: f"So {{as you wish}}, it's {json.dumps(g)}",
    "draft and correction": lambda g: (
        f'```json\n{{"steps": []}}\n```\nNo:\n```json\n{json.dumps(g)}'
    ),
    "draft and words": lambda g: f'```\n{{"steps": []}}\n```\nNo: {json.dumps(g)}',
    "list as a string": lambda g: json.dumps({"arguments": json.dumps(g["steps"], indent=1)}),
    **{
        name: WRITTEN[name]
        for name in (
            *("wrapped", "in a list", "as a string", "called in text", "called with a string"),
            *("called in mistral's text", "python"),
        )
    },
}


@pytest.mark.parametrize("form", CUT_IN)
def test_of_a_cut_list_the_whole_items_are_kept(form: str) -> None:
    text = CUT_IN[form]({"steps": [*STEPS, *STEPS]})
    last = max(at for at, char in enumerate(text) if char == "]")  # the list's own end
    counts = []
    for end in range(last):
        value, note = read(Evidence, text[:end], cut=True)
        steps = [] if value is None else value.steps
        assert steps == Evidence(steps=STEPS * 2).steps[: len(steps)], (text[:end], note)
        counts.append(len(steps))
    assert counts == sorted(counts)
    assert counts[-1] >= 3
    assert set(counts) >= {0, 1, 2, 3}


class Listed(BaseModel):
    frames: list[int] = []
    names: list[str] = []


@pytest.mark.parametrize(
    ("text", "frames", "names"),
    [
        ('{"frames": [1, 2, 31', [1, 2], []),
        ('{"frames": [1, 2, ', [1, 2], []),
        ('{"result": {"frames": [7, 8, 9', [7, 8], []),
        ('{"names": ["a car, red", "a dog", "a c', [], ["a car, red", "a dog"]),
        ('{"names": ["a", "b"', [], ["a", "b"]),
        ('{"frames": [1, 2], "names": ["a, b", "c]", "d', [1, 2], ["a, b", "c]"]),
        ("{'names': ['a', 'it is b', 'c", [], ["a", "it is b"]),
        ('```json\n{"frames": ["Frame 2", "Frame 5", "Fra', [2, 5], []),
        ('{"names": ["she said \\"no, no\\"", "the', [], ['she said "no, no"']),
    ],
)
def test_of_a_cut_list_of_bare_values_the_whole_ones_are_kept(
    text: str, frames: list[int], names: list[str]
) -> None:
    """A number may go on where it was cut; what ends at a comma or a quote is whole."""
    value, note = read(Listed, text, cut=True)
    assert value == Listed(frames=frames, names=names), note
    assert note.startswith("cut: ")


def test_of_a_cut_list_without_a_whole_value_nothing_is_kept() -> None:
    for text in ('{"frames": [12', '{"names": ["a ca', '{"frames": ['):
        assert read(Listed, text, cut=True)[0] is None, text


# ---- servers


def asked_twice(asker: Agent) -> None:
    assert asker.text(PROMPT, ASKED).value == CAPTION
    assert asker.text(PROMPT, (Turn("user", ("And now?",)),)).value == CAPTION


def refusing(field: str, text: str) -> fake.Behaviour:
    def behave(exchange: fake.Exchange) -> None:
        system = exchange.body["messages"][0]["role"] == "system"
        if field in exchange.body or (field == "system" and system):
            fake.status(400, text)(exchange)
        else:
            fake.say(CAPTION)(exchange)

    return behave


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("temperature", "Unsupported value: 'temperature' does not support 0.0 with this model."),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        ("system", "System role not supported"),
    ],
)
def test_what_a_server_does_not_take_is_left_out_and_remembered(
    field: str, text: str, tmp_path: Any
) -> None:
    replies = ReplyCache(tmp_path / "r.sqlite")
    with fake.Server([refusing(field, text)]) as server:
        asked_twice(agent(server, replies=replies))
        assert len(server.requests) == 3  # refused once only
        again = agent(server, replies=replies)  # another process, a day later
        again.text(PROMPT, (Turn("user", ("A third?",)),))
        assert len(server.requests) == 4
        last = server.requests[-1]
        if field == "max_tokens":
            assert last["max_completion_tokens"] > 0
        if field == "system":
            assert "You are helpful." in json.dumps(last["messages"][0])


def test_a_server_of_one_image_gets_the_grid_from_then_on(tmp_path: Any) -> None:
    def behave(exchange: fake.Exchange) -> None:
        if json.dumps(exchange.body).count('"image_url"') > 2:  # type and key: two an image
            fake.status(400, "At most 1 image(s) may be provided in one request.")(exchange)
        else:
            fake.say(CAPTION)(exchange)

    two = (Turn("user", (Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue"))),)
    replies = ReplyCache(tmp_path / "r.sqlite")
    with fake.Server([behave]) as server:
        assert agent(server, replies=replies).text(PROMPT, two).value == CAPTION
        agent(server, replies=replies).text(PROMPT, (*two, *ASKED))
        assert len(server.requests) == 3


def test_a_server_whose_grammar_fails_is_asked_in_words_and_that_is_remembered(
    tmp_path: Any,
) -> None:
    def behave(exchange: fake.Exchange) -> None:
        if "response_format" in exchange.body or "tools" in exchange.body:
            fake.status(500, "failed to parse grammar")(exchange)
        else:
            fake.say(json.dumps(GOOD[Verdict]))(exchange)

    replies = ReplyCache(tmp_path / "r.sqlite")
    with fake.Server([behave]) as server:
        asker = agent(server, replies=replies)
        assert asker.typed(PROMPT, ASKED, Verdict).value.carried
        assert len(server.requests) == 3
        asker.typed(PROMPT, (Turn("user", ("And now?",)),), Verdict)
        assert len(server.requests) == 4


def answer_200(error: object) -> fake.Behaviour:
    return lambda exchange: exchange.send_json(200, {"error": error})


@pytest.mark.parametrize(
    ("behaviour", "kind", "words", "hint", "tries"),
    [
        (fake.status(413, "Request Entity Too Large"), ModelError, "too long", "fewer", 1),
        (
            fake.status(400, "This model's maximum context length is 4096 tokens."),
            ModelError, "too long", "fewer", 1,
        ),
        *[
            (fake.status(status, text), ModelError, "too long", "fewer", 1)
            for status, text in [
                (400, "prompt (length 5210) is longer than the maximum model length of 4096"),
                (422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5210"),
            ]
        ],
        (fake.status(500, "image input is not supported"), ModelError, "image", "vision model", 1),
        (
            fake.status(404, "No endpoints found that support image input"),
            ModelError, "image", "vision model", 1,
        ),
        (
            lambda e: e.send_json(200, {"error": {"message": "Provider error", "code": 429}}),
            BusyError, "429", "later", 4,
        ),
        *[
            (answer_200(error), BusyError, "429", "later", 4)
            for error in [
                "rate limit reached",
                {"type": "rate_limit_error"},
                {"status": 429, "message": "slow down"},
            ]
        ],
        (
            lambda e: e.send_json(
                200,
                fake.completion(
                    {"role": "assistant", "content": None, "refusal": "I can't help."}, "m"
                ),
            ),
            RefusedError, "I can't help.", "otherwise", 1,
        ),
        (fake.say("", finish="content_filter"), RefusedError, "content filter", "otherwise", 1),
    ],
    ids=[
        *("413", "context", "context of vLLM", "context of TGI", "no vision", "no route"),
        *("429 in a 200", "words in a 200", "type in a 200", "status in a 200"),
        *("refusal", "filter"),
    ],
)  # fmt: skip
def test_refusals_say_what_they_are(
    behaviour: fake.Behaviour, kind: type[ModelError], words: str, hint: str, tries: int
) -> None:
    with fake.Server([behaviour]) as server:
        with pytest.raises(kind, match=words) as caught:
            agent(server).text(PROMPT, ASKED)
        assert hint in (caught.value.hint or "")
        assert len(server.requests) == tries


def test_a_stream_that_breaks_with_an_error_is_tried_again() -> None:
    def broken(exchange: fake.Exchange) -> None:
        exchange.start_stream()
        head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        exchange.event(head | {"choices": [choice]})
        exchange.event({"error": {"message": "Provider disconnected", "code": 502}})

    shown: list[str] = []
    with fake.Server([broken, fake.say(CAPTION)]) as server:
        reply = agent(server).with_listener(shown.append).text(PROMPT, ASKED)
        assert reply.value == CAPTION
        assert len(server.requests) == 2
