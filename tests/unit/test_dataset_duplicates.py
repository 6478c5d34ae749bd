"""Near-duplicate questions and what splits share: found where they are, and only there."""

import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from tests.helpers.captions import Words
from tests.helpers.records import item, video

from videoespresso.dataset.inspect import overlap
from videoespresso.dataset.inspect.overlap import (
    KINDS,
    Groups,
    Kind,
    Leakage,
    duplicates,
    embedded,
    leakage,
    near,
)
from videoespresso.dataset_record import DatasetItem, KeyFrame
from videoespresso.errors import UserError
from videoespresso.models.embedders import embedder

ITEMS = [item(seed) for seed in range(120)]


def reading(items: Sequence[DatasetItem]) -> Callable[[], Iterator[DatasetItem]]:
    return lambda: iter(items)


def like(one: DatasetItem, seed: int, **changed: object) -> DatasetItem:
    """A record of another video that asks and answers as `one` does."""
    return item(seed, **({"question": one.question, "answer": one.answer} | changed))


def test_different_questions_are_not_duplicates() -> None:
    found = duplicates(reading(ITEMS), Words(), 0.999)
    assert (found.records, found.repeated, found.groups, found.extra) == (120, 0, 0, 0)
    assert found.largest == 1


def test_duplicates_are_found_whatever_they_look_like() -> None:
    again = [
        like(ITEMS[3], 500, question=f"  {ITEMS[3].question.upper()} "),
        like(ITEMS[3], 501, answer=ITEMS[3].answer.replace(".", " !")),
        like(ITEMS[8], 502, film=0),
    ]
    found = duplicates(reading([*ITEMS, *again]), Words(), 0.999)
    assert (found.repeated, found.groups, found.largest, found.extra) == (5, 2, 3, 3)
    assert {(e.first, e.second) for e in found.examples} >= {(ITEMS[8].id, again[2].id)}
    assert found.examples[0].question
    assert found.same_video == 0


def test_one_question_twice_about_one_video() -> None:
    again = like(ITEMS[3], 500, video=ITEMS[3].video, id="f" * 16)
    assert duplicates(reading([*ITEMS, again]), Words(), 0.999).same_video == 1


def test_another_answer_is_another_question() -> None:
    again = like(ITEMS[3], 500, answer="No.")
    assert duplicates(reading([*ITEMS, again]), Words(), 0.999).repeated == 0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = [*ITEMS, *(like(one, 1000 + k) for k, one in enumerate(ITEMS[::3]))]
    random.Random(4).shuffle(mixed)
    whole = duplicates(reading(mixed), Words(), 0.9)
    monkeypatch.setattr(overlap, "BLOCK", 17)
    parts = duplicates(reading(mixed), Words(), 0.9)
    assert whole.repeated > 40
    assert parts.model_dump(exclude={"examples"}) == whole.model_dump(exclude={"examples"})


def test_pairs_are_those_of_comparing_each_with_each() -> None:
    mixed = [*ITEMS, *(like(one, 1000 + k) for k, one in enumerate(ITEMS[::5]))]
    words = Words()
    q, a = words([one.question for one in ITEMS]), words([one.answer for one in ITEMS])
    same = np.triu((q @ q.T >= 0.8) & (a @ a.T >= 0.8), 1)
    with embedded([reading(mixed)], words) as texts:
        pairs = {pair for i, j in near(texts, 0.8) for pair in zip(i, j, strict=True)}
        text = texts.text
    assert len(text) == 144
    assert text.max() == 119, "a text is embedded once"
    close = np.abs(q @ q.T - 0.8) < 0.002
    close |= np.abs(a @ a.T - 0.8) < 0.002
    wanted = set(zip(*np.nonzero(same), strict=True))
    unsure = set(zip(*np.nonzero(close), strict=True))
    assert len(wanted) > 5
    assert pairs - unsure == wanted - unsure


def test_nothing_has_no_duplicates() -> None:
    found = duplicates(reading([]), Words())
    assert (found.records, found.repeated, found.largest) == (0, 0, 0)


def test_the_built_in_embedder_tells_paraphrases_from_changes() -> None:
    asks = (("red", "stop"), ("red", "halt"), ("blue", "stop"))
    questions = [f"Why does the {colour} car {deed} at the crossing?" for colour, deed in asks]
    made = [item(k, question=q, answer="The light turns red.") for k, q in enumerate(questions)]
    found = duplicates(reading(made), embedder())
    assert [(e.first, e.second) for e in found.examples] == [(made[0].id, made[1].id)]


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_connected_components(seed: int) -> None:
    rng = random.Random(seed)
    edges = [(rng.randrange(200), rng.randrange(200)) for _ in range(140)]
    groups = Groups(200)
    for at in range(0, 140, 20):
        one, other = np.array(edges[at : at + 20]).T
        groups.join(one, other)
    label = list(range(200))
    for _ in range(200):
        for a, b in edges:
            label[a] = label[b] = min(label[a], label[b])
    assert groups.roots(np.arange(200)).tolist() == label
    assert sorted(groups.sizes()) == sorted(label.count(k) for k in set(label))


def test_a_long_chain_is_one_group() -> None:
    groups = Groups(1000)
    groups.join(np.arange(999), np.arange(1, 1000))
    assert groups.sizes().tolist() == [1000]


TRAIN, TEST = ITEMS[:60], ITEMS[60:]


def leaking(*more: DatasetItem, kinds: Sequence[Kind] = KINDS) -> Leakage:
    sets = {"train": reading(TRAIN), "test": reading([*TEST, *more])}
    return leakage(sets, Words(), threshold=0.999, kinds=kinds)


def test_clean_splits_share_nothing() -> None:
    found = leaking()
    assert found == Leakage(records={"train": 60, "test": 60}, ok=True, leaks=())


def renamed(**changed: object) -> dict[str, object]:
    return {"video": video(900, **changed)}


@pytest.mark.parametrize(
    ("kinds", "leak"),
    [
        ({"video"}, item(700, film=5)),
        ({"video"}, item(700, **renamed(id=TRAIN[0].video.id))),
        ({"stem"}, item(700, **renamed(path="elsewhere/CLIP-5.webm"))),
        ({"image"}, item(700, film=900, core_frames=TRAIN[0].core_frames, evidence=())),
        ({"question"}, like(TRAIN[7], 700, film=900)),
    ],
)
def test_a_leak_is_named(kinds: set[str], leak: DatasetItem) -> None:
    frames = [] if kinds == {"video"} else leak.core_frames
    if kinds != {"image"}:
        leak = leak.model_copy(update={"core_frames": tuple(frames), "evidence": ()})
    found = leaking(leak)
    assert not found.ok
    assert {one.kind for one in found.leaks} == kinds
    (one,) = found.leaks
    assert (one.first, one.second) == ("train", "test")
    assert one.n == (len(leak.core_frames) if kinds == {"image"} else 1)
    assert one.examples
    assert leaking(leak, kinds=[kind for kind in KINDS if kind not in kinds]).ok


def test_examples_of_questions_show_both() -> None:
    leak = like(TRAIN[7], 700, film=900, core_frames=(), evidence=())
    (one,) = leaking(leak).leaks
    assert one.examples == (
        f"{TRAIN[7].id} {TRAIN[7].question!r} ~ {leak.id} {leak.question!r} (1.00)",
    )


def test_a_question_in_nearly_the_same_words_leaks_both_ways() -> None:
    leak = like(
        TRAIN[7], 700, film=900, question=f"{TRAIN[7].question} then", core_frames=(), evidence=()
    )
    for sets in ({"a": TRAIN, "b": [leak]}, {"a": [leak], "b": TRAIN}):
        readers = {name: reading(items) for name, items in sets.items()}
        (one,) = leakage(readers, Words(), threshold=0.97).leaks
        assert (one.kind, one.n, len(one.examples)) == ("question", 1, 1)
        assert one.examples[0].startswith(sets["a"][-1].id if len(sets["a"]) == 1 else TRAIN[7].id)
    assert leakage({"a": reading(TRAIN), "b": reading(TEST)}, Words(), threshold=0.97).ok
    assert leakage(readers, Words(), threshold=0.995).ok


def test_as_many_sets_as_there_are_bits() -> None:
    sets = {str(k): reading([item(9000 + k, film=9000 + k)]) for k in range(64)}
    sets["63"] = reading([like(item(9000), 1, film=1, core_frames=(), evidence=())])
    found = leakage(sets, Words(), threshold=0.999)
    assert [(one.first, one.second, one.n) for one in found.leaks] == [("0", "63", 1)]
    with pytest.raises(UserError):
        leakage(sets | {"64": reading([])}, Words())


def test_three_splits_are_compared_two_by_two() -> None:
    copy = like(TRAIN[7], 700, film=900, core_frames=(), evidence=())
    sets = {"a": reading(TRAIN), "b": reading(TEST), "c": reading([copy])}
    found = leakage(sets, Words(), threshold=0.999)
    assert [(one.first, one.second, one.n) for one in found.leaks] == [("a", "c", 1)]


def test_images_without_a_sha_are_not_compared() -> None:
    blank = (KeyFrame(image="a.jpg"),)
    sets = {
        name: reading([item(k, core_frames=blank, evidence=())])
        for k, name in ((1, "a"), (500, "b"))
    }
    assert leakage(sets, Words(), threshold=0.999).ok
