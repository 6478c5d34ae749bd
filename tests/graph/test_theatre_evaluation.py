"""The theatre's scores: what is asked, how it is held against the truth, what is said of it."""

from collections import Counter
from pathlib import Path

import pytest
from lab import theatre_scores
from lab.theatre_scores import Target, exact_captions, token_share
from tests.helpers.scripted import film, scripted_context

from videoespresso.evaluation import theatre_benchmark as items
from videoespresso.evaluation.summary import Series
from videoespresso.evaluation.theatre_benchmark import Theatre
from videoespresso.graphs import watch
from videoespresso.statistics import Estimate, wilson
from videoespresso.tasks import TASKS
from videoespresso.theatre import SPLITS, make_story
from videoespresso.theatre.questions.law import NAMES
from videoespresso.tools.video import probe
from videoespresso.types import Caption

# ---- what is asked


def test_items_are_even_over_tasks_and_never_an_audit() -> None:
    drawn = items.draw(140)
    first, end = SPLITS["test"]
    assert all(first <= item.seed < end for item in drawn)
    assert len({item.id for item in drawn}) == 140
    tasks = Counter(item.question.task for item in drawn)
    assert set(tasks) == set(TASKS)
    assert max(tasks.values()) - min(tasks.values()) <= 4, tasks
    assert max(Counter(item.video for item in drawn).values()) <= items.A_STORY
    assert len({item.video for item in drawn}) <= 20, "about ten a film"
    items.draw.cache_clear()
    assert items.draw(140) == drawn
    letters = Counter(item.question.correct for item in drawn)
    assert max(letters.values()) < 0.4 * 140, "no letter may carry a blind guesser"


def test_of_a_fifth_of_the_questions_nothing_in_the_film_tells(tmp_path: Path) -> None:
    bench = Theatre("theatre:test+unanswerable", "train", tmp_path, unanswerable=0.2)
    cases = bench.cases(50)
    strange = [case for case in cases if case.unanswerable]
    assert (len(cases), len(strange), len({c.item.id for c in cases})) == (50, 10, 50)
    assert {c.video for c in strange} <= {c.video for c in cases if not c.unanswerable}
    assert bench.cases(50)[-1].digest == cases[-1].digest
    for case in strange:
        story = make_story(int(case.video.rpartition("-")[2]))
        there = {actor.phrase for phase in story.phases for actor in phase.actors}
        named = {match[0] for match in NAMES.finditer(case.item.question)}
        assert named - there, case.item.question
        assert case.truth.sentences == ()
        assert str(case.item.seed) not in case.video, "the question is another film's"


def test_the_held_out_style_has_stories_of_its_own() -> None:
    here, there = items.draw(30), items.draw(30, "held_out")
    assert {i.seed for i in here}.isdisjoint({i.seed for i in there})
    assert {i.style for i in there} == {"held_out"}
    assert make_story(there[0].seed, "held_out").scene(0.0).style.family == "held_out"


def test_winter_asks_the_questions_of_the_train_style() -> None:
    here, there = items.draw(30), items.draw(30, "winter")
    assert [(i.seed, i.question) for i in here] == [(i.seed, i.question) for i in there]
    assert {i.style for i in there} == {"winter"}


# ---- what it is held against


def test_captions_are_compared_with_the_truth_at_their_instant(tmp_path: Path) -> None:
    story = min((make_story(1_100_000 + k) for k in range(60)), key=lambda s: s.duration_s)
    clip = film(story, tmp_path / "short.mp4", fps=2)
    context, _ = scripted_context(tmp_path / "cache", {"captioner": lambda _: "room: a thing"})
    watch.watch(context, str(clip), "What is it?")
    video = probe(clip).id
    frames = context.store.sampling(video, watch.sampling_key(context))
    assert frames

    def remember(wrong: set[int]) -> None:
        texts = [
            "something else" if k in wrong else
            story.phases[story.phase_at(round(f.time_s * story.fps) / story.fps)].caption
            for k, f in enumerate(frames)
        ]  # fmt: skip
        captions = [
            Caption(frame_id=f.id, time_s=f.time_s, text=text)
            for f, text in zip(frames, texts, strict=True)
        ]
        context.memory.add(context.memory_key(video), captions)

    def shares() -> list[float]:
        found = exact_captions(context, [(story, clip)])
        assert list(found) == ["all", "shown"]
        return [e.value for e in found.values() if e is not None]

    remember(set())
    assert shares() == [1, 1]
    remember({0, len(frames) - 1})
    assert shares() == [pytest.approx(1 - 2 / len(frames))] * 2


def test_tokens_are_shared_over_the_questions_that_both_were_measured_on() -> None:
    def record(item: str, tokens: int | None) -> dict[str, object]:
        if tokens is None:
            return {"item": item, "video": "v", "error": "fell over"}
        needed = {"reasoner": {"image_tokens": tokens}}
        return {"item": item, "video": f"v{item}", "needed": needed}

    def one(condition: str, **tokens: int | None) -> Series:
        records = tuple(record(item, n) for item, n in tokens.items())
        return Series(Path("run"), condition, {}, records, 0)

    share = token_share([one("ours", a=32, b=64, c=9), one("uniform:16", a=512, b=512, c=None)])
    assert share is not None
    assert (share.value, share.n) == (96 / 1024, 2)
    assert token_share([one("ours", a=32), one("uniform:16", a=None)]) is None


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("a", 0.80, True, wilson(850, 1000)), "met"),
        (Target("a", 0.84, True, wilson(850, 1000)), "met (the interval reaches across)"),
        (Target("a", 0.32, False, wilson(310, 1000)), "met (the interval reaches across)"),
        (Target("a", 0.0, True, Estimate(-0.05, -0.1, 0, 9, ""), "points"), "missed by 5.0 points"),
        (Target("a", 3.0, False, Estimate(2.0, None, None, 9, "no variation"), ""),
         "met (no variation)"),
        (Target("a", 0.85, True, None), "not measured"),
    ],
)  # fmt: skip
def test_targets_are_judged_by_what_was_measured(target: Target, verdict: str) -> None:
    assert target.verdict == verdict


def test_a_target_is_a_row() -> None:
    row = Target("Right letter", 0.80, True, wilson(850, 1000), note="ours").row
    assert row == "| Right letter | ≥ 80.0 % | 85.0 % (82.7 to 87.1); ours | 1000 | met |"


# ---- the command


def test_the_command_measures_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_PROFILE", "embedded")
    command = ["--out", str(tmp_path), "--n", "2", "--held-out-n", "1", "--box-frames", "2"]
    assert theatre_scores.main(command) == 0
    table = capsys.readouterr().out
    assert table.count(" not measured |") == 0, table
    rows = (
        "Right letter, core frames", "Drop in the held-out style", "Box F1 at IoU 0.5",
        "right letter, direct", "captions exactly true (held_out, shown frames)",
    )  # fmt: skip
    for row in rows:
        assert f"| {row} |" in table
    records = {style: tmp_path / style / "records.jsonl" for style in ("train", "held_out")}
    before = {style: file.read_bytes() for style, file in records.items()}
    assert [text.count(b"\n") for text in before.values()] == [2 * 4, 1]
    assert theatre_scores.main(command) == 0
    assert capsys.readouterr().out == table
    assert {style: file.read_bytes() for style, file in records.items()} == before
