"""What a dataset will cost, from a sample that is really done.

A few videos, spread over the lengths of all, are built as they would be in a run; what they took is
carried over to the others by the different frames they have (a ratio estimator), with a 95 %
interval from leaving out one video after the other (jackknife). What was known of them before is
taken at what it cost then (costs.py): the others are not cheaper for it. Frames are taken from up
to LOOKED videos, which costs time and no money; of the others they are estimated by length. Nothing
is done in vain: frames, replies and records are kept, and what was measured is noted for the next
forecast.
"""

import copy
import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from langgraph.runtime import Runtime
from pydantic import TypeAdapter, ValidationError

from videoespresso.agents import captioner
from videoespresso.agents.base import Agent
from videoespresso.dataset.build import open_dataset_context
from videoespresso.dataset.folder import Folder, written
from videoespresso.dataset.manifest import made_with, write_manifest
from videoespresso.dataset.video_worker import Worker
from videoespresso.dataset.videos import find_videos, first_paths
from videoespresso.errors import BudgetExceeded, ModelError, UserError, VideoError
from videoespresso.graphs import watch
from videoespresso.graphs.context import Context
from videoespresso.graphs.dataset_context import GROUP, Event
from videoespresso.graphs.state import State
from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.rate_limit import Pace
from videoespresso.models.client.usage import Ledger
from videoespresso.report.dataset_page import write_page
from videoespresso.settings import Settings
from videoespresso.tools.sampling import SamplingPlan
from videoespresso.types import FrameRef, Record, Usage

ROLE_OF = {
    "generate": "generator",
    "verify": "verifier",
    "annotate": "annotator",
    "distract": "distractor",
}
"""Who is asked in a stage; in others nobody is."""


class Costs:
    """Counts, by role, what replies cost when they were made. Thread-safe.

    context: the one given, whose agents now tell which replies they took from the cache.
    """

    def __init__(self, context: Context) -> None:
        self._lock = threading.Lock()
        self._cached: dict[str, Usage] = {}
        self._journal: dict[str, Usage] = {}
        self._ledger: dict[str, Usage] = {}
        agents = {role: copy.copy(agent) for role, agent in context.agents.items()}
        for role, agent in agents.items():
            if agent.replies is not None:
                agent.replies = _Replies(agent.replies.path, partial(self._found, role))
        self.context = replace(context, agents=agents)

    def hear(self, event: Event) -> None:
        """Counts a stage that was in a journal."""
        role = ROLE_OF.get(event.stage)
        if role and event.known:
            self._add(self._journal, role, event.cost)

    def remembered(self, frames: Iterable[FrameRef]) -> None:
        """Counts captions that the memory holds; one whose reply the cache has lost is not."""
        asked = copy.copy(self.context.agents["captioner"])
        asked.ledger, asked.budget, asked.pace = Ledger(), Budget(max_calls=0), Pace()
        for frame in frames:
            with suppress(BudgetExceeded):
                captioner.caption(asked, [self.context.store.image(frame)])

    def take(self) -> dict[str, Usage]:
        """All since the last time. A journal keeps no seconds: its calls are taken to have been as
        long as the role's others."""
        with self._lock:
            cached, self._cached = self._cached, {}
            journal, self._journal = self._journal, {}
        before, self._ledger = self._ledger, self.context.ledger.by_role()
        found = {}
        for role in sorted({*self._ledger, *cached, *journal}):
            fresh = self._ledger.get(role, Usage()) - before.get(role, Usage())
            timed = fresh + cached.get(role, Usage())
            whole = timed + journal.get(role, Usage())
            seconds = timed.seconds * whole.calls / timed.calls if timed.calls else 0.0
            found[role] = whole.model_copy(update={"seconds": seconds})
        return found

    def _found(self, role: str, usage: Usage) -> None:
        self._add(self._cached, role, usage)

    def _add(self, sums: dict[str, Usage], role: str, usage: Usage) -> None:
        with self._lock:
            sums[role] = sums.get(role, Usage()) + usage


class _Replies(ReplyCache):
    """The cache; `found` hears what a reply cost that was there before, once a reply: the same
    question asked twice is paid once."""

    def __init__(self, path: Path, found: Callable[[Usage], None]) -> None:
        super().__init__(path)
        self._found = found
        self._told: set[str] = set()

    def get(self, key: str) -> StoredReply | None:
        """See `ReplyCache`."""
        kept = super().get(key)
        if kept is not None and key not in self._told:
            self._told.add(key)
            self._found(kept.usage)
        return kept

    def put(self, key: str, spec: str, role: str, reply: StoredReply) -> None:
        """See `ReplyCache`."""
        self._told.add(key)  # it is in the ledger
        super().put(key, spec, role, reply)


_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t, 97.5 %, for 1 to 10 degrees of freedom; beyond them 2.2 is on the safe side."""
MEASURES = ("calls", "input_tokens", "output_tokens", "usd", "seconds")


class Expected(Record):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


class RoleForecast(Record):
    """What a role will take. usd: None where its model has no known price. seconds: of waiting for
    replies, added up over calls that are made side by side."""

    calls: Expected
    input_tokens: Expected
    output_tokens: Expected
    usd: Expected | None
    seconds: Expected


class Measured(Record):
    """What a video took. frames: those of it that differ to the eye."""

    frames: float
    usage: dict[str, Usage]


def ratio(took: Sequence[float], frames: Sequence[float], left: Sequence[float]) -> Expected:
    """What the videos left take in all: sum(took) / sum(frames) of the sample, times their frames.

    The interval is the jackknife's, with Student's t, never below 0; the sample is taken as drawn
    from a large set, and what the videos left differ by among themselves is in it too.
    """
    n, whole = len(took), sum(left)
    rate = sum(took) / sum(frames)
    parts = [(sum(took) - t) / (sum(frames) - f) for t, f in zip(took, frames, strict=True)]
    mean = sum(parts) / n
    variance = (n - 1) / n * sum((p - mean) ** 2 for p in parts)
    residual = sum((t - rate * f) ** 2 for t, f in zip(took, frames, strict=True)) / (n - 1)
    error = math.sqrt(variance * whole**2 + residual * len(left))
    t = _T[min(n - 1, len(_T)) - 1]
    return Expected(
        value=rate * whole, low=max(0.0, rate * whole - t * error), high=rate * whole + t * error
    )


def carried(measured: Sequence[Measured], left: Sequence[float]) -> dict[str, RoleForecast]:
    """What each role will take. measured: the sample; left: the others' frames."""
    roles = sorted({role for m in measured for role in m.usage})
    return {
        role: _forecast([m.usage.get(role, Usage()) for m in measured], measured, left)
        for role in roles
    }


def added(measured: Sequence[Measured], left: Sequence[float]) -> RoleForecast:
    """What all roles together will take."""
    return _forecast([sum(m.usage.values(), Usage()) for m in measured], measured, left)


def _forecast(
    usages: Sequence[Usage], measured: Sequence[Measured], left: Sequence[float]
) -> RoleForecast:
    frames = [m.frames for m in measured]
    found: dict[str, Expected | None] = {}
    for name in MEASURES:
        took = [getattr(usage, name) for usage in usages]
        known = None not in took
        if not left:
            found[name] = Expected(value=0.0, low=0.0, high=0.0)
        else:
            found[name] = ratio(took, frames, left) if known else None
    return RoleForecast.model_validate(found)


SAMPLE = 3
"""Videos: the fewest of which a spread can be told."""
LOOKED = 200
"""Videos whose frames are taken: some minutes, and no more than the frame store holds."""


class Forecast(Record):
    """What is to come when the command is run without --dry-run.

    videos: given; known: of these, done already or never to be (broken, duplicates), they cost
    nothing; sampled: measured for this forecast, now or before; left: to be done. roles, total:
    of what is left, asked for the first time; what the cache has of it is free. seconds: at the
    least, with the calls that may be made at a time and a minute. spent: what the sample took just
    now; its records are in the folder, and this sum among the runs in dataset.json.
    """

    videos: int
    known: int
    sampled: int
    left: int
    roles: dict[str, RoleForecast]
    total: RoleForecast
    seconds: Expected
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

    sample: videos to be done for it. on_video: hears of each before it is done. Raises as
    `build_dataset` does, and ModelError where no video of the sample could be finished.
    """
    if sample < 2:
        raise UserError(f"a sample of {sample}", hint="At least 2 videos say how much they differ.")
    settings = settings or Settings.load()
    paths = find_videos([videos] if isinstance(videos, str | Path) else videos)
    folder = Folder(Path(out))
    context = open_dataset_context(settings)
    folder.open()
    return _Forecaster(folder, context, paths, seed, group).forecast(sample, on_video)


class _Forecaster:
    """One call of `forecast_dataset`."""

    def __init__(
        self, folder: Folder, context: Context, paths: Sequence[str], seed: int, group: int
    ) -> None:
        self._costs = Costs(context)
        self._context = context = self._costs.context
        self._folder, self._paths, self._seed = folder, paths, seed
        self._made_with = made_with(context, seed, group)
        self._started = time.monotonic()
        self._done = self._tried = 0
        self._why = ""
        first = first_paths(paths)
        self._worker = Worker(
            folder,
            context,
            seed=seed,
            group=group,
            concurrency=context.settings.concurrency,
            tell=self._costs.hear,
            first=first,
        )
        self._first = first
        self._notes = _Notes(folder, self._worker.made)

    def forecast(self, sample: int, on_video: Callable[[str], None]) -> Forecast:
        ended = ""
        try:
            return self._forecast(sample, on_video)
        except BaseException as error:
            ended = type(error).__name__
            raise
        finally:
            if self._tried:
                self._close(ended)

    def _close(self, ended: str) -> None:
        """What was done for the sample is part of the dataset, and what it took."""
        counts = self._folder.merge()
        usage = self._context.ledger.by_role()
        told = {
            "dry_run": True,
            "videos": len(self._paths),
            "done": self._done,
            "records": counts["records"],
            "rejects": counts["rejects"],
            "usage": {role: used.model_dump(mode="json") for role, used in usage.items()},
            "seconds": round(time.monotonic() - self._started, 3),
            "ended": ended,
        }
        write_manifest(self._folder, self._made_with, counts, told)
        write_page(self._folder.root, self._folder.page)

    def _forecast(self, sample: int, on_video: Callable[[str], None]) -> Forecast:
        ids, frames = self._look()
        known = {path for path in frames if self._known(ids[path])}
        measured = {p: m for p in frames if (m := self._notes.get(ids[p]))}
        todo = {path: n for path, n in frames.items() if path not in known}
        for path in spread(todo, sample - len(measured), self._seed):
            on_video(path)
            self._tried += 1
            if (found := self._measure(path, ids[path], frames[path])) is None:
                continue
            self._done += 1
            self._notes.put(ids[path], found)
            measured[path] = found
            known.add(path)
        left = [n for path, n in frames.items() if path not in known]
        if left and len(measured) < 2:
            raise ModelError(
                f"{len(measured)} videos of the sample could be finished{self._why}",
                hint="Mend that, or take a larger --sample.",
            )
        roles = carried(list(measured.values()), left)
        return Forecast(
            videos=len(self._paths),
            known=len(self._paths) - len(left),
            sampled=len(measured),
            left=len(left),
            roles=roles,
            total=added(list(measured.values()), left),
            seconds=self._seconds(roles),
            spent=self._context.ledger.total(),
        )

    def _look(self) -> tuple[dict[str, str], dict[str, float]]:
        """Path -> video id, and path -> frames, of the videos that can be read, each once."""
        ids, frames = {}, {}
        for path in self._paths:
            try:
                video = self._worker.context.probes(path)
            except VideoError:
                continue
            if self._first.get(video.id, path) == path:
                ids[path] = video.id
                frames[path] = frames_of(video.duration_s, self._context.plan)
        return ids, self._seen(ids, frames)

    def _seen(self, ids: Mapping[str, str], frames: Mapping[str, float]) -> dict[str, float]:
        """Path -> frames that differ: counted, or carried over from those counted by length."""
        counted = {p: float(m.frames) for p in frames if (m := self._notes.get(ids[p]))}
        rest = {p: n for p, n in frames.items() if p not in counted}
        for path in spread(rest, LOOKED - len(counted), self._seed):
            with suppress(VideoError):
                counted[path] = float(max(1, len(self._different(path))))
        share = sum(counted.values()) / (sum(frames[p] for p in counted) or 1.0)
        return {p: counted.get(p, n * share) for p, n in frames.items()}

    def _different(self, path: str) -> list[FrameRef]:
        """The frames of a video that a captioner is shown. Raises VideoError."""
        video = self._worker.context.probes(path)
        asked: State = {
            "path": path,
            "question": "",
            "options": [],
            "video": video.model_dump(mode="json"),
        }
        found = watch.sample(asked, Runtime(context=self._context))
        frames = [FrameRef.model_validate(frame) for frame in found["frames"]]
        leaders = watch.leaders(self._context, frames)
        return [frame for frame in frames if leaders[frame.id] == frame.id]

    def _known(self, video_id: str) -> bool:
        """Whether a run would ask nothing about this video."""
        try:
            shard = self._folder.read_shard(video_id[:16])
        except (OSError, ValueError):
            return False
        return bool(shard["complete"]) and shard.get("made") == self._worker.made

    def _measure(self, path: str, video_id: str, frames: float) -> Measured | None:
        """Does a video; None where it fails. Raises BudgetExceeded at a limit."""
        remembered = self._context.memory.captions(self._context.memory_key(video_id))
        self._costs.take()
        outcome = self._worker.do(path)
        if outcome.ended == "refused":
            raise ModelError(outcome.told, hint=outcome.hint)
        if outcome.ended:
            raise BudgetExceeded(
                f"{outcome.told}, before the sample was done",
                hint="What was paid for is kept; raise the limit, or take a smaller --sample.",
            )
        if not outcome.complete:
            failures = [f"{f['video']}: {f['reason']}" for f in outcome.failures.values()]
            self._why = f"; the last: {(failures or [outcome.told])[-1]}"
            return None
        if remembered:
            names = {caption.frame_id for caption in remembered}
            self._costs.remembered(f for f in self._different(path) if f.id in names)
        return Measured(frames=frames, usage=self._costs.take())

    def _seconds(self, roles: Mapping[str, RoleForecast]) -> Expected:
        """The longest of the providers' times."""
        by_spec: dict[str, list[tuple[Agent, RoleForecast]]] = {}
        for role, told in roles.items():
            agent = self._context.agents[role]
            by_spec.setdefault(str(agent.spec), []).append((agent, told))
        found = {
            end: max([0.0, *(s for parts in by_spec.values() for s in seconds_of(parts, end))])
            for end in ("value", "low", "high")
        }
        return Expected(**found)


def seconds_of(parts: Sequence[tuple[Agent, RoleForecast]], end: str) -> Iterator[float]:
    """What a provider's calls take at the least: so many at a time, and no more requests and
    tokens a minute than the settings allow. end: of the interval, or "value"."""
    yield sum(getattr(told.seconds, end) / agent.concurrency for agent, told in parts)
    pace = parts[0][0].pace
    calls = sum(getattr(told.calls, end) for _, told in parts)
    tokens = sum(
        getattr(t, end) for _, told in parts for t in (told.input_tokens, told.output_tokens)
    )
    for n, limit in ((calls, pace.requests_per_minute), (tokens, pace.tokens_per_minute)):
        if limit is not None:
            yield max(0.0, n - limit) * 60 / limit  # the first minute's go at once


def frames_of(duration_s: float, plan: SamplingPlan) -> float:
    """Frames of a video of that length, as far as its length decides: one a second of stillness,
    at least one, no more than a sampling takes."""
    return max(1.0, min(duration_s * plan.static_fps, float(plan.max_frames)))


def spread(frames: Mapping[str, float], count: int, seed: int) -> list[str]:
    """So many of the paths, one by chance from each of as many equal parts in order of length."""
    ordered = sorted(frames, key=lambda path: (frames[path], path))
    count = min(max(count, 0), len(ordered))
    draw = random.Random(seed)
    cuts = [round(k * len(ordered) / count) for k in range(count + 1)] if count else []
    return [draw.choice(ordered[a:b]) for a, b in pairwise(cuts)]


class _Notes:
    """What videos took in earlier forecasts, as long as the same is asked of the same models."""

    def __init__(self, folder: Folder, made: str) -> None:
        self._file = folder.work / f"forecast-{made}.json"
        self._type = TypeAdapter(dict[str, Measured])
        try:
            self._kept = self._type.validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            self._kept = {}

    def get(self, video_id: str) -> Measured | None:
        """The note about a video."""
        return self._kept.get(video_id)

    def put(self, video_id: str, measured: Measured) -> None:
        """Notes what a video took."""
        self._kept[video_id] = measured
        with written(self._file) as file:
            file.write(self._type.dump_json(self._kept).decode())
