"""One process's means: the real graph over one context, and how an item is put through it."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

import videoespresso
from videoespresso.agents import prompt_parts, reasoner
from videoespresso.agents.base import Agent, Prompt, Reply, Turn
from videoespresso.evaluation.results import Json
from videoespresso.evaluation.theatre_items import Item, digest_of
from videoespresso.graphs import watch
from videoespresso.graphs.ask import ask_graph
from videoespresso.graphs.context import Context, open_context
from videoespresso.graphs.selection import pair_of
from videoespresso.models.client.bounds import Bounds
from videoespresso.models.embedded import PACK
from videoespresso.settings import Settings
from videoespresso.theatre import Story, make_story
from videoespresso.theatre.style import StyleFamily
from videoespresso.tools.video import probe
from videoespresso.types import Answer, CoreFrame, Usage

T = TypeVar("T", bound=BaseModel)

ROOMS = ("agents", "graphs", "tools", "memory", "models")
"""Where the code is on which an answer depends."""
LOOKING = ("probe", "sample", "caption", "remember", "filter")
"""Nodes that run before a question matters, in order."""
SAID = 300
"""Characters kept of an error."""


def _proposes(select: str) -> bool:
    """Whether frames are proposed for a question, so that each question looks for itself."""
    return select == "auto" or pair_of(select) is not None


class Content(Agent):
    """A checker that is always content and costs nothing (`--no-checker`)."""

    def typed(
        self,
        prompt: Prompt,
        turns: Sequence[Turn],
        schema: type[T],
        bounds: Bounds | None = None,
    ) -> Reply[T]:
        """ "Carried", whatever is shown."""
        return Reply(schema.model_validate({"carried": True}), "", Usage(), ("not asked",))


@dataclass
class Bench:
    """The context is opened once a process; graphs are compiled once a selection strategy.

    Without a pair that proposes frames the nodes before `select` know nothing of the question. They
    run with the first question about a video; later ones go on from the state they left, in the
    same graph.
    """

    context: Context
    checks: bool = True
    _looked: tuple[object, Json] | None = None
    _saver: InMemorySaver = field(default_factory=InMemorySaver)

    @classmethod
    def open(cls, settings: Settings, *, checks: bool = True) -> "Bench":
        """Raises SettingsError and MemoryStoreError as `open_context` does."""
        return cls(replace(open_context(settings), guarded=False), checks)

    def __post_init__(self) -> None:
        if not self.checks:
            old = self.context.agents["checker"]
            content = Content("checker", old.spec, old.model, usage_log=self.context.usage_log)
            self.context = replace(self.context, agents={**self.context.agents, "checker": content})

    @cached_property
    def identity(self) -> dict[str, str]:
        """Everything that results of this bench depend on, the items themselves apart."""
        told = {k: v for k, v in self.context.described().items() if k != "select"}
        for role, agent in self.context.agents.items():
            told[f"{role} weights"] = str(getattr(agent.model, "identity", ""))
            told[f"{role} max_tokens"] = str(getattr(agent.model, "max_tokens", ""))
        if self.context.detector.name == "embedded:":
            told["detector weights"] = digest_of([PACK / "detector" / "detector.onnx"])
        here = Path(videoespresso.__file__).parent
        code = [file for room in ROOMS for file in (here / room).rglob("*.py")]
        told["code"] = digest_of(code)
        told["checker asked"] = "yes" if self.checks else "no (--no-checker)"
        return told

    def key(self, condition: str, about: object) -> str:
        """Names a result: the same models, prompts, code, item and condition."""
        told = json.dumps([self.identity, condition, repr(about)], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:20]

    # ---- one item

    def measured(
        self, condition: str, item: Item, path: Path | None = None, core: Json | None = None
    ) -> Json:
        """The record of an item under a condition. path: its film, which only `blind` can do
        without. core: its record under `paper`, for `direct`.

        What goes wrong is recorded as a wrong answer with its error, so that nothing is dropped.
        """
        began = time.perf_counter()
        try:
            found = self._tried(condition, item, path, core)
        except Exception as error:  # noqa: BLE001 - the boundary: a failure is a result
            told = " ".join(f"{type(error).__name__}: {error}".split())[:SAID]
            found = {"choice": None, "error": told}
        q = item.question
        return {
            "condition": condition,
            "item": item.id,
            "video": item.video,
            "task": q.task,
            "family": q.family,
            "truth": q.correct,
            "right": found["choice"] == q.correct,
            **found,
            "seconds": round(time.perf_counter() - began, 3),
        }

    def _tried(self, condition: str, item: Item, path: Path | None, core: Json | None) -> Json:
        if condition == "blind":
            return self._at_once(item, [], letter_counts=True)
        if condition == "direct":
            if core is None or core.get("error"):
                raise RuntimeError("no core frames: the paper condition failed")
            return self._at_once(item, [CoreFrame.model_validate(c) for c in core["core"]])
        assert path is not None, "only blind does without"
        select = "paper" if condition == "held_out" else condition
        return self._through(select, item, path)

    def _through(self, select: str, item: Item, path: Path) -> Json:
        """The whole graph."""
        core: list[int] = []
        shown, stop, answer = 0, "", None
        counted: Json = {}
        for node, wrote in self._steps(select, item, path):
            stop = wrote.get("stop", stop)
            if node == "sample" and _proposes(select):
                frames = wrote["frames"]
                counted["sampled"] = len(frames)
                counted["candidates"] = len(wrote.get("candidates") or frames)
            elif node == "select":
                core.append(len(wrote.get("core", [])))
            elif node in ("evidence", "answer"):  # both stages are shown all core frames
                shown += core[-1]
            elif node == "finish":
                answer = Answer.model_validate(wrote["answer"])
        assert answer is not None, "the graph always ends in `finish`"
        story = make_story(item.seed, item.style)
        hit = {story.phase_at(c.frame.time_s) for c in answer.core_frames}
        keeps = select == "paper"  # `direct` looks at these frames again
        return {
            "choice": answer.choice,
            "answered": answer.answered,
            "stop": stop,
            "frames": len(answer.core_frames),
            "first_frames": core[0] if core else 0,
            "looks": len(core),
            **counted,
            "shown": shown,
            "hit": set(item.question.core) <= hit,
            "times_s": [round(c.frame.time_s, 3) for c in answer.core_frames],
            "gaps": [f"{g.stage}: {g.reason}"[:SAID] for g in answer.gaps],
            "core": [c.model_dump(mode="json") for c in answer.core_frames] if keeps else [],
        }

    def _steps(self, select: str, item: Item, path: Path) -> Iterator[tuple[str, Json]]:
        """(node, what it wrote), in the order of the run."""
        settings = self.context.settings.model_copy(update={"select": select})
        context = replace(self.context, settings=settings)
        graph, thread = ask_graph(self._saver), f"{select} {item.id}"
        config: Any = {"configurable": {"thread_id": thread}}
        asked = {"question": item.question.text, "options": list(item.question.options)}
        given: Any = {"path": str(path), **asked}
        video = (select == "keyframes", path)  # this strategy alone looks at frames of its own
        looked: Json = {}
        proposes = _proposes(select)
        if not proposes and self._looked is not None and self._looked[0] == video:
            known: Json = self._looked[1] | asked
            graph.update_state(config, Command(update=known, goto="select"), as_node="filter")
            given = None
        try:
            for update in graph.stream(given, config, context=context, stream_mode="updates"):
                for node, wrote in update.items():
                    if given and not proposes and node in LOOKING:
                        looked |= wrote or {}
                        if node == LOOKING[-1] and "stop" not in looked:
                            self._looked = video, {"path": str(path), **looked, "work": {}}
                    yield node, wrote or {}
        finally:
            self._saver.delete_thread(thread)

    def _at_once(
        self, item: Item, core: Sequence[CoreFrame], *, letter_counts: bool = False
    ) -> Json:
        """One stage, no evidence. letter_counts: a letter counts even where the model says that it
        cannot answer, so that being modest does not make it look blind."""
        frames = [
            prompt_parts.Shown(
                self.context.store.image(c.frame), c.frame.time_s, c.caption, c.boxes
            )
            for c in core
        ]
        q = item.question
        said = reasoner.direct(self.context.agents["reasoner"], q.text, frames, q.options)
        answered = said.answered and bool(said.answer.strip())
        choice = reasoner.choice_of(said, q.options) if answered or letter_counts else None
        return {"choice": choice, "answered": answered, "frames": len(core), "shown": len(core)}

    # ---- one video

    def captions(self, style: StyleFamily, seed: int, path: Path) -> Json:
        """How many sampled frames have exactly the true caption; all, and those really shown to
        the captioner (the others share the caption of a frame equal to the eye)."""
        story, video = make_story(seed, style), probe(path)
        frames = self.context.store.sampling(video.id, watch.sampling_key(self.context)) or []
        said = {
            c.frame_id: c for c in self.context.memory.captions(self.context.memory_key(video.id))
        }
        exact = [_is_true(said[f.id].text, story, f.time_s) for f in frames if f.id in said]
        own = [
            _is_true(said[f.id].text, story, f.time_s)
            for f in frames
            if f.id in said and said[f.id].shared_from is None
        ]
        return {
            "video": f"{style}-{seed}",
            "captioned": len(exact),
            "frames": len(frames),
            "exact": sum(exact),
            "own": len(own),
            "own_exact": sum(own),
        }


def _is_true(caption: str, story: Story, time_s: float) -> bool:
    """At the film frame's own instant: film frames are drawn at whole multiples of 1/fps."""
    at = round(time_s * story.fps) / story.fps
    return caption.strip() == story.phases[story.phase_at(at)].caption
