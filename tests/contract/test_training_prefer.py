"""Preferences: what carries loss, what is compared with what, runs that stop and go on."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import training as helper
from tests.helpers.training import FAMILY, Make, collated, losses, taught

from videoespresso.errors import UserError
from videoespresso.training import generated
from videoespresso.training.pairs import evidence_of, rows_of

pytestmark = helper.MARKS


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file  # noqa: PLC0415 - an extra

    found: dict[str, Any] = load_file(folder / "adapter_model.safetensors")
    return found


def logged(out: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


@pytest.mark.parametrize("family", [*FAMILY, "pack"])
def test_a_pair_s_loss_is_on_its_two_replies_and_their_ends(
    family: str, model: Make, brief: None, tmp_path: Path
) -> None:
    rows = list(rows_of(helper.records(tmp_path / "d", 3), "prefer").train)[:2]
    processor, network, batch = collated(model(family), rows)
    assert "labels" not in batch
    mask = batch.pop("completion_mask").bool()
    tokens, sides = batch["input_ids"], [r.sides()[k] for k in (0, 1) for r in rows]
    assert len(tokens) == 4
    for ids, learned, side in zip(tokens, mask, sides, strict=True):
        reply = processor.tokenizer.decode(ids[learned], skip_special_tokens=True)
        assert reply.strip() == side.conversation[-1].parts[0]
        assert learned.sum() == learned.nonzero().max() - learned.nonzero().min() + 1
    whole = network(**batch, labels=tokens.masked_fill(~mask, -100))
    assert whole.loss.isfinite()
    assert [row.rejected for row in rows] == [side.conversation[-1].parts[0] for side in sides[2:]]


@pytest.mark.parametrize("family", [*FAMILY, "pack"])
def test_a_step_moves_the_adapter_away_from_the_worse_reply(
    family: str, model: Make, brief: None, tmp_path: Path
) -> None:
    source = helper.records(tmp_path / "d", 3)
    started: list[Any] = []
    done = taught(
        "prefer", source, model(family), tmp_path / "out", steps=2, batch=2, validation=0,
        warmup=0.0, learning_rate=0.01, on_start=started.append,
    )  # fmt: skip
    assert set(done.sources) <= {"wrong frame", "moved box", "wrong actor", "unsupported step"}
    assert sum(done.sources.values()) == done.rows == started[0].rows
    assert losses(tmp_path / "out")[0] == pytest.approx(0.6931, abs=1e-3), "nothing moved yet"
    assert logged(tmp_path / "out", "rewards/margins")[0] == pytest.approx(0, abs=1e-4)
    assert logged(tmp_path / "out", "rewards/margins")[-1] != pytest.approx(0, abs=1e-4)
    learned = weights(tmp_path / "out")
    assert all(value.abs().max() > 0 for name, value in learned.items() if "lora_B" in name)
    assert not [name for name in learned if ".ref." in name]
    assert not (tmp_path / "out/ref").exists(), "what it was compared with is not handed on"
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert all(f"{n} {name}" in card for name, n in done.sources.items())


def test_what_an_adapter_is_compared_with_is_itself(
    model: Make, brief: None, tmp_path: Path
) -> None:
    """A run that goes on from an adapter begins with the loss of a model that has not moved."""
    source = helper.records(tmp_path / "d", 3)
    taught("both", source, model("smolvlm"), tmp_path / "sft", steps=2, batch=2, validation=0,
           learning_rate=0.05)  # fmt: skip
    before = weights(tmp_path / "sft")
    done = taught("prefer", source, tmp_path / "sft", tmp_path / "dpo", steps=2, batch=2,
                  eval_steps=2)  # fmt: skip
    assert losses(tmp_path / "dpo")[0] == pytest.approx(0.6931, abs=1e-3)
    assert (done.n, done.measure) == (1, "right answers, from its own evidence")
    after = weights(tmp_path / "dpo")
    assert any((after[name] != before[name]).any() for name in before)
    config = json.loads((tmp_path / "dpo/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model("smolvlm"))


def test_a_stopped_run_goes_on_exactly(model: Make, brief: None, tmp_path: Path) -> None:
    source = helper.records(tmp_path / "d", 9)
    taught("both", source, model("smolvlm"), tmp_path / "sft", steps=2, batch=2, validation=0,
           learning_rate=0.05)  # fmt: skip
    how = {"steps": 5, "batch": 2, "rows": 1, "validation": 1, "eval_steps": 2,
           "learning_rate": 0.01, "warmup": 0.0}  # fmt: skip
    taught("prefer", source, tmp_path / "sft", tmp_path / "whole", **how)
    stops: list[int] = []

    def stop(progress: Any) -> None:
        if progress.step == 3 and progress.loss is not None and not stops:
            stops.append(progress.step)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        taught("prefer", source, tmp_path / "sft", tmp_path / "cut", on_progress=stop, **how)
    assert taught("prefer", source, tmp_path / "sft", tmp_path / "cut", **how).resumed in (3, 4)
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)
    assert len(set(losses(tmp_path / "whole"))) == 5


def test_wrong_evidence_of_the_model_s_own_is_written_once_and_rejected(
    model: Make, brief: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = helper.records(tmp_path / "d", 3)
    row = rows_of(source, "prefer").train[0]
    right = evidence_of(row)
    wrong = '{"steps":[{"text":"x","frame":%d,"items":[]}]}' % len(right)  # noqa: UP031 - JSON
    replies = iter([json.dumps({"steps": right}), wrong, wrong] * 9)
    written: list[str] = []

    def evidence(self: Any, row: Any, item: Any) -> str:
        written.append(next(replies))
        return written[-1]

    monkeypatch.setattr(generated.Examiner, "evidence", evidence)
    how = {"steps": 1, "batch": 2, "validation": 0, "rollouts": 3}
    done = taught("prefer", source, model("smolvlm"), tmp_path / "out", **how)
    assert len(written) == 3 * len({r.item.id for r in rows_of(source, "prefer").train if r.item})
    assert done.sources["own reply"] >= 1
    lines = (tmp_path / "out/generated.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == written
    assert json.loads(lines[0])["id"] == row.id.partition(" ")[0]


def test_a_worse_reply_that_is_too_long_is_named_and_not_cut(
    model: Make, brief: None, tmp_path: Path
) -> None:
    source = helper.records(tmp_path / "d", 4)
    with pytest.raises(UserError, match=r"longest is record [0-9a-f]{16} \(.*\) with \d+"):
        taught("prefer", source, model("smolvlm"), tmp_path / "out", max_tokens=300)
    assert not (tmp_path / "out/checkpoints").exists()
