"""How short an event an overview still sees, against how densely it looks.

    python -m lab.films runs/films --minutes 60 --events 12
    python -m lab.density runs/films/60min-seed0-events12-clips4.mp4 --frames 240 480 960

--frames are `SamplingPlan.max_frames`. An event is hit if a frame shows an instant of it, a shot is
seen if one shows an instant of the shot. Whether a model then knows what the frame shows is another
question. Intervals are Wilson's.
"""

import argparse
import json
import sys
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.films import EVENTS_S
from videoespresso.statistics import Estimate, wilson
from videoespresso.tools.sampling import SamplingPlan, sample
from videoespresso.tools.video import open_video


def looked(film: Path, frames: int) -> tuple[list[float], float]:
    """The instants of an overview of at most so many frames, and the seconds it took."""
    begin = time.perf_counter()
    with open_video(film) as reader:
        plan = SamplingPlan(max_frames=frames)
        instants = [sampled.picture.time_s for sampled in sample(reader, plan)]
    return instants, time.perf_counter() - begin


def hits(instants: Sequence[float], spans: Sequence[tuple[float, float]]) -> Estimate:
    """The share of spans, [start, end) in seconds, in which there is an instant."""
    return wilson(sum(shows(instants, span) for span in spans), len(spans))


def shows(instants: Sequence[float], span: tuple[float, float]) -> bool:
    """Whether one of the instants, in time order, is in the span."""
    at = bisect_left(instants, span[0] - 1e-6)
    return at < len(instants) and instants[at] < span[1]


def row(film: Path, truth: dict[str, Any], frames: int) -> str:
    """A line of the table."""
    instants, seconds = looked(film, frames)
    cells = [str(frames), str(len(instants)), f"{truth['seconds'] / len(instants):.1f}"]
    events = [(e["start_s"], e["end_s"]) for e in truth["events"]]
    shots = [(s["start_s"], s["end_s"]) for s in truth["shots"]]
    by_length = ([e for e in events if round(e[1] - e[0]) == length] for length in EVENTS_S)
    for spans in (*by_length, shots):
        seen = hits(instants, spans)
        cells.append(f"{seen.value:.0%} ({seen.low:.0%} to {seen.high:.0%})")
    return "| " + " | ".join([*cells, f"{seconds:.1f}"]) + " |"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints a table in Markdown."""
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m lab.density", None, __doc__, formatter_class=how)
    parser.add_argument("film", type=Path, help="with its truth beside it")
    parser.add_argument("--frames", type=int, nargs="+", default=[240, 480, 960])
    given = parser.parse_args(argv)
    truth = json.loads(given.film.with_suffix(".json").read_text())
    if not truth["events"]:
        parser.error("the film has no planted events: python -m lab.films FOLDER --events 12")
    lengths = " | ".join(f"{length:g} s" for length in EVENTS_S)
    print(
        f"n: {len(truth['events']) // len(EVENTS_S)} events a length, {len(truth['shots'])} shots"
    )
    print(f"\n| at most | frames | one every, s | {lengths} | shots | took, s |")
    print("|---|---|---|---|---|---|---|---|")
    for frames in given.frames:
        print(row(given.film, truth, frames), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
