"""The stages of one question-answer pair, from the verifier to the record."""

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any

from langgraph.runtime import Runtime

from videoespresso.agents import annotator, distractor, verifier
from videoespresso.agents.base import Agent, Reply
from videoespresso.dataset_record import LETTERS, DatasetItem, KeyFrame, item_id
from videoespresso.graphs.dataset_context import (
    FEWEST_CORE,
    DatasetContext,
    PairState,
    captions_of,
    payload_of,
    refused,
    reply_of,
)
from videoespresso.graphs.dataset_ground import ground_space, ground_time
from videoespresso.graphs.state import Json


def verify(state: PairState, runtime: Runtime[DatasetContext]) -> Json:
    """A second model's verdict (paper, step 6)."""

    def ask(agent: Agent) -> Reply[Any]:
        return verifier.verify(agent, captions_of(state), state["question"], state["answer"])

    payload = payload_of(state)
    verdict, by = reply_of(state, runtime.context, "verify", "verifier", payload, ask)
    if not verdict["accepted"]:
        criterion = verdict["criterion"].strip() or "unnamed"
        return refused(state, "verify", criterion, verdict["reason"])
    verification = {"accepted": True, "criterion": "", "reason": verdict["reason"]}
    return {"verification": verification, **by}


def annotate(state: PairState, runtime: Runtime[DatasetContext]) -> Json:
    """Core captions, key items and evidence (paper, step 7)."""

    def ask(agent: Agent) -> Reply[Any]:
        return annotator.annotate(agent, captions_of(state), state["question"], state["answer"])

    payload = payload_of(state)
    reply, by = reply_of(state, runtime.context, "annotate", "annotator", payload, ask)
    core = [text for text in reply["core"] if text.strip()]
    sentences = [
        s for s in reply["evidence"] if s["text"].strip() and 1 <= s["core"] <= len(reply["core"])
    ]
    if len(core) < FEWEST_CORE:
        return refused(state, "annotate", "single frame", f"{len(core)} core captions")
    if not sentences:
        return refused(state, "annotate", "no evidence", "no sentence is about a core caption")
    return {"annotation": reply, **by}


def distract(state: PairState, runtime: Runtime[DatasetContext]) -> Json:
    """Three wrong options, and the right one's place among them."""
    time_of = {f["id"]: f["time_s"] for f in state["frames"]}
    core = [(time_of[c["frame"]], c["captioned"]) for c in state["core"]]

    def ask(agent: Agent) -> Reply[Any]:
        return distractor.distract(agent, core, state["question"], state["answer"])

    context, payload = runtime.context, payload_of(state, core)
    reply, by = reply_of(state, context, "distract", "distractor", payload, ask)
    judged = distractor.judge(distractor.Distractors.model_validate(reply), state["answer"])
    if len(judged.usable) < distractor.WRONG:
        faults = "; ".join(judged.faults) or f"{len(judged.usable)} options"
        return refused(state, "distract", "options", faults)
    options, letter = _mixed(state, [w.text.strip() for w in judged.usable], context.seed)
    return {"options": options, "letter": letter, **by}


def _mixed(state: PairState, wrong: Sequence[str], seed: int) -> tuple[list[str], str]:
    """The options in an order that the seed and the record's id decide, and nothing else."""
    name = item_id(state["video"]["id"], state["question"], state["answer"])
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    options = [state["answer"].strip(), *wrong]
    random.Random(digest).shuffle(options)
    return options, LETTERS[options.index(state["answer"].strip())]


def write(state: PairState, runtime: Runtime[DatasetContext]) -> Json:
    """The record, and its core frames' pictures beside the records."""
    context, video = runtime.context, state["video"]
    frames = {f["id"]: f for f in state["frames"]}
    core = [
        KeyFrame(
            image=context.keep_image(frames[c["frame"]]),
            frame_id=c["frame"],
            caption=c["caption"],
            captioned=c["captioned"],
            score=c["score"],
            boxes=c.get("boxes"),
            **{k: frames[c["frame"]][k] for k in _OF_FRAME},
        )
        for c in state["core"]
    ]
    captions = [{k: c[k] for k in ("text", "frame_id", "time_s")} for c in state["captions"]]
    item = DatasetItem.model_validate(
        {
            "id": item_id(video["id"], state["question"], state["answer"]),
            "video": {k: video[k] for k in _OF_VIDEO},
            "task": state["task"],
            "question": state["question"].strip(),
            "answer": state["answer"].strip(),
            "options": state["options"],
            "letter": state["letter"],
            "evidence": state["sentences"],
            "core_frames": core,
            "captions": captions,
            "group": state["number"],
            "verification": state["verification"],
            "seed": context.seed,
            "made": state["made"],
            "cost": state["cost"],
        }
    )
    return {"items": [item.model_dump(mode="json")]}


_OF_FRAME = ("time_s", "index", "rule", "sha", "width", "height")
_OF_VIDEO = ("path", "id", "duration_s", "fps", "width", "height")

PairNode = Callable[[PairState, Runtime[DatasetContext]], dict[str, Any]]

PAIR_CHAIN: tuple[PairNode, ...] = (
    verify,
    annotate,
    ground_time,
    ground_space,
    distract,
    write,
)
