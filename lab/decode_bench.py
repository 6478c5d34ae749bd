"""How long the overview of a film takes, beside other ways of looking at it.

    python -m lab.films runs/films --minutes 5 60
    python -m lab.decode_bench runs/films/*.mp4 --rounds 10 --out runs/decode.jsonl

In turns, each in a process of its own, so that what the machine does otherwise hits all alike:

    overview     `tools/sampling.py` with its usual plan, pictures of 640 pixels
    keys         all key frames through the same door, and nothing else
    keys-plain   all key frames by PyAV in the process itself, one thread: no decoding process,
                 no check of the file, no order; the floor
    decord       one frame a second by decord, one after the other, 640 pixels wide
    before       `overview` as another checkout has it (--before FOLDER)
    dense-pyav, dense-decord   eight frames a second of the film's first ten, by either decoder

Prints medians with their range, ratios with a bootstrap interval over the rounds, and the largest
memory of both processes. Seconds are wall clock unless they say CPU. Rounds that are in --out are
not run again.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import av

from videoespresso.evaluation import results
from videoespresso.statistics import ratio
from videoespresso.tools.sampling import SamplingPlan, sample
from videoespresso.tools.video import Backend, open_video

SIDE = 640
DENSE = [k / 8 for k in range(80)]


def overview(film: str) -> int:
    """Number of frames."""
    with open_video(film) as reader:
        return sum(1 for _ in sample(reader, SamplingPlan(max_side=SIDE)))


def keys(film: str) -> int:
    """Number of frames."""
    with open_video(film) as reader:
        return sum(1 for _ in reader.keyframes(SIDE))


def keys_plain(film: str) -> int:
    """Number of frames."""
    with av.open(film) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        stream.codec_context.thread_count = 1
        height = round(SIDE * stream.height / stream.width)
        count = 0
        for frame in container.decode(stream):
            frame.reformat(SIDE, height, "rgb24").to_ndarray()
            count += 1
    return count


def decord_1fps(film: str) -> int:
    """Number of frames."""
    import decord  # noqa: PLC0415 - has no wheel on every platform

    shape = decord.VideoReader(film)[0].shape
    reader = decord.VideoReader(film, width=SIDE, height=round(SIDE * shape[0] / shape[1]))
    rate = reader.get_avg_fps()
    count = int(len(reader) / rate)
    for second in range(count):
        reader[round(second * rate)].asnumpy()
    return count


def _dense(backend: Backend) -> Callable[[str], int]:
    def dense(film: str) -> int:
        with open_video(film, backend=backend) as reader:
            if reader.backend != backend:
                raise SystemExit(f"{film}: {backend} does not read it right")
            return sum(1 for _ in reader.at(DENSE, SIDE))

    return dense


WAYS: dict[str, Callable[[str], int]] = {
    "overview": overview,
    "before": overview,
    "keys": keys,
    "keys-plain": keys_plain,
    "decord": decord_1fps,
    "dense-pyav": _dense("pyav"),
    "dense-decord": _dense("decord"),
}
RATIOS = (
    ("decord", "overview"),
    ("before", "overview"),
    ("overview", "keys"),
    ("overview", "keys-plain"),
    ("dense-decord", "dense-pyav"),
)


def measured(way: str, film: str) -> dict[str, Any]:
    """One run in this process: frames, seconds, CPU seconds (but for loading Python's modules)
    and MB of it and its children."""
    loaded, begin = time.process_time(), time.perf_counter()
    frames = WAYS[way](film)
    seconds = time.perf_counter() - begin
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "frames": frames,
        "seconds": round(seconds, 3),
        "cpu_s": round(sum(u.ru_utime + u.ru_stime for u in used) - loaded, 3),
        "mb": round(used[0].ru_maxrss / 1024),
        "decoder_mb": round(used[1].ru_maxrss / 1024),
    }


def alone(way: str, film: Path, before: Path | None) -> dict[str, Any]:
    """`measured` in a process of its own; `before` with the code of that checkout."""
    environ = dict(os.environ)
    if way == "before" and before is not None:
        environ["PYTHONPATH"] = os.pathsep.join((str(before / "src"), str(before)))
    run = subprocess.run(
        [sys.executable, "-P", __file__, str(film), "--one", way],
        check=True,
        capture_output=True,
        text=True,
        env=environ,
    )
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def rounds(
    films: Sequence[Path], count: int, ways: Sequence[str], out: Path, before: Path | None
) -> None:
    """Fills `out` up to `count` rounds; the ways of a round in turn, from another one each time."""
    out.parent.mkdir(parents=True, exist_ok=True)
    results.mend(out)
    known = results.read(out)
    for number in range(count):
        shift = number % len(ways)
        for film in films:
            for way in (*ways[shift:], *ways[:shift]):
                key = f"{film.name} {way} {number}"
                if key in known:
                    continue
                took = alone(way, film, before)
                result = {"film": film.name, "way": way, "round": number, **took}
                results.append(out, {"key": key, **result})
                print(f"{key}: {result['seconds']} s", file=sys.stderr, flush=True)


def summary(out: Path) -> str:
    """Tables in Markdown, a film each."""
    rows = list(results.read(out).values())
    lines = [f"{os.cpu_count()} cores; PyAV {av.__version__}."]
    for film in dict.fromkeys(row["film"] for row in rows):
        by: dict[str, dict[int, dict[str, Any]]] = {}
        for row in rows:
            if row["film"] == film:
                by.setdefault(row["way"], {})[row["round"]] = row
        lines += ["", f"## {film}", "", "| way | frames | s, median (range) | CPU s | MB | n |"]
        lines += ["|---|---|---|---|---|---|"]
        for way in (w for w in WAYS if w in by):
            of = list(by[way].values())
            s = sorted(row["seconds"] for row in of)
            cpu = median(row["cpu_s"] for row in of)
            mb = f"{max(r['mb'] for r in of)} + {max(r['decoder_mb'] for r in of)}"
            span = f"{median(s):.2f} ({s[0]:.2f} to {s[-1]:.2f})"
            lines.append(f"| {way} | {of[0]['frames']} | {span} | {cpu:.2f} | {mb} | {len(of)} |")
        lines += ["", "| ratio | wall clock (95 %) | CPU (95 %) | n |", "|---|---|---|---|"]
        lines += [_ratio(a, b, by[a], by[b]) for a, b in RATIOS if a in by and b in by]
    return "\n".join(lines) + "\n"


def _ratio(
    name: str, under: str, over: dict[int, dict[str, Any]], below: dict[int, dict[str, Any]]
) -> str:
    """Of totals over the rounds that both have."""
    both = sorted(set(over) & set(below))
    cells = []
    for what in ("seconds", "cpu_s"):
        estimate = ratio([over[k][what] for k in both], [below[k][what] for k in both])
        cells.append(estimate.text(scale=1, digits=2))
    return f"| {name} / {under} | {cells[0]} | {cells[1]} | {len(both)} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what is missing and prints the tables."""
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m lab.decode_bench", None, __doc__, formatter_class=how
    )
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="all, if not given")
    parser.add_argument("--before", type=Path, help="another checkout of this repository")
    parser.add_argument("--out", type=Path, default=Path("runs/decode.jsonl"))
    parser.add_argument("--one", choices=WAYS, help="run this once and print JSON")
    given = parser.parse_args(argv)
    if given.one:
        print(json.dumps(measured(given.one, str(given.films[0]))))
        return 0
    ways = given.ways or [way for way in WAYS if way != "before" or given.before]
    rounds(given.films, given.rounds, ways, given.out, given.before)
    print(summary(given.out), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
