"""What the tests of the offline teacher share: a role's agent on it, captions of a story."""

from tests.helpers.captions import caption

from videoespresso.agents.base import Agent
from videoespresso.models.chat import chat_model
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.theatre import Story
from videoespresso.types import Caption

GROUP = 15
"""Captions of a group (paper, step 4)."""


def teacher(role: str) -> Agent:
    """A role played by the teacher, through the agent every other model is called by."""
    spec = ModelSpec.parse("embedded:teacher")
    return Agent(role, spec, chat_model(spec), usage_log=UsageLog())


def told(*texts: str) -> list[Caption]:
    """Captions a second apart."""
    return [caption(float(k), text) for k, text in enumerate(texts)]


def of_story(story: Story) -> list[Caption]:
    """The true captions of a story's first group, one a phase, in its middle."""
    shown = [caption((p.t0 + p.t1) / 2, p.caption) for p in story.phases]
    return [c for k, c in enumerate(shown) if k == 0 or c.text != shown[k - 1].text][:GROUP]
