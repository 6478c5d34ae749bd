"""Which wrong options can be used, and what asking for them twice costs."""

import json

import pytest
from tests.helpers.scripted import ScriptedModel

from videoespresso.agents.base import Agent
from videoespresso.agents.distractor import Distractors, Wrong, distract, judge
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("2", ["12", "20", "3"]),
        ("No", ["Nobody knows", "Not at all", "Yes"]),
        ("Red.", ["The covered one.", "Blue.", "A hundred."]),
    ],
)
def test_letters_of_the_answer_inside_other_words_give_nothing_away(
    answer: str, wrong: list[str]
) -> None:
    told = judge(Distractors(wrong=[Wrong(text=text) for text in wrong]), answer)
    assert [w.text for w in told.usable] == wrong
    assert told.faults == []


@pytest.mark.parametrize("text", ["The dog, too", "dog", "THE DOG!", "a cat and the dog"])
def test_the_answer_inside_an_option_does(text: str) -> None:
    told = judge(Distractors(wrong=[Wrong(text=text)]), "The dog")
    assert told.usable == []
    assert "gives the right answer away" in told.faults[0]


def test_a_second_question_is_paid_for_beside_the_first() -> None:
    replies = iter(
        json.dumps({"wrong": [{"text": text} for text in texts]})
        for texts in (("the dog", "a cow"), ("a cow", "a cat", "a hen"))
    )
    model = ScriptedModel(script={"distractor": lambda _: next(replies)}, asked={})
    usage_log = UsageLog()
    agent = Agent("distractor", ModelSpec.parse("hf:scripted"), model, usage_log=usage_log)
    reply = distract(agent, [(0.0, "the dog barks")], "Who barks?", "the dog")
    assert [w.text for w in reply.value.wrong] == ["a cow", "a cat", "a hen"]
    assert reply.cost.calls == reply.usage.calls == 2
    assert reply.cost.input_tokens == usage_log.by_role()["distractor"].input_tokens
    assert len(reply.how) == 2
