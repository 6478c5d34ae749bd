"""Statistics of a dataset against what was put in."""

import math
import random
from statistics import mean, median

import pytest
from tests.helpers.records import item, reject, video

from videoespresso.dataset.inspect.record_measures import AFTER_VERIFY, VERIFY, distances, source_of
from videoespresso.dataset.inspect.stats import PAPER, Frequent, gather, share, spread
from videoespresso.graphs.dataset_pair import PAIR_CHAIN
from videoespresso.statistics import round_width
from videoespresso.tasks import TASKS

ITEMS = [item(seed) for seed in range(300)]
REJECTS = [reject(seed) for seed in range(80)]
STATS = gather(iter(ITEMS), iter(REJECTS))


def test_the_papers_table_adds_up() -> None:
    assert sum(train for train, _ in PAPER.values()) == 202_164
    assert sum(test for _, test in PAPER.values()) == 1_382
    assert tuple(PAPER) == TASKS


def test_tasks_are_counted_beside_the_papers() -> None:
    assert STATS.records == 300
    assert [row.task for row in STATS.tasks] == list(TASKS), "a row for what has no task is missing"
    for row in STATS.tasks:
        assert row.n == sum(one.task == row.task for one in ITEMS)
        assert row.share
        assert row.share.low < row.n / 300 < row.share.high
    assert sum(row.paper_share for row in STATS.tasks) == pytest.approx(1)


def test_a_record_without_a_task_gets_a_row() -> None:
    rows = gather([item(1, task=None), item(2)]).tasks
    assert (rows[-1].task, rows[-1].n, len(rows)) == ("no task", 1, 15)


def test_spreads_are_those_of_the_values() -> None:
    counts = [len(one.core_frames) for one in ITEMS]
    gaps = [d for one in ITEMS for d in distances(one)]
    for found, values in (
        (STATS.core_frames, counts),
        (STATS.distances, gaps),
        (STATS.key_items, [len(one.key_items) for one in ITEMS]),
        (STATS.lengths["question"], [len(one.question.split()) for one in ITEMS]),
    ):
        assert found
        assert (found.n, found.least, found.most) == (len(values), min(values), max(values))
        assert found.mean == pytest.approx(mean(values))
        assert abs(found.median - median(values)) <= 1
        assert sum(bar.n for bar in found.bars) == len(values)


def test_distances_are_told_by_task() -> None:
    for row in STATS.tasks:
        wanted = sum(len(one.core_frames) - 1 for one in ITEMS if one.task == row.task)
        assert row.distances
        assert row.distances.n == wanted


def test_unknown_instants_have_no_distance() -> None:
    frames = [frame.model_copy(update={"time_s": None}) for frame in ITEMS[0].core_frames]
    assert gather([item(0, core_frames=frames)]).distances is None


def test_words_letters_items_and_rejects() -> None:
    words = {word.word: word.n for word in STATS.words["question"]}
    assert words["number"] == 300
    assert "the" not in words
    assert words["considering"] == sum("Considering" in one.question for one in ITEMS)
    assert sum(found.hits for found in STATS.letters.values()) == 300
    assert STATS.items_found
    assert STATS.items_found.value == 0.5
    assert STATS.accepted
    judged = 300 + sum(one.stage == "verify" for one in REJECTS)
    assert (STATS.accepted.hits, STATS.accepted.n) == (300, judged)
    assert STATS.rejected
    assert STATS.rejected.hits == 80
    assert STATS.rejected.n == 380
    assert sum(row.n for row in STATS.rejects) == 80
    assert {row.stage for row in STATS.rejects} == {"verify", "probe"}
    assert STATS.cost["verify"].calls == 300
    assert STATS.cost["verify"].usd == pytest.approx(0.3)


def test_what_a_later_stage_refused_was_accepted_by_the_verifier() -> None:
    later = [
        told
        for k, stage in enumerate(("annotate", "ground_time", "distract", "write"))
        for told in [reject(k).model_copy(update={"stage": stage, "criterion": "options"})] * 2
    ]
    unheard = reject(9).model_copy(update={"stage": "verify", "criterion": "unusable reply"})
    said = reject(9).model_copy(update={"stage": "verify", "criterion": "subjective"})
    before = reject(9).model_copy(update={"stage": "generate", "criterion": "unusable reply"})
    found = gather(ITEMS[:3], [*later, unheard, said, before]).accepted
    assert found
    assert (found.hits, found.n) == (3 + 8, 3 + 8 + 1)


def test_the_stages_after_the_verifier_are_those_of_the_pipeline() -> None:
    stages = [stage.__name__ for stage in PAIR_CHAIN]
    assert tuple(stages[stages.index(VERIFY) + 1 :]) == AFTER_VERIFY


def test_videos_groups_and_sources() -> None:
    assert STATS.videos == 100
    assert STATS.video_seconds == 6000
    assert STATS.records_per_video
    assert STATS.records_per_video.mean == 3
    assert {row.source for row in STATS.sources} == {"street", "home", "films"}
    assert sum(row.videos for row in STATS.sources) == 100
    assert STATS.groups == len({(one.video.id, one.group) for one in ITEMS})


def test_the_order_of_records_does_not_matter() -> None:
    mixed = random.Random(1).sample(ITEMS, len(ITEMS))
    again = gather(mixed, reversed(REJECTS))
    assert again.model_dump(exclude={"cost", "placement_scores", "box_scores", "sources"}) == (
        STATS.model_dump(exclude={"cost", "placement_scores", "box_scores", "sources"})
    )


def test_nothing_has_statistics_too() -> None:
    empty = gather([])
    assert (empty.records, empty.core_frames, empty.rejected, empty.lengths) == (0, None, None, {})


def test_not_numbers_are_left_out() -> None:
    frames = [f.model_copy(update={"time_s": math.nan}) for f in ITEMS[0].core_frames]
    odd = item(0, core_frames=frames, video=video(0, duration_s=math.inf))
    assert (gather([odd]).distances, gather([odd]).video_seconds) == (None, 0)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("Moviechat/1/a.mp4", "Moviechat"),
        ("/data/kitchen/a.mp4", "kitchen"),
        ("a.mp4", "."),
        ("C:\\films\\noir\\a.mp4", "noir"),
    ],
)
def test_sources(path: str, source: str) -> None:
    assert source_of(path) == source


def test_quantiles_are_those_of_the_values() -> None:
    rng = random.Random(2)
    values = sorted(rng.expovariate(0.01) for _ in range(20_000))
    found = spread(values)
    assert found
    assert found.mean == pytest.approx(mean(values))
    assert (found.least, found.p5, found.median) == (values[0], values[999], values[9_999])
    assert (found.p95, found.most) == (values[18_999], values[-1])
    assert len(found.bars) <= 24
    assert sum(bar.n for bar in found.bars) == 20_000
    for bar in found.bars[:-1]:
        assert bar.n == sum(bar.low <= value < bar.high for value in values)


def test_one_value_is_one_bar() -> None:
    found = spread([3])
    assert found
    assert [(bar.low, bar.high, bar.n) for bar in found.bars] == [(3, 4, 1)]
    assert spread([]) is None


def test_frequent_words_in_bounded_room_say_what_they_lost() -> None:
    counted, rng = Frequent(limit=100), random.Random(3)
    texts = [[f"rare{rng.randrange(10**9)}" for _ in range(3)] + ["often"] for _ in range(500)]
    for text in texts:
        counted.add(text)
    assert len(counted._seen) <= 110
    (first,) = counted.most(1)
    assert first.word == "often"
    assert first.n <= 500 <= first.n + counted.lost
    assert counted.lost > 0


def test_shares_have_wilsons_interval() -> None:
    found = share(8, 10)
    assert found
    assert (found.value, round(found.low, 3), round(found.high, 3)) == (0.8, 0.49, 0.943)
    assert share(0, 0) is None


@pytest.mark.parametrize(
    ("least", "whole", "width"),
    [
        (0.013, False, 0.02),
        (0.7, True, 1),
        (2.1, True, 5),
        (0, True, 1),
        (5, True, 5),
        (60, False, 100),
    ],
)
def test_round_widths(least: float, whole: bool, width: float) -> None:
    assert round_width(least, whole=whole) == pytest.approx(width)
