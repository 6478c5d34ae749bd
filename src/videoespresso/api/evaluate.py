"""`evaluate` and `compare`: a benchmark through the ask graph, and runs set against each other."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videoespresso.errors import UserError
from videoespresso.evaluation import compare as comparing
from videoespresso.evaluation import judging
from videoespresso.evaluation.benchmarks import open_benchmark
from videoespresso.evaluation.cases import Benchmark
from videoespresso.evaluation.compare import Compared
from videoespresso.evaluation.judged_runs import judge_series
from videoespresso.evaluation.judging import Sees
from videoespresso.evaluation.protocols import TAU
from videoespresso.evaluation.run import Plan, Protocol, Run
from videoespresso.evaluation.summary import Summary, keep_judged, series, summary
from videoespresso.memory.frames import FrameStore
from videoespresso.models.embedders import DEFAULT
from videoespresso.models.paid_embedder import within_limits
from videoespresso.settings import Settings, settings_of
from videoespresso.types import Progress

if TYPE_CHECKING:
    from videoespresso.agents.base import Agent
    from videoespresso.api.ask import OnProgress
    from videoespresso.memory.captions import Embedder

JOBS = 2
"""Videos at a time: decoding and the embedded models fill two cores."""


def evaluate(
    benchmark: str | Benchmark,
    out: str | Path,
    *,
    conditions: Sequence[str] = ("ours",),
    protocol: Protocol = "letter",
    n: int | None = None,
    videos: str | Path | None = None,
    select: str | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    model: str | None = None,
    profile: str | None = None,
    jobs: int = JOBS,
    retry_errors: bool = False,
    tau: float = TAU,
    encoder: str = DEFAULT,
    judge: str | None = None,
    judge_sees: Sees = "nothing",
    stop: threading.Event | None = None,
    on_progress: "OnProgress | None" = None,
) -> Summary:
    """Asks a benchmark's questions, a record each in the folder `out`, and gives the numbers.

    benchmark: "theatre:test" (held_out, winter), "NAME:FILE", a dataset's folder, a file of the
    authors, or an object with `cases` (evaluation/cases.py). conditions: "ours" (the selection of
    the settings), other strategies ("uniform:16"), "blind", "direct", "oracle-frames",
    "oracle-evidence", "oracle-sentences". n: how many questions, even over the tasks. videos: the
    folder that its paths are relative to. retry_errors: ask again what was not measured.

    judge: the spec of a language model that rates the answers when all are there, and by which
    protocol="judge" scores; it shares the limits of the settings. judge_sees: of the video, the
    core frames of each answer, the true sentences, or nothing.

    The same call goes on where an earlier one was stopped and asks nothing twice. Raises
    UserError, SettingsError, BudgetExceeded at the limits of the settings (those of the whole run)
    and ModelError where no answer can come; what is done is kept.
    """
    chosen = settings_of(settings, model=model, profile=profile)
    if select is not None:
        chosen = chosen.model_copy(update={"select": select})
    run = Run(
        Plan(
            opened(benchmark, chosen, videos),
            Path(out),
            chosen,
            tuple(dict.fromkeys(conditions)),
            protocol,
            n,
            jobs,
            retry_errors,
        )
    )
    embed, agent = encoder_of(protocol, encoder), judge_of(run, judge)
    run.go(on_progress or _nobody, stop or threading.Event())
    if agent is not None:
        judge_answers(Path(out), agent, judge_sees, chosen)
    return summary(Path(out), embed, tau)


def judge_of(run: Run, judge: str | None) -> "Agent | None":
    """The judge of a run, which answers and shares its limits. Raises UserError for
    protocol="judge" without one, SettingsError and ModelError for one that cannot be."""
    if judge is None:
        if run.plan.protocol == "judge":
            raise UserError("protocol judge needs a judge", hint="--judge SPEC, a language model.")
        return None
    agent = judging.open_judge(judge, run.plan.settings, budget=run.budget)
    judging.check(agent)
    return agent


def judge_answers(out: Path, agent: "Agent", sees: Sees, settings: Settings) -> None:
    """Has a run's answers rated, and keeps what the judge said beside them. What was asked before
    comes from the cache. Raises as `judging.judge`."""
    store = FrameStore(settings.cache_dir / "frames")
    keep_judged([(one, judge_series(one, agent, sees, store)) for one in series(out)])


def opened(
    benchmark: str | Benchmark, settings: Settings, videos: str | Path | None = None
) -> Benchmark:
    """The benchmark of a name; its films, where it makes any, are in the cache folder."""
    if not isinstance(benchmark, str):
        return benchmark
    folder = None if videos is None else Path(videos)
    return open_benchmark(benchmark, videos=folder, films=settings.cache_dir / "theatre")


def _nobody(progress: Progress) -> None:
    """Listens to nothing."""


def compare(
    *runs: str | Path,
    allow: Sequence[str] = (),
    margin: float | None = None,
    tau: float = TAU,
    encoder: str = DEFAULT,
) -> list[Compared]:
    """Paired: of one run its first condition against the others; of several runs the first against
    the others, condition by condition.

    allow: what else may differ ("pixels", "prompts", "code", ...). margin: a share; also test that
    the first is no worse than the second by it. Raises UserError where the runs differ in anything
    but what is compared.
    """
    folders = [Path(run) for run in runs]
    embed = encoder_of(series(folders[0])[0].about["protocol"], encoder) if folders else None
    return comparing.compare(folders, allow=allow, margin=margin, encoder=embed, tau=tau)


def encoder_of(protocol: str, encoder: str) -> "Embedder | None":
    """The encoder of the open protocol, which answers, or raises ModelError."""
    if protocol != "open":
        return None
    embed = within_limits(encoder)
    embed(["Does it answer?"])
    return embed
