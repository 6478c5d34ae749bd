"""Dataset mode's measurement itself, from a film to the table, with the pack and the teacher."""

import json
from pathlib import Path
from typing import Any

import pytest
from lab import dataset_scores as theatre
from lab.dataset_script import plain_context, watched
from lab.dataset_verifier import verifier_rows
from langchain_core.messages import BaseMessage
from tests.helpers.scripted import film, scripted_context

from videoespresso.dataset.records_io import read_items
from videoespresso.models.embedded.teacher import TeacherChatModel
from videoespresso.settings import DATASET_ROLES, Settings
from videoespresso.theatre import Story, make_story

SEED = 1_000_502
"""A validation story in which a cat makes a vase break."""


@pytest.fixture(scope="module")
def story() -> Story:
    return make_story(SEED)


@pytest.fixture(scope="module")
def clip(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(story, tmp_path_factory.mktemp("film") / f"train-{SEED}-small.mp4", fps=2)


@pytest.fixture
def plan(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> theatre.Plan:
    """One film, with one frame a second."""
    monkeypatch.setattr(theatre, "filmed_story", lambda seed, style, folder: clip)
    splits = {"train": (0, 1), "validation": (SEED, SEED + 1)}
    monkeypatch.setattr(theatre, "SPLITS", splits)
    settings = Settings.load({"profile": "embedded", "dynamic_fps": 1.0}, environ={})
    settings = settings.model_copy(update={"cache_dir": tmp_path / "cache"})
    return theatre.Plan(tmp_path / "run", settings, videos=1, split="validation")


def told(plan: theatre.Plan) -> dict[str, Any]:
    return theatre.identity(theatre.open_dataset_context(plan.settings), plan)


def test_a_film_is_measured_once_and_both_ways_make_the_same_records(plan: theatre.Plan) -> None:
    said: list[str] = []
    theatre.run(plan, told(plan), said.append)
    ((seeds, block),) = theatre.finished(plan, told(plan)).items()
    assert seeds == (SEED,)
    assert block.items, "the film has questions"
    plain = list(read_items(plan.folder(seeds) / "plain.jsonl"))
    assert {i.id: (i.options, i.letter) for i in plain} == {
        i.id: (i.options, i.letter) for i in block.items
    }
    assert block.record["same_records"]
    assert block.record["engine"]["usage"]["captioner"]["calls"] > 0, "fresh caches"
    assert {r["captions"] for r in block.record["verifier"]} == {"true", "captioner"}
    assert len(said) == 1
    theatre.run(plan, told(plan), said.append)
    assert len(said) == 1, "nothing is done again"
    assert theatre.finished(plan, told(plan) | {"code": "other"}) == {}, "other code, other figures"
    about = {"split": plan.split, "blocks_of": theatre.BLOCK, **told(plan)}
    text = theatre.write_summary(plan.out, [block], about)
    figures = json.loads((plan.out / "summary.json").read_text())["figures"]
    sections = {line["section"] for line in figures}
    assert len(sections) == 9
    assert f"seeds {SEED} to {SEED}" in text


@pytest.mark.parametrize("accepts", [True, False])
def test_a_verifier_of_one_word_gets_the_figures_it_deserves(
    accepts: bool, story: Story, clip: Path, tmp_path: Path
) -> None:
    def verdict(messages: list[BaseMessage]) -> str:
        return json.dumps({"reason": "r", "criterion": "", "accepted": accepts})

    teacher = TeacherChatModel()

    def generated(messages: list[BaseMessage]) -> str:
        return str(teacher.invoke(messages).content)

    seen = iter(range(1000))
    script = {
        "captioner": lambda messages: f"room: vase stands {next(seen)}",
        "generator": generated,
        "verifier": verdict,
    }
    roles = ("captioner", *DATASET_ROLES)
    context, _ = scripted_context(tmp_path / "cache", script, roles=roles)
    plain = plain_context(context, tmp_path / "plain")
    rows = verifier_rows(plain, story, watched(plain, clip))
    mine = [r for r in rows if r["captions"] == "true" and r["source"] == "planted"]
    assert {r["how"] for r in mine} >= {"", "order"}
    assert all(r["refused"] is not accepts for r in rows)
    assert all(r["criterion"] for r in rows if r["how"])


def test_a_stopped_run_and_a_wrong_setting_are_said_so(
    plan: theatre.Plan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(theatre, "run", stopped)
    given = ["--out", str(plan.out), "--videos", "1", "--split", "validation"]
    assert theatre.main(given) == 130
    assert "the same command goes on" in caplog.text
    assert theatre.main([*given, "--teacher", "nobody"]) == 1


def test_seeds_are_of_the_split_and_never_an_audit() -> None:
    plan = theatre.Plan(Path("x"), Settings.load({}, environ={}), videos=10)
    seeds = [seed for block in plan.blocks() for seed in block]
    assert seeds == list(range(1_100_000, 1_100_010))
    many = theatre.Plan(Path("x"), plan.settings, videos=10**7).blocks()
    assert many[-1][-1] < 1_200_000
