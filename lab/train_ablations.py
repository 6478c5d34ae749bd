"""Ablations of teaching: what each choice brings, in pairs of the same questions.

    python -m lab.train_ablations --base hf:PATH --out runs/ablations --axis evidence --n 280

An arm is a row of `train` runs on records of the theatre, each from where the one before ended, and
a condition under which its model is asked; the other roles are those of the profile. Seeds of
the questions are of the test split, those of the records of the train split. A model of the pack's
shape is asked as a pack, which is faster. Stopped anywhere, the same command goes on; an arm that
cannot be taught says why, and the others go on.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import videoespresso as ve
from videoespresso import comparison
from videoespresso.dataset import records_io
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError, VideoEspressoError
from videoespresso.evaluation.compare import Compared, compared
from videoespresso.evaluation.summary import Series, series, summary
from videoespresso.evaluation.theatre_benchmark import Theatre
from videoespresso.theatre.sets import FILE, build_records
from videoespresso.training.base import find
from videoespresso.training.merge import merge
from videoespresso.training.outcome import Trained
from videoespresso.training.pack.folder import export_onnx, refuse_others
from videoespresso.training.recipes import Stage
from videoespresso.types import Progress

OURS, DIRECT, NO_BOXES, EVEN = "ours", "direct", "ours@boxes=off", "uniform:3"
TWO = ("evidence", "answer:mixed")


@dataclass(frozen=True)
class Arm:
    """steps: stages, behind a colon the evidence that stage 2 reads; none: the base as it is.
    records: how many, None for as many as the command says. boxes: whether the records have any."""

    name: str
    steps: tuple[str, ...] = ()
    condition: str = OURS
    records: int | None = None
    boxes: bool = True

    @property
    def role(self) -> str:
        """Whose place the taught model takes; a base takes that of the axis."""
        return "selector" if "selector" in self.steps else "reasoner"

    def data(self, usual: int) -> str:
        """What it learns from, as a folder's name."""
        return f"{self.records or usual}-records" + ("" if self.boxes else "-without-boxes")

    def model(self, usual: int) -> str:
        """Its model, as a folder's name."""
        taught = "+".join(self.steps).replace(":", "-")
        return f"{self.data(usual)}-{taught}" if taught else "untaught"


UNTAUGHT = Arm("untaught")
AXES: dict[str, tuple[Arm, ...]] = {
    "stages": (
        Arm("two stages", TWO), Arm("both in one pass", ("both",)),
        Arm("two stages, asked in one", TWO, DIRECT), UNTAUGHT,
    ),
    "evidence": (
        Arm("mixed", TWO), Arm("gold", ("evidence", "answer:gold")),
        Arm("generated", ("evidence", "answer:generated")), UNTAUGHT,
    ),
    "boxes": (Arm("with", TWO), Arm("without", TWO, NO_BOXES, boxes=False)),
    "selector": (Arm("taught", ("selector",)), UNTAUGHT, Arm("even frames", (), EVEN)),
    "records": tuple(Arm(f"{n:,}", ("both",), records=n) for n in (25_000, 5_000, 1_000)),
    "preferences": (
        Arm("SFT", ("both",)), Arm("SFT + DPO", ("both", "prefer")),
        Arm("SFT + RL", ("both", "rl")),
    ),
}  # fmt: skip
"""The first arm of an axis is what the others are compared with."""


class Lab:
    """A folder with records, taught models and answers."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.out = given, Path(given.out)
        name = {"train": "test"}.get(given.style, given.style)
        self.bench = Theatre(f"theatre:{name}", given.style, self.out / "films", each=given.each)
        self.trained: dict[str, Trained] = {}

    def records(self, arm: Arm) -> Path:
        """The records of an arm; written where they are not there."""
        folder = self.out / "records" / arm.data(self.given.records)
        if (folder / FILE).is_file():
            return folder
        if arm.boxes:
            count = arm.records or self.given.records
            for _ in build_records(count, "train", folder, self.given.style):
                pass
            return folder
        whole = self.records(Arm(arm.name, records=arm.records))
        shutil.copytree(whole, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(FILE))
        lines = (_without_boxes(item).model_dump_json() for item in records_io.read_items(whole))
        (folder / FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return folder

    def taught(self, arm: Arm) -> str:
        """The spec of an arm's model; taught where it is not. Raises as `train` does."""
        base, where = self.given.base, Path()
        for n, step in enumerate(arm.steps, 1):
            stage, _, evidence = step.partition(":")
            begun = Arm(arm.name, arm.steps[:n], arm.condition, arm.records, arm.boxes)
            name = begun.model(self.given.records)
            where = self.out / "taught" / name
            more: dict[str, Any] = {"evidence": evidence} if evidence else {}
            print(f"{name}: {stage}", file=sys.stderr, flush=True)
            self.trained[name] = ve.train(
                cast("Stage", stage), self.records(arm), base=base, out=where,
                config=self.given.config, **more,
            )  # fmt: skip
            base = f"hf:{where}"
        return self._pack(base, arm.model(self.given.records))

    def _pack(self, spec: str, name: str) -> str:
        """A taught model as a pack, where it has the pack's shape; else as it is."""
        base = find(self.given.base).where
        try:
            refuse_others(Path(base))
        except UserError:
            return spec
        pack = self.out / "packs" / name
        if not pack.is_dir():
            with tempfile.TemporaryDirectory(dir=self.out) as draft:
                merged = Path(base)
                if spec != self.given.base:
                    merged = merge(spec, Path(draft) / "merged")
                made = export_onnx(merged, Path(draft) / "pack")
                pack.parent.mkdir(exist_ok=True)
                made.rename(pack)
        return f"embedded:{pack}"

    def answers(self, arm: Arm, role: str) -> Series:
        """An arm's answers; asked where they are not there."""
        spec, conditions = self.taught(arm), [OURS, arm.condition]
        folder = self.out / "asked" / f"{role}-{arm.model(self.given.records)}"
        settings = {role: spec, "profile": self.given.profile, "cache_dir": self.out / "cache"}
        ve.evaluate(
            self.bench, folder, conditions=conditions, n=self.given.n, settings=settings,
            jobs=self.given.jobs, on_progress=_listen,
        )  # fmt: skip
        return next(one for one in series(folder) if one.condition == arm.condition)


def _without_boxes(item: DatasetItem) -> DatasetItem:
    """A record whose evidence names things and points at none."""
    evidence = [
        s.model_copy(update={"items": tuple(i.model_copy(update={"boxes": ()}) for i in s.items)})
        for s in item.evidence
    ]
    return item.model_copy(update={"evidence": tuple(evidence)})


def _listen(progress: Progress) -> None:
    print(f"\r{progress}   ", end="", file=sys.stderr, flush=True)


def table(lab: Lab, axis: str) -> Iterator[str]:
    """An axis as a table of Markdown; its arms are taught and asked where they were not."""
    arms = AXES[axis]
    found: dict[str, Series] = {}
    failed: dict[str, str] = {}
    for arm in arms:
        try:
            found[arm.name] = lab.answers(arm, arms[0].role)
        except VideoEspressoError as error:
            failed[arm.name] = str(error)
    first = found.get(arms[0].name)
    pairs: dict[str, Compared] = {}
    if first is not None:
        both = ("models", "condition")
        rest = {name: one for name, one in found.items() if one is not first}
        pairs = {name: compared(one, first, allow=both) for name, one in rest.items()}
    holm = comparison.holm({name: pair.paired.p_clustered for name, pair in pairs.items()})
    name = arms[0].name
    head = (axis, "steps", "n, films", "right letter, %", f"− {name}, points",
            f"only it, only {name}", "p by films", "Holm")  # fmt: skip
    yield f"| {' | '.join(head)} |"
    yield "|---|---|---|---|---|---|---|---|"
    for arm in arms:
        if arm.name in failed:
            yield f"| {arm.name} | not measured: {failed[arm.name]} | | | | | | |"
            continue
        yield _row(lab, arm, found[arm.name], pairs.get(arm.name), holm.get(arm.name))
    yield ""


def _row(lab: Lab, arm: Arm, of: Series, pair: Compared | None, holm: float | None) -> str:
    scores = next(c for c in summary(of.run).conditions if c.condition == arm.condition).scores
    done = lab.trained.get(arm.model(lab.given.records))
    right = "-" if scores.micro is None else scores.micro.text()
    cells = [arm.name, f"{done.steps if done else 0}", f"{scores.measured}, {scores.videos}", right]
    if pair is not None and holm is not None:
        p = pair.paired
        counts = f"{p.first_only}, {p.second_only}"
        cells += [p.difference.text(), counts, f"{p.p_clustered:.2g}", f"{holm:.2g}"]
    return f"| {' | '.join(cells)} |" + " |" * (8 - len(cells))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table an axis, each when it is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", required=True, help="hf:PATH that every arm begins with")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--axis", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--records", type=int, default=1_000, help="of an arm that says no number")
    parser.add_argument("--n", type=int, default=280, help="questions")
    parser.add_argument("--each", type=int, default=5, help="questions about one film at most")
    parser.add_argument("--style", choices=("train", "held_out", "winter"), default="winter")
    parser.add_argument("--profile", default="embedded", help="the other roles")
    parser.add_argument("--config", type=Path, help="a recipe's values, for every run")
    parser.add_argument("--jobs", type=int, default=1, help="films at a time")
    given = parser.parse_args(argv)
    given.out.mkdir(parents=True, exist_ok=True)
    lab = Lab(given)
    for axis in given.axis:
        for line in table(lab, axis):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
