"""Each check of a dataset fires on the fault it is for, and on nothing that is sound."""

import hashlib
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.helpers.records import HOSTILE, dataset, item, picture, reject, video

from videoespresso.dataset.inspect.record_checks import CHECKS, MEND, faults
from videoespresso.dataset.inspect.validate import Validation, leans, validate
from videoespresso.dataset.records_io import read_items
from videoespresso.dataset_record import (
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    GroupCaption,
    Made,
)
from videoespresso.errors import UserError
from videoespresso.statistics import at_least

SOUND = item(5)
BOX = (0.1, 0.1, 0.5, 0.5)


def framed(**changed: Any) -> dict[str, Any]:
    """The sound record's core frames with the last one changed."""
    *rest, last = SOUND.core_frames
    return {"core_frames": (*rest, last.model_copy(update=changed))}


def boxed(**box: Any) -> dict[str, Any]:
    found = FrameBox(**({"xyxy": BOX, "frame": 0} | box))
    thing = GroundedItem(name="dog", boxes=(found,))
    return {"evidence": (EvidenceSentence(text="A dog.", frame=0, items=(thing,)),)}


@pytest.mark.parametrize("seed", range(200))
def test_sound_records_have_no_fault(seed: int) -> None:
    assert list(faults(item(seed))) == []


@pytest.mark.parametrize(
    ("check", "changed"),
    [
        ("id", {"id": "0" * 16}),
        ("task", {"task": None}),
        ("text", {"question": " ?! "}),
        ("text", {"answer": ""}),
        ("evidence", {"evidence": ()}),
        ("evidence", {"evidence": (EvidenceSentence(text="..."),)}),
        ("frames", {"core_frames": (), "evidence": (EvidenceSentence(text="So."),)}),
        ("instant", framed(time_s=60.6)),
        ("instant", framed(time_s=-1.0)),
        ("instant", framed(time_s=float("nan"))),
        ("instant", framed(time_s=None)),
        ("instant", {"core_frames": SOUND.core_frames[::-1]}),
        ("instant", {"captions": (GroupCaption(text="Late.", time_s=99.0),)}),
        ("box", boxed(xyxy=(0.1, 0.1, 0.1, 0.5))),
        ("box", boxed(frame=None)),
        ("options", {"options": (*SOUND.options[:3], SOUND.options[0].upper() + ".")}),
        ("options", {"options": (*SOUND.options, " ")}),
        ("options", {"letter": None}),
        ("answer", {"letter": "ABCD"["ABCD".index(SOUND.letter or "A") - 1]}),
        ("lengths", {"options": (*SOUND.options, " ".join(["and so it went"] * 20))}),
    ],
)
def test_a_fault_is_noticed(check: str, changed: dict[str, Any]) -> None:
    found = list(faults(item(5, **changed)))
    assert check in {name for name, _ in found}
    assert MEND[found[0][0]]


@pytest.mark.parametrize(
    "changed",
    [
        {"task": None},
        {"evidence": ()},
        framed(time_s=None),
        boxed(frame=None),
        {"options": (), "letter": None},
        {"video": video(1, id=""), "core_frames": (), "evidence": ()},
    ],
)
def test_what_a_source_did_not_say_is_no_fault_of_a_converted_record(changed: Any) -> None:
    assert list(faults(item(5, made={}, **changed))) == []


def test_a_right_option_may_say_more_or_less_than_the_answer() -> None:
    for right in ("Yes: the red car waits, for the bus.", "the bus"):
        options = ("No, it is the dog", right)
        one = item(1, answer="The red car waits for the bus", options=options, letter="B")
        assert list(faults(one)) == []


def test_both_options_may_not_be_the_answer() -> None:
    one = item(1, answer="the bus", options=("the bus", "the bus at noon"), letter="B")
    assert ("answer", "a wrong option says the answer") in list(faults(one))


def test_what_embedded_models_made_of_other_films_is_named(tmp_path: Path) -> None:
    made = {"ground_space": Made(model="embedded:", prompt="ab" * 32)}
    found = validate(dataset(tmp_path, [item(1, made=made), item(2)]))
    assert found.counts == {"embedded": 1}
    assert "ground_space" in found.problems[0].what


def test_a_sound_dataset_is_sound(tmp_path: Path) -> None:
    found = validate(dataset(tmp_path, (item(seed) for seed in range(120))))
    assert found == Validation(records=120, ok=True, counts={}, problems=(), left_out=0)


def test_a_line_that_is_no_record_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = dataset(tmp_path, [item(1), item(2)])
    told = item(3).model_dump(mode="json")
    lines = [b"{", json.dumps(told | {"task": "Sports"}).encode(), b"", b'{"id": 9}']
    with (folder / "records.jsonl").open("ab") as file:
        file.write(b"\n".join([*lines, b"[" * 100_000]) + b"\n")
    found = validate(folder)
    assert found.counts == {"unreadable": 4}
    assert [problem.line for problem in found.problems] == [3, 4, 6, 7]
    assert "task" in found.problems[1].what
    assert "video" in found.problems[2].what
    assert found.problems[3].what == "nests too deeply to be read"


def test_a_record_of_a_younger_schema_is_not_to_be_removed(tmp_path: Path) -> None:
    folder = dataset(tmp_path, [item(1)])
    told = item(2).model_dump(mode="json") | {"schema_version": 99}
    with (folder / "records.jsonl").open("a") as file:
        file.write(json.dumps(told) + "\n")
    (problem,) = validate(folder).problems
    assert (problem.line, problem.check) == (2, "schema")
    with pytest.raises(UserError) as caught:
        list(read_items(folder))
    assert problem.what in str(caught.value)
    assert problem.mend == caught.value.hint
    assert "Update" in problem.mend


def test_damaged_rejects_are_told_of(tmp_path: Path) -> None:
    folder = dataset(tmp_path, [item(1)], [reject(1), reject(2)])
    assert validate(folder).ok
    with (folder / "rejects.jsonl").open("ab") as file:
        file.write(b'{"video": "a.mp4"}\n\n{"video": "a.m')
    found = validate(folder / "records.jsonl")
    assert (found.records, found.counts) == (1, {"rejects": 2})
    assert [problem.line for problem in found.problems] == [3, 5]
    assert "in rejects.jsonl: stage" in found.problems[0].what
    (folder / "rejects.jsonl").unlink()
    assert validate(folder).ok


def test_two_records_with_one_id(tmp_path: Path) -> None:
    found = validate(dataset(tmp_path, [item(1), item(2), item(1)]))
    assert [(p.line, p.check, p.what) for p in found.problems] == [
        (3, "twice", "the id is also on line 1")
    ]


def _spoil(file: Path, how: str) -> None:
    if how == "missing":
        file.unlink()
    elif how == "another":
        file.write_bytes(picture(123456))
    elif how == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(file.read_bytes()[:-30])


@pytest.mark.parametrize("how", ["missing", "another", "folder", "torn"])
def test_images_are_opened(tmp_path: Path, how: str) -> None:
    folder = dataset(tmp_path, [SOUND])
    _spoil(folder / SOUND.core_frames[0].image, how)
    found = validate(folder)
    assert found.counts == {"image": 1}
    assert SOUND.core_frames[0].image in found.problems[0].what
    assert validate(folder, images=False).ok


def test_an_image_without_a_sha_is_decoded(tmp_path: Path) -> None:
    one = item(5, **framed(sha=""))
    folder = dataset(tmp_path, [one])
    assert validate(folder).ok
    _spoil(folder / one.core_frames[-1].image, "torn")
    assert "cannot be read" in validate(folder).problems[0].what


def test_an_image_of_another_size_is_noticed(tmp_path: Path) -> None:
    one = item(5, **framed(width=1920, height=1080))
    assert "96 x 54" in validate(dataset(tmp_path, [one])).problems[0].what


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 300)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_smallest_pictures_are_opened_too(
    tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    one = item(5, **framed(sha="", width=size[0], height=size[1]))
    folder = dataset(tmp_path, [one])
    Image.new("RGB", size).save(folder / one.core_frames[-1].image, kind)
    assert validate(folder).ok


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "x" * 5000, "a\0b", HOSTILE])
def test_a_record_does_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(picture(1))
    one = item(5, **framed(image=name, sha=""))
    (tmp_path / "set").mkdir()
    folder = dataset(tmp_path / "set", [])
    (folder / "records.jsonl").write_text(one.model_dump_json() + "\n")
    found = validate(folder)
    assert any(name[:20] in p.what or "\\x" in p.what for p in found.problems)
    assert found.counts["image"] == len(one.core_frames)


def leaning(seed: int) -> DatasetItem:
    """A record whose right option is A."""
    one = item(seed)
    options = (one.answer, *(o for o in one.options if o != one.answer))
    return item(seed, options=options, letter="A")


def test_letters_that_give_the_answer_away(tmp_path: Path) -> None:
    found = validate(dataset(tmp_path, (leaning(seed) for seed in range(40))), images=False)
    assert "letters" in found.counts
    assert found.problems[0].line is None
    assert "A is right in 100% of 40 records" in found.problems[0].what


def test_few_records_prove_nothing(tmp_path: Path) -> None:
    assert validate(dataset(tmp_path, [leaning(1), leaning(2)])).ok


@pytest.mark.parametrize(
    ("hits", "n", "p"), [(0, 9, 0.3), (9, 9, 0.25), (3, 9, 0.25), (200, 600, 0.25), (5, 9, 1.0)]
)
def test_the_binomial_tail(hits: int, n: int, p: float) -> None:
    exact = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(hits, n + 1))
    assert at_least(hits, n, p) == pytest.approx(exact)


@pytest.mark.parametrize("n", [4, 40, 400, 4000])
def test_chance_alone_does_not_lean(n: int) -> None:
    rng, fired = random.Random(n), 0
    for _ in range(100):
        letters = Counter(rng.choices("ABCD", k=n))
        fired += any(leans(letters[x], n, 0.25) for x in "ABCD")
    assert fired <= 3


def padded(seed: int) -> DatasetItem:
    one = item(seed)
    more = f"{one.answer} And that is how all of it came about"
    options = tuple(more if o == one.answer else o for o in one.options)
    return item(seed, options=options)


def test_lengths_that_give_the_answer_away(tmp_path: Path) -> None:
    mixed = [padded(seed) if seed % 2 else item(seed) for seed in range(100)]
    folder = dataset(tmp_path, mixed)
    found = validate(folder, images=False)
    assert found.counts == {"longest": 1}
    assert "in 50% of 100 records" in found.problems[0].what
    assert validate(folder, images=False, longest=0.6).ok


def test_videos_are_looked_for_below_the_root(tmp_path: Path) -> None:
    data = b"not really a film"
    digest = hashlib.sha256(data).hexdigest()
    root = tmp_path / "videos"
    (root / "street").mkdir(parents=True)
    (root / "street/clip-1.mp4").write_bytes(data)
    paths = ("street/clip-1.mp4", "/home/me/videos/street/clip-1.mp4", "../street/clip-1.mp4")
    made = [item(k, video=video(1, path=path, id=digest)) for k, path in enumerate(paths)]
    made += [item(7, video=video(1, path="clip-2.mp4")), item(8, video=video(1, path=paths[0]))]
    folder = dataset(tmp_path / "set", made)
    found = validate(folder, videos=root, images=False)
    assert [(p.line, p.check) for p in found.problems] == [(4, "video"), (5, "video")]
    assert "not below" in found.problems[0].what
    assert "sha differs" in found.problems[1].what
    assert validate(folder, images=False).ok


def test_an_empty_dataset_is_a_problem_and_none_an_error(tmp_path: Path) -> None:
    assert validate(dataset(tmp_path / "set", [])).counts == {"empty": 1}
    with pytest.raises(UserError) as caught:
        validate(tmp_path / "nothing")
    assert caught.value.hint


def test_problems_are_counted_beyond_those_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videoespresso.dataset.inspect.validate.LISTED", 5)
    found = validate(
        dataset(tmp_path, (item(seed, id="x" * 16) for seed in range(9))), images=False
    )
    assert (found.counts, len(found.problems), found.left_out) == ({"id": 9, "twice": 8}, 5, 12)


def test_every_check_says_how_to_mend_it() -> None:
    assert set(MEND) == set(CHECKS)
