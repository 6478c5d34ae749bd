"""Which instants are looked at: by the pixels, in time order, each once, never too many."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from videoespresso.tools.sampling import Sampled, SamplingPlan, refine, sample
from videoespresso.types import Picture, Video

RGB = NDArray[np.uint8]


class Drawn:
    """A `VideoReader` over drawn pictures: `spots(time)` squares are lit, frames at `instants`."""

    def __init__(
        self,
        instants: Sequence[float],
        lit: dict[tuple[float, float], float] | None = None,
        keys: Sequence[int] = (0,),
        jumps: Sequence[float] = (),
    ) -> None:
        self._jumps = list(jumps)
        self.instants, self._lit, self._keys = list(instants), lit or {}, list(keys)
        step = instants[1] - instants[0] if len(instants) > 1 else 1.0
        self.video = Video(
            id="d" * 64,
            path="drawn.mp4",
            duration_s=instants[-1] + step,
            fps=Fraction(25),
            width=192,
            height=108,
        )
        self.asked: list[float] = []
        self.decoded_keys = 0

    def _picture(self, index: int) -> Picture:
        """Moving stretches {(start, end): share of the frame} change with every frame."""
        rgb = np.full((108, 192, 3), 90, np.uint8)
        now = self.instants[index]
        for (start, end), share in self._lit.items():
            if start <= now < end and index % 2:
                rgb[:, : max(4, int(192 * share))] = 220
        return Picture(now, index, rgb)

    def keyframes(self, max_side: int, *, min_gap_s: float = 0.0) -> Iterator[Picture]:
        last = float("-inf")
        for index in self._keys:
            if self.instants[index] - last >= min_gap_s:
                last = self.instants[index]
                self.decoded_keys += 1
                yield self._picture(index)

    def at(self, times_s: Iterable[float], max_side: int) -> Iterator[Picture]:
        for time_s in times_s:
            self.asked.append(time_s)
            before = [i for i, t in enumerate(self.instants) if t <= time_s + 1e-6]
            yield self._picture(before[-1] if before else 0)

    def jumps(self) -> list[float]:
        return self._jumps

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def steady(seconds: float, fps: int = 8) -> list[float]:
    return [i / fps for i in range(round(seconds * fps))]


def seen(sampled: Iterable[Sampled]) -> list[tuple[float, str]]:
    return [(s.picture.time_s, s.rule) for s in sampled]


def test_a_still_video_gives_one_frame_a_second() -> None:
    got = seen(sample(Drawn(steady(6)), SamplingPlan()))
    assert got == [(0.0, "keyframe"), *((float(t), "fps=1 static") for t in range(1, 6))]


def test_a_moving_stretch_gives_more_and_only_while_it_moves() -> None:
    # at 7 frames a second the looks, 1/4 s apart, fall on odd and even frames in turn
    reader = Drawn(steady(6, fps=7), lit={(2.0, 3.0): 0.5})
    got = seen(sample(reader, SamplingPlan()))
    per_second = [[rule for t, rule in got if second <= t < second + 1] for second in range(6)]
    assert per_second[0] == ["keyframe"]
    assert per_second[2] == ["fps=4 dynamic"] * 4
    assert per_second[4] == per_second[5] == ["fps=1 static"]


def test_a_little_motion_gives_two_a_second() -> None:
    reader = Drawn(steady(4, fps=7), lit={(1.0, 2.0): 0.04})
    rules = [rule for t, rule in seen(sample(reader, SamplingPlan())) if 1.0 <= t < 2.0]
    assert rules == ["fps=2 dynamic"] * 2


def test_rates_come_from_the_plan() -> None:
    plan = SamplingPlan(static_fps=0.5, dynamic_fps=2.0)
    got = seen(sample(Drawn(steady(8)), plan))
    assert [t for t, _ in got] == [0.0, 2.0, 4.0, 6.0]
    assert got[-1][1] == "fps=0.5 static"


def test_instants_grow_and_none_comes_twice_at_a_variable_rate() -> None:
    reader = Drawn([0.0, 0.04, 0.08, 0.4, 0.42, 1.0, 1.5, 4.2, 4.24], lit={(0, 9): 0.3})
    times = [t for t, _ in seen(sample(reader, SamplingPlan()))]
    assert times == sorted(set(times))
    assert set(times) <= set(reader.instants)


def test_one_frame_is_enough() -> None:
    assert seen(sample(Drawn([0.0]), SamplingPlan())) == [(0.0, "keyframe")]


def test_a_key_frame_at_a_cut_is_the_instant_that_is_kept() -> None:
    reader = Drawn(steady(4, fps=25), lit={(1.44, 9.0): 0.6}, keys=(0, 37))
    got = dict(seen(sample(reader, SamplingPlan())))
    assert got[reader.instants[37]] == "keyframe"


def test_key_frames_before_the_stream_s_start_are_no_instants() -> None:
    """A damaged file has some; they took the place of the last instants (-0.3 after 0.5)."""
    reader = Drawn([-7.0, -0.3, 0.0, 0.5, 1.0, 1.5], keys=(0, 1, 2, 4))
    times = [sampled.picture.time_s for sampled in sample(reader, SamplingPlan())]
    assert times == sorted(set(times))
    assert min(reader.asked) >= 0


def test_key_frames_of_a_still_video_add_nothing() -> None:
    reader = Drawn(steady(5, fps=25), keys=range(0, 125, 13))
    assert [t for t, _ in seen(sample(reader, SamplingPlan()))] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_the_limit_is_spread_over_the_video_and_said() -> None:
    plan = SamplingPlan(max_frames=20)
    reader = Drawn(steady(10, fps=7), lit={(0.0, 10.0): 0.5})
    got = seen(sample(reader, plan))
    assert len(got) == 20
    assert got[-1][0] >= 9.0
    assert sum("cut by max_frames=20" in rule for _, rule in got) >= 10


def test_what_a_still_beginning_saves_a_moving_end_may_spend() -> None:
    plan = SamplingPlan(max_frames=20)
    reader = Drawn(steady(10, fps=7), lit={(8.0, 10.0): 0.5})
    rules = [rule for t, rule in seen(sample(reader, plan)) if t >= 8.0]
    assert rules.count("fps=4 dynamic") >= 7


def test_a_long_video_is_looked_at_evenly_by_its_key_frames() -> None:
    reader = Drawn(steady(300, fps=2), keys=range(0, 600, 4))
    got = seen(sample(reader, SamplingPlan(max_frames=50)))
    assert len(got) == 50
    assert all(rule == "keyframe 1 every 6 s, cut by max_frames=50" for _, rule in got)
    assert not reader.asked, "nothing but key frames had to be decoded"
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(got)) <= 12


def test_of_a_very_long_video_not_every_key_frame_is_decoded() -> None:
    reader = Drawn(steady(1200, fps=1), keys=range(0, 1200, 4))
    got = seen(sample(reader, SamplingPlan(max_frames=50)))
    assert len(got) == 50
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(got)) <= 48
    assert reader.decoded_keys <= 101, "key frames closer than half a step are not decoded"


def test_what_quiet_stretches_leave_short_shots_may_spend() -> None:
    """A key frame every 9 s, then a shot a second: all of them are seen."""
    keys = [*range(0, 1000, 36), *range(1008, 1048, 4), *range(1064, 1200, 36)]
    reader = Drawn(steady(300, fps=4), keys=keys)
    got = [t for t, rule in seen(sample(reader, SamplingPlan(max_frames=100))) if "key" in rule]
    assert got == [reader.instants[k] for k in keys]


def test_where_a_long_video_has_no_key_frames_it_is_decoded() -> None:
    reader = Drawn(steady(300, fps=2), keys=(0, 1, 300))
    got = seen(sample(reader, SamplingPlan(max_frames=30)))
    times = [t for t, _ in got]
    assert len(got) == 30
    assert times == sorted(set(times))
    assert sum(rule.startswith("keyframe") for _, rule in got) == 2
    assert [rule for _, rule in got if rule.startswith("fps=0.1 ")]
    assert max(b - a for a, b in itertools.pairwise(times)) <= 20


def between(reader: Drawn) -> list[float]:
    """Instants without a key frame of a film of 300 s, stretches of 2 s."""
    got = seen(sample(reader, SamplingPlan(max_frames=150)))
    return [t for t, rule in got if not rule.startswith("keyframe")]


def test_between_key_frames_that_show_the_same_nothing_is_decoded() -> None:
    reader = Drawn(steady(300, fps=2), keys=range(0, 600, 20))
    assert between(reader) == [295.0]  # after the last one nothing tells
    assert len(reader.asked) == 1


ONE_LIT = [*range(0, 220, 20), 221, *range(240, 600, 20)]
"""Key frames of which one is lit: that of 110.5 s."""


def test_between_key_frames_that_differ_a_little_it_is_looked_once() -> None:
    reader = Drawn(steady(300, fps=2), lit={(99.0, 300.0): 0.2}, keys=ONE_LIT)
    assert between(reader) == [105.0, 115.0, 295.0]


def test_key_frames_of_two_shots_need_no_look_between() -> None:
    reader = Drawn(steady(300, fps=2), lit={(99.0, 300.0): 0.9}, keys=ONE_LIT)
    assert between(reader) == [295.0]


def test_a_jump_is_looked_at_a_moment_after() -> None:
    jumps = [12.0, 203.8, 297.0]
    reader = Drawn(steady(300, fps=10), keys=range(0, 3000, 100), jumps=jumps)
    assert between(reader) == pytest.approx([t + 0.2 for t in jumps])


def test_key_frames_far_apart_say_nothing_of_what_is_between() -> None:
    reader = Drawn(steady(300, fps=2), keys=(0, 100))
    assert len(between(reader)) == 148


def test_thorough_looks_at_every_stretch() -> None:
    reader = Drawn(steady(300, fps=2), keys=range(0, 600, 20))
    got = seen(sample(reader, SamplingPlan(max_frames=150, thorough=True)))
    assert len(got) == 150
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(got)) <= 4


def test_refine_looks_closer_and_says_where() -> None:
    reader = Drawn(steady(10, fps=25))
    got = seen(refine(reader, 2.0, 3.0, SamplingPlan()))
    assert len(got) == 8
    assert {rule for _, rule in got} == {"refine 2.0-3.0"}
    assert all(2.0 <= t < 3.0 for t, _ in got)


def test_refine_keeps_to_its_limit_and_to_the_video() -> None:
    reader = Drawn(steady(10, fps=25))
    got = seen(refine(reader, -5.0, 99.0, SamplingPlan(refine_frames=12)))
    assert len(got) == 12
    assert {rule for _, rule in got} == {"refine 0.0-10.0"}
    assert got[-1][0] > 9.0
    assert seen(refine(reader, 5.0, 5.0, SamplingPlan())) == []
    assert seen(refine(reader, 50.0, 60.0, SamplingPlan())) == []


def test_a_stretch_shorter_than_one_look_still_gives_a_frame() -> None:
    assert len(seen(refine(Drawn(steady(10, fps=25)), 2.0, 2.05, SamplingPlan()))) == 1


def test_the_key_names_what_the_plan_does() -> None:
    assert SamplingPlan().key() == SamplingPlan().key()
    others = [
        SamplingPlan(static_fps=2.0),
        SamplingPlan(dynamic_fps=2.0),
        SamplingPlan(max_frames=10),
        SamplingPlan(max_side=320),
    ]
    assert len({p.key() for p in [SamplingPlan(), *others]}) == 5


@pytest.mark.parametrize(
    "values",
    [
        {"static_fps": 0.0},
        {"dynamic_fps": 0.5},
        {"refine_fps": float("nan")},
        {"dynamic_fps": float("inf")},
        {"max_frames": 0},
        {"max_side": 0},
        {"refine_frames": 0},
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        SamplingPlan(**values)  # type: ignore[arg-type]  # wrong on purpose
