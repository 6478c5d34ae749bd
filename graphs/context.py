"""What a graph works with, made outside and handed in: models, stores, tools, limits."""

import copy
import hashlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeVar, cast

from langgraph.runtime import Runtime

from videoespresso.agents.base import Agent
from videoespresso.agents.prompts import load
from videoespresso.errors import SettingsError, UserError
from videoespresso.memory.captions import CaptionMemory, Embedder
from videoespresso.memory.disk import check_folder, mend
from videoespresso.memory.frames import FrameStore
from videoespresso.memory.replies import ReplyCache
from videoespresso.models import served
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.prices import ends
from videoespresso.models.client.rate_limit import RateLimits
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.costs import question_budget
from videoespresso.models.paid_embedder import charging, within_limits
from videoespresso.models.profiles import CHAT_ROLES, notes, resolve
from videoespresso.models.specs import EMBEDDED, ModelSpec
from videoespresso.settings import Settings
from videoespresso.tools.base import Given, Tool
from videoespresso.tools.detectors.base import Detector
from videoespresso.tools.grounding import detector
from videoespresso.tools.registry import load_tools
from videoespresso.tools.sampling import SamplingPlan
from videoespresso.tools.video import Alteration, Probes, VideoReader, open_video
from videoespresso.types import Progress, Video

UNDER_WAY = {
    "probe": "opening",
    "sample": "looking at frames",
    "caption": "captioning",
    "remember": "remembering",
    "filter_": "comparing captions",
    "select": "choosing core frames",
    "ground": "looking for objects",
    "use_tools": "using tools",
    "evidence": "gathering evidence",
    "answer": "answering",
    "check": "checking",
    "look_again": "looking closer",
}
"""Node -> what it is doing."""


@dataclass(frozen=True)
class Context:
    """One question's means, given to a run (`graph.invoke(question, context=context)`). Nothing in
    it goes into graph state or checkpoints.

    on_words: called with the answer as far as it is written, while the model writes it. on_update:
    called by the chat graph with a node's name and what it wrote, as soon as it has: its own
    `understand` and every node of the ask graph. on_progress: called with what is under way, one
    call at a time, from the thread of the node. guarded: films are refused that the embedded models
    do not know; measuring on the theatre's own needs no such check. altered: how films are seen.
    captions_shown: whether the reasoner reads a core frame's caption beside it.
    """

    settings: Settings
    agents: Mapping[str, Agent]
    store: FrameStore
    memory: CaptionMemory
    embed: Embedder
    detector: Detector
    tools: tuple[Tool, ...]
    budget: Budget
    usage_log: UsageLog
    plan: SamplingPlan
    warnings: tuple[str, ...] = ()
    on_words: Callable[[str], None] | None = None
    on_update: Callable[[str, dict[str, Any]], None] | None = None
    on_progress: Callable[[Progress], None] | None = None
    guarded: bool = True
    altered: Alteration | None = None
    captions_shown: bool = True

    @property
    def embedded(self) -> tuple[str, ...]:
        """The roles that the pack fills: then films that it does not know are refused."""
        roles = [role for role, agent in self.agents.items() if agent.spec.provider == EMBEDDED]
        return (*roles, *(["detector"] if self.detector.name == f"{EMBEDDED}:" else []))

    @property
    def probes(self) -> Probes:
        """What files are; a known one is not opened for it."""
        return Probes(self.settings.cache_dir / "probes")

    def film(self, path: str) -> Video:
        """What a film is. Raises VideoError."""
        video = self.probes(path)
        return video if self.altered is None else self.altered.video(video)

    def opened(self, path: str) -> VideoReader:
        """A film, to be closed. Raises VideoError."""
        reader = open_video(path, backend=self.settings.decoder)
        return reader if self.altered is None else self.altered.reader(reader)

    def begin(self, node: str) -> None:
        """Says that a node begins."""
        if self.on_progress is not None and node in UNDER_WAY:
            self.on_progress(Progress(node.rstrip("_"), UNDER_WAY[node]))

    def counting(self, node: str, total: int | None = None) -> Callable[[], None]:
        """To be called as each of `total` parts is done; the time left is that at the rate so
        far."""
        listen = self.on_progress
        if listen is None:
            return lambda: None
        begun, done = time.monotonic(), 0

        def one() -> None:
            nonlocal done
            done += 1
            left = None
            if total is not None:
                left = (time.monotonic() - begun) / done * (total - done)
            listen(Progress(node, UNDER_WAY[node], done, total, left))

        return one

    def check_models(self) -> None:
        """Raises SettingsError when a model of ours cannot answer: asked before a film is decoded.
        Of a known one each is asked before its first request, and not when all is known."""
        for agent in {str(agent.spec): agent for agent in self.agents.values()}.values():
            agent.reach()

    def check_stages(self) -> None:
        """Raises SettingsError where the pack, which was taught the paper's two stages, is to
        answer in one. A film that it does not know is refused before."""
        reasoner = self.agents.get("reasoner")
        if self.settings.one_stage and reasoner and reasoner.spec.provider == EMBEDDED:
            raise SettingsError(
                "the embedded reasoner answers in two stages and from captions only",
                hint="Leave --quick and --stages one out, or choose models, e.g. --profile openai.",
            )

    def renewed(self, budget: Budget | None = None) -> "Context":
        """The same means with nothing used and the whole budget: those of the next question."""
        usage_log, budget = UsageLog(), budget or question_budget(self.settings)
        agents = {role: _charging(a, a.role, usage_log, budget) for role, a in self.agents.items()}
        embed = charging(self.embed, usage_log, budget)
        memory = self.memory if embed is self.embed else self.memory.with_embedder(embed)
        return replace(
            self, agents=agents, embed=embed, memory=memory, usage_log=usage_log, budget=budget
        )

    def with_tools(self, tools: Sequence[Given]) -> "Context":
        """The same means and more tools. A tool that cannot be had is a warning, or raises
        SettingsError, as in `load_tools`."""
        loaded = load_tools([*self.tools, *tools], servers=self.settings.mcp)
        return replace(self, tools=loaded.tools, warnings=(*self.warnings, *loaded.warnings))

    def follower(self) -> Agent:
        """Who understands follow-up questions: the reasoner's model in another role."""
        return _charging(self.agents["reasoner"], "follower", self.usage_log, self.budget)

    def scorer(self) -> Agent:
        """Who rates pictures for a question: the selector's model in another role."""
        return _charging(self.agents["selector"], "scorer", self.usage_log, self.budget)

    def memory_key(self, video_id: str) -> str:
        """Captions are remembered by video, by captioner, its server and its prompt, and by the
        size of the frames: where one of these is another, frames are looked at anew."""
        parts = [self.agents["captioner"].identity, load("captioner").sha, self.plan.max_side]
        text = json.dumps(parts, sort_keys=True)
        return f"{video_id}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def described(self) -> dict[str, str]:
        """What a number computed from an answer depends on."""
        prompts = "".join(load(role).sha for role in CHAT_ROLES)
        s = self.settings
        used = {"tools": ", ".join(tool.name for tool in self.tools)} if self.tools else {}
        return {
            **{role: str(agent.spec) for role, agent in self.agents.items()},
            "detector": self.detector.name,
            "embedder": self.embed.name,
            "select": s.select,
            "fps": f"{s.fps:g}",
            "dynamic_fps": f"{s.dynamic_fps:g}",
            "max_side": str(s.max_side),
            "max_frames": str(self.plan.max_frames),
            "tau": "default" if s.tau is None else f"{s.tau:g}",
            "prompts": hashlib.sha256(prompts.encode()).hexdigest()[:12],
            **used,
            **({"quick": "yes"} if s.quick else {}),
            **({"look": s.look} if s.look != "normal" else {}),
            **({"stages": "one"} if s.one_stage else {}),
        }


def needed(runtime: Runtime[Any]) -> None:
    """Raises UserError for a run that was given no context."""
    if runtime.context is None:
        raise UserError(
            "the graph was run without a context",
            hint="Give one: graph.invoke(question, context=videoespresso.open_context()).",
        )


def _charging(agent: Agent, role: str, usage_log: UsageLog, budget: Budget) -> Agent:
    """The agent under that role, with somebody else's usage log and budget."""
    mine = copy.copy(agent)  # what it learned of its model's inabilities stays shared
    mine.role, mine.usage_log, mine.budget = role, usage_log, budget
    return mine


def open_context(
    settings: Settings | None = None,
    tools: Sequence[Given] = (),
    *,
    budget: Budget | None = None,
    usage_log: UsageLog | None = None,
    rate_limits: RateLimits | None = None,
    replies: ReplyCache | None = None,
    roles: Sequence[str] = CHAT_ROLES,
) -> Context:
    """Builds everything the settings name; weights load and requests are made when used.

    settings: default `Settings.load()`. tools: more tools than the settings name. roles: the chat
    models that are needed; dataset mode has others than a question.
    budget, usage_log: default ones of its own, with the limits of the settings; where models are
    paid, a question has one in dollars in any case (`question_budget`). rate_limits:
    default those of the whole process. replies: default the store in the cache folder.
    Raises SettingsError for a spec that cannot be, MemoryStoreError for a store that cannot.
    """
    settings = settings or Settings.load()
    check_folder(settings.cache_dir)
    mend(settings.cache_dir)
    specs = served.located(resolve(settings), roles)
    limits = Budget.of if "generator" in roles else question_budget
    usage_log, budget = usage_log or UsageLog(), budget or limits(settings)
    rate_limits = rate_limits or RateLimits.of(settings)
    replies = replies or ReplyCache(settings.cache_dir / "replies.sqlite")
    named = {role: specs[role].model for role in roles}
    chats = {spec: chat_model(spec, timeout_s=settings.timeout_s) for spec in {*named.values()}}
    reached = {spec: threading.Event() for spec in chats}
    agents = {
        role: Agent(
            role,
            spec,
            chats[spec],  # roles on one model share its connections
            usage_log=usage_log,
            replies=replies,
            budget=budget,
            one_image=settings.one_image or None,
            sheet=settings.sheet,
            concurrency=settings.concurrency,
            rate_limit=rate_limits.limit(spec),
            timeout_s=settings.timeout_s,
            reached=reached[spec],
        )
        for role, spec in named.items()
    }
    by_whom = specs["embedder"]
    embed = within_limits(
        by_whom.model if by_whom.spec.startswith("openai:") else by_whom.spec,
        usage_log=usage_log,
        budget=budget,
        replies=replies,
        rate_limit=rate_limits.limit(by_whom.model) if by_whom.spec.startswith("openai:") else None,
    )
    wanted_tools = [*(name for name in settings.tools if name not in tools), *tools]
    loaded = load_tools(wanted_tools, servers=settings.mcp)
    return Context(
        settings=settings,
        agents=agents,
        store=FrameStore(settings.cache_dir / "frames"),
        memory=CaptionMemory.open(
            settings.memory or settings.cache_dir / "memory",
            embed,
            root=settings.cache_dir / "memory",
        ),
        embed=embed,
        detector=detector(specs["detector"].spec),
        tools=loaded.tools,
        budget=budget,
        usage_log=usage_log,
        plan=_plan(settings),
        warnings=(
            *loaded.warnings,
            *notes(settings, dataset="generator" in roles),
            *_ended(named.values()),
        ),
    )


MOST_FRAMES = {"fast": 60, "normal": SamplingPlan.max_frames, "thorough": 7200}
"""Frames looked at, by the setting `look`. Thorough is every second of two hours, which a scorer
that costs no call makes affordable, and captions of everything do not."""
SLOWER = {"fast": (2.0, 4.0)}
"""By how much the rates of still and of moving stretches are divided."""


def _plan(settings: Settings) -> SamplingPlan:
    """How a film is sampled."""
    still, moving = SLOWER.get(settings.look, (1.0, 1.0))
    static_fps = settings.fps / still
    return SamplingPlan(
        static_fps=static_fps,
        dynamic_fps=max(static_fps, settings.dynamic_fps / moving),
        max_frames=MOST_FRAMES[settings.look],
        max_side=settings.max_side,
        thorough=settings.look == "thorough",
    )


def _ended(specs: Iterable[ModelSpec]) -> list[str]:
    """A warning for each model that its provider has shut down by now."""
    days = {str(spec): ends(spec) for spec in specs}
    return [
        f"{spec} was shut down by its provider on {day}; `videoespresso models list` shows others"
        for spec, day in sorted(days.items())
        if day and day <= date.today().isoformat()
    ]


GraphT = TypeVar("GraphT")


def bound(graph: GraphT, context: Any) -> GraphT:
    """The compiled graph, every run of which has this context."""
    kind: Any = type(graph)

    class Bound(kind):  # type: ignore[misc]
        # a class and not attributes, as LangGraph copies graphs by class and attributes
        def stream(self, *given: Any, **more: Any) -> Iterator[Any]:
            yield from super().stream(*given, **{**more, "context": context})

        async def astream(self, *given: Any, **more: Any) -> AsyncIterator[Any]:
            async for part in super().astream(*given, **{**more, "context": context}):
                yield part

    # no schema: a server would ask its users for the context
    return cast(GraphT, Bound(**{**vars(graph), "context_schema": None}))
