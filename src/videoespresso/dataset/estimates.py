"""From what a sample took to what the others will take: a ratio estimator and its interval."""

import math
from collections.abc import Sequence

from videoespresso.types import Record, Usage

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
