"""What is known of a run before its first step, and what came of it."""

from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from videoespresso.training.data import Row
from videoespresso.training.recipes import Line, Stage
from videoespresso.types import Record


class Trained(Record):
    """What a run came to. out: the folder, `hf:OUT` from now on. rows: learned from; dropped: too
    long. sources: of pairs, how many of each. resumed: the step it went on from, 0 for a new run.
    score: of the adapter that is kept, on n validation rows, None without any; low, high: its 95 %
    interval. groups: in `rl`, of replies to one prompt; equal: of these, how many earned the same,
    from which nothing is learned."""

    out: str
    stage: Stage
    steps: int
    rows: int
    dropped: int
    resumed: int
    loss: float | None
    best_step: int | None
    score: float | None
    low: float | None
    high: float | None
    n: int
    unparsable: float | None
    measure: str
    left_out: dict[str, int]
    leaked: tuple[str, ...]
    seconds: float
    sources: dict[str, int] = Field(default_factory=dict)
    groups: int = 0
    equal: int = 0


class Prepared(Record):
    """What is known before the first step. lines: the recipe's values with their sources; sources:
    of pairs, how many of each."""

    rows: int
    validation: int
    steps: int
    split: str
    lines: tuple[Line, ...]
    sources: dict[str, int]


def sources_of(rows: Sequence[Row]) -> dict[str, int]:
    """How many pairs come from where; empty where there are none."""
    return dict(Counter(row.source for row in rows if row.rejected))
