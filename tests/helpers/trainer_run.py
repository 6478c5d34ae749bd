"""In the environment of another trainer: our export through its own code, and one step on it.

python trainer_run.py ms-swift|llama-factory MODEL EXPORT OUT    # prints RESULT and JSON
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

IGNORED = -100


def swift(model: str, export: Path, out: Path) -> dict[str, Any]:
    """ms-swift: what it makes of each evidence, and one step on the answers."""
    from swift import SftArguments, get_processor, get_template, sft_main  # noqa: PLC0415
    from swift.dataset import load_dataset  # noqa: PLC0415

    kind = {"model_type": "qwen2_5_vl", "template_type": "qwen2_5_vl"}
    rows, _ = load_dataset([str(export / "evidence.jsonl")])
    processor = get_processor(model, model_type="qwen2_5_vl")
    template = get_template(processor, template_type="qwen2_5_vl")
    template.set_mode("train")
    learned = []
    for row in rows:
        labels = template.encode(row)["labels"]
        learned.append(processor.tokenizer.decode([t for t in labels if t != IGNORED]))
    arguments = SftArguments(
        model=model, model_type=kind["model_type"], template=kind["template_type"],
        dataset=[str(export / "answer.jsonl")], output_dir=str(out), loss_scale="last_round",
        max_steps=1, per_device_train_batch_size=1, gradient_accumulation_steps=1,
        split_dataset_ratio=0, torch_dtype="float32", logging_steps=1, report_to=[],
        tuner_type="lora", max_length=8192,
    )  # fmt: skip
    sft_main(arguments)
    return {"learned": learned, **_logged(out)}


def llama_factory(model: str, export: Path, out: Path) -> dict[str, Any]:
    """LLaMA-Factory: length and learned text of each answer, the lengths where cutoff_len is 100
    tokens less than the first one's, and one step."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer  # noqa: PLC0415
    from llamafactory.hparams import get_train_args  # noqa: PLC0415
    from llamafactory.model import load_tokenizer  # noqa: PLC0415
    from llamafactory.train.tuner import run_exp  # noqa: PLC0415

    options = {
        "model_name_or_path": model, "stage": "sft", "do_train": True, "template": "qwen2_vl",
        "finetuning_type": "lora", "dataset_dir": str(export), "cutoff_len": 8192,
        "dataset": "videoespresso_answer", "mask_history": True, "output_dir": str(out),
        "max_steps": 1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1,
        "logging_steps": 1, "report_to": "none", "overwrite_cache": True, "use_cpu": True,
    }  # fmt: skip
    model_args, data_args, training_args, *_ = get_train_args(dict(options))
    made = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(made["tokenizer"], data_args)
    data = get_dataset(template, model_args, data_args, training_args, stage="sft", **made)
    rows = data["train_dataset"]
    learned = [[t for t in row["labels"] if t != IGNORED] for row in rows]
    data_args.cutoff_len = len(rows[0]["input_ids"]) - 100
    data = get_dataset(template, model_args, data_args, training_args, stage="sft", **made)
    run_exp(dict(options))
    return {
        "cut": [len(row["input_ids"]) for row in data["train_dataset"]],
        "tokens": [len(row["input_ids"]) for row in rows],
        "learned": [made["tokenizer"].decode(one) for one in learned],
        **_logged(out),
    }


def _logged(out: Path) -> dict[str, Any]:
    (state,) = sorted(out.rglob("trainer_state.json"))[-1:]
    trained = json.loads(state.read_text())
    losses = [line["loss"] for line in trained["log_history"] if "loss" in line]
    return {"steps": trained["global_step"], "loss": losses[0] if losses else math.nan}


parser = argparse.ArgumentParser()
parser.add_argument("trainer", choices=["ms-swift", "llama-factory"])
for name in ("model", "export", "out"):
    parser.add_argument(name)
given = parser.parse_args()
run = swift if given.trainer == "ms-swift" else llama_factory
result = run(given.model, Path(given.export), Path(given.out))
sys.stdout.write("\nRESULT " + json.dumps(result))
