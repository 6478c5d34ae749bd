"""`--engine ray`: the videos of a run on a Ray cluster, divided over its workers.

Of n workers number r, from 0, does videos r, r + n, r + 2n, … with the local engine and an n-th
of every limit. Nobody keeps the limits together: each share holds, so their sum does. Journals,
shards and replies lie in the dataset's folder, on storage that all nodes see; so where a worker is
lost another one does the rest of its share, and the records are those of one machine.
"""

import logging
import os
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from videoespresso.dataset.engine import JOBS, LocalEngine, Report, few_arenas
from videoespresso.dataset.folder import Folder, see_folder, shown
from videoespresso.dataset.manifest import different, made_with
from videoespresso.dataset.rank_share import RankBudget, RankReplies, here, most_workers, share
from videoespresso.dataset.video_worker import Outcome
from videoespresso.dataset.videos import first_paths
from videoespresso.errors import UserError, VideoEspressoError
from videoespresso.graphs.dataset_context import open_dataset_context
from videoespresso.models.client.errors import redact
from videoespresso.settings import Settings
from videoespresso.types import Usage

log = logging.getLogger(__name__)

TRIES: Final = 3
"""Workers in a row that may die over one video; then it is a failure, and the share goes on."""
BUSY_S: Final = 120.0
"""How long the lock of a lost worker is waited for: a server of files frees the locks of a machine
that died after some 90 s (NFSv4's lease)."""
_TICK_S: Final = 0.5
_ALONE_S: Final = 60.0
_KNOCK_S: Final = 5.0
"""Seconds a cluster's address has to answer in before Ray is asked to connect."""
_LONGEST: Final = 300
"""Characters of Ray's messages that are passed on: it writes pages."""


@dataclass(frozen=True)
class Plan:
    """What every worker needs to know.

    made: what the records depend on where the run was started (manifest.made_with). first: whose a
    video is that several files hold. seen: files that are there. cwd: what relative paths start
    from. token: see folder.shown.
    """

    settings: Settings
    out: Path
    seed: int
    group: int
    workers: int
    made: dict[str, Any]
    first: dict[str, str]
    seen: frozenset[str]
    cwd: str
    token: str

    def file(self, rank: int, suffix: str) -> Path:
        """A rank's: .sqlite (replies), .spent (in this run), .lock."""
        return Folder(self.out).cluster / f"rank-{rank}-of-{self.workers}{suffix}"


class RankWorker:
    """The actor: the local engine over a rank's videos, in a process of its own."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def stop(self) -> None:
        """See `Engine.stop`."""
        self._stop.set()

    def work(
        self, plan: Plan, rank: int, todo: list[str], jobs: int, seconds: float | None
    ) -> Iterator[tuple[Outcome | None, Report] | VideoEspressoError]:
        """What comes of the videos `todo`, and twice a second where it is. jobs: videos at a time,
        0 for as many as on one machine. seconds: left of the run's. Errors are sent, because those
        raised change on their way."""
        try:
            see_folder(Folder(plan.out), plan.token)
            with FileLock(plan.file(rank, ".lock"), timeout=BUSY_S):
                engine = opened(plan, rank, jobs, seconds)
                yield None, Report()
                engine.start(todo)
                while engine.working:
                    if self._stop.is_set():
                        engine.stop()
                    outcome = engine.next(_TICK_S)
                    if outcome is not None and outcome.ended:
                        engine.stop()
                    yield outcome, engine.report()
        except Timeout:
            yield UserError(f"{plan.file(rank, '.lock')} is held", hint="Let that run end.")
        except VideoEspressoError as error:
            yield type(error)(f"node {socket.gethostname()}: {error}", hint=error.hint)


def opened(plan: Plan, rank: int, jobs: int, seconds: float | None) -> LocalEngine:
    """A rank's engine. Raises VideoEspressoError where this machine cannot do the work."""
    few_arenas()
    if os.path.isdir(plan.cwd):
        os.chdir(plan.cwd)
    if unseen := next((path for path in sorted(plan.seen) if not os.path.exists(path)), ""):
        raise UserError(
            f"it does not see {unseen}",
            hint="Put videos on storage that every node sees under the same path.",
        )
    settings = here(share(plan.settings, rank, plan.workers))
    context = open_dataset_context(
        settings,
        budget=RankBudget(settings, seconds, plan.file(rank, ".spent")),
        replies=RankReplies(settings.cache_dir / "replies.sqlite", plan.file(rank, ".sqlite")),
    )
    if differ := different(plan.made, made_with(context, plan.seed, plan.group)):
        raise UserError(
            f"its records would be others: {differ}",
            hint="Install the same version of videoespresso, and give it the same settings, on "
            "every node.",
        )
    jobs = jobs or max(JOBS, settings.concurrency)
    return LocalEngine(
        Folder(plan.out), context, seed=plan.seed, group=plan.group, jobs=jobs, first=plan.first
    )


@dataclass
class _Rank:
    """A share. todo: videos without an outcome. deaths: of workers, since the last outcome. usage:
    of workers that were lost."""

    number: int
    todo: list[str]
    actor: Any = None
    stream: Any = None
    ready: bool = False
    deaths: int = 0
    report: Report = field(default_factory=Report)
    usage: dict[str, Usage] = field(default_factory=dict)


class RayEngine:
    """See `Engine`. made: manifest.made_with of this process. jobs: workers; None is one a CPU of
    the cluster. Never more than videos, or than the limits can be divided among."""

    def __init__(
        self,
        folder: Folder,
        settings: Settings,
        made: dict[str, Any],
        *,
        seed: int,
        group: int,
        address: str = "",
        jobs: int | None = None,
    ) -> None:
        self._folder, self._settings, self._made = folder, settings, made
        self._seed, self._group = seed, group
        self._address, self._jobs = address, jobs
        self._started = self._last_message = time.monotonic()
        self._ranks: list[_Rank] = []
        self._working: list[_Rank] = []
        self._late: deque[Outcome] = deque()
        self._stages, self._known = Counter[str](), Counter[str]()
        self._reached = ""
        self._stopping = False
        self._stack = ExitStack()
        self._ray: Any = None

    def start(self, paths: Sequence[str]) -> None:
        """See `Engine`. Raises UserError without Ray, a cluster, or a folder for this run alone."""
        self._ray = connected(self._address, self._stack)
        token = self._stack.enter_context(shown(self._folder))
        cpus = max(1, int(self._ray.cluster_resources().get("CPU", 0)))
        wanted = min(self._jobs or cpus, len(paths))
        workers = min(wanted, most_workers(self._settings))
        if workers < wanted:
            log.warning("%d workers, not %d: the limits leave each a call", workers, wanted)
        self._cpus = 1 / ceil(workers / cpus)
        self._plan = Plan(
            settings=self._settings, out=self._folder.root.absolute(), seed=self._seed,
            group=self._group, workers=workers, made=self._made, first=first_paths(paths),
            seen=frozenset(filter(os.path.exists, paths)), cwd=os.getcwd(), token=token,
        )  # fmt: skip
        self._stack.callback(self._kill_all)
        self._ranks = [_Rank(k, list(paths[k::workers])) for k in range(workers)]
        for rank in self._ranks:
            self._submit(rank)

    @property
    def working(self) -> bool:
        """See `Engine`."""
        return bool(self._working or self._late)

    def next(self, timeout_s: float) -> Outcome | None:
        """See `Engine`. Raises what a worker says about the run. A share that has reached its part
        of a limit ends the run when the others have ended, too."""
        if not self._working:
            return self._late.popleft()
        streams = [rank.stream for rank in self._working]
        ready, _ = self._ray.wait(streams, num_returns=1, timeout=timeout_s)
        if not ready:
            self._warn_alone()
            return None
        rank = next(r for r in self._working if r.stream is ready[0])
        try:
            message = self._ray.get(next(rank.stream))
        except StopIteration:
            self._leave(rank)
            return None
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of ours, with its trace
        except self._ray.exceptions.RayError as error:
            return self._lost(rank, error)
        if isinstance(message, VideoEspressoError):
            self._leave(rank)
            raise message
        return self._taken(rank, *message)

    def report(self) -> Report:
        """See `Engine`; as the workers' last messages say. Of a lost one that is half a second
        old."""
        usage: dict[str, Usage] = {}
        for rank in self._ranks:
            for role, used in (*rank.usage.items(), *rank.report.usage.items()):
                usage[role] = usage.get(role, Usage()) + used
        spent = sum((rank.report.spent for rank in self._ranks), Usage())
        stages, known = self._stages, self._known
        self._stages, self._known = Counter(), Counter()
        return Report(stages, known, spent, self._reached, usage)

    def stop(self) -> None:
        """See `Engine`."""
        self._stopping = True
        for rank in list(self._working):
            if rank.ready:
                rank.actor.stop.remote()
            else:  # it may wait for a node for ever
                self._leave(rank)

    def close(self) -> None:
        """See `Engine`."""
        self._stack.close()

    def _submit(self, rank: _Rank) -> None:
        """Has the rest of a share done by a new worker; after two deaths one video at a time, so
        that it is known which one it dies over."""
        options = {"num_cpus": self._cpus, "max_concurrency": 2, "max_restarts": 0}
        rank.actor = self._ray.remote(RankWorker).options(**options).remote()
        seconds = self._settings.budget_seconds
        if seconds is not None:
            seconds = max(0.0, seconds - (time.monotonic() - self._started))
        work = rank.actor.work.options(num_returns="streaming")
        jobs = 1 if rank.deaths >= TRIES - 1 else 0
        rank.stream = work.remote(self._plan, rank.number, rank.todo, jobs, seconds)
        self._working.append(rank)

    def _taken(self, rank: _Rank, outcome: Outcome | None, report: Report) -> Outcome | None:
        """The outcome, unless it is one that ends the share."""
        rank.ready, rank.report, self._last_message = True, report, time.monotonic()
        self._stages += report.stages
        self._known += report.known
        if outcome is None:
            return None
        rank.deaths = 0
        rank.todo.remove(outcome.path)
        if outcome.ended not in ("budget", "stopped"):
            return outcome
        if outcome.ended == "budget":
            each = f"worker {rank.number + 1} of {self._plan.workers}, which has an equal share"
            self._reached = self._reached or f"{each}: {report.reached}"
            self._late.appendleft(outcome)
        else:
            self._late.append(outcome)
        return None

    def _lost(self, rank: _Rank, error: Exception) -> Outcome | None:
        """A worker has died: another does the rest of its share."""
        reason = redact(" ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST])
        log.warning("a worker died: %s", reason)
        self._leave(rank)
        for role, used in rank.report.usage.items():
            rank.usage[role] = rank.usage.get(role, Usage()) + used
        rank.report = Report(spent=rank.report.spent)
        rank.deaths += 1
        outcome = None
        if rank.deaths >= TRIES:
            if not rank.ready:
                raise UserError(
                    f"workers die before they begin: {reason}",
                    hint="Look into Ray's logs on the nodes; is videoespresso installed there?",
                )
            outcome = Outcome(rank.todo.pop(0))
            reason = f"{rank.deaths} workers died over it: {reason}"
            failure = {"stage": "worker", "reason": reason, "video": outcome.path}
            outcome.take({"failures": [failure]})
            rank.deaths = 0
        if rank.todo and not self._stopping:
            self._submit(rank)
        return outcome

    def _leave(self, rank: _Rank) -> None:
        self._working.remove(rank)
        self._ray.kill(rank.actor)

    def _kill_all(self) -> None:
        for rank in self._working:
            self._ray.kill(rank.actor)

    def _warn_alone(self) -> None:
        """Says now and then that no node has room."""
        now = time.monotonic()
        if now - self._last_message > _ALONE_S and not any(rank.ready for rank in self._working):
            self._last_message = now
            log.warning("no node of the cluster has room for a worker; waiting")


def connected(address: str, stack: ExitStack) -> Any:
    """Ray, connected to a cluster; `stack` ends the connection if it was made here.

    address: "" is what RAY_ADDRESS says, else the cluster of this machine; "local" starts one.
    Raises UserError without Ray, and where no cluster answers.
    """
    try:
        import ray  # noqa: PLC0415 - an extra
        from ray.exceptions import RayError  # noqa: PLC0415
    except ImportError as error:
        raise UserError(
            "the engine ray needs Ray", hint='pip install "videoespresso[distributed]"'
        ) from error
    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    if address.startswith("ray://"):
        raise UserError(
            f"{address} is for drivers outside of the cluster",
            hint="Run the command on one of the nodes: it reads and writes beside them.",
        )
    more = {"include_dashboard": False} if address == "local" else {}
    if address == "local":  # nothing is sent anywhere from a cluster that we start
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **more)
    except (ConnectionError, RuntimeError, ValueError, OSError, RayError) as error:
        reason = " ".join(str(error).split())[:_LONGEST]
        raise UserError(
            f"no Ray cluster at {address}: {reason}",
            hint="Start one with `ray start --head`, name another with --ray-address, or take "
            "`--ray-address local` for one of this machine alone.",
        ) from error
    stack.callback(ray.shutdown)
    return ray


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port. Ray itself would try for ten minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S):
            pass
