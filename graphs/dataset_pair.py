"""The stages of one question-answer pair, from the verifier to the record."""

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any

from videoespresso.agents import annotator, distractor, verifier
from videoespresso.agents.prompts import load
from videoespresso.errors import ToolError
from videoespresso.graphs.dataset_context import DatasetContext, Json, signed
from videoespresso.graphs.dataset_state import PairState
from videoespresso.items import (
    LETTERS,
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    KeyFrame,
    Reject,
    item_id,
)
from videoespresso.tools.grounding import match_items
from videoespresso.tools.temporal import locate
from videoespresso.types import Caption, FrameRef, KeyItem

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


def _refused(state: PairState, stage: str, criterion: str, reason: str) -> Json:
    pair = {"question": state["question"], "answer": state["answer"]}
    told = reject(state["video"], stage, criterion, reason, state["number"], pair)
    return {**told, "over": True}


def _captions(state: PairState) -> list[Caption]:
    return [Caption.model_validate(c) for c in state["captions"]]


def _payload(state: PairState, *more: object) -> list[object]:
    """What every stage is given: who did the stages before, the captions, and the pair."""
    told = [[c["frame_id"], c["text"]] for c in state["captions"]]
    return [state["made"], told, state["question"], state["answer"], *more]


def _by(state: PairState, stage: str, found: Json) -> Json:
    """Adds a stage's maker and cost to the pair's."""
    return {
        "made": state["made"] | {stage: found["made"]},
        "cost": state["cost"] | {stage: found["cost"]},
    }


def verify(state: PairState, context: DatasetContext) -> Json:
    """A second model's verdict (paper, step 6)."""
    sha = load("verifier").sha
    agent = context.agent("verifier")

    def make() -> Json:
        reply = verifier.verify(agent, _captions(state), state["question"], state["answer"])
        return {"finding": reply.value.model_dump(mode="json"), **signed(agent, sha, reply)}

    identity = context.identity("verifier", sha)
    found = context.once(state["video"]["id"], "verify", identity, _payload(state), make)
    finding = found["finding"]
    if not finding["accepted"]:
        criterion = finding["criterion"].strip() or "unnamed"
        return _refused(state, "verify", criterion, finding["reason"])
    verification = {"accepted": True, "criterion": "", "reason": finding["reason"]}
    return {"verification": verification, **_by(state, "verify", found)}


def annotate(state: PairState, context: DatasetContext) -> Json:
    """Core captions, key items and evidence (paper, step 7)."""
    sha = load("annotator").sha
    agent = context.agent("annotator")

    def make() -> Json:
        reply = annotator.annotate(agent, _captions(state), state["question"], state["answer"])
        return {"annotation": reply.value.model_dump(mode="json"), **signed(agent, sha, reply)}

    identity = context.identity("annotator", sha)
    found = context.once(state["video"]["id"], "annotate", identity, _payload(state), make)
    said = found["annotation"]
    core = [text for text in said["core"] if text.strip()]
    sentences = [
        s for s in said["evidence"] if s["text"].strip() and 1 <= s["core"] <= len(said["core"])
    ]
    if len(core) < FEWEST_CORE:
        return _refused(state, "annotate", "single frame", f"{len(core)} core captions")
    if not sentences:
        return _refused(state, "annotate", "no evidence", "no sentence is about a core caption")
    return {"annotation": said, **_by(state, "annotate", found)}


def ground_time(state: PairState, context: DatasetContext) -> Json:
    """Core captions -> frames, by the nearest embedding (paper, eq. 3)."""
    said, embed = state["annotation"], context.base.embed
    frames = [FrameRef.model_validate(f) for f in state["frames"]]

    def make() -> Json:
        located = locate(said["core"], _captions(state), embed, frames, in_order=True)
        return {
            "located": [p and {"frame_id": p.frame_id, "score": p.score} for p in located],
            "made": {"model": embed.name},
            "cost": None,
        }

    identity = {"embedder": embed.name}
    payload = _payload(state, said["core"])
    found = context.once(state["video"]["id"], "ground_time", identity, payload, make)
    core, position = _core(state, said["core"], found["located"])
    if len(core) < FEWEST_CORE:
        return _refused(
            state, "ground_time", "single frame", "all core captions fall on the same frame"
        )
    sentences = [
        {"text": s["text"].strip(), "frame": position[s["core"] - 1], "names": _names(s["items"])}
        for s in said["evidence"]
        if s["text"].strip() and position.get(s["core"] - 1) is not None
    ]
    made = state["made"] | {"ground_time": found["made"]}
    return {"core": core, "sentences": sentences, "made": made}


def _names(items: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(" ".join(name.split()) for name in items if name.strip()))


def _core(
    state: PairState, texts: Sequence[str], located: Sequence[Json | None]
) -> tuple[list[Json], dict[int, int]]:
    """Core frames in time order, each once, and the position of each core caption's among them."""
    time_of = {f["id"]: f["time_s"] for f in state["frames"]}
    captioned = {c["frame_id"]: c["text"] for c in state["captions"]}
    best: dict[str, Json] = {}
    for text, place in zip(texts, located, strict=True):
        if place is None:
            continue
        name = place["frame_id"]
        if name not in best or place["score"] > best[name]["score"]:
            best[name] = {
                "frame": name,
                "caption": text.strip(),
                "captioned": captioned[name],
                "score": place["score"],
            }
    order = sorted(best, key=lambda name: (time_of[name], name))
    position = {
        k: order.index(place["frame_id"]) for k, place in enumerate(located) if place is not None
    }
    return [best[name] for name in order], position


def ground_space(state: PairState, context: DatasetContext) -> Json:
    """Boxes for the key items of each sentence, on its core frame (paper, step 8).

    An item that is not found, or a detector that fails, leaves an empty list, as in the paper's
    data.
    """
    detector = context.base.detector
    frames = {f["id"]: FrameRef.model_validate(f) for f in state["frames"]}
    core = [frames[c["frame"]] for c in state["core"]]
    wanted: dict[int, list[str]] = {}
    for s in state["sentences"]:
        wanted[s["frame"]] = list(dict.fromkeys([*wanted.get(s["frame"], []), *s["names"]]))

    def make() -> Json:
        found: dict[str, Json] = {}
        faults = []
        for at, names in sorted(wanted.items()):
            if not names:
                continue
            image = context.base.store.image(core[at])
            try:
                items = match_items(names, detector.detect(image, names))
                items = [_checked(item, image, context) for item in items]
            except ToolError as error:
                faults.append(str(error))
                items = []
            found[str(at)] = {
                i.name: [{"xyxy": list(b.xyxy), "score": b.score} for b in i.boxes] for i in items
            }
        how = (
            [f"checked by {context.label_check.name}"] if context.label_check.name != "off" else []
        )
        made = {"model": detector.name, "how": how}
        return {"found": found, "faults": faults, "made": made, "cost": None}

    payload = _payload(state, [f.sha for f in core], [[k, v] for k, v in sorted(wanted.items())])
    identity = {"detector": detector.name, "check": context.label_check.name}
    made = context.once(state["video"]["id"], "ground_space", identity, payload, make)
    sentences = [_grounded(s, made["found"].get(str(s["frame"]), {})) for s in state["sentences"]]
    return {"sentences": sentences, "made": state["made"] | {"ground_space": made["made"]}}


def _checked(item: KeyItem, image: Any, context: DatasetContext) -> KeyItem:
    """The item with the boxes that show it, by name: "red car" and not only "car"."""
    named = [box.model_copy(update={"label": item.name}) for box in item.boxes]
    return KeyItem(name=item.name, boxes=tuple(context.label_check.keep(image, named)))


def _grounded(sentence: Json, found: Json) -> Json:
    at = sentence["frame"]
    items = tuple(
        GroundedItem(
            name=name,
            boxes=tuple(FrameBox(frame=at, **box) for box in found.get(name, ())),
        )
        for name in sentence["names"]
    )
    told = EvidenceSentence(text=sentence["text"], frame=at, items=items)
    return told.model_dump(mode="json")


def distract(state: PairState, context: DatasetContext) -> Json:
    """Three wrong options, and the right one's place among them."""
    sha = load("distractor").sha
    agent = context.agent("distractor")
    time_of = {f["id"]: f["time_s"] for f in state["frames"]}
    core = [(time_of[c["frame"]], c["captioned"]) for c in state["core"]]

    def make() -> Json:
        reply = distractor.distract(agent, core, state["question"], state["answer"])
        return {"wrong": reply.value.model_dump(mode="json")["wrong"], **signed(agent, sha, reply)}

    identity = context.identity("distractor", sha)
    found = context.once(state["video"]["id"], "distract", identity, _payload(state, core), make)
    judged = distractor.judge(
        distractor.Distractors.model_validate({"wrong": found["wrong"]}), state["answer"]
    )
    if len(judged.usable) < distractor.WRONG:
        told = "; ".join(judged.faults) or f"{len(judged.usable)} options"
        return _refused(state, "distract", "options", told)
    options, letter = _mixed(state, [w.text.strip() for w in judged.usable], context.seed)
    return {"options": options, "letter": letter, **_by(state, "distract", found)}


def _mixed(state: PairState, wrong: Sequence[str], seed: int) -> tuple[list[str], str]:
    """The options in an order that the seed and the record's id decide, and nothing else."""
    name = item_id(state["video"]["id"], state["question"], state["answer"])
    told = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    options = [state["answer"].strip(), *wrong]
    random.Random(told).shuffle(options)
    return options, LETTERS[options.index(state["answer"].strip())]


def write(state: PairState, context: DatasetContext) -> Json:
    """The record, and its core frames' pictures beside the records."""
    video = state["video"]
    frames = {f["id"]: f for f in state["frames"]}
    core = [
        KeyFrame(
            image=context.keep_image(frames[c["frame"]]),
            frame_id=c["frame"],
            caption=c["caption"],
            captioned=c["captioned"],
            score=c["score"],
            **{k: frames[c["frame"]][k] for k in _OF_FRAME},
        )
        for c in state["core"]
    ]
    told = [{k: c[k] for k in ("text", "frame_id", "time_s")} for c in state["captions"]]
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
            "captions": told,
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

PAIR_CHAIN: tuple[Callable[[PairState, DatasetContext], dict[str, Any]], ...] = (
    verify,
    annotate,
    ground_time,
    ground_space,
    distract,
    write,
)
