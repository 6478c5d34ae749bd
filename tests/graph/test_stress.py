"""Films made worse: what a strength does, that nothing mixes, and where things are given back."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.graph.test_eval_run import Bench, case, films, go  # noqa: F401 - a fixture

from videoespresso.errors import UserError
from videoespresso.evaluation import conditions
from videoespresso.evaluation.ablation import ablation, stressed
from videoespresso.evaluation.stress import STRENGTHS, Stress, StressedReader
from videoespresso.evaluation.theatre_benchmark import Theatre, draw, restaged, story_of
from videoespresso.theatre.truth import sentence_truth
from videoespresso.types import Picture, Video

CLIP = Video(id="a" * 64, path="a.mp4", duration_s=20.0, fps=10, width=64, height=48)  # type: ignore[arg-type]


class Clock:
    """A film whose pictures show their instant; ten a second."""

    video = CLIP

    def at(self, times_s: Iterable[float], max_side: int) -> Iterator[Picture]:
        last = 0.0
        for time_s in times_s:
            assert time_s >= last, "instants grow"
            last = time_s
            number = int(min(time_s, 19.9) * 10 + 1e-6)
            rgb = np.full((48, 64, 3), 255, np.uint8)
            rgb[12:36, 16:48] = number
            yield Picture(number / 10, number, rgb)

    def keyframes(self, max_side: int, *, min_gap_s: float = 0.0) -> Iterator[Picture]:
        return self.at([0.0, 5.0, 10.0, 15.0], max_side)

    def jumps(self) -> list[float]:
        return [4.0]

    def close(self) -> None:
        pass


def seen(kind: str, strength: int) -> list[Picture]:
    reader: Any = Clock()
    return list(StressedReader(reader, Stress(kind, strength)).at([1.3, 2.6, 7.77], 64))


@pytest.mark.parametrize("kind", ["blur", "noise", "dark", "jpeg", "crop"])
def test_a_stronger_one_is_farther_from_the_picture(kind: str) -> None:
    plain: Any = Clock()
    before = [p.rgb.astype(float) for p in plain.at([1.3, 2.6, 7.77], 64)]
    off = []
    for strength in range(1, 6):
        pictures = seen(kind, strength)
        assert [p.time_s for p in pictures] == [1.3, 2.6, 7.7]
        assert all(p.rgb.shape == (48, 64, 3) and p.rgb.dtype == np.uint8 for p in pictures)
        again = seen(kind, strength)
        assert all((a.rgb == b.rgb).all() for a, b in zip(pictures, again, strict=True))
        off.append(np.mean([abs(p.rgb - b).mean() for p, b in zip(pictures, before, strict=True)]))
    assert off[-1] > 2 * off[0]


def test_instants() -> None:
    assert [p.time_s for p in seen("fps", 3)] == [1.0, 2.0, 7.0], "one picture a second"
    fast = seen("speed", 2)
    assert [p.index for p in fast] == [26, 52, 155], "twice as fast"
    assert [p.time_s for p in fast] == [1.3, 2.6, 7.75]
    reader: Any = Clock()
    faster = StressedReader(reader, Stress("speed", 4))
    assert faster.video.duration_s == 5.0
    assert [p.time_s for p in faster.keyframes(64)] == [0.0, 1.25, 2.5, 3.75]
    assert faster.jumps() == [1.0]


def test_dropped_pictures_are_those_before_them() -> None:
    times = [k / 10 for k in range(200)]
    shares = []
    for strength in range(1, 6):
        stress = Stress("drop", strength)
        shown = [stress.instant(CLIP.id, t) for t in times]
        assert shown == sorted(shown)
        assert all(a <= b for a, b in zip(shown, times, strict=True))
        shares.append(sum(a < b for a, b in zip(shown, times, strict=True)) / len(times))
    assert shares == sorted(shares)
    assert shares[0] < 0.3 < 0.7 < shares[-1]


def test_boxes_and_instants_are_given_back_as_the_films() -> None:
    found = {"steps": [{"time_s": 2.0, "boxes": [[0.0, 0.0, 1.0, 0.5]]}], "picked_s": [2.0]}
    half = Stress("crop", 5).back(found)
    assert half["steps"][0]["boxes"] == [[0.25, 0.25, 0.75, 0.5]]
    assert half["picked_s"] == [2.0]
    fast = Stress("speed", 4).back(found)
    assert (fast["picked_s"], fast["steps"][0]["time_s"]) == ([8.0], 8.0)
    assert fast["steps"][0]["boxes"] == [[0.0, 0.0, 1.0, 0.5]]


def test_every_stress_is_a_film_of_its_own() -> None:
    every = [Stress(kind, k) for kind in STRENGTHS for k in range(1, 6)]
    assert len({one.video(CLIP).id[:12] for one in every} | {CLIP.id[:12]}) == len(every) + 1
    conditions.check(stressed([*STRENGTHS]))


def test_one_strength_of_a_kind() -> None:
    one = stressed(["blur=3", "style", "blur=3", "jpeg=1"])
    assert one == ("ours", "ours@blur=3", "ours@style=1", "ours@style=2", "ours@jpeg=1")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("blur=", "blur=1 to blur=5;"),
        ("blur=6", "blur=1 to blur=5;"),
        ("style=winter", "style=1 to style=2 (held_out, winter);"),
        ("length=5", "length=1 to length=4 (30 s, 120 s, 600 s, 3600 s);"),
    ],
)
def test_what_is_no_strength_is_told_which_there_are(given: str, hint: str) -> None:
    for asked in (lambda: stressed([given]), lambda: conditions.check([f"ours@{given}"])):
        with pytest.raises(UserError, match=f"{given} is no strength of ") as error:
            asked()
        assert error.value.hint.startswith(hint)


@pytest.mark.parametrize("name", ["ours@blur=0", "ours@blur=6", "ours@blur=1,dark=1"])
def test_what_is_no_strength_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        conditions.check((name,))
    with pytest.raises(UserError, match="no stress 'rain'"):
        stressed(["blur", "rain"])


def test_a_stressed_film_is_looked_at_by_itself(tmp_path: Path, films: list[Path]) -> None:  # noqa: F811
    bench = Bench(tmp_path, [case(0, films[0])])
    names = ("ours", "ours@dark=2", "ours@speed=4")
    records = go(bench.run(conditions=names))
    assert not [r["error"] for r in records if "error" in r]
    by = {r["condition"]: r for r in records}
    assert all(r["captioned"] > 0 for r in records), "no caption is another film's"
    assert by["ours@speed=4"]["captioned"] < by["ours"]["captioned"]
    assert max(by["ours@speed=4"]["picked_s"]) > 0.7 * max(by["ours"]["picked_s"])
    before = {p: p.read_bytes() for p in (tmp_path / "cache").rglob("*.jpg")}
    go(bench.run(conditions=names))
    assert {p: p.read_bytes() for p in (tmp_path / "cache").rglob("*.jpg")} == before


@pytest.mark.parametrize("strength", [1, 2, 3, 4])
def test_in_a_longer_film_the_same_is_true_at_the_same_events(strength: int) -> None:
    for item in draw(28):
        longer = restaged(item, "length", strength)
        story, before = story_of(longer.seed, longer.style, longer.seconds), story_of(*_key(item))
        assert story.duration_s == pytest.approx((30, 120, 600, 3600)[strength - 1])
        assert [e.text for e in story.events] == [e.text for e in before.events]
        assert [p.t0 for p in story.phases] == sorted(p.t0 for p in story.phases)
        for phase, text in longer.question.evidence:
            middle = (story.phases[phase].t0 + story.phases[phase].t1) / 2
            assert sentence_truth(story, text, middle).verdict == "true"


def _key(item: Any) -> tuple[Any, ...]:
    return item.seed, item.style, item.seconds


def test_styles_and_lengths_are_asked_of_films_that_are_made(tmp_path: Path) -> None:
    cases = list(Theatre("theatre:test", "train", tmp_path / "films").cases(1))
    names = ("ours", "ours@style=2", "ours@length=1")
    run = Bench(tmp_path, cases).run(conditions=names)
    records = go(run)
    assert not [r["error"] for r in records if "error" in r]
    assert {r["item"] for r in records} == {cases[0].item.id}
    by = {r["condition"]: r for r in records}
    assert by["ours@length=1"]["film"]["duration_s"] == pytest.approx(30, abs=0.2)
    assert len({r["film"]["id"] for r in records}) == 3
    assert by["ours@style=2"]["truth"]["intervals"] == by["ours"]["truth"]["intervals"]
    assert by["ours@length=1"]["truth"]["intervals"] != by["ours"]["truth"]["intervals"]
    first = ablation(run.plan.out, "style,length", names).rows[0]
    assert {*first.truth} == {"sentences true at their instant", "acc@evidence"}


def test_only_a_benchmark_that_makes_its_films_has_styles(
    tmp_path: Path,
    films: list[Path],  # noqa: F811
) -> None:
    with pytest.raises(UserError, match="cannot be made anew: no ours@style=1"):
        Bench(tmp_path, [case(0, films[0])]).run(conditions=("ours", "ours@style=1"))
