"""Measures dataset mode on films of the theatre, where it is known what is true.

    python -m lab.dataset_scores --out runs/dataset --videos 40

Films of the test split, in the order of their seeds, are made into records by the shipped engine
and by a plain sequential script, a few films at a time, each with fresh caches. Every block of
films is kept when it is done: stopped anywhere, the same command goes on with the next. Blocks of
other models, prompts or code are kept and not counted. Audit seeds are never used.
"""

import argparse
import hashlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import videoespresso
from lab.dataset_script import plain_context, plain_run, watched
from lab.dataset_summary import Block, write_summary
from lab.dataset_verifier import verifier_rows
from videoespresso.dataset.engine import JOBS, LocalEngine
from videoespresso.dataset.folder import Folder
from videoespresso.dataset.manifest import made_with
from videoespresso.dataset.records_io import read_items, writing_lines
from videoespresso.dataset.run import Run
from videoespresso.errors import VideoEspressoError
from videoespresso.evaluation import results
from videoespresso.evaluation.theatre_benchmark import digest_of, filmed_story, look_of
from videoespresso.graphs.context import Context
from videoespresso.graphs.dataset_context import GROUP, open_dataset_context
from videoespresso.settings import Settings
from videoespresso.theatre import SPLITS, make_story
from videoespresso.theatre.style import StyleFamily

log = logging.getLogger("lab")

BLOCK = 4
"""Films a block: as many as the engine does at a time, so that it is not measured idle."""
ROOMS = ("agents", "graphs", "tools", "memory", "models", "dataset", "theatre")
OURS = ("dataset_script", "dataset_verifier")
"""Where the code is on which a block depends; the figures are made anew from the blocks."""


@dataclass(frozen=True)
class Plan:
    """What is measured. videos: films, from the first seed of the split on. plain: the sequential
    script runs too."""

    out: Path
    settings: Settings
    videos: int = 40
    split: str = "test"
    style: StyleFamily = "train"
    seed: int = 0
    plain: bool = True

    @property
    def lines(self) -> Path:
        return self.out / "results.jsonl"

    def blocks(self) -> list[tuple[int, ...]]:
        """The seeds of each block."""
        first, end = SPLITS[self.split]
        seeds = range(first, min(first + self.videos, end))
        return [tuple(seeds[k : k + BLOCK]) for k in range(0, len(seeds), BLOCK)]

    def folder(self, seeds: Sequence[int]) -> Path:
        """Where a block's records lie."""
        return self.out / "blocks" / f"{self.style}-{seeds[0]}-{len(seeds)}"


def identity(context: Context, plan: Plan) -> results.Json:
    """Everything that the figures depend on, the films themselves apart."""
    here = Path(videoespresso.__file__).parent
    code = [file for room in ROOMS for file in (here / room).rglob("*.py")]
    code += [Path(__file__).with_name(f"{name}.py") for name in OURS]
    agents = context.agents.items()
    return {
        **made_with(context, plan.seed, GROUP),
        "weights": {role: str(getattr(a.model, "identity", "")) for role, a in agents},
        "code": digest_of(code),
        "style": plan.style,
        "plain": plan.plain,
    }


def key_of(about: results.Json, seeds: Sequence[int], style: StyleFamily) -> str:
    """Names a block: the same models, prompts, code and films."""
    looks = [look_of(seed, style) for seed in seeds]
    text = json.dumps([about, list(seeds), looks], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def finished(plan: Plan, about: results.Json) -> dict[tuple[int, ...], Block]:
    """The blocks of this plan that are done, by their seeds, in order."""
    known = results.read(plan.lines)
    blocks = {}
    for seeds in plan.blocks():
        record = known.get(key_of(about, seeds, plan.style))
        folder = plan.folder(seeds) / "dataset"
        if record is not None and (folder / "records.jsonl").is_file():
            blocks[seeds] = Block(record, folder)
    return blocks


def run(plan: Plan, about: results.Json, tell: Callable[[str], None]) -> None:
    """Does the blocks that are missing."""
    plan.out.mkdir(parents=True, exist_ok=True)
    results.mend(plan.lines)
    missing = [seeds for seeds in plan.blocks() if seeds not in finished(plan, about)]
    if missing:
        _warm_up(plan)
    for number, seeds in enumerate(plan.blocks()):
        if seeds in missing:
            record = {"condition": "block", **_block(plan, number, seeds)}
            results.append(plan.lines, {"key": key_of(about, seeds, plan.style), **record})
            tell(f"films {seeds[0]} to {seeds[-1]}: {record['engine']['records']} records")


def _warm_up(plan: Plan) -> None:
    """Loads the models outside the timed runs, on a film of the training split."""
    film = filmed_story(SPLITS["train"][0], plan.style, plan.out / "videos")
    _engine(plan, [film], plan.out / "warm")
    shutil.rmtree(plan.out / "warm")


def _block(plan: Plan, number: int, seeds: Sequence[int]) -> results.Json:
    """One block by both, whoever begins alternating, and what its verifier said."""
    folder = plan.folder(seeds)
    shutil.rmtree(folder, ignore_errors=True)
    films = [filmed_story(seed, plan.style, plan.out / "videos") for seed in seeds]
    ways: list[tuple[str, Callable[[Plan, list[Path], Path], results.Json]]] = [("engine", _engine)]
    if plan.plain:
        ways.insert(number % 2, ("plain", _plain))
    record: results.Json = {"seeds": list(seeds), "began_with": ways[0][0]}
    for name, way in ways:
        record[name] = way(plan, films, folder)
    if plan.plain:
        made = [{i.id for i in read_items(folder / name)} for name in ("dataset", "plain.jsonl")]
        record["same_records"] = made[0] == made[1]
    record["verifier"] = _verifier(plan, seeds, films, folder)
    for name in ("cache-engine", "cache-plain", "plain"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return record


def _with_cache(plan: Plan, folder: Path, **more: object) -> Settings:
    return plan.settings.model_copy(update={"cache_dir": folder, **more})


def _context(settings: Settings) -> Context:
    """That of the shipped command, without the check whose films these are: they were made."""
    return replace(open_dataset_context(settings), guarded=False)


def _engine(plan: Plan, films: list[Path], folder: Path) -> results.Json:
    """The run of the shipped command, with fresh caches."""
    began = time.perf_counter()
    context = _context(_with_cache(plan, folder / "cache-engine"))
    dataset = Folder(folder / "dataset")
    dataset.open()
    jobs = max(JOBS, context.settings.concurrency)
    engine = LocalEngine(dataset, context, seed=plan.seed, group=GROUP, jobs=jobs)
    made, paths = made_with(context, plan.seed, GROUP), [str(film) for film in films]
    built = Run(dataset, engine, paths, made, lambda _: None, lambda _: None).run()
    return {
        "seconds": round(time.perf_counter() - began, 3),
        "records": built.records,
        "failures": list(built.failures),
        "usage": {role: usage.model_dump(mode="json") for role, usage in built.usage.items()},
    }


def _plain(plan: Plan, films: list[Path], folder: Path) -> results.Json:
    """The sequential script, with fresh caches and one call at a time."""
    began = time.perf_counter()
    settings = _with_cache(plan, folder / "cache-plain", concurrency=1)
    plain = plain_context(_context(settings), folder / "plain", seed=plan.seed)
    records = plain_run(plain, films)
    with writing_lines(folder / "plain.jsonl") as lines:
        for record in records:
            lines.value(record)
    return {"seconds": round(time.perf_counter() - began, 3), "records": len(records)}


def _verifier(
    plan: Plan, seeds: Sequence[int], films: Sequence[Path], folder: Path
) -> list[results.Json]:
    """What the verifier says of planted pairs, with the captions that the engine left."""
    context = _context(_with_cache(plan, folder / "cache-engine"))
    plain = plain_context(context, folder / "plain", seed=plan.seed)
    return [
        {"video": seed, **row}
        for seed, film in zip(seeds, films, strict=True)
        for row in verifier_rows(plain, make_story(seed, plan.style), watched(plain, film))
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """0 when everything is measured, 1 for an error, 130 for Ctrl-C; what is done is always summed
    up."""
    given = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    log.setLevel(logging.INFO)
    plan = _plan(given)
    code = 0
    try:
        settings = identity(open_dataset_context(plan.settings), plan)
        try:
            run(plan, settings, log.info)
        except KeyboardInterrupt:
            log.info("stopped; finished blocks are kept, the same command goes on")
            code = 130
        blocks = list(finished(plan, settings).values())
        about = {"split": plan.split, "blocks_of": BLOCK, "command": _command(plan), **settings}
        if blocks:
            sys.stdout.write(write_summary(plan.out, blocks, about))
    except VideoEspressoError as error:
        log.error("%s\n%s", error, error.hint)
        return 1
    return code


def _command(plan: Plan) -> str:
    """What makes these figures again."""
    given = f"--videos {plan.videos} --split {plan.split} --style {plan.style} --seed {plan.seed}"
    return f"python -m lab.dataset_scores --out runs/dataset {given}"


def _plan(given: argparse.Namespace) -> Plan:
    settings = Settings.load(
        {
            "profile": "embedded",
            "cache_dir": given.out / "cache",
            **dict.fromkeys(("generator", "verifier", "annotator", "distractor"), given.teacher),
        }
    )
    limits = {key: None for key in Settings.model_fields if key.startswith("budget_")}
    return Plan(
        out=given.out,
        settings=settings.model_copy(update=limits),
        videos=given.videos,
        split=given.split,
        style=given.style,
        seed=given.seed,
        plain=not given.no_plain,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab.dataset_scores",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/dataset"), help="results, films, records, summary")
    add("--videos", type=int, default=Plan.videos, help="films (%(default)s)")
    add("--split", choices=("validation", "test"), default=Plan.split, help="(%(default)s)")
    add("--style", choices=("train", "held_out"), default=Plan.style, help="(%(default)s)")
    add("--seed", type=int, default=Plan.seed, help="of the options' order (%(default)s)")
    add("--teacher", default="embedded:teacher", help="who generates, verifies, ... (%(default)s)")
    add("--no-plain", action="store_true", help="without the sequential script")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
