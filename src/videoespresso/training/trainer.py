"""TRL's trainers with what we ask of them: no loop of ours."""

import contextlib
import json
import logging
import math
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from videoespresso.errors import SettingsError, UserError
from videoespresso.training.data import Row
from videoespresso.training.recipes import Recipe, Stage
from videoespresso.training.reward_choice import weights_of
from videoespresso.training.validation import Examiner
from videoespresso.types import Record

LOG: Final = "log.jsonl"
CHECKPOINTS: Final = "checkpoints"
BEST: Final = "eval_best"
PARTS: Final = 10
"""Validations of a run, where it is not said how many steps lie between."""


class Progress(Record):
    """How far a run is. loss: of the last step; score: of the last validation, None before it.
    rewards: in `rl`, mean and spread of each over a step's replies, None where it had none. eta_s:
    seconds to go, None before the second step."""

    step: int
    steps: int
    loss: float | None
    score: float | None
    rewards: dict[str, tuple[float | None, float | None]]
    rows_s: float
    tokens_s: float
    eta_s: float | None
    stopping: bool = False


@dataclass
class Watch:
    """What a run is asked and tells while it goes. stop: set by Ctrl-C; the step under way is
    finished and kept. last: what was told last."""

    on_progress: Callable[[Progress], None]
    stop: bool = False
    stopped: bool = False
    last: Progress | None = None

    def tell(self, progress: Progress) -> None:
        """Tells how far the run is."""
        self.last = progress
        self.on_progress(progress)

    def ask_to_stop(self) -> None:
        """What the first Ctrl-C does."""
        self.stop = True
        if self.last is not None:
            self.on_progress(self.last.model_copy(update={"stopping": True}))


class NotANumber(UserError):
    """The loss is no number any more; the hint says what is kept."""


def steps_of(recipe: Recipe, rows: int, machines: int = 1) -> tuple[int, int]:
    """(steps of the run, accumulated passes a step) for that many rows; `rl` counts replies."""
    rows = rows * recipe.rollouts if recipe.stage == "rl" else rows
    rows_each = math.ceil(rows / machines)
    passes = max(1, recipe.batch // (recipe.rows * machines))
    epoch = max(1, math.ceil(math.ceil(rows_each / recipe.rows) / passes))
    steps = recipe.steps or max(1, math.ceil(recipe.epochs * epoch))
    return steps, passes


def config_of(
    recipe: Recipe,
    out: Path,
    steps: int,
    passes: int,
    rate: float,
    device: str,
    report_to: Sequence[str] = (),
) -> Any:
    """TRL's configuration. report_to: transformers' names of trackers. Activation checkpointing and
    bf16 only on GPUs: on a CPU the first costs a third of the time, the second is slow or
    missing."""
    gpu = device.startswith("cuda")
    every = recipe.eval_steps or max(1, steps // PARTS)
    with quiet():
        config = _config(recipe, out, steps, passes, rate, gpu, every)
    config.report_to = [*report_to]
    config.run_name = out.name
    return config


def clear(out: Path) -> None:
    """Ends a run's checkpoints; what a tracker has written beside them stays in the run's folder.
    Raises OSError."""
    for entry in (out / CHECKPOINTS).iterdir():
        if not entry.name.startswith("checkpoint-"):
            entry.replace(out / entry.name)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def known_trackers(names: Sequence[str]) -> tuple[str, ...]:
    """The names as given. Raises SettingsError for one that transformers does not know, or whose
    package is missing."""
    from transformers.integrations import integration_utils as trackers

    for name in names:
        known = sorted(trackers.INTEGRATION_TO_CALLBACK)
        if name not in known:
            raise SettingsError(
                f"transformers reports to no {name!r}", hint=f"It knows: {', '.join(known)}."
            )
        if name not in trackers.get_available_reporting_integrations():
            raise SettingsError(f"{name} is not installed", hint=f"pip install {name}")
    return tuple(names)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of these libraries about each other, and their bars."""
    from transformers.utils import logging as said

    level = said.get_verbosity()
    said.set_verbosity_error()
    said.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        said.set_verbosity(level)
        said.enable_progress_bar()


def _of_stage(recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """TRL's configuration class of a stage, and what only that one has. TRL's own `max_length`
    would cut the reply off."""
    from trl import DPOConfig, GRPOConfig, SFTConfig

    if recipe.stage == "prefer":
        return DPOConfig, {"max_length": None, "beta": recipe.beta}
    if recipe.stage == "rl":
        return GRPOConfig, {
            "beta": recipe.beta,
            "num_generations": recipe.rollouts,
            "num_generations_eval": 1,
            "max_completion_length": recipe.reply_tokens,
            "temperature": recipe.temperature,
            "reward_weights": list(weights_of(recipe.reward).values()),
        }
    return SFTConfig, {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}}


def _config(
    recipe: Recipe, out: Path, steps: int, passes: int, rate: float, gpu: bool, every: int
) -> Any:
    import torch

    kind, own = _of_stage(recipe)
    return kind(
        **own,
        output_dir=str(out / CHECKPOINTS),
        remove_unused_columns=False,
        learning_rate=rate,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(recipe.warmup * steps),
        weight_decay=recipe.weight_decay,
        max_steps=steps,
        per_device_train_batch_size=recipe.rows,
        per_device_eval_batch_size=recipe.rows,
        gradient_accumulation_steps=passes,
        seed=recipe.seed,
        data_seed=recipe.seed,
        bf16=gpu and torch.cuda.is_bf16_supported(),
        fp16=False,
        use_cpu=not gpu,
        gradient_checkpointing=gpu,
        gradient_checkpointing_kwargs={"use_reentrant": False} if gpu else None,
        dataloader_pin_memory=gpu,
        eval_strategy="steps" if recipe.validation else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        prediction_loss_only=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        optim="adamw_torch",
    )


def numbered(count: int) -> Any:
    """A dataset of row numbers: the collator knows the rows. It counts as one with pictures, so
    TRL neither tokenises nor cuts it."""
    from datasets import Dataset

    return Dataset.from_dict({"row": list(range(count)), "images": [[] for _ in range(count)]})


@cache
def teacher(stage: Stage) -> type:
    """The stage's trainer, which stops at a loss that is no number, and validates by answers. What
    DPOTrainer compares with is the adapter as it began (of a new one: the base)."""
    import torch
    from trl import DPOTrainer, GRPOTrainer, SFTTrainer

    kinds = {"prefer": DPOTrainer, "rl": GRPOTrainer}
    kind: Any = kinds.get(stage, SFTTrainer)

    class Teacher(kind):  # type: ignore[misc]
        watch: Watch
        examiner: Examiner | None = None
        examined: Sequence[Row] = ()
        ids: Sequence[str] = ()

        def compute_loss(self, model: Any, inputs: Any, *given: Any, **more: Any) -> Any:
            ids = inputs.pop("row_ids", self.ids)
            loss = super().compute_loss(model, inputs, *given, **more)
            value = loss[0] if isinstance(loss, tuple) else loss
            if not torch.isfinite(value.detach()).all():
                raise NotANumber(
                    f"the loss of step {self.state.global_step + 1} is {value.item()}; the records "
                    f"of its batch: {', '.join(ids)}",
                    hint="The last good checkpoint is kept. Lower --learning-rate, or look at "
                    "these records; the same command with the same recipe goes on from there.",
                )
            return loss

        def evaluate(self, *given: Any, **more: Any) -> dict[str, float]:
            with torch.random.fork_rng():  # what is learned does not depend on what is validated
                return self._evaluated(*given, **more)

        def _evaluated(self, *given: Any, **more: Any) -> dict[str, float]:
            metrics: dict[str, float] = {} if stage == "rl" else super().evaluate(*given, **more)
            if self.examiner is not None:
                was = self.model.training
                self.model.eval()
                with torch.no_grad():
                    scores = self.examiner.scores(self.examined).metrics()
                self.model.train(was)
                self.log(dict(scores))
                # of steps that answer as many, the one of the lower loss is the best
                loss = metrics.get("eval_loss", 0.0)
                metrics |= {**scores, BEST: scores["eval_score"] - 1e-6 * loss}
            return metrics

        def create_model_card(self, *given: Any, **more: Any) -> None:
            """Ours is written at the end (card.py)."""

    return Teacher


@cache
def _callback() -> type:
    from transformers import TrainerCallback

    class Telling(TrainerCallback):  # type: ignore[misc]
        """Writes the log, tells how far it is, ends the run where it is asked to."""

        def __init__(self, watch: Watch, out: Path, batch: int) -> None:
            self._watch, self._file, self._batch = watch, out / LOG, batch
            self._began, self._first = 0.0, 0
            self._score: float | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._began, self._first = time.monotonic(), state.global_step
            self._before = _forget_after(self._file, state.global_step)
            self._counted: float | None = None

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step >= state.max_steps and args.eval_strategy != "no":
                control.should_evaluate = control.should_save = True
            if self._watch.stop:
                self._watch.stopped = True
                control.should_training_stop = control.should_save = True
                control.should_evaluate = False

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if not state.is_world_process_zero or not logs:
                return
            logs = {k: None if v != v else v for k, v in logs.items()}  # NaN is no JSON
            line = {"step": state.global_step, **logs}
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            self._score = logs.get("eval_score", self._score)
            done = state.global_step - self._first
            seconds = max(1e-9, time.monotonic() - self._began)
            left = state.max_steps - state.global_step
            tokens = logs.get("num_tokens", 0.0)
            if self._counted is None and tokens:  # some trainers go on counting, others begin anew
                self._counted = self._before if tokens > self._before else 0.0
            tokens = max(0.0, tokens - (self._counted or 0.0))
            self._watch.tell(
                Progress(
                    step=state.global_step,
                    steps=state.max_steps,
                    loss=logs.get("loss"),
                    score=self._score,
                    rows_s=done * self._batch / seconds,
                    rewards={
                        name[len("rewards/") : -len("/mean")]: (mean, logs.get(f"{name[:-4]}std"))
                        for name, mean in logs.items()
                        if re.fullmatch(r"rewards/.+/mean", name)
                    },
                    tokens_s=tokens / seconds,
                    eta_s=left * seconds / done if done > 1 else None,
                    stopping=self._watch.stop,
                )
            )

    return Telling


def _forget_after(file: Path, step: int) -> float:
    """Takes out of the log what is done again: the lines behind the step a run goes on from. How
    many tokens the others had read."""
    if not file.is_file():
        return 0.0
    kept, tokens = [], 0.0
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn by a power cut
        if record.get("step", 0) <= step and step > 0:
            kept.append(line)
            tokens = record.get("num_tokens", tokens)
    file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    return float(tokens)


def last_whole(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end; those that a kill or a full disk has torn
    are removed."""
    checkpoints = {int(p.name.rpartition("-")[2]): p for p in folder.glob("checkpoint-*")}
    for _, place in sorted(checkpoints.items(), reverse=True):
        try:  # the state is written last
            json.loads((place / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(place, ignore_errors=True)
            continue
        return place
    return None


def make(
    recipe: Recipe,
    model: Any,
    config: Any,
    counts: tuple[int, int],
    processor: Any,
    watch: Watch,
    out: Path,
    **given: Any,
) -> Any:
    """The trainer of a run. counts: rows to learn from, and rows of validation, which follow them.
    given: what the stage's trainer takes besides: a collator, or rewards. kind: the trainer's
    class, of the stage."""
    from transformers import PrinterCallback

    train, validation = counts
    whole = numbered(train + validation)
    kind = given.pop("kind", None) or teacher(recipe.stage)
    with quiet():
        made = kind(
            model=model,
            args=config,
            train_dataset=whole.select(range(train)),
            eval_dataset=whole.select(range(train, train + validation)) if validation else None,
            processing_class=processor,
            callbacks=[_callback()(watch, out, recipe.batch)],
            **given,
        )
    made.remove_callback(PrinterCallback)
    made.watch = watch
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    return made
