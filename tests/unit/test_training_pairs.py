"""Pairs for `prefer`: one thing is wrong in the worse reply, and nothing else tells it."""

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import training as helper
from tests.helpers.records import dataset

from videoespresso.dataset_record import (
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    Reject,
)
from videoespresso.errors import UserError
from videoespresso.evidence_scores import overlap
from videoespresso.training import rewards
from videoespresso.training.data import Row
from videoespresso.training.pairs import APART, FAULTS, rows_of

WHO = ("man in red", "woman", "owl", "old waiter", "boy", "engineer", "dog", "aunt")
DEEDS = ("waves", "opens the door", "sits down", "drops a cup", "looks away", "leaves")


def acted(seed: int, **changed: Any) -> DatasetItem:
    """A record whose two to four frames show several people, each step about one of them."""
    made, rng = helper.record(seed), random.Random(seed)
    frames = len(made.core_frames)
    who = rng.sample(WHO, 3)
    steps = []
    for frame in sorted(rng.sample(range(frames), rng.randint(1, frames))):
        x, y = rng.uniform(0, 0.6), rng.uniform(0, 0.5)
        box = FrameBox(xyxy=(x, y, x + 0.3, y + 0.4), frame=frame)
        name, deed = rng.choice(who), rng.choice(DEEDS)
        article = "An" if name[0] in "aeiou" else "A"
        items = (GroundedItem(name=name, boxes=(box,)),)
        steps.append(EvidenceSentence(text=f"{article} {name} {deed}.", frame=frame, items=items))
    update = {"evidence": tuple(steps), "answer": "Yes.", "options": (), "letter": None}
    return made.model_copy(update=update | changed)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Row, ...]:
    folder = tmp_path_factory.mktemp("d")
    return rows_of(dataset(folder / "d", [acted(seed) for seed in range(160)]), "prefer").train


def steps_of(row: Row) -> tuple[list[Any], list[Any]]:
    """The steps of the better and of the worse reply."""
    chosen = json.loads(str(row.conversation[-1].parts[0]))["steps"]
    return chosen, json.loads(row.rejected)["steps"]


def parts(row: Row) -> dict[str, Counter[str]]:
    """What differs between the two sides, as bags."""
    found: dict[str, Counter[str]] = {}
    for side, sign in zip(steps_of(row), (1, -1), strict=True):
        for step in side:
            texts = {"text": step["text"], "frame": (step["text"], step["frame"])}
            texts |= {"place": (step["frame"], step["items"])}
            texts |= {"box": [one["box"] for one in step["items"]]}
            texts |= {"name": [one["name"] for one in step["items"]]}
            for name, value in texts.items():
                found.setdefault(name, Counter())[repr(value)] += sign
    return {name: Counter({k: n for k, n in bag.items() if n}) for name, bag in found.items()}


DIFFERS = {
    "wrong frame": {"frame", "place"},
    "moved box": {"box", "place"},
    "wrong actor": {"text", "name", "frame", "place"},
    "unsupported step": {"text", "name", "frame", "box", "place"},
}
"""What may differ between the sides; "frame": a text with its frame, "place": things with it."""


def test_each_fault_is_planted_and_changes_nothing_else(pairs: tuple[Row, ...]) -> None:
    counts = Counter(row.source for row in pairs)
    assert set(counts) == set(FAULTS)
    assert min(counts.values()) > 60
    for row in pairs:
        assert row.item is not None
        own, worse = steps_of(row)
        shown = len(row.item.core_frames)
        assert rewards.in_form(row.rejected, shown)
        assert len(own) == len(worse)
        different = {name for name, bag in parts(row).items() if bag}
        assert different, "the sides are not the same"
        assert different <= DIFFERS[row.source], row
        assert worse == sorted(worse, key=lambda step: step["frame"])


def test_a_fault_is_one_by_the_rewards_where_they_can_see_it(pairs: tuple[Row, ...]) -> None:
    seen: dict[str, Callable[..., list[float | None]]] = {
        "moved box": rewards.boxes, "unsupported step": rewards.boxes, "wrong frame": rewards.boxes,
    }  # fmt: skip
    for row in pairs:
        assert row.item is not None
        columns = {name: [value] for name, value in rewards.columns(row.item).items()}
        assert rewards.format(["?"], [row.rejected], **columns) == [1.0]
        if row.source in seen:
            [value] = seen[row.source](["?"], [row.rejected], **columns)
            assert value is not None
            assert value < 1.0, row
        if row.source == "moved box":
            boxes = [[one["box"] for s in side for one in s["items"]] for side in steps_of(row)]
            [(was, now)] = [(a, b) for a, b in zip(*boxes, strict=True) if a != b]
            assert overlap(was, now) <= APART
            assert (now[2] - now[0], now[3] - now[1]) == (was[2] - was[0], was[3] - was[1])


def count(of: str) -> Callable[[str], float]:
    return lambda reply: reply.count(of)


SHORTCUTS: dict[str, Callable[[str], float]] = {
    "the longer one": len,
    "more steps": count('"text"'),
    "more items": count('"name"'),
    "more boxes": count('"box":[['),
    "no box": count('"box":[]'),
    "later frames": lambda reply: sum(step["frame"] for step in json.loads(reply)["steps"]),
    "each frame once": lambda reply: len({s["frame"] for s in json.loads(reply)["steps"]}),
    "a box at the edge": lambda reply: sum(
        0 in one["box"] or 100 in one["box"]
        for s in json.loads(reply)["steps"]
        for one in s["items"]
    ),
    "boxes on the left": lambda reply: (
        -sum(one["box"][0] for s in json.loads(reply)["steps"] for one in s["items"])
    ),
    "another text a step": lambda reply: len({s["text"] for s in json.loads(reply)["steps"]}),
    "a wrong article": lambda reply: sum(
        reply.count(f'"A {v}') + reply.count(f'"An {c}') for v in "aeiou" for c in "bcdmw"
    ),
    "a small letter first": lambda reply: sum(
        s["text"][0].islower() for s in json.loads(reply)["steps"]
    ),
}
"""What could tell the worse reply without the film."""


@pytest.mark.parametrize("name", SHORTCUTS)
def test_no_shortcut_tells_the_worse_reply(name: str, pairs: tuple[Row, ...]) -> None:
    """How often it is the better one that has more of it, ties half: near one half, per source."""
    of = SHORTCUTS[name]
    for source in FAULTS:
        found = [
            0.5 + 0.5 * ((a > b) - (a < b))
            for row in pairs
            if row.source == source
            for a, b in [(of(str(row.conversation[-1].parts[0])), of(row.rejected))]
        ]
        assert abs(sum(found) / len(found) - 0.5) < 0.15, (source, len(found))


def test_what_cannot_be_planted_is_left_out(tmp_path: Path) -> None:
    plain = EvidenceSentence(text="It rains.", frame=0)
    one = acted(1, evidence=(plain,))
    one = one.model_copy(update={"core_frames": one.core_frames[:1]})
    found = rows_of(dataset(tmp_path / "a", [one, *map(acted, range(2, 9))]), "prefer")
    rows = [row for row in (*found.train, *found.validation) if row.item and row.item.id == one.id]
    assert [row.source for row in rows] == ["unsupported step"]
    with pytest.raises(UserError, match="nothing is left to learn prefer"):
        rows_of(dataset(tmp_path / "b", [one]), "prefer")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/evidence.jsonl").touch()
    with pytest.raises(UserError, match="no records for prefer") as caught:
        rows_of(tmp_path / "c", "prefer")
    assert "--to trl" not in caught.value.hint


def test_what_the_verifier_refused_is_rejected(tmp_path: Path) -> None:
    one, with_letter = acted(1), helper.record(2)
    assert with_letter.letter is not None
    wrong = next(o for o in with_letter.options if o != with_letter.answer)

    def refused(item: DatasetItem, criterion: str, answer: str, **more: Any) -> Reject:
        told = {"question": item.question, "group": item.group} | more
        return Reject(video=item.video.path, video_id=item.video.id, stage="verify", reason="so",
                      criterion=criterion, answer=answer, **told)  # fmt: skip

    rejects = [
        refused(one, "hallucination", "A clown juggles.", question="Who juggles?"),
        refused(one, "accuracy", "No."),
        refused(one, "subjective", "Perhaps."),
        refused(one, "accuracy", "Never.", group=5),
        refused(one, "accuracy", one.answer),
        refused(with_letter, "continuity", wrong),
        refused(with_letter, "accuracy", "No option at all."),
    ]
    found = rows_of(dataset(tmp_path / "d", [one, with_letter], rejects), "prefer")
    rows = [row for row in (*found.train, *found.validation) if row.source.startswith("refused")]
    assert Counter(row.source for row in rows) == {
        "refused: hallucination": 1, "refused: accuracy": 1, "refused: continuity": 1
    }  # fmt: skip
    by = {row.source: row for row in rows}
    assert "A clown juggles." in by["refused: hallucination"].rejected
    assert json.loads(by["refused: accuracy"].rejected)["answer"] == "No."
    letter = "ABCDEFGHIJ"[with_letter.options.index(wrong)]
    assert json.loads(by["refused: continuity"].rejected)["choice"] == letter
    assert by["refused: continuity"].learned == (4,)


def test_a_pair_stays_on_its_record_s_side_of_the_split(tmp_path: Path) -> None:
    """Also what is planted: no sentence of a validation video is learned."""
    items = [acted(seed) for seed in range(40)]
    items = [
        i.model_copy(update={"evidence": tuple(
            s.model_copy(update={"text": f"{s.text} {i.id}"}) for s in i.evidence)}) for i in items
    ]  # fmt: skip
    found = rows_of(dataset(tmp_path / "d", items), "prefer")
    aside = {row.item.id for row in found.validation if row.item}
    assert aside
    assert not any(name in row.rejected for row in found.train for name in aside)
