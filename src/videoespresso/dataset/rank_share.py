"""What a worker of a cluster has of a run: its share of the limits, and replies that stay where
whoever takes its rank over finds them."""

import os
from pathlib import Path

from videoespresso.errors import MemoryStoreError, SettingsError
from videoespresso.memory.disk import networked
from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.models.client.budget import Budget
from videoespresso.settings import PREFIX, Settings
from videoespresso.types import Usage


def most_workers(settings: Settings) -> int:
    """How many the limits can be divided among: each needs a call at a time, and one in all."""
    counted = (settings.requests_per_minute, settings.tokens_per_minute, settings.budget_calls)
    return min([settings.concurrency, *filter(None, counted)])


def share(settings: Settings, rank: int, workers: int) -> Settings:
    """The settings of a rank: an equal part of each limit; the parts add up to the whole."""
    names = ("budget_calls", "concurrency", "requests_per_minute", "tokens_per_minute")
    limits = {name: whole for name in names if (whole := getattr(settings, name)) is not None}
    parts = {name: n // workers + (rank < n % workers) for name, n in limits.items()}
    usd = settings.budget_usd
    budget_usd = None if usd is None else usd / workers
    return settings.model_copy(update={**parts, "budget_usd": budget_usd})


def here(settings: Settings) -> Settings:
    """The settings with the caches of this machine. Raises SettingsError where the cache folder is
    on network storage."""
    given = os.environ.get(f"{PREFIX}CACHE_DIR")
    cache = Path(given).expanduser() if given else settings.cache_dir
    if kind := networked(cache):
        raise SettingsError(
            f"the cache folder {cache} is on network storage ({kind})",
            hint=f"Set {PREFIX}CACHE_DIR to a folder on this node's own disk, before `ray start`.",
        )
    memory = settings.memory if settings.memory.startswith(("http://", "https://")) else ""
    return settings.model_copy(update={"cache_dir": cache, "memory": memory})


class RankBudget(Budget):
    """A rank's share of the limits, which whoever takes the rank over goes on with.

    file: every call is in it, at the most it can cost, before it is made, and what it cost less
    after: lines of calls and dollars, which add up to what was spent or is under way.
    """

    def __init__(self, settings: Settings, seconds: float | None, file: Path) -> None:
        super().__init__(settings.budget_usd, settings.budget_calls, None, seconds)
        self._file = file
        try:
            lines = file.read_text().splitlines() if file.exists() else []
        except OSError as error:
            raise self._unusable(error) from error
        before = Usage()
        for line in lines:
            if line.endswith(" "):  # else it is torn, and its call was not made
                calls, usd = line.split()
                before += Usage(calls=int(calls), usd=float(usd))
        self.reserve(0.0, 1, made=True)
        self.settle(0.0, before)

    def start(self, usd: float = 0.0, *, wait: bool = False) -> bool:
        """See `Budget`."""
        begun = super().start(usd, wait=wait)
        if begun:
            self._write(1, usd)
        return begun

    def finish(self, usd: float = 0.0, usage: Usage | None = None) -> None:
        """See `Budget`."""
        used = usage or Usage(calls=1)
        self._write(used.calls - 1, (used.usd or 0.0) - usd)
        super().finish(usd, usage)

    def _write(self, calls: int, usd: float) -> None:
        try:
            with self._file.open("ab", buffering=0) as file:
                file.write(f"\n{calls} {usd!r} ".encode())
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> MemoryStoreError:
        return MemoryStoreError(
            f"{self._file} cannot be written: {error.strerror or error}",
            hint="Free the disk; what is finished is kept, and the same command goes on.",
        )


class RankReplies(ReplyCache):
    """The node's store, and behind it the rank's own in the dataset's folder, where whoever takes
    the rank over finds it; and those of runs with another number of workers, only to be read."""

    def __init__(self, node: Path, own: Path) -> None:
        super().__init__(node)
        self._own = ReplyCache(own, shared=True)
        files = sorted(own.parent.glob("*.sqlite"))
        ending = own.stem.partition("-of-")[2]
        earlier = [f for f in files if f.stem.partition("-of-")[2] != ending]
        self._others = [ReplyCache(file, shared=True) for file in earlier]

    def get(self, key: str) -> StoredReply | None:
        """See `ReplyCache`; what only another store has, the rank's own has from then on."""
        if (known := self._own.get(key)) is not None:
            return known
        reply = super().get(key)
        for other in self._others:
            reply = reply or other.get(key)
        if reply is not None:
            self._own.put(key, "", "", reply)
        return reply

    def put(self, key: str, spec: str, role: str, reply: StoredReply) -> None:
        """See `ReplyCache`."""
        self._own.put(key, spec, role, reply)
        super().put(key, spec, role, reply)

    def drop(self, key: str) -> None:
        """See `ReplyCache`."""
        self._own.drop(key)
        super().drop(key)
