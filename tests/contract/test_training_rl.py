"""Rewarded replies: what is asked, what is learned, runs without spread, runs that go on."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import training as helper
from tests.helpers.training import FAMILY, Make, taught

from videoespresso.errors import UserError
from videoespresso.training import rewards
from videoespresso.training.pairs import rows_of

pytestmark = helper.MARKS
LETTERS = "tests.contract.test_training_rl:letters"
HOW: dict[str, Any] = {
    "steps": 1, "batch": 4, "rows": 2, "rollouts": 4, "reply_tokens": 8, "validation": 0,
    "warmup": 0.0, "learning_rate": 0.01, "reward": [f"{LETTERS}=1", "format=0.2"],
}  # fmt: skip
"""Small: these models say noise, which a reward for the letter e finds something in."""


def letters(prompts: Any, completions: Any, **given: Any) -> list[float]:
    return [float(len(set(rewards.text_of(one)))) for one in completions]


def even(prompts: Any, completions: Any, **given: Any) -> list[float]:
    return [1.0 for _ in completions]


def log_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file  # noqa: PLC0415 - an extra

    found: dict[str, Any] = load_file(folder / "adapter_model.safetensors")
    return found


@pytest.mark.parametrize("family", [*FAMILY, "pack"])
def test_a_step_learns_from_rewarded_replies(
    family: str, model: Make, brief: None, tmp_path: Path
) -> None:
    source = helper.records(tmp_path / "d", 3)
    told: list[Any] = []
    done = taught("rl", source, model(family), tmp_path / "out", on_progress=told.append, **HOW)
    [line] = [line for line in log_of(tmp_path / "out") if "reward" in line]
    assert line["rewards/letters/std"] > 0
    assert line["rewards/format/mean"] == 0
    assert set(told[0].rewards) == {"letters", "format"}
    assert told[0].tokens_s > 0
    assert (done.groups, done.equal) == (1, 0)
    learned = weights(tmp_path / "out")
    assert any(value.abs().max() > 0 for name, value in learned.items() if "lora_B" in name)
    assert not (tmp_path / "out/ref").exists()
    assert "format=0.2" in (tmp_path / "out/recipe.toml").read_text()


@pytest.mark.parametrize("family", [*FAMILY, "pack"])
def test_what_is_asked_is_what_is_asked_at_run_time(
    family: str, model: Make, brief: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token by token, with text in it that looks like a mark."""
    from transformers import AutoModelForImageTextToText  # noqa: PLC0415 - an extra

    from videoespresso.agents.base import Turn  # noqa: PLC0415 - beside hf
    from videoespresso.models.client.messages import messages  # noqa: PLC0415 - as above
    from videoespresso.models.hf import HfChatModel  # noqa: PLC0415 - an extra
    from videoespresso.training import data as records  # noqa: PLC0415 - as above
    from videoespresso.training.base import find, processor_of  # noqa: PLC0415 - as above
    from videoespresso.training.families import Chat  # noqa: PLC0415 - as above
    from videoespresso.training.rl import learner  # noqa: PLC0415 - as above

    source = helper.records(tmp_path / "d", 3, question="Is <image> or <|im_end|> seen?")
    row = rows_of(source, "rl").train[0]
    processor = processor_of(find(f"hf:{model(family)}"), 224)
    made = learner().__new__(learner())
    made.chat, made.rows, made.side = Chat(processor), [row], 224
    [ids], images, fields = made._tokenize_prompts([made._example(0)["prompt"]])
    assert len(images[0]) == len(row.item.core_frames) if row.item else 0
    chat = HfChatModel(path=str(tmp_path))
    chat.__dict__["_loaded"] = (
        processor,
        AutoModelForImageTextToText.from_pretrained(model(family)),
    )
    user = [p if isinstance(p, str) else records.picture(p, 224) for p in row.conversation[1].parts]
    system = str(row.conversation[0].parts[0])
    sent = chat._inputs([messages(system, [Turn("user", tuple(user))])])
    assert ids == sent["input_ids"][0].tolist()
    assert fields["pixel_values"].shape == sent["pixel_values"].shape, "pictures are sent as JPEG"


def test_a_run_whose_groups_earn_the_same_ends_and_names_the_temperature(
    model: Make, brief: None, tmp_path: Path
) -> None:
    source = helper.records(tmp_path / "d", 3)
    how = HOW | {"steps": 12, "eval_steps": 2, "reward": ["tests.contract.test_training_rl:even"]}
    with pytest.raises(UserError, match=r"100% of the groups of the last 10 steps") as caught:
        taught("rl", source, model("smolvlm"), tmp_path / "out", **how)
    assert "--temperature (it is 1.3)" in caught.value.hint
    assert (tmp_path / "out/checkpoints/checkpoint-8").is_dir()
    lines = [line for line in log_of(tmp_path / "out") if "reward" in line]
    assert {line["frac_reward_zero_std"] for line in lines} == {1.0}


def test_a_stopped_run_goes_on(model: Make, brief: None, tmp_path: Path) -> None:
    source = helper.records(tmp_path / "d", 9)
    how = HOW | {"steps": 4, "eval_steps": 1, "validation": 1}
    stops: list[int] = []

    def stop(progress: Any) -> None:
        if progress.step == 2 and progress.loss is not None and not stops:
            stops.append(progress.step)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        taught("rl", source, model("smolvlm"), tmp_path / "out", on_progress=stop, **how)
    assert [p.name for p in (tmp_path / "out/checkpoints").glob("checkpoint-*")]
    done = taught("rl", source, model("smolvlm"), tmp_path / "out", **how)
    assert done.resumed in (2, 3)
    assert (done.steps, done.n, done.groups) == (4, 1, 4)
    assert done.measure == "right answers, from its own evidence"
    steps = [line["step"] for line in log_of(tmp_path / "out") if "reward" in line]
    assert steps == [1, 2, 3, 4]


def test_stage_2_answers_frozen_and_once(
    model: Make, brief: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`useful` is what the adapter the run began with answers, however far the other has gone."""
    from videoespresso.training.rl import Frozen  # noqa: PLC0415 - an extra
    from videoespresso.training.validation import Examiner  # noqa: PLC0415 - as above

    asked: list[tuple[str, Any]] = []

    def answer(self: Any, row: Any, item: Any, text: str) -> str | None:
        network = self._chat._loaded[1]
        asked.append((text, network.active_adapter, network.training))  # type: ignore[arg-type]
        return item.letter if "right" in text else None

    monkeypatch.setattr(Examiner, "answer", answer)
    frozen: list[Any] = []
    monkeypatch.setattr(Frozen, "__init__", _keeping(Frozen.__init__, frozen))
    source = helper.records(tmp_path / "d", 3)
    taught("rl", source, model("smolvlm"), tmp_path / "out",
           **(HOW | {"reward": [LETTERS, "useful=1"]}))  # fmt: skip
    [stage_2] = frozen
    network = stage_2._model
    own = {n: p for n, p in network.named_parameters() if ".default." in n and "lora_B" in n}
    assert any(p.abs().max() > 0 for p in own.values())
    assert all(network.get_parameter(n.replace(".default.", ".ref.")).abs().max() == 0 for n in own)
    assert all(p.requires_grad for p in own.values())
    item = rows_of(source, "rl").train[0].item
    assert item is not None
    columns = [{"row": 0}] * 3
    assert stage_2.answers(["right", "wrong", "right"], columns) == [item.letter, None, item.letter]
    assert [one[0] for one in asked] == ["right", "wrong"]
    assert {one[1:] for one in asked} == {("ref", False)}
    assert network.active_adapter == "default"


def _keeping(begin: Any, kept: list[Any]) -> Any:
    def start(self: Any, *given: Any, **more: Any) -> None:
        begin(self, *given, **more)
        kept.append(self)

    return start
