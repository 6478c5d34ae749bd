"""An agent on a fake chat server, and what its tests ask it."""

from typing import NamedTuple

from pydantic import BaseModel
from tests.helpers import chat_server as fake

from videoespresso.agents.base import Agent, Prompt, Reply, Retries, Turn
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec

PROMPT = Prompt("selector", "You are the selector.", "0" * 64)
QUESTION = (Turn("user", ("Which frames?",)),)
AT_ONCE = Retries(base_s=0.0, longest_s=5.0)


class Picked(BaseModel):
    frames: list[int]
    why: str


GOOD = '{"frames": [2, 5], "why": "the car stops"}'


def agent(
    server: fake.Server,
    *,
    timeout_s: float = 60.0,
    budget: Budget | None = None,
    replies: ReplyCache | None = None,
    retries: Retries = AT_ONCE,
) -> Agent:
    spec = ModelSpec.parse(f"openai:tester@{server.url}")
    model = chat_model(spec, timeout_s=timeout_s)
    return Agent(
        "selector",
        spec,
        model,
        usage_log=UsageLog(),
        budget=budget,
        replies=replies,
        retries=retries,
    )


def words(asker: Agent) -> Reply[str]:
    return asker.text(PROMPT, QUESTION)


def typed(asker: Agent) -> Reply[Picked]:
    return asker.typed(PROMPT, QUESTION, Picked)


class Provider(NamedTuple):
    """package: LangChain's. path: behind the server's address."""

    package: str
    spec: str
    path: str = ""
    key: str = ""


PROVIDERS = {
    "openai": Provider("langchain_openai", "openai:m", "/v1", "OPENAI_API_KEY"),
    "anthropic": Provider("langchain_anthropic", "anthropic:m", key="ANTHROPIC_API_KEY"),
    "gemini": Provider("langchain_google_genai", "google_genai:gemini-x", key="GOOGLE_API_KEY"),
    "ollama": Provider("langchain_ollama", "ollama:m"),
}


def provider_agent(
    name: str, url: str, timeout_s: float = 20.0, retries: Retries | None = None
) -> Agent:
    """An agent on that provider's own client class, which talks to the server at `url`."""
    provider = PROVIDERS[name]
    spec = ModelSpec.parse(f"{provider.spec}@{url.removesuffix('/v1')}{provider.path}")
    return Agent(
        "captioner",
        spec,
        chat_model(spec, timeout_s=timeout_s),
        usage_log=UsageLog(),
        retries=retries or Retries(tries=2, base_s=0.0),
    )
