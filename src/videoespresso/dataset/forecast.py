"""What a dataset will cost, from a sample that is really done.

A few videos, spread over the lengths of all, are built as they would be in a run; what they took is
carried over to the others by the different frames they have (a ratio estimator), with a 95 %
interval from leaving out one video after the other (jackknife). Frames are taken from up to LOOKED
videos, which costs time and no money; of the others they are estimated by length. Nothing is done
in vain: frames, replies and records are kept, and what was measured is noted for the next forecast.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from videoespresso.dataset.build import open_dataset_context
from videoespresso.dataset.folder import Folder, written
from videoespresso.dataset.videos import find_videos, first_paths
from videoespresso.dataset.work import Worker
from videoespresso.errors import BudgetExceeded, ModelError, UserError, VideoError
from videoespresso.graphs import look, looking
from videoespresso.graphs.context import Context
from videoespresso.graphs.dataset_context import GROUP
from videoespresso.graphs.state import State
from videoespresso.settings import Settings
from videoespresso.tools.sampling import SamplingPlan
from videoespresso.types import FrameRef, Record, Usage

SAMPLE = 3
"""Videos: the fewest of which a spread can be told."""
LOOKED = 200
"""Videos whose frames are taken: some minutes, and no more than the frame store holds."""

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


class Forecast(Record):
    """What is to come when the command is run without --dry-run.

    videos: given; known: of these, done already or never to be (broken, duplicates), they cost
    nothing; sampled: measured for this forecast, now or before; left: to be done. roles, total:
    of what is left. seconds: at the least, with the calls that may be made at a time. spent: what
    the sample took just now; its records are in the folder.
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
        self._folder, self._context, self._paths, self._seed = folder, context, paths, seed
        first = first_paths(paths)
        self._worker = Worker(
            folder,
            context,
            seed=seed,
            group=group,
            concurrency=context.settings.concurrency,
            first=first,
        )
        self._first = first
        self._notes = _Notes(folder, self._worker.made)

    def forecast(self, sample: int, on_video: Callable[[str], None]) -> Forecast:
        ids, frames = self._look()
        known = {path for path in frames if self._known(ids[path])}
        measured = {p: m for p in frames if (m := self._notes.get(ids[p]))}
        todo = {path: n for path, n in frames.items() if path not in known}
        spent = Usage()
        for path in spread(todo, sample - len(measured), self._seed):
            on_video(path)
            if (found := self._measure(path, frames[path])) is None:
                continue
            self._notes.put(ids[path], found)
            measured[path] = found
            spent = sum(found.usage.values(), spent)
            known.add(path)
        left = [n for path, n in frames.items() if path not in known]
        if left and len(measured) < 2:
            raise ModelError(
                f"{len(measured)} videos of the sample could be finished",
                hint="Without --dry-run the command says why; or take a larger --sample.",
            )
        roles = _carried(list(measured.values()), left)
        total = _total(list(measured.values()), left)
        return Forecast(
            videos=len(self._paths),
            known=len(self._paths) - len(left),
            sampled=len(measured),
            left=len(left),
            roles=roles,
            total=total,
            seconds=self._seconds(roles),
            spent=spent,
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
                counted[path] = float(self._different(path))
        share = sum(counted.values()) / (sum(frames[p] for p in counted) or 1.0)
        return {p: counted.get(p, n * share) for p, n in frames.items()}

    def _different(self, path: str) -> int:
        """How many frames of a video a captioner would be shown. Raises VideoError."""
        video = self._worker.context.probes(path)
        asked: State = {
            "path": path,
            "question": "",
            "options": [],
            "video": video.model_dump(mode="json"),
        }
        found = look.sample(asked, self._context)
        frames = [FrameRef.model_validate(frame) for frame in found["frames"]]
        leaders = looking.leaders(self._context, frames)
        return max(1, sum(first == name for name, first in leaders.items()))

    def _known(self, video_id: str) -> bool:
        """Whether a run would ask nothing about this video."""
        try:
            shard = self._folder.read_shard(video_id[:16])
        except (OSError, ValueError):
            return False
        return bool(shard["complete"]) and shard.get("made") == self._worker.made

    def _measure(self, path: str, frames: float) -> Measured | None:
        """Does a video; None where it fails. Raises BudgetExceeded at a limit."""
        before = self._context.ledger.by_role()
        outcome = self._worker.do(path)
        if outcome.ended == "refused":
            raise ModelError(outcome.told, hint=outcome.hint)
        if outcome.ended:
            raise BudgetExceeded(
                f"{outcome.told}, before the sample was done",
                hint="What was paid for is kept; raise the limit, or take a smaller --sample.",
            )
        if not outcome.complete:
            return None
        usage = {r: _minus(u, before.get(r)) for r, u in self._context.ledger.by_role().items()}
        return Measured(frames=frames, usage=usage)

    def _seconds(self, roles: Mapping[str, RoleForecast]) -> Expected:
        """The longest of the providers' times: all their calls, so many at a time, and no more a
        minute than the settings allow."""
        by_spec: dict[str, list[tuple[int, RoleForecast]]] = {}
        for role, told in roles.items():
            agent = self._context.agents[role]
            by_spec.setdefault(str(agent.spec), []).append((agent.concurrency, told))
        a_minute = self._context.settings.requests_per_minute or math.inf
        found = {}
        for end in ("value", "low", "high"):
            times = [0.0]
            for parts in by_spec.values():
                times.append(sum(getattr(told.seconds, end) / n for n, told in parts))
                times.append(sum(getattr(told.calls, end) for _, told in parts) * 60 / a_minute)
            found[end] = max(times)
        return Expected(**found)


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


def _carried(measured: Sequence[Measured], left: Sequence[float]) -> dict[str, RoleForecast]:
    roles = sorted({role for m in measured for role in m.usage})
    return {
        role: _forecast([m.usage.get(role, Usage()) for m in measured], measured, left)
        for role in roles
    }


def _total(measured: Sequence[Measured], left: Sequence[float]) -> RoleForecast:
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


def _minus(now: Usage, before: Usage | None) -> Usage:
    """What was used since."""
    if before is None:
        return now
    told = {}
    for name in Usage.model_fields:
        a, b = getattr(now, name), getattr(before, name)
        told[name] = None if a is None or b is None else a - b
    return Usage.model_validate(told)


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
