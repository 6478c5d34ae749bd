"""A chat model that follows a script: a function a role, from the messages to the reply."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from videoespresso.agents.base import Agent
from videoespresso.graphs.context import Context, open_context
from videoespresso.models.profiles import CHAT_ROLES
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import DATASET_ROLES, Settings
from videoespresso.theatre import Story, make_story
from videoespresso.tools.base import Tool

Script = Mapping[str, Callable[[list[BaseMessage]], str]]


class ScriptedModel(BaseChatModel):
    """Replies by role; `asked` counts the calls of each."""

    script: Any
    asked: dict[str, int] = {}  # noqa: RUF012 - pydantic copies it

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        first = str(messages[0].content).partition("\n")[0]
        role = next(r for r in (*CHAT_ROLES, *DATASET_ROLES, "follower") if r in first)
        self.asked[role] = self.asked.get(role, 0) + 1
        reply = AIMessage(self.script[role](messages))
        return ChatResult(generations=[ChatGeneration(message=reply)])


def text_of(messages: list[BaseMessage], which: int = -1) -> str:
    """The text of a message, images left out."""
    content = messages[which].content
    blocks = [content] if isinstance(content, str) else content
    return "".join(b if isinstance(b, str) else str(b.get("text", "")) for b in blocks)


def scripted_context(
    cache: Path,
    script: Script,
    tools: tuple[Tool | str, ...] = (),
    roles: Sequence[str] = CHAT_ROLES,
    **given: Any,
) -> tuple[Context, ScriptedModel]:
    """A real context in which only the chat model is scripted."""
    settings = Settings.load(
        {"detector": "off", "cache_dir": cache, "dynamic_fps": 1.0, **given}, environ={}
    )
    context = open_context(settings, tools, roles=roles)
    model = ScriptedModel(script=script, asked={})
    spec = ModelSpec.parse("hf:scripted")
    agents = {
        role: Agent(
            role, spec, model, usage_log=context.usage_log, budget=context.budget,
            replies=context.agents[role].replies,
        )
        for role in roles
    }  # fmt: skip
    return replace(context, agents=agents), model


def film(story: Story, path: Path, fps: int = 4) -> Path:
    """A story as a small H.264 file."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for k in range(int(story.duration_s * fps)):
            frame = av.VideoFrame.from_image(story.scene(k / fps).render(320))
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def story_with(word: str, seconds: float = 40.0) -> Story:
    """The first validation story with an event of that word."""
    for seed in range(1_000_000, 1_001_000):
        story = make_story(seed)
        if story.duration_s < seconds and any(word in e.clause for e in story.events):
            return story
    raise AssertionError(word)
