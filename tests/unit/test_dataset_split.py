"""A dataset is divided by video, the same way each time, and nothing is lost."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.helpers.captions import Words
from tests.helpers.records import dataset, item, reject, video

from videoespresso.dataset.inspect.overlap import leakage
from videoespresso.dataset.inspect.record_measures import video_key
from videoespresso.dataset.inspect.split import divide, parse_ratios, parts, point, split
from videoespresso.dataset.inspect.validate import validate
from videoespresso.dataset.records_io import read_items, read_rejects
from videoespresso.dataset_record import DatasetItem, Reject
from videoespresso.errors import UserError

RATIOS = {"train": 0.8, "validation": 0.1, "test": 0.1}
ITEMS = [item(seed) for seed in range(900)]


def reading(items: Sequence[DatasetItem]) -> Callable[[], Iterator[DatasetItem]]:
    return lambda: iter(items)


def test_every_video_is_on_one_side_and_the_parts_are_about_right() -> None:
    sides, _ = divide(reading(ITEMS), RATIOS)
    assert len(sides) == 300
    many = Counter(sides.values())
    assert 215 < many["train"] < 265
    assert min(many["validation"], many["test"]) > 15


def test_new_videos_do_not_move_old_ones() -> None:
    old, _ = divide(reading(ITEMS[:450]), RATIOS)
    new, _ = divide(reading(ITEMS[::-1]), RATIOS)
    assert new.items() >= old.items()
    assert len(new) == 2 * len(old)


def test_another_seed_is_another_division() -> None:
    assert divide(reading(ITEMS), RATIOS)[0] != divide(reading(ITEMS), RATIOS, seed=8)[0]


def test_points_are_spread_evenly() -> None:
    at = sorted(point(bytes([k % 256, k // 256]), 7) for k in range(2000))
    assert max(abs(x - k / 2000) for k, x in enumerate(at)) < 0.04


def test_a_larger_part_keeps_what_it_had() -> None:
    small, _ = divide(reading(ITEMS), {"train": 0.7, "test": 0.3})
    large, _ = divide(reading(ITEMS), {"train": 0.8, "test": 0.2})
    assert {key for key, side in small.items() if side == "train"} <= {
        key for key, side in large.items() if side == "train"
    }


def uneven(sides: dict[bytes, str]) -> float:
    """How far the tasks of each side are from their parts, on average."""
    tasks: dict[tuple[str, str | None], int] = Counter(
        (sides[video_key(one)], one.task) for one in ITEMS
    )
    whole = Counter(one.task for one in ITEMS)
    gaps = [
        abs(tasks[name, task] - part * n)
        for name, part in RATIOS.items()
        for task, n in whole.items()
    ]
    return sum(gaps) / len(gaps)


def test_stratified_parts_have_the_tasks_more_evenly() -> None:
    plain, _ = divide(reading(ITEMS), RATIOS)
    filled, _ = divide(reading(ITEMS), RATIOS, stratify=True)
    assert uneven(filled) < 0.6 * uneven(plain)
    assert filled == divide(reading(ITEMS[::-1]), RATIOS, stratify=True)[0]


def test_an_earlier_split_is_kept(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "old", ITEMS[:150])
    split(folder, tmp_path / "parts", RATIOS, stratify=True)
    like = {name: reading(list(read_items(tmp_path / "parts" / name))) for name in RATIOS}
    old = {video_key(one): name for name, read in like.items() for one in read()}
    new, _ = divide(reading(ITEMS), RATIOS, stratify=True, like=like)
    assert new.items() >= old.items()
    assert len(new) > len(old)
    with pytest.raises(UserError):
        divide(reading(ITEMS), {"train": 0.9, "dev": 0.1}, like=like)


def together(kind: str, items: Sequence[DatasetItem]) -> dict[bytes, str]:
    wanted = [kind] if kind else []
    return divide(
        reading(items), RATIOS, together=wanted, embed=Words(), threshold=0.999  # type: ignore[arg-type]
    )[0]  # fmt: skip


@pytest.mark.parametrize("kind", ["stem", "images", "questions"])
def test_what_is_alike_is_kept_on_one_side(kind: str) -> None:
    """Each record of the second half is like one of the first, but about another video."""
    first = [item(seed, film=seed) for seed in range(60)]
    second = {
        "stem": lambda k, one: item(
            1000 + k, video=video(1000 + k, path=f"b/{Path(one.video.path).stem}.webm")
        ),
        "images": lambda k, one: item(
            1000 + k, film=1000 + k, core_frames=one.core_frames[:1], evidence=()
        ),
        "questions": lambda k, one: item(
            1000 + k, film=1000 + k, question=one.question, answer=one.answer
        ),
    }[kind]
    pairs = [(one, second(k, one)) for k, one in enumerate(first)]
    every = [one for pair in pairs for one in pair]

    def apart(sides: dict[bytes, str]) -> int:
        return sum(sides[video_key(a)] != sides[video_key(b)] for a, b in pairs)

    assert apart(together("", every)) > 5
    assert apart(together(kind, every)) == 0
    assert len(set(together(kind, every).values())) == 3


def test_the_parts_are_datasets_and_nothing_is_lost(tmp_path: Path) -> None:
    refused = [
        reject(1),
        Reject(video="x", video_id=ITEMS[0].video.id, stage="s", criterion="c", reason="r"),
    ]
    folder = dataset(tmp_path / "whole", ITEMS[:90], refused, {"settings": {"seed": 3}})
    done = split(folder, tmp_path / "parts", RATIOS)
    again = [one for name in RATIOS for one in read_items(tmp_path / "parts" / name)]
    assert sorted(again, key=lambda one: one.id) == sorted(ITEMS[:90], key=lambda one: one.id)
    assert [side.records for side in done.sides] == [
        sum(1 for _ in read_items(tmp_path / "parts" / name)) for name in RATIOS
    ]
    assert sum(side.videos for side in done.sides) == 30
    for name in RATIOS:
        assert validate(tmp_path / "parts" / name).counts.keys() <= {"empty"}
    printed = json.loads((tmp_path / "parts/test/dataset.json").read_text())
    assert printed["split"]["part"] == "test"
    assert printed["split"]["ratios"] == RATIOS
    assert printed["of"] == {"settings": {"seed": 3}}
    assert sum(len(list(read_rejects(tmp_path / "parts" / name))) for name in RATIOS) == 2
    sets = {name: reading(list(read_items(tmp_path / "parts" / name))) for name in RATIOS}
    assert leakage(sets, Words(), threshold=0.999).ok


def test_images_take_no_more_room_and_missing_ones_are_counted(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "whole", ITEMS[:9])
    gone = ITEMS[0].core_frames[0].image
    (folder / gone).unlink()
    done = split(folder, tmp_path / "parts", {"all": 1.0})
    assert done.missing == 1
    kept = ITEMS[0].core_frames[1].image
    assert (tmp_path / "parts/all" / kept).samefile(folder / kept)


def test_an_image_outside_of_the_dataset_is_not_taken_along(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (frame, *rest) = ITEMS[0].core_frames
    odd = item(0, core_frames=[frame.model_copy(update={"image": "../secret.png"}), *rest])
    folder = dataset(tmp_path / "whole", [odd])
    assert split(folder, tmp_path / "deep/parts", {"all": 1.0}).missing == 1
    assert not list((tmp_path / "deep").rglob("secret.png"))


def test_a_split_is_not_replaced_by_accident(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "whole", ITEMS[:9])
    split(folder, tmp_path / "parts", RATIOS)
    with pytest.raises(UserError, match="exists"):
        split(folder, tmp_path / "parts", RATIOS, seed=8)
    split(folder, tmp_path / "parts", RATIOS, seed=8, replace=True)


HALVES = {"a": 0.5, "b": 0.5}
OTHERS = {"train": 0.5, "b": 0.5}


def test_parts_of_another_split_do_not_stay_beside_this_one(tmp_path: Path) -> None:
    """A video would be in two parts of one folder."""
    folder, out = dataset(tmp_path / "whole", ITEMS[:60]), tmp_path / "parts"
    split(folder, out, HALVES)
    (out / "a/notes.txt").write_text("mine")
    before = list(read_items(out / "b"))
    with pytest.raises(UserError, match=r"does not name: a$") as caught:
        split(folder, out, OTHERS, seed=9)
    assert "--force" in caught.value.hint
    assert parts(out) == ["a", "b"]
    assert list(read_items(out / "b")) == before
    split(folder, out, OTHERS, seed=9, replace=True)
    assert parts(out) == ["b", "train"]
    assert [file.name for file in (out / "a").iterdir()] == ["notes.txt"]
    assert validate(folder).ok


def test_a_part_with_nothing_else_in_it_is_removed_whole(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "whole", ITEMS[:60])
    split(folder, tmp_path / "parts", HALVES)
    split(folder, tmp_path / "parts", OTHERS, replace=True)
    assert not (tmp_path / "parts/a").exists()


def test_only_what_a_split_wrote_is_removed(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "parts/whole", ITEMS[:9])
    other = dataset(tmp_path / "parts/other", ITEMS[9:18])
    split(other, tmp_path / "more", HALVES)
    with pytest.raises(UserError, match="no part that a split wrote"):
        split(tmp_path / "more/a", tmp_path / "parts", HALVES, replace=True)
    with pytest.raises(UserError, match="is a part of"):  # the dataset that is divided
        split(tmp_path / "more/a", tmp_path / "more", OTHERS, replace=True)
    assert (len(list(read_items(folder))), len(list(read_items(other)))) == (9, 9)
    assert parts(tmp_path / "more") == ["a", "b"]


def test_a_dataset_without_records_is_not_divided(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no records"):
        split(dataset(tmp_path / "whole", []), tmp_path / "parts", RATIOS)
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize(("whole", "ratios"), [("parts/train", RATIOS), ("parts", {"frames": 1.0})])
def test_a_part_is_not_written_over_the_dataset(
    tmp_path: Path, whole: str, ratios: dict[str, float]
) -> None:
    folder = dataset(tmp_path / whole, ITEMS[:9])
    with pytest.raises(UserError, match="is a part of"):
        split(folder, tmp_path / "parts", ratios, replace=True)
    assert list(read_items(folder)) == ITEMS[:9]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "train",
        "train=1.5",
        "train=0.5",
        "a=0.5,a=0.5",
        "../x=1",
        "..=1",
        "train=x",
        "a=0,b=1",
        "a=nan",
    ],
)
def test_ratios_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_ratios(text)
    assert caught.value.hint


def test_ratios() -> None:
    assert parse_ratios(" train=0.9, test = 0.1") == {"train": 0.9, "test": 0.1}
