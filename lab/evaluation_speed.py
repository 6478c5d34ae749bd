"""How fast replies are scored, on one core: `python -m lab.evaluation_speed`.

Replies are written, not asked for: letters as models write them, the suite of the strict reader's
tests when this is run from a checkout, and a reasoning text of a thousand signs. The open protocol
is measured with an encoder that only looks its vectors up.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from videoespresso.dataset_record import DatasetItem, SourceVideo
from videoespresso.evaluation import protocols
from videoespresso.letters import letter_of
from videoespresso.tasks import TASKS

OPTIONS = (
    "He runs away from the table",
    "He hands over the envelope",
    "He sits down again",
    "He left before the vote",
)
LETTERS = ("B", "(C)", "A.", "**D**", f"(B): {OPTIONS[1]}", "Answer: B", "The answer is C.", "(A)")
LONG = "The man stands at the table. He waits. " * 26 + "So the answer is (B)."
WIDTH = 256
"""Numbers of a vector, as the built-in encoder's."""


class LookedUp:
    """An encoder without any work: random directions by a text's hash."""

    name = "looked-up"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(997, WIDTH)).astype(np.float32)
        self._rows: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._rows[[hash(text) % len(self._rows) for text in texts]]


def items(count: int) -> list[DatasetItem]:
    """Questions of all tasks, three about a video."""
    return [
        DatasetItem(
            id=f"{k:016x}",
            video=SourceVideo(path=f"{k // 3}.mp4"),
            task=TASKS[k % len(TASKS)],
            question=f"What does he do {k}?",
            answer=f"{OPTIONS[1]} {k}",
            options=tuple(f"{text} {k}" for text in OPTIONS),
            letter="B",
        )
        for k in range(count)
    ]


def rate(run: Callable[[], object], count: int, least_s: float) -> float:
    """Units a second of process time, over runs of at least so long in all."""
    runs, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < least_s:
        run()
        runs += 1
    return runs * count / spent


def main() -> None:
    """Prints a line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1382, help="items of the protocols")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    given = parser.parse_args()
    bench, rng = items(given.items), random.Random(0)
    replies: list[str | None] = [rng.choice(LETTERS) for _ in bench]
    free: list[str | None] = [f"{rng.choice(OPTIONS)} {k}" for k in range(len(bench))]
    encoder = LookedUp()
    for name, run, count in (
        ("letters, short replies", lambda: [letter_of(r, OPTIONS) for r in LETTERS], len(LETTERS)),
        (f"letters, {len(LONG):,} signs of reasoning", lambda: letter_of(LONG, OPTIONS), 1),
        ("letter protocol, items", lambda: protocols.letter(bench, replies), len(bench)),
        (
            "open protocol without the encoder, items",
            lambda: protocols.open_ended(bench, free, encoder=encoder),
            len(bench),
        ),
    ):
        print(f"{name:48} {rate(run, count, given.seconds):12,.0f} a second")


if __name__ == "__main__":
    main()
