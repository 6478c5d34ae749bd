"""A run: every case under every condition, a record each, written when it is known.

A record's key names everything it depends on, so that a run which was stopped goes on where it was,
and one of other code, models or prompts is kept in the file and not counted.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from videoespresso.dataset_record import LETTERS
from videoespresso.errors import (
    BudgetExceeded,
    MemoryStoreError,
    ModelError,
    ModelOutputError,
    SettingsError,
    UserError,
    VideoError,
    VideoEspressoError,
)
from videoespresso.evaluation import conditions, results
from videoespresso.evaluation.cases import Benchmark, Case, by_video
from videoespresso.evaluation.conditions import variant
from videoespresso.evaluation.efficiency import Parameters, parameters_of, peak_mb, used
from videoespresso.evaluation.protocols import FEWEST_DISTRACTORS, distractors
from videoespresso.evaluation.theatre_benchmark import digest_of
from videoespresso.graphs.context import Context, open_context
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.settings import Settings
from videoespresso.types import Progress

Protocol = Literal["letter", "open", "judge"]
Json = dict[str, Any]
ContextOf = Callable[[Settings, Budget, UsageLog], Context]
CODE = (
    "agents",
    "graphs",
    "tools",
    "memory",
    "models",
    "letters.py",
    "evaluation/conditions.py",
    "evaluation/stress.py",
    "theatre/film.py",
)
"""Where the code is on which a record depends."""
SAID = 300
"""Characters kept of an error."""


@dataclass(frozen=True)
class Plan:
    """What is run. n: how many cases, None for all. jobs: videos at a time. retry: what failed
    before is tried again."""

    benchmark: Benchmark
    out: Path
    settings: Settings
    conditions: tuple[str, ...] = (conditions.OURS,)
    protocol: Protocol = "letter"
    n: int | None = None
    jobs: int = 2
    retry: bool = False

    @property
    def records(self) -> Path:
        return self.out / "records.jsonl"

    @property
    def about(self) -> Path:
        return self.out / "run.json"


def opened(settings: Settings, budget: Budget, log: UsageLog) -> Context:
    """The context of one question; limits are the run's."""
    return open_context(settings, budget=budget, usage_log=log)


class Run:
    """A plan and its cases. Raises SettingsError, UserError: all that can be known before."""

    def __init__(self, plan: Plan, context_of: ContextOf = opened) -> None:
        conditions.check(plan.conditions)
        self.plan, self._context_of = plan, context_of
        self.budget = Budget.of(plan.settings)
        context = context_of(plan.settings, self.budget, UsageLog())
        context.check_models()
        context.check_stages()
        self.identity = identity(context, plan.protocol)
        self._models = {role: agent.model for role, agent in context.agents.items()}
        self.cases = list(plan.benchmark.cases(plan.n))
        self._checked()
        self._lock = threading.Lock()
        self._seen: set[str] = set()

    @cached_property
    def parameters(self) -> dict[str, Parameters | None]:
        """Of each role's model. A local one is loaded for it, which a forecast does not do."""
        return parameters_of(self._models)

    def _checked(self) -> None:
        """Raises UserError for cases that the protocol cannot ask."""
        letters = self.plan.protocol == "letter"
        wrong = [c for c in self.cases if (c.item.letter is None if letters else not c.item.answer)]
        if wrong:
            what = "options with a right letter" if letters else "an answer to compare with"
            raise UserError(
                f"{len(wrong)} of {len(self.cases)} questions have no {what}, the first is "
                f"{wrong[0].item.id}",
                hint=f"Try --protocol {'open' if letters else 'letter'}.",
            )
        few = [c for c in self.cases if len(distractors(c.item)) < FEWEST_DISTRACTORS]
        if few and self.plan.protocol == "open":
            raise UserError(
                f"{len(few)} of {len(self.cases)} questions have fewer than {FEWEST_DISTRACTORS} "
                f"distractors, which open needs; the first is {few[0].item.id}",
                hint="Nothing was asked. Its replies could not be scored by Algorithm 1.",
            )
        made_anew = [c for c in self.plan.conditions if variant(c).staged]
        if made_anew and not all(case.staged for case in self.cases):
            raise UserError(
                f"{self.plan.benchmark.name} cannot be made anew: no {made_anew[0]}",
                hint="Styles and lengths are the theatre's: theatre:test.",
            )
        oracles = conditions.needs_truth(self.plan.conditions)
        if oracles and not any(case.truth.middles for case in self.cases):
            raise UserError(
                f"{self.plan.benchmark.name} does not say what is true: no {oracles[0]}",
                hint="The theatre and benchmarks with intervals or instants do.",
            )

    def key(self, condition: str, case: Case) -> str:
        """Names a record."""
        text = json.dumps([self.identity, condition, case.digest], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def ordered(self) -> tuple[str, ...]:
        """The conditions, those that need `ours` behind it."""
        return tuple(sorted(self.plan.conditions, key=lambda c: c in conditions.AFTER_OURS))

    def keys(self) -> dict[str, dict[str, str]]:
        """Condition -> item -> key."""
        return {c: self._keys(c) for c in self.ordered}

    def _keys(self, condition: str) -> dict[str, str]:
        asked = (case for case in self.cases if _asks(condition, case))
        return {case.item.id: self.key(condition, case) for case in asked}

    def missing(self, done: dict[str, Json]) -> int:
        """How many records are to be made."""
        return sum(key not in done for keys in self.keys().values() for key in keys.values())

    def known(self) -> dict[str, Json]:
        """The records of before by key. Raises UserError for a folder of another run."""
        if self.plan.about.exists():
            now = (self.plan.benchmark.name, self.plan.protocol)
            if (was := self._before()) != now:
                raise UserError(
                    f"{self.plan.out} holds a run of {was[0]} by {was[1]}, not of {now[0]} by "
                    f"{now[1]}",
                    hint="Give --out a new folder.",
                )
        elif self.plan.out.exists() and not self.plan.out.is_dir():
            raise UserError(f"{self.plan.out} is no folder", hint="Give --out a new folder.")
        elif self.plan.out.exists() and any(self.plan.out.iterdir()):
            raise UserError(
                f"{self.plan.out} holds something else than a run", hint="Give --out a new folder."
            )
        results.mend(self.plan.records)
        return results.read(self.plan.records, errors=not self.plan.retry)

    def _before(self) -> tuple[str, str]:
        """The benchmark and protocol that the folder is of. Raises UserError for no run's file."""
        try:
            before = json.loads(self.plan.about.read_text(encoding="utf-8"))
            return before["benchmark"], before["protocol"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.plan.about} is no run's", hint="Give --out a new folder."
            ) from error

    def start(self) -> None:
        """Writes what the run is about. Raises UserError where it cannot be written."""
        plan = self.plan
        about = {
            "benchmark": plan.benchmark.name,
            "note": plan.benchmark.note,
            "protocol": plan.protocol,
            "n": len(self.cases),
            "videos": len({case.video for case in self.cases}),
            "identity": self.identity,
            "parameters": {r: p and p.model_dump() for r, p in self.parameters.items()},
            "unanswerable": [case.item.id for case in self.cases if case.unanswerable],
            "keys": self._also() | self.keys(),
        }
        try:
            plan.out.mkdir(parents=True, exist_ok=True)
            results.write(plan.about, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            raise UserError(
                f"{plan.out} cannot be written: {error.strerror}", hint="Choose another --out."
            ) from error

    def _also(self) -> dict[str, dict[str, str]]:
        """The keys of conditions that the folder was asked before: of the same questions, and by
        what still is the same; they are reported and compared with those of now."""
        if not self.plan.about.exists():
            return {}
        before = json.loads(self.plan.about.read_text(encoding="utf-8")).get("keys", {})
        now = {name: self._keys(name) for name in before}
        return {name: keys for name, keys in before.items() if keys == now[name]}

    # ---- doing

    def go(self, listen: Callable[[Progress], None], stop: threading.Event) -> None:
        """Makes what is missing, until all is done or `stop` is set.

        Raises BudgetExceeded at the run's limit; SettingsError, MemoryStoreError, and ModelError
        where the first answer shows that no other can come. What is done is kept.
        """
        done = self.known()
        self._seen = {record["video"] for record in done.values() if record.get("first")}
        self.start()
        total = self.missing(done)
        begun, made = time.monotonic(), 0
        videos = [v for v in by_video(self.cases) if self._open(v, done)]

        def add(record: Json) -> None:
            nonlocal made
            with self._lock:
                results.append(self.plan.records, record)
                done[record["key"]] = record
                made += 1
                left = (time.monotonic() - begun) / made * (total - made)
                listen(Progress("eval", "asking", made, total, left))

        try:
            with ThreadPoolExecutor(self.plan.jobs) as pool:
                self._spread(pool, videos, done, add, stop)
        except OSError as error:
            raise UserError(
                f"{self.plan.records} cannot be written: {error.strerror}",
                hint="Make room; the same command goes on from there.",
            ) from error
        finally:
            listen(Progress("done", "done"))

    def _open(self, cases: Sequence[Case], done: dict[str, Json]) -> bool:
        return any(
            _asks(c, case) and self.key(c, case) not in done for c in self.ordered for case in cases
        )

    def _spread(
        self,
        pool: ThreadPoolExecutor,
        videos: Sequence[list[Case]],
        done: dict[str, Json],
        add: Callable[[Json], None],
        stop: threading.Event,
    ) -> None:
        """A video is one job: its questions share what was seen of it."""
        waiting: set[Future[None]] = {
            pool.submit(self._video, cases, done, add, stop) for cases in videos
        }
        try:
            while waiting:
                ended, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in ended:
                    future.result()
        except BaseException:
            stop.set()  # the others end after the question they are at
            for future in waiting:
                future.cancel()
            raise

    def _video(
        self,
        cases: Sequence[Case],
        done: dict[str, Json],
        add: Callable[[Json], None],
        stop: threading.Event,
    ) -> None:
        for condition in self.ordered:
            for case in cases:
                if stop.is_set():
                    return
                key = self.key(condition, case)
                if key not in done and _asks(condition, case):
                    add({"key": key, **self._record(condition, case, done)})

    def _record(self, condition: str, case: Case, done: dict[str, Json]) -> Json:
        """What became of a case. What cannot be measured says why."""
        log, began = UsageLog(), time.perf_counter()
        ours: Json = {}
        try:
            if condition in conditions.AFTER_OURS:
                ours = done[self.key(conditions.OURS, case)]
                if "error" in ours:
                    raise VideoError(f"ours failed: {ours['error']}")
            changed = variant(condition)
            if changed.staged and case.staged:
                case = case.staged(*changed.staged)
            settings = changed.settings(self.plan.settings)
            context = self._context_of(settings, self.budget, log)
            context = replace(context, guarded=not case.made)  # what was made needs no check
            options = case.item.options if self.plan.protocol == "letter" else ()
            result = conditions.record_of(context, case, condition, options, ours)
            _within(result)
        except (BudgetExceeded, MemoryStoreError, SettingsError):
            raise
        except VideoEspressoError as error:
            if self._hopeless(error, done):
                raise
            result = {"error": f"{error}"[:SAID], "kind": type(error).__name__}
        if result.get("first"):  # later ones may still caption what only they need
            result["first"] = case.video not in self._seen
            self._seen.add(case.video)
        item, usage = case.item, log.total()
        return {
            "condition": condition,
            "item": item.id,
            "video": case.video,
            "task": case.task,
            "question": item.question,
            "options": list(item.options),
            "letter": item.letter,
            "answer": item.answer,
            **result,
            **({"said": _letter(result)} if "error" not in result else {}),
            "truth": _truth(case, result),
            "seconds": round(time.perf_counter() - began, 3),
            "calls": usage.calls,
            "cached_calls": usage.cached_calls,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "usd": usage.usd,
            "needed": used(log, self.parameters),
            "roles": {role: round(one.seconds, 3) for role, one in log.by_role().items()},
            "peak_mb": peak_mb(),
        }

    def _hopeless(self, error: VideoEspressoError, done: dict[str, Json]) -> bool:
        """Whether a model has never answered and would not if it were asked again."""
        if not isinstance(error, ModelError) or isinstance(error, ModelOutputError):
            return False
        return not error.retryable and all("error" in record for record in done.values())


def _asks(condition: str, case: Case) -> bool:
    return not (case.unanswerable and condition in conditions.GIVEN)


def _truth(case: Case, result: Json) -> Json:
    """What is true, and the true boxes at the instants that were cited."""
    truth = case.truth
    cited = dict.fromkeys(step["time_s"] for step in result.get("steps", ()))
    boxes = [p for t in cited for p in truth.boxes(t)] if truth.boxes is not None else None
    steps = result.get("steps", ())
    verdicts = {} if truth.read is None else truth.read([(s["text"], s["time_s"]) for s in steps])
    return verdicts | {
        "intervals": truth.intervals,
        "instants": truth.instants,
        "scenes": truth.scenes,
        "proof": [text for _, text in truth.sentences],
        "boxes": boxes,
    }


def _letter(result: Json) -> str | None:
    return None if result.get("choice") is None else LETTERS[result["choice"]]


def _within(result: Json) -> None:
    """Raises BudgetExceeded for an answer that a limit cut short: it is none."""
    if reached := next((g for g in result.get("gaps", ()) if g.startswith("budget:")), None):
        raise BudgetExceeded(
            reached.removeprefix("budget: "),
            hint="What is done is kept: the same command with a higher limit goes on.",
        )


def identity(context: Context, protocol: str) -> dict[str, str]:
    """Everything that a record depends on, the case and the condition apart."""
    about = dict(context.described())
    for role, agent in context.agents.items():
        about[f"{role} weights"] = str(getattr(agent.model, "identity", ""))
        about[f"{role} max_tokens"] = str(getattr(agent.model, "max_tokens", ""))
    here = Path(__file__).parents[1]
    files = [f for name in CODE for f in [here / name, *(here / name).rglob("*.py")] if f.is_file()]
    return about | {"protocol": protocol, "code": digest_of(files)}
