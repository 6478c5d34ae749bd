"""Records as rows to learn from, and recipes: what needs no torch."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.helpers import training as helper

from videoespresso.dataset.formats.convert import convert
from videoespresso.dataset.inspect.split import split
from videoespresso.errors import SettingsError, UserError
from videoespresso.models.hf_weights import asked_as, neutral, shown
from videoespresso.training import base, recipes
from videoespresso.training.data import load, with_evidence
from videoespresso.training.recipes import SUPERVISED, Kept, Recipe, recipe_of, table
from videoespresso.training.trainer import steps_of
from videoespresso.training.validation import f1


def test_a_dataset_without_parts_is_divided_by_video(tmp_path: Path) -> None:
    folder = helper.records(tmp_path / "d", 40)
    for stage in SUPERVISED:
        found = load(folder, stage)
        train, aside = ({row.video for row in rows} for rows in (found.train, found.validation))
        assert not train & aside
        assert len(aside) == 2
        assert load(folder, stage) == found
    assert len({load(folder, stage).sha for stage in ("evidence", "answer", "selector")}) == 3


def test_what_is_learned_is_in_the_last_reply_or_in_both(tmp_path: Path) -> None:
    folder = helper.records(tmp_path / "d", 3)
    roles = {s: [m.role[0] for m in load(folder, s).train[0].conversation] for s in SUPERVISED}
    assert roles["evidence"] == roles["captioner"] == roles["selector"] == ["s", "u", "a"]
    assert roles["answer"] == roles["both"] == ["s", "u", "a", "u", "a"]
    assert load(folder, "answer").train[0].learned == (4,)
    both = load(folder, "both").train[0]
    assert both.learned == (2, 4)
    assert with_evidence(both, "{}").conversation[2].parts == ("{}",)
    captions = load(folder, "captioner").train
    assert {row.id.partition("#")[2] for row in captions} >= {"1", "2"}


def test_parts_of_a_split_are_used_and_may_not_share_a_video(tmp_path: Path) -> None:
    folder = helper.records(tmp_path / "d", 60)
    ratios = {"train": 0.6, "validation": 0.2, "test": 0.2}
    split(folder, tmp_path / "parts", ratios)
    found = load(tmp_path / "parts", "evidence")
    assert 20 < len(found.train) < 50
    assert 2 < len(found.validation) < 25
    test = (tmp_path / "parts/test/records.jsonl").read_text().splitlines()
    with (tmp_path / "parts/train/records.jsonl").open("a") as lines:
        lines.write(test[0] + "\n")
    for file in (tmp_path / "parts/test/frames").iterdir():
        (tmp_path / "parts/train/frames" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="1 records to learn from") as caught:
        load(tmp_path / "parts", "evidence")
    assert "--allow-leak" in caught.value.hint
    leaked = load(tmp_path / "parts", "evidence", allow_leak=True).leaked
    assert leaked == (helper.DatasetItem.model_validate_json(test[0]).id,)


def test_rows_of_trl_say_what_the_records_say(tmp_path: Path) -> None:
    folder = helper.records(tmp_path / "d", 12)
    convert(folder, tmp_path / "trl", to="trl")
    convert(folder, tmp_path / "select", to="trl-selector")
    for stage, where in (("answer", "trl"), ("evidence", "trl"), ("selector", "select")):
        ours, theirs = load(folder, stage), load(tmp_path / where, stage)
        texts = [
            {
                tuple(part if isinstance(part, str) else Path(part.path).name
                      for m in row.conversation for part in m.parts)
                for row in (*found.train, *found.validation)
            }
            for found in (ours, theirs)
        ]  # fmt: skip
        assert texts[0] == texts[1]
    (tmp_path / "trl/answer.jsonl").write_text('{"prompt": 3}\n')
    with pytest.raises(UserError, match=r"answer\.jsonl line 1"):
        load(tmp_path / "trl", "answer")
    with pytest.raises(UserError, match="has no records for captioner"):
        load(tmp_path / "trl", "captioner")


def test_records_without_what_a_stage_needs_are_counted(tmp_path: Path) -> None:
    folder = helper.records(tmp_path / "d", 6)
    bare = helper.record(50, captions=(), film=50).model_copy(update={"captions": ()})
    with (folder / "records.jsonl").open("a") as lines:
        lines.write(bare.model_dump_json() + "\n")
    found = load(folder, "selector")
    assert sum(found.left_out.values()) == 1
    assert sum(load(folder, "evidence").left_out.values()) == 1, "its pictures are not there"
    for file in (folder / "frames").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="no record to learn evidence from: 7 image not found"):
        load(folder, "evidence")


# ---- recipes


def test_defaults_and_their_sources() -> None:
    recipe, given = recipe_of("answer", {"rank": 8, "alpha": None})
    lines = {line.name: line for line in table(recipe, given, 7_000_000_000)}
    assert lines["learning_rate"].value == "1e-05"
    assert lines["learning_rate"].in_paper
    assert (lines["rank"].source, lines["alpha"].source) == ("given", "notes on the paper")
    assert not lines["dropout"].in_paper
    assert lines["evidence"].value == "mixed"
    assert (recipe.batch, recipe.max_tokens, recipe.side) == (16, 6144, 224)
    rates = [Recipe(stage="evidence").rate(n) for n in (5_000_000, 500_000_000, 2_000_000_000)]
    assert rates == [1e-3, 2e-4, 2e-5]
    assert Recipe(stage="evidence", learning_rate=3.0).rate(10**10) == 3.0


def test_a_file_gives_values_and_flags_go_first(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text("rank = 4\nepochs = 3\n[more]\n")
    with pytest.raises(SettingsError, match="'more'"):
        recipe_of("both", {}, file)
    file.write_text("rank = 4\nepochs = 3\n")
    recipe, _ = recipe_of("both", {"rank": 2, "epochs": None}, file)
    assert (recipe.rank, recipe.epochs) == (2, 3.0)
    for values, message in (
        ({"batch": 0}, "batch"),
        ({"batch": 6, "rows": 4}, "a batch of 6"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"evidence": "gold"}, "has no evidence"),
        ({"rollouts": 4}, "has no rollouts"),
    ):
        with pytest.raises(SettingsError, match=message) as caught:
            recipe_of("both", values)
        assert caught.value.hint
    with pytest.raises(SettingsError, match="evidence"):
        recipe_of("answer", {"evidence": "silver"})
    assert recipe_of("both", {"batch": 6})[0].rows == 2


def test_a_recipe_is_kept_and_read_again(tmp_path: Path) -> None:
    kept = Kept(recipe=Recipe(stage="both", rank=4), base='/a "b"\\c', base_weights="ab",
                start="x", data="0" * 64, learning_rate=1e-3, side=224)  # fmt: skip
    recipes.write(kept, tmp_path)
    assert recipes.read(tmp_path) == kept
    other = kept.model_copy(update={"recipe": Recipe(stage="both", rank=8)})
    assert kept.same(other) == ["rank: 8, not 4"]
    assert asked_as(str(tmp_path)).side == 224
    assert not asked_as(str(tmp_path)).schema
    assert asked_as(str(tmp_path / "none")).schema
    (tmp_path / "recipe.toml").write_text("rank = 3\n")
    with pytest.raises(UserError, match="no recipe of this version"):
        recipes.read(tmp_path)


@pytest.mark.parametrize(
    ("rows", "changed", "expected"),
    [
        (100, {}, (7, 4)),
        (100, {"epochs": 2.0}, (14, 4)),
        (3, {}, (1, 4)),
        (100, {"steps": 5}, (5, 4)),
        (100, {"batch": 4, "rows": 1}, (25, 4)),
    ],
)
def test_steps_of_a_run(rows: int, changed: dict[str, Any], expected: tuple[int, int]) -> None:
    assert steps_of(Recipe(stage="both", **changed), rows) == expected


# ---- small parts


def test_nothing_in_a_text_is_a_mark() -> None:
    marks = ("<|im_start|>", "<image>", "</s>")
    assert neutral("a <image> b", marks) == "a < image> b"
    assert neutral("<im<image>age>", marks) == "<im< image>age>"
    nested = "<|im_<|im_start|>start|>"
    assert not any(mark in neutral(nested * 3, marks) for mark in marks)
    assert neutral("plain < text >", marks) == "plain < text >"


def test_a_picture_is_reduced_and_never_enlarged() -> None:
    wide = Image.new("RGB", (640, 360))
    assert shown(wide, 224).size == (224, 126)
    assert shown(wide, None) is wide
    assert shown(Image.new("RGB", (40, 60)), 224).size == (40, 60)
    assert shown(Image.new("RGB", (4000, 2)), 224).size == (224, 1)


def test_f1_of_bags() -> None:
    from collections import Counter  # noqa: PLC0415 - only here

    assert f1(Counter("aab"), Counter("abc")) == pytest.approx(2 / 3)
    assert f1(Counter(), Counter()) == 1.0
    assert f1(Counter("a"), Counter()) == 0.0


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda name: None if name in ("trl", "peft") else 1)
    with pytest.raises(SettingsError, match="needs peft, trl") as caught:
        base.needed()
    assert "videoespresso[train]" in caught.value.hint
