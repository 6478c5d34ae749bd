"""Whether scores find a short event in an hour of film, against how densely is looked.

    python -m lab.image_text_scorer --out runs/image-text
    python -m lab.short_events --clip runs/image-text/models/clip

The hour is one of `lab.films` (theatre only), drawn and not encoded: what is measured is scores and
pickers; what an overview decodes is measured by `lab.density`. Looked at every 15 s (what `--look
normal` does with an hour), 4, 2 and 1 s (`thorough`). *seen*: a look shows an instant of the event.
Then its question is asked, with eight frames by each pair: a hit if one of them shows it. For each
question the frames of all other planted events are left out, as if it were the only one.

*guided* is a second round in looking: `focus` looks once in 16 s, then every second in the best
quarter of these stretches; the columns say whether any of these looks shows the event, and which
share of all seconds they are. Intervals are Wilson's.
"""

import argparse
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.density import shows
from lab.films import EVENTS_S, pieces, still, truth
from videoespresso.graphs.selection import PROPOSED
from videoespresso.models.image_text import ImageText
from videoespresso.statistics import wilson
from videoespresso.tools.pickers import PICKERS, Frames, Score, pick_frames

STEPS_S = (15, 4, 2, 1)
"""Seconds between looks."""
PAIRS = ("top", "mmr", "focus")
WIDTH = 320
Span = tuple[float, float]


class Look(NamedTuple):
    """An event in one row of the table. seen, picked: instants."""

    length: float
    span: Span
    seen: Sequence[float]
    picked: dict[str, Sequence[float]]
    guided: Sequence[float]


def vectors(model: ImageText, seconds: int, seed: int, events: int) -> NDArray[np.float32]:
    """A picture a second of the hour as the model sees it, (seconds, d)."""
    shots = [shot for piece in pieces(seconds, seed, events, []) for shot in piece]
    begins = [0.0, *accumulate(shot.seconds for shot in shots)]
    rows = []
    for start in range(0, seconds, 60):
        minute = []
        for at in range(start, min(start + 60, seconds)):
            number = min(bisect_right(begins, at + 1e-6), len(shots)) - 1
            minute.append(still(shots[number], at - begins[number], WIDTH))
        rows.append(model.images(minute))
        print(f"{start // 60 + 1} of {seconds // 60} minutes", file=sys.stderr, flush=True)
    return np.concatenate(rows)


def looks(
    rows: NDArray[np.float32], text: NDArray[np.float32], events: Sequence[Span], step_s: int
) -> Iterator[Look]:
    """What becomes of each event. text: its question's vector."""
    for number, (start, end) in enumerate(events):
        others = [span for k, span in enumerate(events) if k != number]
        free = [
            at
            for at in range(step_s // 2, len(rows), step_s)
            if not any(a <= at < b for a, b in others)
        ]
        times, seen = np.array(free, dtype=np.float64), rows[free]
        scores = seen.astype(np.float64) @ text[number]
        indices: list[int] = []
        score = _noting(scores, indices)
        picked: dict[str, Sequence[float]] = {}
        for name in PAIRS:
            indices.clear()
            chosen = pick_frames(PICKERS[name], score, Frames(times, seen), PROPOSED)
            picked[name] = [float(times[pick.at]) for pick in chosen]
        guided = sorted(float(times[at]) for at in indices)  # focus is the last
        yield Look(round(end - start), (start, end), times.tolist(), picked, guided)


def _noting(scores: NDArray[np.float64], indices: list[int]) -> Score:
    def score(positions: Sequence[int]) -> NDArray[np.float64]:
        indices.extend(positions)
        return scores[list(positions)]

    return score


def table(looks: dict[int, list[Look]]) -> str:
    """In Markdown."""
    ways = ["seen", *(f"clip+{name}:{PROPOSED}" for name in PAIRS), "guided", "looks of guided"]
    lines = [f"| every, s | event, s | n | {' | '.join(ways)} |", "|---" * (len(ways) + 3) + "|"]
    for step_s, of in looks.items():
        for length in EVENTS_S:
            some = [look for look in of if look.length == length]
            cells = [_share([(x.seen, x.span) for x in some])]
            cells += [_share([(x.picked[name], x.span) for x in some]) for name in PAIRS]
            cells.append(_share([(x.guided, x.span) for x in some]))
            cells.append(f"{np.mean([len(x.guided) / len(x.seen) for x in some]):.0%}")
            lines.append(f"| {step_s} | {length:g} | {len(some)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(of: Sequence[tuple[Sequence[float], Span]]) -> str:
    share = wilson(sum(shows(instants, span) for instants, span in of), len(of))
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints the table."""
    how = argparse.RawDescriptionHelpFormatter
    name = "python -m lab.short_events"
    parser = argparse.ArgumentParser(name, None, __doc__, formatter_class=how)
    parser.add_argument("--clip", type=Path, required=True, help="folder of the image-text model")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--events", type=int, default=12, help="of each length")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    model, seconds = ImageText(str(given.clip), threads=1), 60 * given.minutes
    planted = truth(pieces(seconds, given.seed, given.events, []))["events"]
    spans = [(event["start_s"], event["end_s"]) for event in planted]
    text = model.texts([f"What happens right after {event['text']}?" for event in planted])
    rows = vectors(model, seconds, given.seed, given.events)
    print(table({step_s: list(looks(rows, text, spans, step_s)) for step_s in STEPS_S}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
