"""What the stages of a pair share: how one is refused, what it is given, who made it."""

from collections.abc import Callable, Mapping
from typing import Any

from videoespresso.agents.base import Agent, Reply
from videoespresso.agents.prompts import load
from videoespresso.graphs.dataset_context import DatasetContext, Json, Stage, signed
from videoespresso.graphs.dataset_state import PairState
from videoespresso.items import Reject
from videoespresso.types import Caption

FEWEST_CORE = 2
"""A question that one frame answers is not of this data (paper, step 5)."""


def reject(
    video: Json,
    stage: str,
    criterion: str,
    reason: str,
    group: int | None = None,
    pair: Json | None = None,
) -> Json:
    """What a node writes to end a video, a group or a pair with a reason."""
    told = Reject(
        video=video["path"],
        video_id=video["id"],
        stage=stage,
        criterion=criterion,
        reason=reason,
        group=group,
        question=(pair or {}).get("question", ""),
        answer=(pair or {}).get("answer", ""),
    )
    return {"rejects": [told.model_dump(mode="json")]}


def refused(state: PairState, stage: str, criterion: str, reason: str) -> Json:
    """What a node writes that ends the pair."""
    pair = {"question": state["question"], "answer": state["answer"]}
    told = reject(state["video"], stage, criterion, reason, state["number"], pair)
    return {**told, "over": True}


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
    told = [[c["frame_id"], c["text"]] for c in state["captions"]]
    return [state["made"], told, state["question"], state["answer"], *more]


def said_of(
    state: PairState,
    context: DatasetContext,
    stage: Stage,
    role: str,
    payload: object,
    ask: Callable[[Agent], Reply[Any]],
) -> tuple[Json, Json]:
    """What a role says about a pair, asked once; and who made what at which cost, with that of the
    stages before."""
    sha, agent = load(role).sha, context.agent(role)

    def make() -> Json:
        reply = ask(agent)
        return {"said": reply.value.model_dump(mode="json"), **signed(agent, sha, reply)}

    identity = context.identity(role, sha)
    found = context.once(state["video"]["id"], stage, identity, payload, make)
    return found["said"], {
        "made": state["made"] | {stage: found["made"]},
        "cost": state["cost"] | {stage: found["cost"]},
    }
