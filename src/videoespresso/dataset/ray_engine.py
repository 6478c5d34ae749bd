"""`--engine ray`: the videos of a run on a Ray cluster, a worker process a CPU.

Journals and shards lie in the dataset's folder, on storage that all nodes see, with one owner each;
so whoever does a video, and however often its worker dies, the records are those of one machine.
"""

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from filelock import FileLock, Timeout

from videoespresso.dataset.build import open_dataset_context
from videoespresso.dataset.engine import Report, few_arenas
from videoespresso.dataset.folder import Folder
from videoespresso.dataset.manifest import made_with
from videoespresso.dataset.ray_limits import Bells, Desk, DeskBudget, DeskLedger, DeskPaces
from videoespresso.dataset.video_worker import Outcome, Worker
from videoespresso.dataset.videos import first_paths
from videoespresso.errors import MemoryStoreError, SettingsError, UserError, VideoEspressoError
from videoespresso.graphs.dataset_context import Event
from videoespresso.memory.journal import Journal
from videoespresso.memory.replies import SharedReplies
from videoespresso.models.client.errors import redact
from videoespresso.settings import PREFIX, Settings

SEEN_WITHIN_S: Final = 10.0
"""How long a folder made on one machine may take to be seen on another: NFS remembers what it saw
for a few seconds."""
NETWORKED: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "ceph", "gpfs", "beegfs", "glusterfs")
)
"""File systems on which sqlite loses data when several machines write (sqlite.org/faq.html#q5);
those mounted by a program (fuse.*) are refused, too."""


@dataclass(frozen=True)
class Plan:
    """What every worker is told: settings, folder, seed, captions a group.

    made: what the records depend on where the run was started (build.made_with); a worker whose
    own differs would make others. first: whose a video is that several files hold. cwd: what
    relative paths start from. token: names the file by which the folder is known.
    """

    settings: Settings
    out: Path
    seed: int
    group: int
    made: dict[str, Any]
    first: dict[str, str]
    cwd: str
    token: str


def plan(
    folder: Folder,
    settings: Settings,
    paths: Sequence[str],
    *,
    seed: int,
    group: int,
    made: dict[str, Any],
) -> Plan:
    """What workers are told. made: build.made_with of this process."""
    return Plan(
        settings=settings,
        out=folder.root.absolute(),
        seed=seed,
        group=group,
        made=made,
        first=first_paths(paths),
        cwd=os.getcwd(),
        token=uuid4().hex,
    )


class VideoWorker:
    """What lives in the process. Errors are returned, because those raised change on their way."""

    def __init__(self, name: str, plan: Plan, desk: Any) -> None:
        self._name, self._plan, self._desk = name, plan, desk
        self._where = f"node {socket.gethostname()}"
        self._bells = Bells()
        self._worker: Worker | None = None

    def open(self) -> VideoEspressoError | None:
        """Looks whether this machine can do the work, and gets ready."""
        try:
            self._open()
        except VideoEspressoError as error:
            return type(error)(f"{self._where}: {error}", hint=error.hint)
        return None

    def _open(self) -> None:
        few_arenas()
        plan, folder = self._plan, Folder(self._plan.out)
        see_folder(folder.work, plan.token)
        if os.path.isdir(plan.cwd):
            os.chdir(plan.cwd)
        settings = settings_here(plan.settings)
        self._budget = DeskBudget(self._ask, settings, self._ask("sit"))
        replies = SharedReplies(settings.cache_dir / "replies.sqlite", self._journal)
        context = open_dataset_context(
            settings,
            budget=self._budget,
            usage_log=DeskLedger(self._tell),
            rate_limits=DeskPaces(self._ask, self._bells),
            replies=replies,
        )
        if differ := different(plan.made, made_with(context, plan.seed, plan.group)):
            raise UserError(
                f"its records would be others: {differ}",
                hint="Install the same version of videoespresso, and give it the same settings, on "
                "every node.",
            )
        self._worker = Worker(
            folder,
            context,
            seed=plan.seed,
            group=plan.group,
            concurrency=settings.concurrency,
            tell=self._heard,
            first=plan.first,
        )
        threading.Thread(target=self._listen, name="desk", daemon=True).start()

    def do(self, path: str, seen: bool) -> Outcome | VideoEspressoError:
        """The outcome of a video; its shard is written. seen: the file is there where the run was
        started."""
        assert self._worker is not None, "open comes first"
        if seen and not os.path.exists(path):
            return UserError(
                f"{self._where} does not see {path}",
                hint="Put videos on storage that every node sees under the same path.",
            )
        try:
            outcome = self._worker.do(path)
            self._ask("heard")  # the usage log's lines are there before the outcome is
            return outcome
        except VideoEspressoError as error:
            return type(error)(f"{self._where}: {error}", hint=error.hint)

    def _journal(self) -> Journal | None:
        """That of the video at work."""
        now = self._worker.context.journals.open() if self._worker is not None else []
        return now[0] if now else None

    def _heard(self, event: Event) -> None:
        self._tell("stage", event.stage, event.known)

    # ---- the desk

    def _ask(self, name: str, *arguments: Any) -> Any:
        """What the desk says. Raises MemoryStoreError when it is gone: without it there are no
        limits, so nothing goes on."""
        import ray  # noqa: PLC0415 - an extra

        try:
            return ray.get(getattr(self._desk, name).remote(self._name, *arguments))
        except ray.exceptions.RayError as error:
            raise MemoryStoreError(
                f"the desk that keeps the limits does not answer: {redact(type(error).__name__)}",
                hint="The same command goes on.",
            ) from error

    def _tell(self, name: str, *arguments: Any) -> None:
        """Tells the desk without waiting."""
        getattr(self._desk, name).remote(self._name, *arguments)

    def _listen(self) -> None:
        """Passes on what the desk rings, until the desk or this worker is given up."""
        assert self._worker is not None
        while True:
            try:
                rung = self._ask("listen", self._worker.context.stopping.is_set())
            except MemoryStoreError:
                rung = None
            if rung is None:
                self._worker.stop()
                self._budget.stop("this worker was given up")
                return
            if rung.stop:
                self._worker.stop()
            for number in rung.places:
                self._bells.ring(number)
            if rung.ended:
                self._budget.notify()


@contextmanager
def shown(work: Path, token: str) -> Iterator[None]:
    """Makes the folder known to workers (`see_folder`): a file with a name nobody can guess, and a
    lock on it that is held here."""
    mark = work / f".{token}"
    lock = FileLock(mark)
    try:
        lock.acquire()
    except OSError as error:
        raise MemoryStoreError(
            f"{work} cannot be written: {error.strerror or error}", hint="Choose another --out."
        ) from error
    try:
        yield
    finally:
        lock.release()
        mark.unlink(missing_ok=True)


def see_folder(work: Path, token: str) -> None:
    """Raises UserError where this is not the folder of the machine that started the run, or where
    that machine's locks are not known here."""
    mark = work / f".{token}"
    until = time.monotonic() + SEEN_WITHIN_S
    while not mark.exists():
        if time.monotonic() > until:
            raise UserError(
                f"it does not see the folder {work.parent}",
                hint="Give --out a folder on storage that every node sees under the same path.",
            )
        time.sleep(0.2)
    lock = FileLock(mark)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return
    except OSError as error:
        told = error.strerror or str(error)
    else:
        lock.release()
        told = "a lock that another node holds is not known here"
    raise UserError(
        f"{work.parent}: file locks do not work between nodes: {told}",
        hint="Use storage with locks, such as NFSv4, mounted without nolock and local_lock.",
    )


def settings_here(settings: Settings) -> Settings:
    """The run's settings with the caches of this machine: sqlite must not be shared between
    machines. Raises SettingsError where the cache folder is on network storage."""
    given = os.environ.get(f"{PREFIX}CACHE_DIR")
    cache = Path(given).expanduser() if given else settings.cache_dir
    memory = settings.memory if settings.memory.startswith(("http://", "https://")) else ""
    kind = file_system(cache)
    if kind in NETWORKED or kind.startswith("fuse."):
        raise SettingsError(
            f"the cache folder {cache} is on network storage ({kind})",
            hint=f"Set {PREFIX}CACHE_DIR to a folder on this node's own disk, before `ray start`.",
        )
    return settings.model_copy(update={"cache_dir": cache, "memory": memory})


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The kind of the file system that a path is, or would be, on; "" where it is not known."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    place = os.path.realpath(path)
    found = [
        (len(at), kind)
        for _, at, kind, *_ in lines
        if place == at or place.startswith(at.rstrip("/") + "/")
    ]
    return max(found, default=(0, ""))[1]


def different(one: dict[str, Any], other: dict[str, Any], name: str = "") -> str:
    """The first thing in which `other` differs from `one`, with both values; "" when none."""
    for key in sorted(one | other):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            if found := different(a, b, f"{name}{key}."):
                return found
        elif a != b:
            return f"{name}{key} is {b!r} and not {a!r}"
    return ""


log = logging.getLogger(__name__)

TRIES: Final = 3
"""Workers that may die over one video; then it is a failure, and the run goes on."""
BUSY_S: Final = 120.0
"""How long a video that another process holds is come back to: a server of files frees the locks of
a machine that died after some 90 s (NFSv4's lease)."""
_AGAIN_S: Final = 2.0
_DESK_S: Final = 60.0
_ALONE_S: Final = 60.0
_KNOCK_S: Final = 5.0
"""Seconds a cluster's address has to answer in before Ray is asked to connect."""
_TOLD: Final = 300
"""Characters of what Ray says that are passed on: it writes pages."""


@dataclass
class _Video:
    """A path on its way. at: not before that moment."""

    path: str
    deaths: int = 0
    busy_since: float | None = None
    at: float = 0.0


@dataclass
class _Slot:
    """A worker. ready: it was opened."""

    name: str
    actor: Any
    ready: bool = False


class RayEngine:
    """See `Engine`. jobs: workers; None is one a CPU of the cluster. Never more than videos."""

    def __init__(
        self, folder: Folder, plan: Plan, *, address: str = "", jobs: int | None = None
    ) -> None:
        self._folder, self._plan = folder, plan
        self._address, self._jobs = address, jobs
        self._todo: deque[_Video] = deque()
        self._under_way: dict[Any, tuple[_Slot, _Video | None]] = {}
        self._slots: dict[str, _Slot] = {}
        self._idle: deque[_Slot] = deque()
        self._stopping = False
        self._report = Report()
        self._held = ExitStack()
        self._lonely_since = time.monotonic()
        self._cpus = 1.0
        self._unopened = 0
        self._proven = False
        self._ray: Any = None
        self._desk: Any = None

    def start(self, paths: Sequence[str]) -> None:
        """See `Engine`. Raises UserError without Ray, a cluster, or folders that all nodes see."""
        self._ray = connected(self._address, self._held)
        self._held.enter_context(shown(self._folder.work, self._plan.token))
        self._todo.extend(map(_Video, paths))
        self._held.callback(self._dismiss_all)
        self._desk = self._made(Desk, self._plan.settings, here=True)
        cpus = max(1, int(self._ray.cluster_resources().get("CPU", 0)))
        workers = min(self._jobs or cpus, len(paths))
        self._cpus = 1 / ceil(workers / cpus)
        for _ in range(workers):
            self._hire()

    @property
    def working(self) -> bool:
        """See `Engine`."""
        busy = any(video is not None for _, video in self._under_way.values())
        return busy or (bool(self._todo) and not self._stopping)

    def next(self, timeout_s: float) -> Outcome | None:
        """See `Engine`. Raises what a worker says about the run, and UserError when no node can
        take a worker."""
        self._hand_out()
        if not self._under_way:  # what is left is held by another process
            time.sleep(timeout_s)
            return None
        ready = self._ray.wait(list(self._under_way), num_returns=1, timeout=timeout_s)[0]
        if not ready:
            self._look_alone()
            return None
        slot, video = self._under_way.pop(ready[0])
        try:
            came = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of ours, with its trace
        except self._ray.exceptions.RayError as error:
            return self._lost(slot, video, error)
        if isinstance(came, VideoEspressoError):
            self._refused(slot, came)
            return None
        self._idle.append(slot)
        if video is None:
            slot.ready, self._unopened = True, 0
            return None
        return self._settled(video, came)

    def report(self) -> Report:
        """See `Engine`; the last one where the desk is gone."""
        try:
            news = self._ray.get(self._desk.news.remote(), timeout=_DESK_S)
        except self._ray.exceptions.RayError:
            return Report(
                spent=self._report.spent, reached=self._report.reached, usage=self._report.usage
            )
        self._report = Report(*news)
        return self._report

    def stop(self) -> None:
        """See `Engine`."""
        self._stopping = True
        self._desk.stop.remote()

    def close(self) -> None:
        """See `Engine`."""
        self._held.close()

    # ---- workers

    def _made(self, kind: type, *given: Any, here: bool = False, **options: Any) -> Any:
        """An actor. here: on this node, where it lives as long as the run does."""
        if here:
            from ray.util.scheduling_strategies import (  # noqa: PLC0415 - an extra
                NodeAffinitySchedulingStrategy,
            )

            node = self._ray.get_runtime_context().get_node_id()
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
            options |= {"num_cpus": 0, "max_concurrency": 10_000}
        return self._ray.remote(kind).options(max_restarts=0, **options).remote(*given)

    def _hire(self) -> None:
        """One more worker, which opens as soon as a node has room for it."""
        name = uuid4().hex
        actor = self._made(VideoWorker, name, self._plan, self._desk, num_cpus=self._cpus)
        slot = _Slot(name, actor)
        self._slots[name] = slot
        self._under_way[actor.open.remote()] = (slot, None)

    def _dismiss(self, slot: _Slot) -> None:
        del self._slots[slot.name]
        self._desk.lost.remote(slot.name)
        self._ray.kill(slot.actor)

    def _dismiss_all(self) -> None:
        for slot in self._slots.values():
            self._ray.kill(slot.actor)
        if self._desk is not None:
            self._ray.kill(self._desk)

    def _hand_out(self) -> None:
        """Gives idle workers what may be done now."""
        now = time.monotonic()
        while self._idle and not self._stopping:
            video = next((v for v in self._todo if v.at <= now), None)
            if video is None:
                return
            self._todo.remove(video)
            slot = self._idle.popleft()
            begun = slot.actor.do.remote(video.path, os.path.exists(video.path))
            self._under_way[begun] = (slot, video)

    def _settled(self, video: _Video, outcome: Outcome) -> Outcome | None:
        """The outcome, unless the video is to be tried again."""
        now = time.monotonic()
        if outcome.busy and not self._stopping:
            video.busy_since = video.busy_since or now
            if now - video.busy_since < BUSY_S:
                video.at = now + _AGAIN_S
                self._todo.append(video)
                return None
        self._proven = True
        return outcome

    def _lost(self, slot: _Slot, video: _Video | None, error: Exception) -> Outcome | None:
        """A worker has died: another takes its place, and its video."""
        told = redact(" ".join(f"{type(error).__name__}: {error}".split())[:_TOLD])
        log.warning("a worker died: %s", told)
        self._dismiss(slot)
        if video is None:
            self._unopened += 1
            if self._unopened >= TRIES and not any(s.ready for s in self._slots.values()):
                raise UserError(
                    f"workers die before they begin: {told}",
                    hint="Look into Ray's logs on the nodes; is videoespresso installed there?",
                )
        if self._stopping or (video is None and self._unopened >= TRIES):
            return None
        self._hire()
        if video is None:
            return None
        video.deaths += 1
        if video.deaths < TRIES:
            self._todo.appendleft(video)
            return None
        outcome = Outcome(video.path)
        reason = f"{video.deaths} workers died over it: {told}"
        outcome.take({"failures": [{"stage": "worker", "reason": reason, "video": video.path}]})
        return outcome

    def _refused(self, slot: _Slot, error: VideoEspressoError) -> None:
        """A worker says that it cannot work. What is wrong at the beginning ends the run; a node
        that comes later and cannot is left out, as long as others can."""
        if slot.ready or not self._proven or not any(s.ready for s in self._slots.values()):
            raise error
        log.warning("%s; it is left out. %s", error, error.hint)
        self._dismiss(slot)

    def _look_alone(self) -> None:
        """Says now and then that no node has room."""
        now = time.monotonic()
        if any(slot.ready for slot in self._slots.values()):
            self._lonely_since = now
        elif now - self._lonely_since > _ALONE_S:
            self._lonely_since = now
            log.warning("no node of the cluster has room for a worker; waiting")


def connected(address: str, held: ExitStack) -> Any:
    """Ray, connected to a cluster; `held` ends the connection if it was made here.

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
            hint="Run the command on one of the nodes: limits and locks are kept beside it.",
        )
    more = {"include_dashboard": False} if address == "local" else {}
    if address == "local":  # nothing is sent anywhere from a cluster that we start
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **more)
    except (ConnectionError, RuntimeError, ValueError, OSError, RayError) as error:
        told = " ".join(str(error).split())[:_TOLD]
        raise UserError(
            f"no Ray cluster at {address}: {told}",
            hint="Start one with `ray start --head`, name another with --ray-address, or take "
            "`--ray-address local` for one of this machine alone.",
        ) from error
    held.callback(ray.shutdown)
    return ray


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port. Ray itself would try for ten minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S):
            pass
