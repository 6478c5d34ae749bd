"""The evaluation itself: what is asked, what is recorded, what survives, what is said of it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import theatre_scores as theatre
from lab.theatre_bench import Bench
from lab.theatre_summary import write_summary
from langchain_core.messages import BaseMessage
from tests.helpers.chat_server import Exchange, Server, say
from tests.helpers.scripted import ScriptedModel, film, scripted_context, text_of

import videoespresso
from videoespresso.errors import SettingsError
from videoespresso.evaluation import results
from videoespresso.evaluation import theatre_items as items
from videoespresso.evaluation.theatre_items import Item
from videoespresso.graphs import watch
from videoespresso.tasks import TASKS
from videoespresso.theatre import SPLITS, make_story
from videoespresso.theatre.questions import questions
from videoespresso.tools.video import probe
from videoespresso.types import Caption

CONDITIONS = ("paper", "uniform:4", "direct", "blind")
ONE = theatre.Job("train", conditions=CONDITIONS)


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


def test_the_held_out_style_has_stories_of_its_own() -> None:
    here, there = items.draw(30), items.draw(30, "held_out")
    assert {i.seed for i in here}.isdisjoint({i.seed for i in there})
    assert {i.style for i in there} == {"held_out"}
    assert make_story(there[0].seed, "held_out").scene(0.0).style.family == "held_out"


def test_winter_asks_the_questions_of_the_train_style() -> None:
    here, there = items.draw(30), items.draw(30, "winter")
    assert [(i.seed, i.question) for i in here] == [(i.seed, i.question) for i in there]
    assert {i.style for i in there} == {"winter"}


# ---- one video through the real graph


class Sly:
    """Knows no truth: always the same letter; refuses where the question has a certain word."""

    def captioner(self, messages: list[BaseMessage]) -> str:
        return f"room: {hash(str(messages[-1].content)) % 10_000} things"

    def selector(self, messages: list[BaseMessage]) -> str:
        count = len(re.findall(r" \[\d+\]$", text_of(messages), re.MULTILINE))
        return json.dumps({"core": [{"frame": n, "why": "w"} for n in {1, count}]})

    def reasoner(self, messages: list[BaseMessage]) -> str:
        if text_of(messages).endswith("Please provide evidence to help answer the question."):
            return json.dumps({"steps": [{"frame": 1, "text": "something is seen", "items": []}]})
        return json.dumps({"answered": True, "answer": "x", "choice": "B"})

    def checker(self, messages: list[BaseMessage]) -> str:
        return json.dumps({"carried": True, "missing": ""})


def bench_of(cache: Path, sly: Sly) -> tuple[Bench, ScriptedModel]:
    script = {r: getattr(sly, r) for r in ("captioner", "selector", "reasoner", "checker")}
    context, model = scripted_context(cache, script)
    return Bench(context), model


@pytest.fixture(scope="module")
def short() -> tuple[Item, ...]:
    """Four questions about the shortest of some stories."""
    stories = [make_story(seed) for seed in range(1_100_000, 1_100_060)]
    story = min(stories, key=lambda s: s.duration_s)
    return tuple(Item(story.seed, "train", q) for q in list(questions(story))[:4])


@pytest.fixture(scope="module")
def clip(short: tuple[Item, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    story = make_story(short[0].seed)
    return film(story, tmp_path_factory.mktemp("film") / "short.mp4", fps=2)


@pytest.fixture
def plan(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> theatre.Plan:
    monkeypatch.setattr(theatre, "filmed", lambda item, folder: clip)
    bench, _ = bench_of(tmp_path / "cache", Sly())
    return theatre.Plan(tmp_path, bench.context.settings, box_frames=0)


def test_every_condition_of_a_video_is_recorded_once(
    plan: theatre.Plan, short: tuple[Item, ...]
) -> None:
    bench, model = bench_of(plan.out / "cache", Sly())
    job = replace(ONE, items=short)
    assert theatre.work(bench, plan, job, theatre._Never()) == 4 * 4 + 1
    captioned = model.asked["captioner"]
    records = list(results.read(plan.lines).values())
    count = Counter(r["condition"] for r in records)
    assert count == {"paper": 4, "uniform:4": 4, "direct": 4, "blind": 4, "captions": 1}
    for record in records:
        if record["condition"] != "captions":
            assert record["right"] == (record["truth"] == 1), record
            assert "error" not in record
    paper = {r["item"]: r for r in records if r["condition"] == "paper"}
    direct = {r["item"]: r for r in records if r["condition"] == "direct"}
    assert all(r["frames"] == len(r["core"]) > 0 for r in paper.values())
    assert {i: r["frames"] for i, r in direct.items()} == {i: r["frames"] for i, r in paper.items()}
    assert all(r["shown"] == 2 * r["frames"] for r in paper.values()), "both stages are counted"
    (captions,) = (r for r in records if r["condition"] == "captions")
    assert captions["own"] == captioned, "captions of a video are made once for all conditions"

    assert theatre.work(bench, plan, job, theatre._Never()) == 0
    assert len(plan.lines.read_text().splitlines()) == 17


def test_direct_sees_the_core_frames_and_blind_sees_none(
    plan: theatre.Plan, short: tuple[Item, ...]
) -> None:
    seen: list[tuple[str, int]] = []

    class Watched(Sly):
        def reasoner(self, messages: list[BaseMessage]) -> str:
            blocks = [b for m in messages for b in m.content if isinstance(b, dict)]
            text = text_of(messages)
            kind = "evidence" if "provide evidence" in text else text.splitlines()[-1]
            seen.append((kind, sum(b["type"] == "image_url" for b in blocks)))
            return super().reasoner(messages)

    bench, _ = bench_of(plan.out / "cache", Watched())
    theatre.work(bench, plan, replace(ONE, items=short[:1]), theatre._Never())
    records = {r["condition"]: r for r in results.read(plan.lines).values()}
    at_once = [n for kind, n in seen if kind == "Please answer the question."]
    assert at_once == [records["paper"]["frames"], 0]


def test_what_raises_is_a_wrong_answer_with_its_error_and_is_tried_again_when_asked(
    plan: theatre.Plan, short: tuple[Item, ...]
) -> None:
    broken = short[1].question

    class Breaking(Sly):
        def reasoner(self, messages: list[BaseMessage]) -> str:
            if any(broken.text in text_of(messages, k) for k in range(len(messages))):
                raise RuntimeError("the model\nfell over")
            return super().reasoner(messages)

    bench, _ = bench_of(plan.out / "cache", Breaking())
    job = replace(ONE, items=short, conditions=("paper", "direct"))
    theatre.work(bench, plan, job, theatre._Never())
    failed = [r for r in results.read(plan.lines).values() if r.get("error")]
    assert [(r["condition"], r["right"]) for r in failed] == [("paper", False), ("direct", False)]
    assert "fell over" in failed[0]["error"]
    assert "\n" not in failed[0]["error"]
    assert "paper condition failed" in failed[1]["error"]

    wanted = list(results.read(plan.lines).values())
    text = write_summary(bench, plan.out, wanted)
    summary = json.loads((plan.out / "summary.json").read_text())
    paper = summary["conditions"]["paper"]
    assert (paper["errors"], paper["accuracy"]["n"]) == (1, 4), "counted, never dropped"
    assert "1 paper" in text

    healthy, _ = bench_of(plan.out / "cache", Sly())
    assert theatre.work(healthy, plan, job, theatre._Never()) == 0
    again = replace(plan, retry=True)
    assert theatre.work(healthy, again, job, theatre._Never()) == 2
    assert not any(r.get("error") for r in results.read(plan.lines).values())


def test_a_torn_line_is_done_again_and_nothing_else(
    plan: theatre.Plan, short: tuple[Item, ...]
) -> None:
    bench, _ = bench_of(plan.out / "cache", Sly())
    job = replace(ONE, items=short[:2])
    whole = theatre.work(bench, plan, job, theatre._Never())
    before = results.read(plan.lines)
    plan.lines.write_bytes(plan.lines.read_bytes()[:-40])
    results.mend(plan.lines)
    assert theatre.work(bench, plan, job, theatre._Never()) == 1
    after = results.read(plan.lines)
    assert len(after) == whole
    assert after.keys() == before.keys()


def test_results_of_other_weights_are_not_counted(
    plan: theatre.Plan, short: tuple[Item, ...]
) -> None:
    bench, _ = bench_of(plan.out / "cache", Sly())
    other, _ = bench_of(plan.out / "cache", Sly())
    job = replace(ONE, items=short[:1], conditions=("blind",))
    theatre.work(bench, plan, job, theatre._Never())
    other.identity = other.identity | {"reasoner weights": "of another pack"}
    mine, theirs = theatre.keys(bench, job, plan), theatre.keys(other, job, plan)
    assert mine.keys().isdisjoint(theirs)
    assert theatre.work(other, plan, job, theatre._Never()) == 1


def test_captions_are_compared_with_the_truth_at_their_instant(
    plan: theatre.Plan, short: tuple[Item, ...], clip: Path
) -> None:
    bench, _ = bench_of(plan.out / "cache", Sly())
    theatre.work(
        bench, plan, replace(ONE, items=short[:1], conditions=("paper",)), theatre._Never()
    )
    context, video, story = bench.context, probe(clip), make_story(short[0].seed)
    frames = context.store.sampling(video.id, watch.sampling_key(context))
    assert frames

    def remember(wrong: set[int]) -> None:
        told = [
            "something else" if k in wrong else
            story.phases[story.phase_at(round(f.time_s * story.fps) / story.fps)].caption
            for k, f in enumerate(frames)
        ]  # fmt: skip
        context.memory.add(
            context.memory_key(video.id),
            [
                Caption(frame_id=f.id, time_s=f.time_s, text=t)
                for f, t in zip(frames, told, strict=True)
            ],
        )

    remember(set())
    found = bench.captions("train", story.seed, clip)
    assert found["exact"] == found["own_exact"] == found["frames"] == len(frames)
    remember({0, len(frames) - 1})
    assert bench.captions("train", story.seed, clip)["exact"] == len(frames) - 2


def test_without_a_checker_nobody_asks_it(plan: theatre.Plan, short: tuple[Item, ...]) -> None:
    bench, model = bench_of(plan.out / "cache", Sly())
    quick = Bench(bench.context, checks=False)
    job = replace(ONE, items=short[:1], conditions=("paper",))
    theatre.work(quick, plan, job, theatre._Never())
    assert "checker" not in model.asked
    assert quick.identity["checker asked"].startswith("no")
    assert theatre.keys(quick, job, plan).keys().isdisjoint(theatre.keys(bench, job, plan))


def test_later_questions_go_on_where_looking_ended_and_find_the_same(
    plan: theatre.Plan, short: tuple[Item, ...], clip: Path
) -> None:
    """As if each had gone through the whole graph by itself."""
    bench, _ = bench_of(plan.out / "cache", Sly())
    nodes = {
        (k, select): [node for node, _ in bench._steps(select, item, clip)]
        for k, item in enumerate(short[:2])
        for select in ("paper", "uniform:4")
    }
    first, *later = nodes.values()
    assert first[:2] == ["probe", "sample"]
    assert all(names[0] == "select" and names[-1] == "finish" for names in later)
    assert not bench._saver.storage, "no thread is kept"
    for item in short[1:3]:
        going_on = bench.measured("uniform:4", item, clip)
        alone, _ = bench_of(plan.out / "cache", Sly())
        assert going_on | {"seconds": 0} == alone.measured("uniform:4", item, clip) | {"seconds": 0}


# ---- what is said of it


def record(condition: str, number: int, right: bool, **more: Any) -> results.Json:
    """A made-up record; ten to a video."""
    return {
        "condition": condition, "item": f"i{number}", "video": f"v{number // 10}",
        "truth": number % 4, "task": TASKS[number % 14], "family": "f", "right": right,
        "answered": True, "stop": "",
        "frames": 2, "first_frames": 2, "looks": 1, "shown": 4, "hit": True, "gaps": [],
        "seconds": 0.1, "style": "train", **more,
    }  # fmt: skip


def test_targets_are_judged_by_what_was_measured(tmp_path: Path) -> None:
    bench, _ = bench_of(tmp_path / "cache", Sly())
    many = range(1000)
    made = [
        *(record("paper", k, k % 100 < 85) for k in many),
        *(record("uniform:16", k, k % 100 < 90, frames=16, shown=32) for k in many),
        *(record("direct", k, k % 100 < 80) for k in many),
        *(record("blind", k, k % 100 < 31) for k in many),
        *(record("held_out", k, k % 100 < 60, style="held_out") for k in range(300)),
        {"condition": "boxes", "style": "train", "frames": 500, "f1": 0.9, "low": 0.88,
         "high": 0.92, "n": 2000, "macro_f1": 0.8},
    ]  # fmt: skip
    text = write_summary(bench, tmp_path, made)
    summary = json.loads((tmp_path / "summary.json").read_text())
    by = {t["name"]: t for t in summary["targets"]}
    assert by["Right letter, core frames"]["verdict"] == "met"
    assert by["Right letter, core frames"]["estimate"]["value"] == 0.85
    assert by["Core frames a question"]["estimate"]["value"] == 2.0
    assert by["Right letter, blind (no frames)"]["verdict"] == "met (the interval reaches across)"
    assert by["Core frames − uniform 16"]["verdict"] == "missed by 5.0 points"
    assert summary["comparisons"]["paper - uniform:16"]["second_only"] == 50
    assert by["Image tokens, of uniform 16's"]["estimate"]["value"] == 0.125
    assert by["Evidence first − direct answer"]["verdict"].startswith("met")
    assert by["Box F1 at IoU 0.5"]["verdict"] == "met"
    assert by["Drop in the held-out style"]["verdict"] == "missed by 15.0 points"
    assert summary["settings"]["prompts"] in text
    assert "| Right letter, core frames | ≥ 80.0 % | 85.0 % (82.7 to 87.1) | 1000 | met |" in text


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    bench, _ = bench_of(tmp_path / "cache", Sly())
    text = write_summary(bench, tmp_path, [record("blind", k, False) for k in range(20)])
    assert text.count("not measured") == 7
    assert "| Right letter, blind (no frames) | ≤ 32.0 % | 0.0 % (0.0 to 16.1) | 20 | met |" in text


# ---- the command


def test_direct_needs_paper_and_a_wrong_condition_is_named(plan: theatre.Plan) -> None:
    with pytest.raises(SettingsError, match="core frames of paper"):
        theatre.planned(replace(plan, conditions=("direct",)))
    with pytest.raises(SettingsError, match="unifrom"):
        theatre.planned(replace(plan, conditions=("unifrom:16",)))


def test_killed_and_started_again_it_finds_each_result_once(tmp_path: Path) -> None:
    """Two real processes against a real server; blind, because that needs no film."""
    reply = say(json.dumps({"answered": True, "answer": "x", "choice": "C"}))

    def slowly(exchange: Exchange) -> None:
        time.sleep(0.2)
        reply(exchange)

    with Server([slowly]) as server:
        spec = f"openai:small@{server.url}"
        roles = {
            f"VIDEOESPRESSO_{r}": spec for r in ("CAPTIONER", "SELECTOR", "REASONER", "CHECKER")
        }
        command = [
            sys.executable, "-m", "lab.theatre_scores", "--out", str(tmp_path),
            "--n", "40", "--conditions", "blind", "--box-frames", "0", "--workers", "2",
        ]  # fmt: skip
        found_in = str(Path(videoespresso.__file__).parents[1])
        own = {"VIDEOESPRESSO_DETECTOR": "off", "PYTHONPATH": found_in}
        here = {**os.environ, **roles, **own}
        lines = tmp_path / "results.jsonl"
        first = subprocess.Popen(command, env=here, stderr=subprocess.DEVNULL)
        try:
            while not lines.exists() or len(lines.read_bytes().splitlines()) < 3:
                assert first.poll() is None, "it ended before it was killed"
                time.sleep(0.05)
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait()
        second = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert re.search(r"\d+ results to find, [1-9]\d* known from before", second.stderr)
    found = results.read(lines)
    assert len(found) == len({r["item"] for r in found.values()}) == 40
    right = sum(item.question.correct == 2 for item in items.draw(40))
    assert sum(r["right"] for r in found.values()) == right
    assert "| Right letter, blind (no frames) |" in second.stdout
