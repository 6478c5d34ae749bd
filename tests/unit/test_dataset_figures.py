"""The measures of dataset mode on made-up records, whose figures are known beforehand."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import dataset_figures as figures
from lab import dataset_summary as summary
from lab.dataset_figures import Line
from lab.dataset_rows import (
    box_tallies,
    caption_rows,
    instant_rows,
    option_rows,
    pair_rows,
)
from lab.dataset_summary import Block
from lab.detector_score import Tally
from tests.helpers import records
from tests.helpers.scripted import story_with

from videoespresso.dataset_record import (
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    GroupCaption,
    Reject,
)
from videoespresso.theatre import Story
from videoespresso.theatre.truth import drawn_at, part_of, phases_of, spoilt, true_pairs

STORY = story_with("vase breaks")
BREAK = next(e for e in STORY.events if e.act == "breaks")


def middle(phase: int, story: Story = STORY) -> float:
    return (story.phases[phase].t0 + story.phases[phase].t1) / 2


def made(
    sentences: Sequence[tuple[str, float, dict[str, list[Any]]]], **changed: Any
) -> DatasetItem:
    """A record with these (evidence, instant, name -> boxes) and the story's true captions."""
    base = records.item(1)
    frames = tuple(
        base.core_frames[0].model_copy(update={"time_s": t, "image": ""}) for _, t, _ in sentences
    )
    evidence = tuple(
        EvidenceSentence(
            text=text,
            frame=k,
            items=tuple(
                GroundedItem(
                    name=name, boxes=tuple(FrameBox(xyxy=b, frame=k, score=0.9) for b in boxes)
                )
                for name, boxes in names.items()
            ),
        )
        for k, (text, _, names) in enumerate(sentences)
    )
    captions = tuple(GroupCaption(text=p.caption, time_s=p.t0 + 0.1) for p in STORY.phases)
    told = {"core_frames": frames, "evidence": evidence, "captions": captions}
    return base.model_copy(update=told | changed)


def named(lines: Sequence[Line], name: str, section: str = "") -> float:
    (line,) = [x for x in lines if x.name == name and section in x.section]
    assert line.estimate is not None, name
    if line.estimate.low is not None and line.estimate.high is not None:
        assert line.estimate.low <= line.estimate.value <= line.estimate.high
    else:
        assert line.estimate.interval in ("too few videos", "no variation")
    return line.estimate.value


# ---- truth


def test_truth_before_and_after_verification() -> None:
    cause = STORY.events[BREAK.cause or 0]
    true = made([], question="Why does the vase break?", answer=f"Because {cause.text}.")
    false = made([], question="Why does the vase break?", answer="Because the vase blooms.")
    odd = made([], question="Why does the vase break?", answer="Because of gravity.")
    no = Reject(video="v", stage="verify", criterion="accuracy", reason="r",
                question=false.question, answer=false.answer)  # fmt: skip
    late = no.model_copy(update={"stage": "distract", "answer": true.answer})
    film = Reject(video="v", stage="probe", criterion="unreadable video", reason="r")
    rows = [{"video": 1, **r} for r in pair_rows(STORY, [true, false, odd], [no, late, film])]
    assert [r["truth"] for r in rows] == [*("true", "false", "undecidable", "false", "true")]
    assert [r["fate"] for r in rows] == ["record"] * 3 + ["verify", "distract"]
    lines = figures.shares({"pairs": rows, "taught": [{"video": 1, "truth": "true"}]})
    assert named(lines, "generated pairs that are true") == 1 / 2
    assert named(lines, "generated pairs that cannot be decided") == 1 / 5
    assert named(lines, "accepted by the verifier: true") == pytest.approx(2 / 3)
    assert named(lines, "records that are true") == 1 / 2
    assert named(lines, "rejected by the verifier: false") == 1
    assert named(lines, "the same from the story's own captions") == 1


def test_captions_are_compared_at_their_own_frame() -> None:
    right = made([])
    assert caption_rows(STORY, [right, right]) == [True] * len(STORY.phases), "each once"
    wrong = right.captions[0].model_copy(update={"text": "room: nobody"})
    broken = right.model_copy(update={"captions": (wrong, *right.captions[1:])})
    assert caption_rows(STORY, [broken]).count(False) == 1


# ---- grounding in time


def test_a_sentence_holds_in_its_phases_and_nowhere_else() -> None:
    phases = phases_of(STORY, "The vase breaks.")
    assert phases is not None
    assert BREAK.phase in phases
    assert all("vase breaks" in STORY.phases[k].caption for k in phases)
    assert phases_of(STORY, "The vase blooms.") == set()
    assert phases_of(STORY, "It is seen how gravity works.") is None
    assert phases_of(STORY, "The vase.") is None, "nothing is said of it"


def test_instants_hit_near_what_is_told_and_miss_far_from_it() -> None:
    phases = phases_of(STORY, "The vase breaks.") or set()
    first, last = min(phases), max(phases)
    before, after = STORY.phases[first].t0, STORY.phases[last].t1
    step = 1 / STORY.fps
    instants = (middle(first), before - 0.4, before - 0.6 - step, after + 0.6 + step)
    item = made([("The vase breaks.", t, {}) for t in instants])
    rows = instant_rows(STORY, item)
    assert [r["hit"] for r in rows] == [True, True, False, False]
    assert [r["exact"] for r in rows] == [True, False, False, False]
    near = [c.time_s for c in item.captions if before - 0.5 <= (c.time_s or 0) <= after + 0.5]
    assert rows[0]["chance"] == pytest.approx(len(near) / len(item.captions), abs=0.01)
    strange = made([("The vase blooms.", 1.0, {}), ("Gravity works.", 1.0, {})])
    assert [r.get("never") for r in instant_rows(STORY, strange)] == [True, None]
    rows = [{"video": 1, **r} for r in (*rows, *instant_rows(STORY, strange))]
    lines = figures.shares({"instants": rows})
    assert named(lines, "within 0.5 s of what the sentence says") == 2 / 5
    assert named(lines, "within 0.5 s, sentences true at some time") == 1 / 2
    assert named(lines, "sentences that cannot be decided") == 1 / 6


# ---- boxes


def test_boxes_are_held_against_the_stage_at_that_instant() -> None:
    time_s = drawn_at(STORY, middle(BREAK.phase))
    objects = STORY.scene(time_s).objects
    vase = next(o for o in objects if o.label == "vase")
    person = next(o for o in objects if o.label == "person")
    people = [o for o in objects if o.label == "person"]
    far = (0.0, 0.0, 0.01, 0.01)
    right = box_tallies(STORY, made([("The vase breaks.", time_s, {"vase": [vase.xyxy]})]))
    assert right == {"named": Tally(1, 0, 0), "kind": Tally(1, 0, 0)}
    missed = box_tallies(STORY, made([("The vase breaks.", time_s, {"vase": [far]})]))
    assert missed["named"] == Tally(0, 1, 1)
    every = box_tallies(STORY, made([("x", time_s, {person.phrase: [o.xyxy for o in people]})]))
    assert every["named"] == Tally(1, len(people) - 1, 0), "others of that kind are not the one"
    assert every["kind"] == Tally(len(people), 0, 0)
    nobody = box_tallies(STORY, made([("x", time_s, {"road": []})]))
    assert nobody["named"] == Tally(0, 0, 0)


def test_box_figures_are_f1_precision_and_recall() -> None:
    rows = [{"video": v, "named": Tally(3, 1, 2), "kind": Tally(1, 0, 0)} for v in (1, 2)]
    lines = figures.box_lines(rows)
    assert named(lines, "the very one that is named: F1") == pytest.approx(6 / 9)
    assert named(lines, "the very one that is named: precision") == 3 / 4
    assert named(lines, "the very one that is named: recall") == 3 / 5
    assert named(lines, "any of that kind: F1") == 1


# ---- verifier


def asked(how: str, refused: bool, **more: Any) -> dict[str, Any]:
    told = {"video": 1, "captions": "true", "source": "planted", "how": how, "refused": refused}
    return told | {"criterion": "accuracy" if how else "", "named": "accuracy"} | more


def test_precision_and_recall_of_a_verifier() -> None:
    rows = [
        asked("actor", True),
        asked("actor", False),
        asked("order", True, named="hallucination"),
        asked("", True, source="generator"),
        asked("", False),
        asked("", True, source="undecidable"),
    ]
    lines = figures.verifier_lines(rows)
    section = "own captions"
    assert named(lines, "precision of refusals", section) == pytest.approx(2 / 3)
    assert named(lines, "recall of refusals", section) == pytest.approx(2 / 3)
    assert named(lines, "recall: actor", section) == 1 / 2
    assert named(lines, "names the planted criterion", section) == 1 / 2
    assert named(lines, "true pairs refused by mistake: generator's", section) == 1
    assert named(lines, "true pairs refused by mistake: planted's", section) == 0


def test_a_part_of_a_story_keeps_its_events_and_their_causes() -> None:
    whole = part_of(STORY, [middle(k) for k in range(len(STORY.phases))])
    assert whole.phases == STORY.phases
    assert [e.text for e in whole.events] == [e.text for e in STORY.events]
    part = part_of(STORY, [middle(BREAK.phase)])
    assert len(part.phases) == 1
    assert [(e.text, e.index, e.phase, e.cause) for e in part.events] == [
        ("the vase breaks", 0, 0, None)
    ], "its cause is not in this part"


def test_spoilt_pairs_differ_from_what_they_were() -> None:
    pair = next(true_pairs(STORY))
    ways = spoilt(pair, STORY, random.Random(1))
    assert ways
    assert all(w.how and (w.question, w.answer) != (pair.question, pair.answer) for w in ways)


# ---- rejects, options, guesses


def test_rejects_are_counted_by_stage_and_criterion() -> None:
    fates = [("record", "")] * 2 + [("verify", "accuracy"), ("distract", "options")]
    rows = [{"video": k, "fate": f, "criterion": c} for k, (f, c) in enumerate(fates)]
    lines = figures.reject_lines(rows)
    assert named(lines, "at all") == 1 / 2
    assert named(lines, "verify: accuracy") == 1 / 4
    assert named(lines, "distract: options") == 1 / 4
    assert named(lines, "annotate") == 0


def test_a_wrong_option_that_is_true_is_a_fault() -> None:
    cause = STORY.events[BREAK.cause or 0]
    true = f"Because {cause.text}."
    item = made(
        [],
        question="Why does the vase break?",
        answer="Because the vase blooms.",
        options=(
            "Because the vase blooms.",
            true,
            "Because of gravity.",
            "Because the vase wilts.",
        ),
        letter="A",
    )
    told = option_rows(STORY, item)
    assert told == ["true", "undecidable", "false"]
    lines = figures.shares({"options": [{"video": 1, "truth": t} for t in told]})
    lines += figures.option_lines("AABC", {})
    assert named(lines, "wrong options that are true (faults)") == 1 / 2
    assert named(lines, "the most frequent letter's share") == 1 / 2


# ---- cost and speed


def block(folder: Path, number: int, **changed: Any) -> Block:
    usage = {"calls": 10, "input_tokens": 1_000_000, "output_tokens": 100_000, "images": 0}
    engine = {"seconds": 30.0, "records": 5, "failures": []}
    engine["usage"] = {"verifier": usage | {"usd": 0.0}}
    record = {"seeds": [STORY.seed], "engine": engine, "same_records": True, "verifier": []}
    record |= {"plain": {"seconds": 60.0, "records": 5}, **changed}
    records.dataset(folder / str(number), [records.item(k) for k in range(2)])
    return Block(record, folder / str(number))


def test_cost_is_by_record_and_by_true_record(tmp_path: Path) -> None:
    blocks = [block(tmp_path, 0), block(tmp_path, 1)]
    rows = summary.Measured([], [], [], [], [], [], [], [], 0)
    rows.pairs = [{"video": STORY.seed, "fate": "record", "truth": "true"}]
    lines = summary.cost_lines(blocks, rows)
    assert named(lines, "model calls") == 2
    assert named(lines, "seconds") == 6
    assert named(lines, "US dollars") == 0
    assert named(lines, "US dollars at gpt-4o's prices") == pytest.approx(3.5 / 5)
    assert named(lines, "US dollars at gpt-4o's prices, of a true record") == pytest.approx(3.5)


def test_speed_is_a_ratio_on_the_same_films(tmp_path: Path) -> None:
    lines = summary.speed_lines([block(tmp_path, 0), block(tmp_path, 1)])
    assert named(lines, "the engine") == 10
    assert named(lines, "the plain sequential script") == 5
    assert named(lines, "engine / plain script") == 2
    other = summary.speed_lines([block(tmp_path, 2, same_records=False)])
    assert "DIFFERENT" in other[-1].note
    assert all(line.estimate is None for line in summary.speed_lines([])), "without the script"


def test_what_is_always_so_is_not_called_certain() -> None:
    always = figures.share([1.0] * 100, [k % 4 for k in range(100)])
    assert always is not None
    assert always.interval == "Wilson over videos"
    assert always.low is not None
    assert always.low < 0.6, "four videos say little"
    assert figures.share([], []) is None


def test_nothing_to_measure_is_said_so() -> None:
    text = summary.markdown([Line("S", "empty", None)], about())
    assert "| empty | nothing to measure | 0 |" in text


def about() -> dict[str, Any]:
    told = {"films": 1, "split": "test", "style": "train", "seeds": [1, 2], "pairs": 0}
    told |= {"records": 0, "films_without_pairs": 1, "videos_rejected": 0, "failures": []}
    told |= {"models": {}, "sampling": {}, "prompts": {}, "group": 15, "seed": 0, "code": "x"}
    return told | {"blocks_of": 4}


def test_the_summary_is_written_in_both_forms(tmp_path: Path) -> None:
    name = f"train-{STORY.seed}-abc.mp4"
    video = replace_path(records.video(1), name)
    items = [records.item(k, video=video) for k in range(3)]
    first = block(tmp_path, 0)
    records.dataset(first.folder, items)
    text = summary.write_summary(tmp_path, [replace(first)], about())
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["settings"]["records"] == 3
    assert (tmp_path / "summary.md").read_text() == text
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 3


def replace_path(video: Any, name: str) -> Any:
    return video.model_copy(update={"path": f"films/{name}"})
