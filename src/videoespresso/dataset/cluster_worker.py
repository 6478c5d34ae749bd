"""A worker of a cluster: a process on some machine that does one video after another."""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from filelock import FileLock, Timeout

from videoespresso.dataset.arenas import few_arenas
from videoespresso.dataset.build import open_dataset_context
from videoespresso.dataset.desk_worker import Bells, DeskBudget, DeskLedger, DeskPaces
from videoespresso.dataset.folder import Folder
from videoespresso.dataset.manifest import made_with
from videoespresso.dataset.videos import first_paths
from videoespresso.dataset.work import Outcome, Worker
from videoespresso.errors import MemoryStoreError, SettingsError, UserError, VideoEspressoError
from videoespresso.graphs.dataset_context import Event
from videoespresso.memory.journal import Journal
from videoespresso.memory.shared_replies import SharedReplies
from videoespresso.models.secrets import redact
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
            ledger=DeskLedger(self._tell),
            paces=DeskPaces(self._ask, self._bells),
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
            self._ask("heard")  # the ledger's lines are there before the outcome is
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
                self._budget.call_ended()


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
