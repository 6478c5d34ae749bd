"""`train`: a run from its data to an adapter that `hf:` loads."""

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from videoespresso.dataset.interrupt import interruptible
from videoespresso.errors import MemoryStoreError, UserError
from videoespresso.memory.disk import private_folder
from videoespresso.models.hf_weights import ADAPTER
from videoespresso.settings import Settings
from videoespresso.training import card, recipes, rl
from videoespresso.training import data as records
from videoespresso.training.base import Base, device_of, find, model_of, needed, processor_of
from videoespresso.training.data import Data, Row
from videoespresso.training.families import Chat, ends_of
from videoespresso.training.generated import Generated, own_pairs, with_evidence
from videoespresso.training.outcome import Prepared, Trained, sources_of
from videoespresso.training.pairs import rows_of
from videoespresso.training.recipes import Kept, Recipe, Stage
from videoespresso.training.rows import Collator, Length, lengths, refuse_long
from videoespresso.training.trainer import (
    BEST,
    CHECKPOINTS,
    LOG,
    Progress,
    Watch,
    clear,
    config_of,
    known_trackers,
    last_whole,
    make,
    quiet,
    steps_of,
)
from videoespresso.training.validation import MEASURE, Examiner, Scores

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_TEXT: Final = (
    "No space left|Disk quota exceeded|File too large|StreamWriter failed|write failed"
)
"""What safetensors and torch say of a full disk."""


def train(
    stage: Stage,
    source: str | Path,
    *,
    base: str,
    out: str | Path,
    config: str | Path | None = None,
    allow_leak: bool = False,
    threads: int = 1,
    report_to: Sequence[str] = (),
    settings: Settings | Mapping[str, Any] | None = None,
    on_start: Callable[[Prepared], None] = lambda _: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
    **recipe: Any,
) -> Trained:
    """Teaches a model one stage from a dataset, or goes on with a run that was stopped.

    source: a dataset's folder, one of `dataset split`, or one of `--to trl`. base: `hf:PATH`, a
    model or an adapter on one, which is gone on with. recipe: values of `training.recipes.Recipe`,
    above those of the file `config`. threads: of torch on a CPU; more than the free cores make it
    slower. report_to: trackers as transformers names them ("tensorboard", "wandb", …), beside
    `log.jsonl`. What is learned is the reply and its end; no row is ever cut. on_note: told what
    takes a while before the first step.

    Ctrl-C finishes the step, keeps it, and raises KeyboardInterrupt. Raises SettingsError for a
    missing package, a base or a value that cannot be used; UserError for data without what the
    stage needs, a row that is too long, an `out` of another recipe, and a loss that is no number;
    MemoryStoreError where the disk is full.
    """
    chosen, given = recipes.recipe_of(stage, recipe, config)
    rows = rows_of(source, stage, allow_leak=allow_leak)
    if stage == "rl":
        chosen = rl.chosen_rewards(chosen, rows.train)
    needed()
    trackers = known_trackers(report_to)
    start = find(base)
    folder = Path(out)
    kept = _kept(chosen, start, rows)
    if done := _opened(folder, kept, rows):
        return done
    return _Run(chosen, given, start, rows, folder, kept, settings, threads, trackers, on_note).run(
        on_start, on_progress
    )


def _kept(recipe: Recipe, start: Base, data: Data) -> Kept:
    return Kept(
        recipe=recipe,
        base=start.where,
        base_weights=start.weights,
        start=f"{start.where}+{Path(start.adapter).resolve()}" if start.adapter else start.where,
        data=data.sha,
        learning_rate=recipe.rate(start.parameters),
        side=recipe.side,
    )


def _opened(folder: Path, kept: Kept, data: Data) -> Trained | None:
    """Makes the folder, or finds it as this very run left it; what came of it, where it is done.

    Raises UserError for a folder that holds something else.
    """
    known = recipes.read(folder) if folder.is_dir() else None
    if known is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} holds something else", hint="Give --out a new folder.")
    if known is not None and (differences := kept.same(known)):
        raise UserError(
            f"{folder} is a run of another recipe ({'; '.join(differences[:3])})",
            hint="Give --out a new folder, or the values that it began with.",
        )
    last = _last(folder / LOG) if known is not None else {}
    if (folder / ADAPTER).is_file() and "done" in last:
        return Trained.model_validate(last["done"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        recipes.write(kept, folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror}", hint="Give another --out."
        ) from error
    return None


def _last(file: Path) -> dict[str, Any]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        record = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return {}
    return record if isinstance(record, dict) else {}


class _Run:
    def __init__(
        self,
        recipe: Recipe,
        given: Mapping[str, Any],
        base: Base,
        data: Data,
        out: Path,
        kept: Kept,
        settings: Settings | Mapping[str, Any] | None,
        threads: int,
        trackers: Sequence[str],
        on_note: Callable[[str], None],
    ) -> None:
        self.note, self.trackers = on_note, trackers
        self.recipe, self.given, self.base, self.data = recipe, given, base, data
        self.out, self.kept, self.threads = out, kept, threads
        self.cache = cache_folder(settings)
        self.device = device_of(base)
        self.machines = int(os.environ.get("WORLD_SIZE", "1"))

    def run(
        self, on_start: Callable[[Prepared], None], on_progress: Callable[[Progress], None]
    ) -> Trained:
        import torch

        began = time.monotonic()
        if not self.device.startswith("cuda"):
            torch.set_num_threads(self.threads)
        recipe, processor = self.recipe, processor_of(self.base, self.recipe.side)
        self.note(f"counting the tokens of {len(self.data.train)} rows")
        train, dropped = self._fitting(processor, self.data.train)
        validation, _ = self._fitting(
            processor, records.first(self.data.validation, recipe.validation)
        )
        model: Any = None
        if (
            recipe.stage == "prefer" and recipe.rollouts
        ):  # how many pairs there are is known when they are written
            model = self._model(processor)
            more, long = self._fitting(processor, self._own_pairs(model, processor, train))
            train, dropped = [*train, *more], dropped + long
        steps, passes = steps_of(recipe, len(train), self.machines)
        on_start(self._prepared(train, validation, steps))
        model = model or self._model(processor)
        chat = Chat(processor, ends_of(model, processor.tokenizer))
        examiner = Examiner(str(self.out), processor, model, recipe.stage, recipe.side)
        if recipe.stage == "answer" and recipe.evidence != "gold":
            train, validation = self._evidence(examiner, model, train, validation)
        watch = Watch(on_progress)
        config = config_of(
            recipe, self.out, steps, passes, self.kept.learning_rate, self.device, self.trackers
        )
        scored = list({r.conversation[:2]: r for r in validation if r.item is not None}.values())
        if not validation:
            config.eval_strategy = "no"
        else:
            config.load_best_model_at_end = True
            config.metric_for_best_model = BEST if scored else "eval_loss"
            config.greater_is_better = bool(scored)
        rows, counts = [*train, *validation], (len(train), len(validation))
        if recipe.stage == "rl":
            trainer = rl.trainer_of(
                recipe, model, config, chat, rows, counts, examiner, watch, self.out
            )
        else:
            trainer = make(
                recipe, model, config, counts, processor, watch, self.out,
                data_collator=Collator(chat, rows, recipe.side),
            )  # fmt: skip
        if scored:
            trainer.examiner, trainer.examined = examiner, scored
        resumed = self._taught(trainer, watch)
        if watch.stopped and trainer.state.global_step < steps:
            raise KeyboardInterrupt
        return self._finished(trainer, model, processor, train, dropped, resumed, began)

    def _prepared(self, train: Sequence[Row], validation: Sequence[Row], steps: int) -> Prepared:
        return Prepared(
            rows=len(train),
            validation=len(validation),
            steps=steps,
            split=self.data.split,
            lines=tuple(recipes.table(self.recipe, self.given, self.base.parameters)),
            sources=sources_of(train),
        )

    def _model(self, processor: Any) -> Any:
        with quiet():
            return model_of(self.base, self.recipe, processor).to(self.device)

    def _texts(self, model: Any) -> Generated:
        model.eval()
        return Generated(self.out, (self.kept.start, self.kept.base_weights))

    def _evidence(
        self, examiner: Examiner, model: Any, *parts: list[Row]
    ) -> tuple[list[Row], list[Row]]:
        """The rows to learn from and those of validation with the evidence that stage 1 writes."""
        train, validation = parts
        self.note(f"writing the evidence of {len(train)} rows ({self.recipe.evidence})")
        texts = self._texts(model)
        train = with_evidence(train, self.recipe, texts, examiner)
        if self.recipe.evidence == "generated":
            validation = with_evidence(validation, self.recipe, texts, examiner)
        return train, validation

    def _own_pairs(self, model: Any, processor: Any, train: Sequence[Row]) -> list[Row]:
        import torch

        self.note(f"writing {self.recipe.rollouts} replies of the model's own a record")
        torch.manual_seed(self.recipe.seed)
        examiner = Examiner(
            str(self.out), processor, model, "prefer", self.recipe.side, self.recipe.temperature
        )
        return own_pairs(train, self.recipe, self._texts(model), examiner)

    def _fitting(self, processor: Any, rows: Sequence[Row]) -> tuple[list[Row], int]:
        """The rows that fit, and how many do not. Raises UserError unless these may be dropped."""
        counted = count(self.base, self.recipe, processor, rows, self.cache)
        if self.recipe.too_long == "refuse":
            refuse_long(zip(rows, counted, strict=True), self.recipe.max_tokens)
        fit = [r for r, n in zip(rows, counted, strict=True) if n.tokens <= self.recipe.max_tokens]
        if rows and not fit:
            raise UserError("every row is too long", hint="Raise --max-tokens or lower --side.")
        return fit, len(rows) - len(fit)

    def _taught(self, trainer: Any, watch: Watch) -> int:
        """Runs the trainer; the step it went on from."""
        last = last_whole(self.out / CHECKPOINTS)
        with interruptible(watch.ask_to_stop), quiet(), _room_on_disk(self.out):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        return int(last.name.rpartition("-")[2]) if last else 0

    def _finished(
        self,
        trainer: Any,
        model: Any,
        processor: Any,
        train: Sequence[Row],
        dropped: int,
        resumed: int,
        began: float,
    ) -> Trained:
        """Writes the adapter, its processor and the card; the checkpoints go."""
        log = [json.loads(x) for x in (self.out / LOG).read_text(encoding="utf-8").splitlines()]
        losses = [line["loss"] for line in log if "loss" in line]
        best = trainer.state.best_global_step if trainer.state.best_metric is not None else None
        scored = next((x for x in reversed(log) if x["step"] == best and "eval_score" in x), None)
        groups = rl.groups_of(log, self.recipe)
        done = Trained(
            out=str(self.out),
            stage=self.recipe.stage,
            steps=trainer.state.global_step,
            rows=len(train),
            sources=sources_of(train),
            groups=groups.all,
            equal=groups.equal,
            dropped=dropped,
            resumed=resumed,
            loss=losses[-1] if losses else None,
            best_step=best,
            score=scored["eval_score"] if scored else None,
            low=scored.get("eval_low") if scored else None,
            high=scored.get("eval_high") if scored else None,
            n=int(scored["eval_n"]) if scored else 0,
            unparsable=scored["eval_unparsable"] if scored else None,
            measure=MEASURE[self.recipe.stage],
            left_out=self.data.left_out,
            leaked=self.data.leaked,
            seconds=time.monotonic() - began,
        )
        if trainer.is_world_process_zero():
            with quiet(), _room_on_disk(self.out):
                model.save_pretrained(self.out, selected_adapters=["default"])
                processor.save_pretrained(self.out)
            (self.out / "README.md").unlink(missing_ok=True)  # peft's card, with nothing in it
            card.write(done.model_dump(), self.kept, self.out)
            lines = list(recipes.table(self.recipe, self.given, self.base.parameters))
            card.report(done.model_dump(), lines, log, self.out)
            with (self.out / LOG).open("a", encoding="utf-8") as file:
                line = {"step": done.steps, "done": done.model_dump(mode="json")}
                file.write(json.dumps(line) + "\n")
            clear(self.out)
        return done


@contextlib.contextmanager
def _room_on_disk(out: Path) -> Iterator[None]:
    """Raises MemoryStoreError where the disk is full, whoever noticed it: torch and safetensors
    have errors of their own."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) not in FULL and not re.search(FULL_TEXT, str(error)):
            raise
        raise MemoryStoreError(
            f"{out} cannot be written: {str(error).strip().partition(chr(10))[0]}",
            hint="Free the disk; the same command goes on from the last whole checkpoint.",
        ) from error


def count(
    base: Base, recipe: Recipe, processor: Any, rows: Sequence[Row], cache: Path
) -> list[Length]:
    """The length of each row by the base's own processor."""
    collator = Collator(Chat(processor), rows, recipe.side)
    return lengths(collator, rows, f"{base.where} {base.weights} {recipe.side}", cache)


def cache_folder(settings: Settings | Mapping[str, Any] | None) -> Path:
    """Where the lengths of rows are kept."""
    from videoespresso.settings import settings_of

    folder = settings_of(settings).cache_dir / "training"
    private_folder(folder)
    return folder


__all__ = ["Prepared", "Progress", "Scores", "Trained", "train"]
