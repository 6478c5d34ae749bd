"""What a dataset will cost, from a sample that is really done.

A few videos, spread over the lengths of all, are built as they would be in a run; what they took a
minute of video is scaled to the minutes that are left: the mean of the sample, and the range from
its cheapest video to its dearest. What the caches know of a video counts as it cost when it was
made, so a warm cache makes no forecast cheaper, and the same forecast again costs nothing. The
sample is part of the dataset.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from videoespresso.dataset.folder import Folder
from videoespresso.dataset.manifest import made_with, write_manifest
from videoespresso.dataset.video_worker import Worker
from videoespresso.dataset.videos import find_videos, first_paths
from videoespresso.dataset_record import UNKNOWN
from videoespresso.errors import BudgetExceeded, ModelError, UserError, VideoError
from videoespresso.graphs.dataset_context import GROUP, Event, open_dataset_context
from videoespresso.memory.captions import CaptionMemory
from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.models.unknown_film import unknown_films
from videoespresso.settings import Settings
from videoespresso.types import Record, Usage

SAMPLE = 3
"""Videos: the fewest of which a spread can be seen."""
ASKING = frozenset(("generate", "verify", "annotate", "distract"))
"""Stages in which a model is asked; the cost that others keep is a sum of these."""


class Range(Record):
    """What the videos left will take by the sample's mean, its cheapest and its dearest minute."""

    mean: float
    low: float
    high: float


class Forecast(Record):
    """What is to come when the command is run without --dry-run.

    videos: given; known: of these, done already or never to be (broken, duplicates), they cost
    nothing; left: to be done; minutes: of video in these. sampled: videos measured. The ranges are
    of what is left, as if nobody had asked for it before; usd: None where a model has no known
    price. spent: what the sample took just now; it is a line in dataset.json, too.
    """

    videos: int
    known: int
    left: int
    minutes: float
    sampled: int
    calls: Range
    images: Range
    input_tokens: Range
    output_tokens: Range
    usd: Range | None
    spent: Usage


def forecast_dataset(
    videos: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    group: int = GROUP,
    sample: int = SAMPLE,
    on_video: Callable[[str], None] = lambda _path: None,
) -> Forecast:
    """What `build_dataset` with the same arguments will cost; see the module.

    sample: videos to be done for it. on_video: called with each before it is done. Raises as
    `build_dataset` does, UnknownFilmError where the embedded models know none of the sample, and
    ModelError where fewer than two of it could be finished.
    """
    if sample < 2:
        raise UserError(f"a sample of {sample}", hint="At least 2 videos say how much they differ.")
    settings = settings or Settings.load()
    given = [videos] if isinstance(videos, str | Path) else list(videos)
    paths = find_videos(given)
    folder = Folder(Path(out))
    with TemporaryDirectory() as place:
        sampler = _Sampler(folder, settings, paths, seed, group, Path(place))
        folder.open()
        forecast = sampler.forecast(sample, on_video)
    if sampler.unknown and len(sampler.unknown) == forecast.sampled:
        raise unknown_films(settings, sampler.unknown[0], list(map(str, given)), str(out))
    return forecast


def scaled(took: Sequence[float], minutes: Sequence[float], left: float) -> Range:
    """What `left` minutes take, where videos of so many minutes took so much."""
    rates = [t / m for t, m in zip(took, minutes, strict=True)]
    mean = sum(took) / sum(minutes)
    return Range(mean=mean * left, low=min(rates) * left, high=max(rates) * left)


def spread(minutes: Mapping[str, float], count: int, seed: int) -> list[str]:
    """So many of the paths, one by chance from each of as many equal parts in order of length."""
    ordered = sorted(minutes, key=lambda path: (minutes[path], path))
    count = min(count, len(ordered))
    draw = random.Random(seed)
    cuts = [round(k * len(ordered) / count) for k in range(count + 1)] if count else []
    return [draw.choice(ordered[a:b]) for a, b in pairwise(cuts)]


class CountingReplies(ReplyCache):
    """The cache, which counts what the replies it had cost when they were made, each of them once:
    the same question asked twice is paid once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.usage = Usage()
        self._seen: set[str] = set()
        self._counting = threading.Lock()

    def get(self, key: str) -> StoredReply | None:
        """See `ReplyCache`."""
        reply = super().get(key)
        with self._counting:
            if reply is not None and key not in self._seen:
                self._seen.add(key)
                self.usage += reply.usage
        return reply

    def put(self, key: str, spec: str, role: str, reply: StoredReply) -> None:
        """See `ReplyCache`; what is new is in the usage log."""
        with self._counting:
            self._seen.add(key)
        super().put(key, spec, role, reply)


class _Sampler:
    """One call of `forecast_dataset`. place: for a memory of captions of its own, so that every
    caption is asked of the replies, where its cost is."""

    def __init__(
        self,
        folder: Folder,
        settings: Settings,
        paths: Sequence[str],
        seed: int,
        group: int,
        place: Path,
    ) -> None:
        self._folder, self._paths, self._seed = folder, paths, seed
        self._replies = CountingReplies(settings.cache_dir / "replies.sqlite")
        context = open_dataset_context(settings, replies=self._replies)
        memory = CaptionMemory.open(place, context.embed, root=place)
        memory.eager = False
        self._context = context = replace(context, memory=memory)
        self._made_with = made_with(context, seed, group)
        self._journal, self._counting = Usage(), threading.Lock()
        self._first = first_paths(paths)
        self._worker = Worker(
            folder,
            context,
            seed=seed,
            group=group,
            concurrency=settings.concurrency,
            tell=self._count,
            first=self._first,
        )
        self._started = time.monotonic()
        self._measured: dict[str, Usage] = {}
        self._failure = ""
        self.unknown: list[str] = []
        """Films of the sample that the embedded models do not know."""

    def forecast(self, sample: int, on_video: Callable[[str], None]) -> Forecast:
        minutes, known = self._watching()
        chosen = spread(minutes, sample, self._seed) if len(known) < len(minutes) else []
        ended = ""
        try:
            for path in chosen:
                on_video(path)
                if (usage := self._measure(path)) is not None:
                    self._measured[path] = usage
        except BaseException as error:
            ended = type(error).__name__
            raise
        finally:
            if self._context.usage_log.total().calls or set(chosen) - known:
                self._close(ended)
        left = [path for path in minutes if path not in known | self._measured.keys()]
        if left and len(self._measured) < 2:
            raise ModelError(
                f"{len(self._measured)} videos of the sample could be finished{self._failure}",
                hint="Mend that, or take a larger --sample.",
            )
        return self._forecast(minutes, left)

    def _watching(self) -> tuple[dict[str, float], set[str]]:
        """Path -> minutes, of the videos that can be read, each once: as many as its frames can
        cover; and those of which a run would ask nothing."""
        plan = self._context.plan
        minutes, known = {}, set()
        for path in self._paths:
            try:
                video = self._worker.context.probes(path)
            except VideoError:
                continue
            if self._first.get(video.id, path) == path:
                seconds = min(video.duration_s, plan.max_frames / plan.static_fps)
                minutes[path] = max(seconds, 1.0) / 60
                if self._folder.has(video.id[:16], self._worker.made):
                    known.add(path)
        return minutes, known

    def _measure(self, path: str) -> Usage | None:
        """Does a video: what it takes of who has asked nothing of it; None where it fails. Raises
        BudgetExceeded at a limit, ModelError where a key is refused."""
        before = self._total()
        outcome = self._worker.do(path)
        if outcome.ended == "refused":
            raise ModelError(outcome.message, hint=outcome.hint)
        if outcome.ended:
            raise BudgetExceeded(
                f"{outcome.message}, before the sample was done",
                hint="What was paid for is kept; raise the limit, or take a smaller --sample.",
            )
        if any(r["criterion"] == UNKNOWN for r in outcome.rejects.values()):
            self.unknown.append(path)
        if outcome.complete:
            return self._total() - before
        failures = [f"{f['video']}: {f['reason']}" for f in outcome.failures.values()]
        self._failure = f"; the last: {(failures or [outcome.message])[-1]}"
        return None

    def _total(self) -> Usage:
        return self._context.usage_log.total() + self._replies.usage + self._journal

    def _count(self, event: Event) -> None:
        """Counts a stage that was in a journal."""
        if event.known and event.stage in ASKING:
            with self._counting:
                self._journal += event.cost

    def _forecast(self, minutes: Mapping[str, float], left: Sequence[str]) -> Forecast:
        whole = sum(minutes[path] for path in left)
        of_sample = [minutes[path] for path in self._measured]

        def ranged(name: str) -> Range | None:
            if not left:
                return Range(mean=0.0, low=0.0, high=0.0)
            took = [getattr(usage, name) for usage in self._measured.values()]
            return None if None in took else scaled(took, of_sample, whole)

        names = ("calls", "images", "input_tokens", "output_tokens", "usd")
        return Forecast.model_validate(
            {name: ranged(name) for name in names}
            | {
                "videos": len(self._paths),
                "known": len(self._paths) - len(left),
                "left": len(left),
                "minutes": whole,
                "sampled": len(self._measured),
                "spent": self._context.usage_log.total(),
            }
        )

    def _close(self, ended: str) -> None:
        """What was done for the sample is part of the dataset, and what it took."""
        counts = self._folder.merge()
        usage = self._context.usage_log.by_role()
        run = {
            "dry_run": True,
            "videos": len(self._paths),
            "done": len(self._measured),
            "records": counts["records"],
            "rejects": counts["rejects"],
            "usage": {role: used.model_dump(mode="json") for role, used in usage.items()},
            "seconds": round(time.monotonic() - self._started, 3),
            "ended": ended,
        }
        write_manifest(self._folder, self._made_with, counts, run)
