"""What our training costs beside a bare `SFTTrainer`: the same rows, model, adapter and batches.

    python -m lab.train_bench DATA --base hf:PATH --out runs/train_bench.json

Both run in turns on one core, in CPU seconds, so that other work on the machine counts little. The
bare one has TRL's own collator, which opens pictures by path and cuts nothing here (max_length is
off); its loss carries the line break behind the reply, too.
"""

import argparse
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from videoespresso.dataset.formats.conversations import trl
from videoespresso.training.base import Base, find, model_of, needed, processor_of
from videoespresso.training.data import Row, load
from videoespresso.training.families import Chat, ends_of
from videoespresso.training.forecast import plan
from videoespresso.training.recipes import SUPERVISED, Recipe, Stage
from videoespresso.training.rows import Collator
from videoespresso.training.run import train
from videoespresso.training.trainer import Progress, Watch, config_of, make, quiet, steps_of

Json = dict[str, Any]


def parts(base: Base, recipe: Recipe) -> tuple[Any, Any]:
    """(processor, model with its adapter)."""
    processor = processor_of(base, recipe.side)
    with quiet():
        return processor, model_of(base, recipe, processor)


def ours(base: Base, recipe: Recipe, rows: list[Row], out: Path) -> Any:
    """Our trainer, without validation."""
    processor, model = parts(base, recipe)
    chat = Chat(processor, ends_of(model, processor.tokenizer))
    config = config_of(recipe, out, *steps_of(recipe, len(rows)), recipe.rate(0), "cpu")
    config.eval_strategy = config.save_strategy = "no"
    collator = Collator(chat, rows, recipe.side)
    watch = Watch(lambda _: None)
    counts = (len(rows), 0)
    return make(recipe, model, config, counts, processor, watch, out, data_collator=collator)


def bare(base: Base, recipe: Recipe, rows: list[Row], out: Path) -> Any:
    """TRL's own trainer and collator on the rows that `--to trl` writes."""
    from datasets import Dataset  # noqa: PLC0415 - an extra
    from transformers import PrinterCallback  # noqa: PLC0415 - an extra
    from trl import SFTTrainer  # noqa: PLC0415 - an extra

    processor, model = parts(base, recipe)
    config = config_of(recipe, out, *steps_of(recipe, len(rows)), recipe.rate(0), "cpu")
    config.eval_strategy = config.save_strategy = "no"
    data = Dataset.from_list([{"images": [], **trl(row.conversation)} for row in rows])
    with quiet():
        made = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=processor)
    made.remove_callback(PrinterCallback)
    return made


def measure(stage: Stage, base: Base, data: Path, count: int, rounds: int, rows: int) -> Json:
    """CPU seconds of both, a round each in turns."""
    loaded = load(data, stage)
    some = [*loaded.train, *loaded.validation][:count]
    recipe = Recipe(stage=stage, batch=rows, rows=rows, validation=0)
    spent: dict[str, list[float]] = {"ours": [], "bare": []}
    makers = {"ours": ours, "bare": bare}
    tokens = 0
    for turn in range(rounds):
        for name in ("ours", "bare") if turn % 2 == 0 else ("bare", "ours"):
            if name == "bare" and stage == "both":
                continue  # TRL has no two replies in a row
            with tempfile.TemporaryDirectory() as folder, quiet():
                trainer = makers[name](base, recipe, some, Path(folder))
                began = time.process_time()
                trainer.train()
                spent[name].append(time.process_time() - began)
                tokens = trainer._total_train_tokens
    made: Json = {
        "stage": stage,
        "rows": len(some),
        "a_pass": rows,
        "tokens_a_row": tokens / len(some),
    }
    for name, values in spent.items():
        if values:
            made[f"{name}_rows_a_core_second"] = len(some) / statistics.median(values)
            made[f"{name}_seconds"] = values
    if spent["bare"]:
        ratios = [a / b for a, b in zip(spent["ours"], spent["bare"], strict=True)]
        made["overhead"] = statistics.median(ratios) - 1
        made["overhead_range"] = [min(ratios) - 1, max(ratios) - 1]
    return made


def foreseen(stage: Stage, base: str, data: Path, rounds: int, rows: int) -> Json:
    """What `train plan` foresees of learning, and what a run takes from its first step to its last,
    as many as it has; in seconds, and the one divided by the other."""
    more: Json = {"validation": 0, "threads": 1, "batch": 2 * rows, "rows": rows}
    seconds: list[tuple[float, float]] = []
    for _ in range(rounds):
        expected = plan(stage, data, base=base, **more).learn_s or 0.0
        at: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            done = train(stage, data, base=base, out=folder, on_progress=partial(_note, at), **more)
        seconds.append((expected, (at[-1] - at[0]) * done.steps / (done.steps - 1)))
    ratios = [foretold / taken for foretold, taken in seconds]
    return {"stage": stage, "seconds": seconds, "foretold_of_taken": statistics.median(ratios),
            "range": [min(ratios), max(ratios)]}  # fmt: skip


def _note(at: list[float], _: Progress) -> None:
    at.append(time.monotonic())


def main() -> None:
    """Prints a line a stage, and writes all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--base", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", nargs="+", default=["evidence", "answer", "both", "selector"],
                        choices=SUPERVISED)  # fmt: skip
    parser.add_argument("--records", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=4, help="records a forward pass")
    parser.add_argument("--forecast", action="store_true", help="`train plan` against whole runs")
    given = parser.parse_args()
    import torch  # noqa: PLC0415 - an extra

    needed()
    torch.set_num_threads(1)
    base = find(given.base)
    results = []
    for stage in given.stages:
        results.append(
            foreseen(stage, given.base, given.data, given.rounds, given.rows)
            if given.forecast
            else measure(stage, base, given.data, given.records, given.rounds, given.rows)
        )
        print(json.dumps(results[-1]), flush=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
