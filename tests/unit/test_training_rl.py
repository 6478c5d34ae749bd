"""What `rl` knows before anything is loaded: its recipe, its rewards, whose story is known."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import training as helper
from tests.helpers.cheats import record
from tests.helpers.records import dataset

from videoespresso.dataset_record import SourceVideo
from videoespresso.errors import UserError
from videoespresso.training.pairs import rows_of
from videoespresso.training.recipes import recipe_of
from videoespresso.training.rl import chosen_rewards, groups_of, story_of
from videoespresso.training.trainer import steps_of


def test_the_recipe_of_rl() -> None:
    recipe, _ = recipe_of("rl", {})
    assert (recipe.rollouts, recipe.temperature, recipe.beta) == (8, 1.3, 0.0)
    assert recipe.reply_tokens == 160
    assert recipe.rate(5_000_000) == pytest.approx(1e-4)
    assert steps_of(recipe, 10) == (5, 4), "80 replies, 16 a step, 4 a pass"
    assert recipe_of("prefer", {})[0].beta == 0.1


def test_whose_story_is_known(tmp_path: Path) -> None:
    item = record().model_copy(update={"video": SourceVideo(path=str(tmp_path / "videos/12.mp4"))})
    assert story_of(item) is None
    (tmp_path / "truth").mkdir()
    facts = tmp_path / "truth/12.json"
    for text, story in (
        (json.dumps({"style": "held_out", "seed": 12}), "held_out-12"),
        ("{}", None),
        ("[]", None),
        ("{", None),
        ("\udc00", None),
    ):
        facts.write_bytes(text.encode("utf-8", "surrogatepass"))
        assert story_of(item) == story


def test_the_rewards_of_a_run_are_written_out(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d", [helper.record(seed) for seed in range(8)])
    rows = rows_of(folder, "rl").train
    recipe, _ = recipe_of("rl", {})
    written = ("format=0.2", "useful=1", "frames=0.5", "boxes=0.5")
    assert chosen_rewards(recipe, rows).reward == written
    named, _ = recipe_of("rl", {"reward": ["time", "format=0"]})
    assert chosen_rewards(named, rows).reward == ("time=1", "format=0")
    lines: list[dict[str, Any]] = [{"frac_reward_zero_std": share} for share in (0.5, 1.0, 0.0)]
    assert groups_of([*lines, {"loss": 1.0}], recipe) == (6, 3)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"reward": ["fromat=1"]}, "no reward 'fromat'"),
        ({"reward": ["no.such:thing"]}, "no function to reward with"),
        ({"reward": ["true=1"]}, "films of the theatre"),
        ({"rollouts": 8, "batch": 12}, "a batch of 12 replies"),
        ({"rollouts": 8, "batch": 80}, "records give 16 replies"),
        ({"dropout": 0.1}, "has no dropout"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(
    how: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = helper.records(tmp_path / "d", 3)
    with pytest.raises(UserError, match=message) as caught:
        helper.taught("rl", source, tmp_path / "nothing", tmp_path / "out", **how)
    assert caught.value.hint
    assert not (tmp_path / "out").exists()
