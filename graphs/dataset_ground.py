"""The grounding of a pair: its core captions in time, its key items in space."""

from collections.abc import Mapping, Sequence

from langgraph.runtime import Runtime

from videoespresso.dataset_record import EvidenceSentence, FrameBox, GroundedItem
from videoespresso.errors import ToolError
from videoespresso.graphs.dataset_context import (
    FEWEST_CORE,
    DatasetContext,
    PairState,
    captions_of,
    failure_of,
    payload_of,
    refused,
)
from videoespresso.graphs.state import Json
from videoespresso.tools.detectors.base import Detector
from videoespresso.tools.detectors.label_check import LabelCheck, agreed
from videoespresso.tools.grounding import match_items
from videoespresso.tools.temporal import locate
from videoespresso.types import Box, FrameRef


def ground_time(state: PairState, runtime: Runtime[DatasetContext]) -> Json:
    """Core captions -> frames, by the nearest embedding (paper, eq. 3)."""
    context, annotation = runtime.context, state["annotation"]
    embed = context.base.embed
    frames = [FrameRef.model_validate(f) for f in state["frames"]]

    def make() -> Json:
        located = locate(annotation["core"], captions_of(state), embed, frames, in_order=True)
        return {
            "located": [p and {"frame_id": p.frame_id, "score": p.score} for p in located],
            "made": {"model": embed.name},
            "cost": None,
        }

    identity = {"embedder": embed.name}
    payload = payload_of(state, annotation["core"])
    kept = context.once(state["video"]["id"], "ground_time", identity, payload, make)
    core, position = _core(state, annotation["core"], kept["located"])
    if len(core) < FEWEST_CORE:
        return refused(
            state, "ground_time", "single frame", "all core captions fall on the same frame"
        )
    sentences = [
        {"text": s["text"].strip(), "frame": position[s["core"] - 1], "names": _names(s["items"])}
        for s in annotation["evidence"]
        if s["text"].strip() and position.get(s["core"] - 1) is not None
    ]
    if not sentences:
        return refused(
            state, "ground_time", "no evidence", "no sentence is about a caption that was placed"
        )
    made = state["made"] | {"ground_time": kept["made"]}
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


def ground_space(state: PairState, runtime: Runtime[DatasetContext]) -> Json:
    """Boxes for the key items of each sentence, on its core frame (paper, step 8); and, of a
    detector with labels of its own, all that it sees on the core frames.

    An item that is not found, or a detector that fails, leaves an empty list, as in the paper's
    data. A failure is recorded, and the next run tries again.
    """
    context = runtime.context
    detector = context.base.detector
    frames = {f["id"]: FrameRef.model_validate(f) for f in state["frames"]}
    core = [frames[c["frame"]] for c in state["core"]]
    wanted = _wanted(state["sentences"])
    payload = payload_of(state, [f.sha for f in core], [[k, v] for k, v in sorted(wanted.items())])
    identity = {"detector": _named(detector), "check": _named(context.label_check)}
    made = context.once(
        state["video"]["id"], "ground_space", identity, payload,
        lambda: _detected(context, core, wanted),
    )  # fmt: skip
    seen = made.get("seen", {})  # an older journal has none
    wrote = {
        "sentences": [
            _grounded(s, made["found"].get(str(s["frame"]), {})) for s in state["sentences"]
        ],
        "core": [c | {"boxes": seen.get(str(at))} for at, c in enumerate(state["core"])],
        "made": state["made"] | {"ground_space": made["made"]},
    }
    if made["faults"]:
        wrote["failures"] = [failure_of(state, "ground_space", made["faults"][0])]
    return wrote


def _detected(
    context: DatasetContext, core: Sequence[FrameRef], wanted: Mapping[int, Sequence[str]]
) -> Json:
    """What `ground_space` keeps: boxes by core frame, of the items wanted there and of all."""
    detector, check = context.base.detector, context.label_check
    placed: dict[str, Json] = {}
    seen: dict[str, list[Json]] = {}
    faults = []
    for at, frame in enumerate(core):
        names = wanted.get(at, ())
        if not names and detector.labels is None:
            continue
        image = context.base.store.image(frame)
        try:
            boxes = detector.detect(image, names)
            items = [agreed(check, image, item) for item in match_items(names, boxes)]
        except ToolError as error:
            faults.append(str(error))
            items = []
        else:
            if detector.labels is not None:
                seen[str(at)] = list(map(_kept, boxes))
        placed[str(at)] = {item.name: list(map(_kept, item.boxes)) for item in items}
    how = [f"checked by {check.name}"] if check.name != "off" else []
    made = {"model": detector.name, "how": how}
    return {"found": placed, "seen": seen, "faults": faults, "made": made, "cost": None}


def _kept(box: Box) -> Json:
    """A box as a journal keeps it, and a record reads it."""
    return {"xyxy": list(box.xyxy), "score": box.score, "label": box.label}


def _wanted(sentences: Sequence[Json]) -> dict[int, list[str]]:
    """Position of a core frame -> the names of all key items on it, each once."""
    wanted: dict[int, list[str]] = {}
    for s in sentences:
        wanted[s["frame"]] = list(dict.fromkeys([*wanted.get(s["frame"], []), *s["names"]]))
    return wanted


def _named(used: Detector | LabelCheck) -> list[str]:
    """Its spec, and which weights these are."""
    return [used.name, str(getattr(used, "identity", ""))]


def _grounded(sentence: Json, placed: Json) -> Json:
    at = sentence["frame"]
    items = tuple(
        GroundedItem(
            name=name,
            boxes=tuple(FrameBox(frame=at, **box) for box in placed.get(name, ())),
        )
        for name in sentence["names"]
    )
    grounded = EvidenceSentence(text=sentence["text"], frame=at, items=items)
    return grounded.model_dump(mode="json")
