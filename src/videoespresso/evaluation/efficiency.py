"""What a question takes, beside every accuracy: tokens, calls, seconds, dollars, TFLOPs, memory.

TFLOPs of a model are 2 × its active parameters × the tokens it read and wrote, and of its vision
tower, which is counted apart, 2 × the tower's parameters × the patches of the images it was shown.
A model whose parameters are not known makes them not known: they are never guessed.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from videoespresso import statistics
from videoespresso.models.client.usage import UsageLog
from videoespresso.statistics import Estimate
from videoespresso.types import Record

Json = dict[str, Any]
LOOKING = ("captioner", "selector", "scorer")
"""Roles that find the core frames. The paper's 9.26 TFLOPs leave them out: 62.78 × 2.36 / 16 is its
reasoner on core frames alone."""


class Parameters(Record):
    """Weights that are active for a token, and for a patch of an image (tower and projection).
    patches: of one image. image_tokens: what the language model reads of one."""

    language: int
    vision: int
    patches: int
    image_tokens: int


class Tflops(NamedTuple):
    """Of one question, in 10¹² operations."""

    language: float
    vision: float


def parameters_of(models: Mapping[str, object]) -> dict[str, Parameters | None]:
    """Role -> what its chat model says of itself (`sizes`); None where it says nothing."""
    sizes = {role: getattr(model, "sizes", None) for role, model in models.items()}
    return {role: None if one is None else Parameters(**one) for role, one in sizes.items()}


def used(log: UsageLog, parameters: Mapping[str, Parameters | None]) -> Json:
    """Role -> what it needed, as a record keeps it. Replies from the cache count as if they had
    been asked for. image_tokens: as the processor counts them where it is known, else estimated."""
    needs = {}
    for role, (usage, estimated) in log.needed().items():
        sizes = parameters.get(role)
        needs[role] = {
            "calls": usage.calls,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "images": usage.images,
            "image_tokens": estimated if sizes is None else usage.images * sizes.image_tokens,
        }
    return needs


def tflops(
    needed: Mapping[str, Json],
    parameters: Mapping[str, Parameters | None],
    without: Sequence[str] = (),
) -> Tflops | None:
    """By the formula above, over all roles but `without`; None where a model is not known."""
    language = vision = 0.0
    for role, use in needed.items():
        if role in without:
            continue
        if (sizes := parameters.get(role)) is None:
            return None
        language += 2 * sizes.language * (use["input_tokens"] + use["output_tokens"])
        vision += 2 * sizes.vision * sizes.patches * use["images"]
    return Tflops(language / 1e12, vision / 1e12)


def peak_mb() -> float | None:
    """The most memory that this process ever held, in 10⁶ bytes; None where it cannot be known."""
    if os.name == "nt":
        return None
    import resource  # noqa: PLC0415 - not on every system
    import sys  # noqa: PLC0415

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


_PLAIN: dict[str, Callable[[Json], float | None]] = {
    "core frames": lambda r: r["frames"],
    "image tokens": lambda r: _total(r, "image_tokens"),
    "text tokens in": lambda r: max(0, _total(r, "input_tokens") - _total(r, "image_tokens")),
    "tokens out": lambda r: _total(r, "output_tokens"),
    "model calls": lambda r: _total(r, "calls"),
    "of the cache": lambda r: r["cached_calls"],
    "captions paid": lambda r: r.get("captioned"),
    "seconds": lambda r: r["seconds"],
    "dollars": lambda r: r["usd"],
}
_APART = ("image tokens", "model calls", "captions paid", "seconds", "dollars", "TFLOPs")
"""What the first question about a video and later ones are shown apart for."""


def _total(record: Json, what: str) -> int:
    return sum(int(use[what]) for use in record["needed"].values())


def costs(
    records: Sequence[Json], parameters: Mapping[str, Parameters | None]
) -> dict[str, Estimate]:
    """Means a question, videos vary; what is not known of every record is left out."""
    means: dict[str, Estimate] = {}
    groups = (
        ("", records),
        (", first", [r for r in records if r["first"]]),
        (", later", [r for r in records if not r["first"]]),
    )
    for suffix, group in groups:
        videos = [r["video"] for r in group]
        for name, values in _columns(group, parameters):
            if group and (not suffix or name in _APART) and all(v is not None for v in values):
                means[name + suffix] = statistics.amounts(values, videos)
    return means


def _columns(
    group: Sequence[Json], parameters: Mapping[str, Parameters | None]
) -> Iterable[tuple[str, list[Any]]]:
    for name, value in _PLAIN.items():
        yield name, [value(r) for r in group]
    for suffix, without in (("", ()), (" without looking", LOOKING)):
        each = [tflops(r["needed"], parameters, without) for r in group]
        yield f"TFLOPs{suffix}", [t and t.language for t in each]
        yield f"TFLOPs{suffix}, vision tower", [t and t.vision for t in each]


def stages(records: Sequence[Json]) -> dict[str, Estimate]:
    """Seconds a question in each node of the graph, where the question came there at all."""
    names = dict.fromkeys(node for r in records for node in r.get("nodes", ()))
    means = {}
    for name in names:
        mine = [(r["nodes"][name], r["video"]) for r in records if name in r.get("nodes", ())]
        means[name] = statistics.amounts([s for s, _ in mine], [v for _, v in mine])
    return means


def peak_of(records: Sequence[Json]) -> float | None:
    """The most that the process held while any of these were made, in 10⁶ bytes."""
    return max((r["peak_mb"] for r in records if r.get("peak_mb")), default=None)
