"""Teaching: runs that stop and go on; what comes out; what is refused."""

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.helpers import training as helper
from tests.helpers.training import FAMILY, PICTURE, Make, losses, taught

from videoespresso.agents import prompt_parts
from videoespresso.errors import MemoryStoreError, SettingsError, UserError
from videoespresso.training.data import load
from videoespresso.training.recipes import SUPERVISED, Stage

pytestmark = helper.MARKS

# ---- runs


@pytest.mark.parametrize(
    ("family", "stage"),
    [*((family, "both") for family in FAMILY), *(("smolvlm", stage) for stage in SUPERVISED)],
)
def test_a_step_of_each_stage(
    family: str, stage: Stage, model: Make, brief: None, tmp_path: Path
) -> None:
    source = helper.records(tmp_path / "d", 4)
    told: list[Any] = []
    done = taught(
        stage, source, model(family), tmp_path / "out", steps=1, batch=2, validation=1,
        evidence="gold" if stage == "answer" else None, on_progress=told.append,
    )  # fmt: skip
    assert (done.steps, done.n, done.resumed) == (1, 1, 0)
    assert 0 <= done.score <= 1
    assert done.low is None, "of one video there is no interval"
    assert told[-1].step == 1
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"adapter_config.json", "adapter_model.safetensors", "recipe.toml",
                     "log.jsonl", "MODEL_CARD.md", "chat_template.jinja"}  # fmt: skip
    assert not names & {"model.safetensors", "checkpoints", "README.md"}
    config = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model(family))
    assert "lm_head" in config["target_modules"], "named as what is left out"
    again = taught(
        stage, source, model(family), tmp_path / "out", steps=1, batch=2, validation=1,
        evidence="gold" if stage == "answer" else None,
    )  # fmt: skip
    assert again == done, "what is done is not done again"


def test_a_run_that_is_stopped_goes_on_exactly(model: Make, brief: None, tmp_path: Path) -> None:
    source = helper.records(tmp_path / "d", 9)
    how = {"steps": 5, "batch": 2, "rows": 1, "dropout": 0.2, "validation": 1, "eval_steps": 2}
    taught("evidence", source, model("smolvlm"), tmp_path / "whole", **how)
    stops: list[int] = []

    def stop(progress: Any) -> None:
        if progress.step == 3 and progress.loss is not None and not stops:
            stops.append(progress.step)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        taught("evidence", source, model("smolvlm"), tmp_path / "cut", on_progress=stop, **how)
    assert len(losses(tmp_path / "cut")) < 5
    done = taught("evidence", source, model("smolvlm"), tmp_path / "cut", **how)
    assert done.resumed in (3, 4)
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)
    assert len(set(losses(tmp_path / "whole"))) == 5


def test_stage_2_goes_on_from_stage_1_with_its_evidence(
    model: Make, brief: None, tmp_path: Path
) -> None:
    source = helper.records(tmp_path / "d", 4)
    how = {"steps": 1, "batch": 2, "validation": 0}
    taught("evidence", source, model("qwen2.5-vl"), tmp_path / "one", **how)
    told: list[int] = []
    done = taught(
        "answer", source, tmp_path / "one", tmp_path / "two", evidence="generated",
        on_start=lambda prepared: told.append(prepared.rows), **how,
    )  # fmt: skip
    lines = (tmp_path / "two/generated.jsonl").read_text().splitlines()
    assert len(lines) == told[0] == done.rows
    assert all(json.loads(line)["text"].startswith('{"steps":') for line in lines)
    config = json.loads((tmp_path / "two/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model("qwen2.5-vl"))
    assert done.score is None


def test_a_loss_that_is_no_number_ends_the_run_and_names_its_records(
    model: Make, brief: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from videoespresso.training.rows import Collator  # noqa: PLC0415 - an extra

    source, batch, calls = helper.records(tmp_path / "d", 9), Collator.__call__, []

    def broken(self: Collator, examples: Any) -> Any:
        calls.append(examples)
        made = batch(self, examples)
        if len(calls) > 2:
            made["pixel_values"] = made["pixel_values"] * float("nan")
        return made

    monkeypatch.setattr(Collator, "__call__", broken)
    how = {"steps": 4, "batch": 2, "validation": 0, "eval_steps": 1}
    with pytest.raises(UserError, match="loss of step 3 is nan") as caught:
        taught("evidence", source, model("smolvlm"), tmp_path / "out", **how)
    rows = load(source, "evidence").train
    assert {rows[one["row"]].id for one in calls[2]} == set(
        re.findall(r"\b[0-9a-f]{16}\b", str(caught.value))
    )
    assert [p.name for p in (tmp_path / "out/checkpoints").iterdir()] == [
        "checkpoint-1", "checkpoint-2"
    ] or (tmp_path / "out/checkpoints/checkpoint-2").is_dir()  # fmt: skip
    monkeypatch.setattr(Collator, "__call__", batch)
    assert taught("evidence", source, model("smolvlm"), tmp_path / "out", **how).resumed == 2


def test_rows_that_are_too_long_are_named_or_dropped(
    model: Make, brief: None, tmp_path: Path
) -> None:
    source = helper.records(tmp_path / "d", 4)
    short = load(source, "evidence").train[0].item
    assert short is not None
    long = helper.record(99, question="Why? " + "so " * 700, video=short.video)
    with (source / "records.jsonl").open("a") as lines:
        lines.write(long.model_dump_json() + "\n")
    for frame in long.core_frames:
        Image.new("RGB", (96, 54), "red").save(source / frame.image)
    how = {"max_tokens": 1500, "steps": 1, "batch": 2, "validation": 0}
    with pytest.raises(UserError, match=rf"record {long.id} with \d+.*so so so") as caught:
        taught("evidence", source, model("smolvlm"), tmp_path / "out", **how)
    assert "--too-long drop" in caught.value.hint
    dropped = taught(
        "evidence", source, model("smolvlm"), tmp_path / "out2", too_long="drop", **how
    )
    assert dropped.dropped == 1


def test_a_merged_model_says_what_the_adapter_says(
    model: Make, brief: None, tmp_path: Path
) -> None:
    from videoespresso.agents.base import Agent, Turn  # noqa: PLC0415 - beside hf
    from videoespresso.models.chat import chat_model  # noqa: PLC0415 - as above
    from videoespresso.models.client.usage import UsageLog  # noqa: PLC0415 - as above
    from videoespresso.models.specs import ModelSpec  # noqa: PLC0415 - as above
    from videoespresso.training.merge import merge  # noqa: PLC0415 - an extra

    source = helper.records(tmp_path / "d", 4)
    how = {"steps": 3, "batch": 2, "validation": 0, "learning_rate": 0.01}
    taught("captioner", source, model("smolvlm"), tmp_path / "out", **how)
    merge(tmp_path / "out", tmp_path / "merged")
    assert not (tmp_path / "merged/adapter_config.json").exists()
    said = {}
    for where in (tmp_path / "out", tmp_path / "merged", model("smolvlm")):
        spec = ModelSpec.parse(f"hf:{where}")
        agent = Agent("captioner", spec, chat_model(spec, max_tokens=12), usage_log=UsageLog())
        shown = [Image.open(file).convert("RGB") for file in sorted((source / "frames").iterdir())]
        said[where] = [
            agent.text(
                helper.short("captioner"), [Turn("user", prompt_parts.caption_parts(one))]
            ).value
            for one in shown[:5]
        ]
    adapter, merged, base = said.values()
    assert adapter == merged
    assert adapter != base
    with pytest.raises(UserError, match="is no adapter"):
        merge(tmp_path / "merged", tmp_path / "twice")


def test_a_plan_counts_and_trains_nothing(model: Make, brief: None, tmp_path: Path) -> None:
    from videoespresso.training.forecast import plan  # noqa: PLC0415 - an extra

    source = helper.records(tmp_path / "d", 4)
    before = {p: p.stat().st_mtime_ns for p in model("internvl").iterdir()}
    found = plan(
        "both", source, base=f"hf:{model('internvl')}", batch=2, validation=1,
        settings={"cache_dir": str(tmp_path / "cache")},
    )  # fmt: skip
    assert (found.rows, found.validation, found.steps) == (3, 1, 2)
    assert found.image_tokens == PICTURE["internvl"]
    assert found.learned < found.tokens
    assert found.longest[0].tokens >= found.longest[-1].tokens
    assert found.taught
    assert found.memory
    assert found.learn_s
    assert found.validate_s
    assert {p: p.stat().st_mtime_ns for p in model("internvl").iterdir()} == before


def test_a_full_disk_ends_the_run_and_it_goes_on(model: Make, brief: None, tmp_path: Path) -> None:
    from tests.helpers.full_disk import full_disk  # noqa: PLC0415 - POSIX's

    source = helper.records(tmp_path / "d", 4)
    how = {"steps": 3, "batch": 2, "validation": 0, "eval_steps": 1}
    with full_disk(30_000), pytest.raises(MemoryStoreError, match="cannot be written") as caught:
        taught("captioner", source, model("smolvlm"), tmp_path / "out", **how)
    assert "goes on" in caught.value.hint
    assert taught("captioner", source, model("smolvlm"), tmp_path / "out", **how).steps == 3


def test_a_tracker_is_told_what_the_log_is(
    model: Make, brief: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through transformers' own list of them; what it writes in its folder is kept."""
    pytest.importorskip("trl")
    from transformers import TrainerCallback  # noqa: PLC0415 - an extra
    from transformers.integrations import integration_utils  # noqa: PLC0415 - an extra

    told: list[float] = []

    class Diary(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            told.extend([logs["loss"]] if "loss" in logs else [])
            (Path(args.output_dir) / "diary").mkdir(exist_ok=True)
            (Path(args.output_dir) / f"diary/{args.run_name}").write_text(str(len(told)))

    source, how = helper.records(tmp_path / "d", 3), {"steps": 2, "batch": 2, "validation": 0}
    with pytest.raises(SettingsError, match="reports to no 'diary'") as caught:
        taught("selector", source, model("smolvlm"), tmp_path / "out", report_to=["diary"], **how)
    assert "tensorboard" in caught.value.hint
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "diary", Diary)
    with pytest.raises(SettingsError, match="diary is not installed"):
        taught("selector", source, model("smolvlm"), tmp_path / "out", report_to=["diary"], **how)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(
        integration_utils, "get_available_reporting_integrations", lambda: ["diary"]
    )
    taught("selector", source, model("smolvlm"), tmp_path / "out", report_to=["diary"], **how)
    assert told == losses(tmp_path / "out")
    assert (tmp_path / "out/diary/out").read_text() == "2"
    assert not (tmp_path / "out/checkpoints").exists()


# ---- bad input


def test_an_adapter_knows_its_base_wherever_it_lies(
    model: Make, brief: None, tmp_path: Path
) -> None:
    """By what is in the weights: a copy elsewhere is the base, another model there is not."""
    pytest.importorskip("trl")
    from videoespresso.models.hf_weights import located  # noqa: PLC0415 - as above
    from videoespresso.training.base import find  # noqa: PLC0415 - as above

    source, base, out = helper.records(tmp_path / "d", 3), tmp_path / "base", tmp_path / "out"
    shutil.copytree(model("smolvlm"), base)
    taught("selector", source, base, out, steps=1, batch=2, validation=0)
    shutil.copytree(base, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    helper.sharp(base, tmp_path / "another")
    shutil.rmtree(base)
    for load_it in (lambda spec: find(f"hf:{spec}"), located):
        with pytest.raises(SettingsError, match="has moved") as caught:
            load_it(str(out))
        assert f"hf:BASE+{out}; its weights are content:" in caught.value.hint
        load_it(f"{tmp_path / 'elsewhere'}+{out}")
        with pytest.raises(SettingsError, match=r"another is not the base of .*out: its weights"):
            load_it(f"{tmp_path / 'another'}+{out}")


def test_bases_that_cannot_be_taught_are_refused_before_they_are_loaded(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    source = helper.records(tmp_path / "d", 3)
    (tmp_path / "text").mkdir()
    (tmp_path / "text/config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "lora").mkdir()
    gone = {"base_model_name_or_path": "/gone/away"}
    (tmp_path / "lora/adapter_config.json").write_text(json.dumps(gone))
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("text", "does not see pictures"),
        ("lora", "has moved"),
        ("empty", "holds no model"),
        ("none", "there is no folder"),
    ):
        with pytest.raises(SettingsError, match=message):
            taught("evidence", source, tmp_path / name, tmp_path / "out")
    with pytest.raises(SettingsError, match="nor in the cache") as caught:
        taught("evidence", source, "somebody/model", tmp_path / "out")
    assert "models pull hf:somebody/model" in caught.value.hint, "nothing is downloaded unasked"
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_recipe_is_refused(model: Make, brief: None, tmp_path: Path) -> None:
    source = helper.records(tmp_path / "d", 3)
    how = {"steps": 1, "batch": 2, "validation": 0}
    taught("selector", source, model("smolvlm"), tmp_path / "out", **how)
    with pytest.raises(UserError, match=r"another recipe.*rank: 16, not 8"):
        taught("selector", source, model("smolvlm"), tmp_path / "out", rank=8, **how)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thing").touch()
    with pytest.raises(UserError, match="holds something else"):
        taught("selector", source, model("smolvlm"), tmp_path / "full", **how)


THINGS = ("A red car", "Two dogs", "A lamp", "My boat", "The sea", "An owl", "Five pans", "A bus",
          "One kite", "Snow")  # fmt: skip


@pytest.mark.parametrize("family", FAMILY)
def test_ten_records_are_learned_by_heart(
    family: str, model: Make, brief: None, tmp_path: Path
) -> None:
    """Each from its picture alone, and said word for word when `hf:` is asked as at run time."""
    from tests.helpers.records import dataset  # noqa: PLC0415 - only here

    from videoespresso.agents import captioner  # noqa: PLC0415 - beside hf
    from videoespresso.agents.base import Agent  # noqa: PLC0415 - as above
    from videoespresso.models.chat import chat_model  # noqa: PLC0415 - as above
    from videoespresso.models.client.usage import UsageLog  # noqa: PLC0415 - as above
    from videoespresso.models.specs import ModelSpec  # noqa: PLC0415 - as above

    items, used = [], set[str]()
    for k, thing in enumerate(THINGS):  # all of one video, so that none is set aside
        record = helper.record(k, film=0)
        frame = next(f for f in record.core_frames if f.image not in used)
        used.add(frame.image)
        frame = frame.model_copy(update={"captioned": f"{thing} is here."})
        items.append(record.model_copy(update={"core_frames": (frame,), "evidence": ()}))
    source = dataset(tmp_path / "d", items)
    base = helper.sharp(model(family), tmp_path / "base")
    done = taught(
        "captioner", source, base, tmp_path / "out", steps=60, batch=10, rows=10,
        learning_rate=0.01, weight_decay=0.0, rank=32, alpha=64,
    )  # fmt: skip
    lines = [json.loads(x) for x in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    accuracy = [x["mean_token_accuracy"] for x in lines if "mean_token_accuracy" in x]
    assert accuracy[0] < 0.2
    assert accuracy[-1] >= 0.99
    spec = ModelSpec.parse(f"hf:{done.out}")
    agent = Agent("captioner", spec, chat_model(spec, max_tokens=40), usage_log=UsageLog())
    shown = [Image.open(source / made.core_frames[0].image).convert("RGB") for made in items]
    said = captioner.caption(agent, shown)
    right = sum(a == f"{b} is here." for a, b in zip(said, THINGS, strict=True))
    assert right >= 9, said
