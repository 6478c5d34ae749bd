"""What the dataset graphs work with, and what their nodes have in common: a stage is done once, and
what ends early leaves a reject or a failure."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from typing_extensions import TypedDict

from videoespresso.agents.base import Agent, Reply
from videoespresso.agents.prompts import load
from videoespresso.dataset_record import Reject
from videoespresso.errors import ModelOutputError, VideoEspressoError
from videoespresso.graphs.context import Context, open_context
from videoespresso.graphs.state import Json, State, merge_by, union
from videoespresso.memory.journal import Journals, stage_key
from videoespresso.models.client.errors import RefusedError
from videoespresso.settings import DATASET_ROLES, Settings
from videoespresso.tools.detectors.label_check import LabelCheck, Unchecked
from videoespresso.tools.semantic_filter import TAU
from videoespresso.tools.video import Probes
from videoespresso.types import Caption, Usage


class Filmed(TypedDict):
    """What the caller gives."""

    path: str


class Outcome(TypedDict, total=False):
    """What becomes of pairs; each pair ends in one of these."""

    items: Annotated[list[Json], merge_by("id")]
    """`DatasetItem`s."""
    rejects: Annotated[list[Json], union]
    """`Reject`s."""
    failures: Annotated[list[Json], union]
    """{"stage", "reason", ...}: what another run may mend (a server that was down)."""
    deferred: Annotated[list[Json], union]
    """{"key"}: replies that will come in a batch (models/batch_api)."""


class DatasetState(State, Outcome, total=False):
    """A video's way: the watch is the ask graph's, then its groups."""

    groups: list[Json]
    """{"number", "captions"}: `Caption`s of consecutive surviving frames."""


class GroupState(Outcome, total=False):
    """A group of captions on its way to pairs."""

    video: Json
    number: int
    captions: list[Json]
    frames: list[Json]
    """`FrameRef`s of the captions."""


class PairState(GroupState, total=False):
    """A question-answer pair on its way to a record."""

    question: str
    answer: str
    task: str | None
    made: dict[str, Any]
    """Stage -> who made it (`Made`); part of every later stage's key."""
    cost: dict[str, Any]
    verification: Json
    annotation: Json
    core: list[Json]
    """Core frames in time order: {"frame", "caption", "captioned", "score"}, grounded also
    "boxes"."""
    sentences: list[Json]
    """`EvidenceSentence`s."""
    options: list[str]
    letter: str | None
    over: bool
    """The pair has ended: it was rejected, or it failed."""


Stage = Literal[
    "generate", "verify", "annotate", "ground_time", "ground_space", "distract", "write"
]
"""What a video's journal keeps the results of."""
GROUP = 15
"""Captions a group (paper, step 4)."""
SHORTEST = 5
"""A remainder of fewer captions joins the group before it, where there is one: it could hardly
carry a question of its own. The paper does not say what becomes of remainders."""

FEWEST_CORE = 2
"""A question that one frame answers is not of this data (paper, step 5)."""


def open_dataset_context(settings: Settings, **shared: Any) -> Context:
    """Models, stores and limits of dataset mode; shared: see `open_context`.

    A limit in frames is each video's, as it is each question's: as the run's it would make records
    depend on which videos came before. Captions are indexed when somebody searches them: no stage
    does. Raises SettingsError, MemoryStoreError.
    """
    most, settings = settings.budget_frames, settings.model_copy(update={"budget_frames": None})
    context = open_context(settings, roles=("captioner", *DATASET_ROLES), **shared)
    context.memory.eager = False
    if most is None or most >= context.plan.max_frames:
        return context
    return replace(context, plan=replace(context.plan, max_frames=most))


class Event(NamedTuple):
    """A stage of a video is done. known: it was in the journal; cost: when it was made."""

    video: str
    stage: str
    known: bool
    cost: Usage


class Stopped(VideoEspressoError):
    """Raised at the next stage of a run that was asked to stop."""


@dataclass(frozen=True)
class DatasetContext:
    """One run's means, given to the graph when it is run. base: models, stores and limits, as for
    questions. keep_image: puts a core frame's picture beside the records and returns its name
    there. tell: called with every stage that is done.

    journals: what was done before. label_check: judges the detector's boxes. seed: decides the
    order of options. decoding: held while a file is opened; more decoders than cores only wait.
    releases: at its end the graph lets another process have the video; else whoever invoked it
    does, when what became of the video is written.
    """

    base: Context
    keep_image: Callable[[Json], str]
    journals: Journals
    label_check: LabelCheck = field(default_factory=Unchecked)
    tell: Callable[[Event], None] = lambda _event: None
    seed: int = 0
    group: int = GROUP
    releases: bool = True
    stopping: threading.Event = field(default_factory=threading.Event)
    decoding: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(max(2, os.cpu_count() or 2))
    )

    @property
    def probes(self) -> Probes:
        """What files are; a run that goes on need not open them all again."""
        return self.base.probes

    def agent(self, role: str) -> Agent:
        """Who fills a role."""
        return self.base.agents[role]

    def identity(self, role: str, prompt: str) -> Json:
        """What a role's replies depend on: spec, local weights, server, prompt."""
        return {**self.agent(role).identity, "prompt": prompt}

    def captions_identity(self) -> Json:
        """What the captions of a video depend on."""
        settings = self.base.settings
        return self.identity("captioner", load("captioner").sha) | {
            "sampling": self.base.plan.key(),
            "select": settings.select if settings.select == "keyframes" else "",
            "tau": TAU if settings.tau is None else settings.tau,
            "embedder": self.base.embed.name,
            "group": self.group,
        }

    def once(
        self,
        video_id: str,
        stage: Stage,
        identity: Json,
        payload: object,
        make: Callable[[], Json],
    ) -> Json:
        """A stage's result from the journal, else made and kept.

        A reply of no use was paid for and is kept, too, and so is a refusal: ModelOutputError and
        RefusedError are raised again instead of asking again. Of a result with faults nothing is
        kept: the next run tries again. Raises Stopped when the run is to end, and whatever `make`
        raises.
        """
        key = stage_key(stage, identity, payload)
        journal = self.journals[video_id]
        known = journal.get(key)
        if known is not None:
            self.tell(Event(video_id, stage, True, _cost(known)))
            if "unusable" in known:
                raise ModelOutputError(known["unusable"])
            if "refused" in known:
                raise RefusedError(known["refused"])
            return dict(known)
        if self.stopping.is_set():
            raise Stopped("the run was stopped")
        try:
            made = make()
        except (ModelOutputError, RefusedError) as error:
            why = "refused" if isinstance(error, RefusedError) else "unusable"
            journal.put(key, stage, {why: str(error)})
            raise
        if not made.get("faults"):
            journal.put(key, stage, made)
        self.tell(Event(video_id, stage, False, _cost(made)))
        return made


def open_dataset(
    folder: str | Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    group: int = GROUP,
) -> DatasetContext:
    """What `dataset_graph` works with, one video a run: the models of the settings, and a folder
    for journals (work/) and the pictures of core frames (frames/).

    seed: decides the order of options. group: captions a group. Raises SettingsError and
    MemoryStoreError. For whole sets of videos use `videoespresso.build_dataset`.
    """
    base = open_context(settings, roles=("captioner", *DATASET_ROLES))
    folder = Path(folder)

    def keep_image(frame: Json) -> str:
        return f"frames/{base.store.keep(frame['video_id'], frame['sha'], folder / 'frames')}"

    journals = Journals(folder / "work")
    return DatasetContext(base, keep_image, journals, seed=seed, group=group)


def _cost(made: Json) -> Usage:
    return Usage.model_validate(made.get("cost") or {})


def signed(agent: Agent, prompt: str, reply: Reply[Any]) -> Mapping[str, Any]:
    """Who made a reply and what it cost when it was made, for the record.

    Left out is what differs from run to run, as records must not: seconds, and forms that the
    server refused, which only the first to ask finds out.
    """
    made = {"model": str(agent.spec), "snapshot": reply.snapshot, "prompt": prompt}
    refused = [method for method in reply.how if method.endswith(": refused")]
    how = [method for method in reply.how if method != "cache" and method not in refused]
    calls = max(0, reply.cost.calls - len(refused))
    cost = reply.cost.model_copy(update={"seconds": 0.0, "cached_calls": 0, "calls": calls})
    return {"made": {**made, "how": how}, "cost": cost.model_dump(mode="json")}


def reject(
    video: Json,
    stage: str,
    criterion: str,
    reason: str,
    group: int | None = None,
    pair: Json | None = None,
) -> Json:
    """What a node writes to end a video, a group or a pair with a reason."""
    record = Reject(
        video=video["path"],
        video_id=video["id"],
        stage=stage,
        criterion=criterion,
        reason=reason,
        group=group,
        question=(pair or {}).get("question", ""),
        answer=(pair or {}).get("answer", ""),
    )
    return {"rejects": [record.model_dump(mode="json")]}


def refused(state: PairState, stage: str, criterion: str, reason: str) -> Json:
    """What a node writes that ends the pair."""
    pair = {"question": state["question"], "answer": state["answer"]}
    rejected = reject(state["video"], stage, criterion, reason, state["number"], pair)
    return {**rejected, "over": True}


def failure_of(state: Mapping[str, Any], stage: str, reason: str) -> Json:
    """What failed for a group or a pair, and may succeed another time."""
    return {
        "stage": stage,
        "reason": reason,
        "video": state["video"]["path"],
        "group": state.get("number"),
        "question": state.get("question", ""),
    }


def captions_of(state: PairState) -> list[Caption]:
    """The group's captions."""
    return [Caption.model_validate(c) for c in state["captions"]]


def payload_of(state: PairState, *more: object) -> list[object]:
    """What every stage is given: who did the stages before, the captions, and the pair."""
    captions = [[c["frame_id"], c["text"]] for c in state["captions"]]
    return [state["made"], captions, state["question"], state["answer"], *more]


def reply_of(
    state: PairState,
    context: DatasetContext,
    stage: Stage,
    role: str,
    payload: object,
    ask: Callable[[Agent], Reply[Any]],
) -> tuple[Json, Json]:
    """What a role replies about a pair, asked once; and who made what at which cost, with that of
    the stages before."""
    sha, agent = load(role).sha, context.agent(role)

    def make() -> Json:
        reply = ask(agent)
        return {"said": reply.value.model_dump(mode="json"), **signed(agent, sha, reply)}

    identity = context.identity(role, sha)
    kept = context.once(state["video"]["id"], stage, identity, payload, make)
    return kept["said"], {
        "made": state["made"] | {stage: kept["made"]},
        "cost": state["cost"] | {stage: kept["cost"]},
    }
