"""For tests of plug-ins, without a key, a server or weights: a chat model that follows a script,
and a real context around it.

    def test_my_tool(tmp_path):
        context, model = scripted_context(tmp_path, script, tools=[MyTool()])
        question = {"path": "clip.mp4", "question": "Why?", "options": []}
        answer = ve.ask_graph().invoke(question, context=context)["answer"]
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from videoespresso.agents.base import Agent
from videoespresso.graphs.context import Context, open_context
from videoespresso.models.profiles import CHAT_ROLES
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import DATASET_ROLES, Settings
from videoespresso.tools.base import Given

Script = Mapping[str, Callable[[list[BaseMessage]], str]]
"""Role -> the reply to messages: "captioner", "selector", "reasoner", "checker", in chats
"follower", where `--select` names vlm "scorer", for `eval score --judge` "judge"; those of dataset
mode are in
`settings.DATASET_ROLES`."""


class ScriptedModel(BaseChatModel):
    """Replies by role, which it reads from the prompt's first line; `asked` counts the calls of
    each. Raises KeyError for a role that the script does not have."""

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
        others = ("follower", "scorer", "judge")
        role = next(r for r in (*CHAT_ROLES, *DATASET_ROLES, *others) if r in first)
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
    tools: Sequence[Given] = (),
    roles: Sequence[str] = CHAT_ROLES,
    **given: Any,
) -> tuple[Context, ScriptedModel]:
    """A real context in which only the chat model is scripted, and that model.

    cache: the folder of everything that is remembered; one a test. given: settings, by name. There
    is no detector unless one is given, one frame a second, each of which is captioned (`select`
    paper), and neither the environment nor files are read for settings. Any film will do, also with
    the embedded detector.
    """
    plain = {"detector": "off", "dynamic_fps": 1.0, "select": "paper"}
    settings = Settings.load({**plain, "cache_dir": cache, **given}, environ={})
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
    return replace(context, agents=agents, guarded=False), model
