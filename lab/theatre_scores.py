"""Measures the embedded models on the theatre's test split, against the targets of the project.

    python -m lab.theatre_scores --out runs/theatre --n 1000

Films are rendered and go through the real ask graph. Every result is written when it is known:
stopped anywhere, the same command goes on where it was. Results of other weights, prompts or code
are kept in the file and not counted. `--n` items of the test split, `--held-out-n` fresh ones in
the held-out style; audit seeds are never used.
"""

import argparse
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab.theatre_bench import Bench
from lab.theatre_summary import write_summary
from videoespresso import theatre
from videoespresso.errors import SettingsError, VideoEspressoError
from videoespresso.evaluation import results
from videoespresso.evaluation.theatre_items import Item, by_video, digest_of, draw, filmed, look_of
from videoespresso.graphs.selection import strategy
from videoespresso.settings import Settings
from videoespresso.theatre.style import StyleFamily

log = logging.getLogger("lab")

CONDITIONS = ("paper", "uniform:16", "direct", "blind", "held_out")
STYLES: tuple[StyleFamily, ...] = ("train", "held_out")


@dataclass(frozen=True)
class Plan:
    """What is measured. n, held_out_n: questions. box_frames: frames a style for the detector.
    checks: the checker is asked. retry: what failed before is tried again."""

    out: Path
    settings: Settings
    n: int = 1000
    held_out_n: int = 300
    conditions: tuple[str, ...] = CONDITIONS
    box_frames: int = 500
    checks: bool = True
    retry: bool = False

    @property
    def lines(self) -> Path:
        return self.out / "results.jsonl"

    @property
    def films(self) -> Path:
        return self.out / "videos"


@dataclass(frozen=True)
class Job:
    """The items of one video, or no items and one style: its frames for the detector."""

    style: StyleFamily
    items: tuple[Item, ...] = ()
    conditions: tuple[str, ...] = ()


class Flag(Protocol):
    """Says whether to stop; a multiprocessing Event is one."""

    def is_set(self) -> bool: ...


def planned(plan: Plan) -> list[Job]:
    """All jobs. `direct` looks at the core frames of `paper`, which it brings with it."""
    if "direct" in plan.conditions and "paper" not in plan.conditions:
        raise SettingsError(
            "direct is shown the core frames of paper", hint="Add paper to --conditions."
        )
    here = tuple(c for c in plan.conditions if c != "held_out")
    ordered = tuple(sorted(here, key=lambda c: c in ("direct", "blind")))  # paper before direct
    for select in here:
        if select not in ("direct", "blind"):
            strategy(select)  # a wrong name is said before anything is rendered
    jobs: list[Job] = []
    if here:
        jobs += [Job("train", tuple(v), ordered) for v in by_video(draw(plan.n))]
    if "held_out" in plan.conditions:
        items = draw(plan.held_out_n, "held_out")
        jobs += [Job("held_out", tuple(v), ("held_out",)) for v in by_video(items)]
    styles = dict.fromkeys(job.style for job in jobs)
    return [*(Job(style) for style in styles), *jobs] if plan.box_frames else jobs


def keys(bench: Bench, job: Job, plan: Plan) -> dict[str, tuple[str, object]]:
    """Key -> (condition, item or None) of every result the job gives, in the order of the work."""
    if not job.items:
        drawn = digest_of(list(Path(theatre.__file__).parent.rglob("*.py")))
        return {bench.key("boxes", (job.style, plan.box_frames, drawn)): ("boxes", None)}
    found: dict[str, tuple[str, object]] = {
        bench.key(condition, _about(item)): (condition, item)
        for condition in job.conditions
        for item in job.items
    }
    if set(job.conditions) - {"blind"}:
        first = job.items[0]
        about = (first.video, look_of(first.seed, first.style))
        found[bench.key("captions", about)] = ("captions", None)
    return found


def _about(item: Item) -> tuple[Item, str]:
    """What was asked about which pictures."""
    return item, look_of(item.seed, item.style)


def work(bench: Bench, plan: Plan, job: Job, stop: Flag) -> int:
    """Does what is missing of a job; returns how many results were added."""
    missing = keys(bench, job, plan)
    done = results.read(plan.lines, errors=not plan.retry)
    added = 0
    for key, (condition, item) in missing.items():
        if key in done:
            continue
        if stop.is_set():
            break
        record = _one(bench, plan, job, condition, item, done) | {"key": key, "style": job.style}
        results.append(plan.lines, record)
        done[key] = record
        added += 1
    return added


def _one(
    bench: Bench, plan: Plan, job: Job, condition: str, item: object, done: dict[str, results.Json]
) -> results.Json:
    if condition == "boxes":
        return {"condition": condition, **_boxes(bench, job.style, plan.box_frames)}
    if condition == "blind":
        assert isinstance(item, Item)
        return bench.measured(condition, item)
    path = filmed(job.items[0], plan.films)
    if condition == "captions":
        first = job.items[0]
        return {"condition": condition, **bench.captions(first.style, first.seed, path)}
    assert isinstance(item, Item)
    core = done.get(bench.key("paper", _about(item))) if condition == "direct" else None
    return bench.measured(condition, item, path, core)


def _boxes(bench: Bench, style: StyleFamily, frames: int) -> results.Json:
    """Box F1 on frames nobody trained on, by the function that scores the training."""
    from lab.detector_data import split_frames  # noqa: PLC0415 - only here
    from lab.detector_score import score  # noqa: PLC0415 - only here

    if not bench.context.detector.labels:
        return {"frames": 0, "skipped": f"{bench.context.detector.name} has no labels of its own"}
    report = score(bench.context.detector, split_frames(frames, "test", style))
    return {**report["overall"], "frames": report["frames"], "macro_f1": report["macro_f1"]}


# ---- several processes

_bench: Bench | None = None
_stop: Flag | None = None
_parent = 0


def _start(settings: Settings, checks: bool, stop: Flag, parent: int) -> None:
    """A worker's means. Ctrl-C ends it at once: whatever it had finished is on the disk."""
    global _bench, _stop, _parent
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _bench, _stop, _parent = Bench.open(settings, checks=checks), stop, parent


class _Orphaned:
    """Also stops when the process that gave out the work is gone, even by kill -9."""

    def is_set(self) -> bool:
        return _stop is None or _stop.is_set() or os.getppid() != _parent


def _work(plan: Plan, job: Job) -> int:
    assert _bench is not None, "set by the initializer"
    return work(_bench, plan, job, _Orphaned())


class _Never:
    def is_set(self) -> bool:
        return False


def _alone(bench: Bench, plan: Plan, jobs: Sequence[Job]) -> Generator[int, None, None]:
    for job in jobs:
        yield work(bench, plan, job, _Never())


def _together(plan: Plan, jobs: Sequence[Job], workers: int) -> Generator[int, None, None]:
    """Results added, as jobs end. One thread a process: two processes on two cores, and libraries
    that each start a thread a core, are slower than one."""
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    given = (plan.settings, plan.checks, stop, os.getpid())
    with ProcessPoolExecutor(workers, spawn, initializer=_start, initargs=given) as pool:
        waiting = {pool.submit(_work, plan, job) for job in jobs}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:  # also when a job fails or the caller has had enough
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def run(bench: Bench, plan: Plan, workers: int, tell: Callable[[str], None]) -> None:
    """Does everything that is missing, and tells how far it is."""
    plan.out.mkdir(parents=True, exist_ok=True)
    results.mend(plan.lines)
    done = results.read(plan.lines, errors=not plan.retry)
    sizes = [(job, len(keys(bench, job, plan).keys() - done.keys())) for job in planned(plan)]
    jobs = [job for job, missing in sizes if missing]
    total = sum(missing for _, missing in sizes)
    known = sum(len(keys(bench, job, plan)) for job, _ in sizes) - total
    tell(f"{total} results to find, {known} known from before")
    began, added = time.monotonic(), 0
    if not jobs:
        return
    doing = _together(plan, jobs, workers) if workers > 1 else _alone(bench, plan, jobs)
    with closing(doing):  # so that workers end before the caller goes on, whatever happened
        for count in doing:
            added += count
            spent = time.monotonic() - began
            left = spent / max(added, 1) * (total - added)
            tell(f"{added} of {total} in {_clock(spent)}, about {_clock(left)} left")


def render(plan: Plan, workers: int, tell: Callable[[str], None]) -> None:
    """Only the films, so that they are there when the models are."""
    firsts = [job.items[0] for job in planned(plan) if job.items]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn) as pool:
        made = pool.map(filmed, firsts, [plan.films] * len(firsts))
        for number, path in enumerate(made, 1):
            tell(f"{number} of {len(firsts)} films: {path.name}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# ---- the command


def main(argv: Sequence[str] | None = None) -> int:
    """0 when everything is measured, 1 for an error, 130 for Ctrl-C; the summary is always written
    of what there is."""
    given = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    log.setLevel(logging.INFO)
    code = 0
    try:
        plan = _plan(given)
        if given.render_only:
            render(plan, given.workers, log.info)
            return 0
        bench = Bench.open(plan.settings, checks=plan.checks)
        try:
            run(bench, plan, given.workers, log.info)
        except KeyboardInterrupt:
            log.info("stopped; what is done is kept, the same command goes on")
            code = 130
        table = write_summary(bench, plan.out, _wanted(bench, plan))
    except VideoEspressoError as error:
        log.error("%s\n%s", error, error.hint)
        return 1
    except (OSError, BrokenProcessPool) as error:
        log.error("%s; what is done is kept, the same command goes on", error)
        return 1
    sys.stdout.write(table)
    return code


def _wanted(bench: Bench, plan: Plan) -> list[results.Json]:
    """The records of this plan, in its order."""
    found = results.read(plan.lines)
    return [found[k] for job in planned(plan) for k in keys(bench, job, plan) if k in found]


def _plan(given: argparse.Namespace) -> Plan:
    settings = Settings.load({"cache_dir": given.out / "cache"})
    limits = {key: None for key in Settings.model_fields if key.startswith("budget_")}
    return Plan(
        out=given.out,
        settings=settings.model_copy(update=limits),  # one context serves all questions
        n=given.n,
        held_out_n=given.held_out_n,
        conditions=tuple(dict.fromkeys(filter(None, given.conditions.split(",")))),
        box_frames=given.box_frames,
        checks=not given.no_checker,
        retry=given.retry_errors,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab.theatre_scores",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/theatre"), help="results, films, cache, summary")
    add("--n", type=_positive, default=Plan.n, help="questions (%(default)s)")
    add("--held-out-n", type=_positive, default=Plan.held_out_n, help="(%(default)s)")
    add("--conditions", default=",".join(CONDITIONS), help="%(default)s; any --select is one")
    add("--box-frames", type=int, default=Plan.box_frames, help="for the detector (%(default)s)")
    add("--workers", type=_positive, default=2, help="processes (%(default)s)")
    add("--no-checker", action="store_true", help="faster: the checker is not asked")
    add("--retry-errors", action="store_true", help="try again what failed")
    add("--render-only", action="store_true", help="make the films and stop")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
