"""How many times faster `build_dataset` is than a plain script that does one thing after the other.

    python -m lab.throughput --videos 24 --concurrency 16 --latency 0.5

Both do the same stages against the same slow server (a process of its own), the script on the first
few videos; rates are model calls and records a minute. Prints JSON.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.rehearsal import PAIRS
from videoespresso.api.build_dataset import build_dataset
from videoespresso.dataset.folder import Folder
from videoespresso.dataset.video_worker import Worker
from videoespresso.dataset.videos import find_videos
from videoespresso.graphs.dataset_context import open_dataset_context
from videoespresso.settings import DATASET_ROLES, Settings

Json = dict[str, Any]

ROLES = ("captioner", *DATASET_ROLES)


def bench(
    folder: Path, *, videos: int, alone: int, seconds: int, concurrency: int, latency_s: float
) -> Json:
    """Makes clips, and measures both ways; alone: videos that the script does."""
    clips = folder / "clips"
    clips.mkdir()
    for k in range(videos):
        clip(clips / f"{k:04}.mp4", k, seconds)
    with serving(latency_s) as url:
        given = dict.fromkeys(ROLES, f"openai:rehearsal@{url}") | {"detector": "off"}
        settings = Settings.load({**given, "profile": "embedded", "dynamic_fps": 1.0}, environ={})
        one = _sequential(folder, settings, clips, alone)
        many = _concurrent(folder, settings, clips, concurrency)
    return {
        "latency_s": latency_s,
        "concurrency": concurrency,
        "sequential": one,
        "concurrent": many,
        "ratio_calls": round(many["calls_per_min"] / one["calls_per_min"], 2),
        "ratio_records": round(many["records_per_min"] / one["records_per_min"], 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _sequential(folder: Path, settings: Settings, clips: Path, videos: int) -> Json:
    """A loop over the videos in which nothing runs beside anything else."""
    mine = settings.model_copy(update={"cache_dir": folder / "cache-one", "concurrency": 1})
    context = open_dataset_context(mine)
    out = Folder(folder / "one")
    out.open()
    worker = Worker(out, context, concurrency=1)
    paths = find_videos([clips])
    worker.do(paths[-1])  # imports and connections: not on either one's bill
    before, started = context.budget.spent.calls, time.perf_counter()
    records = sum(len(worker.do(path).items) for path in paths[:videos])
    return _rates(context.budget.spent.calls - before, records, started)


def _concurrent(folder: Path, settings: Settings, clips: Path, concurrency: int) -> Json:
    mine = settings.model_copy(
        update={"cache_dir": folder / "cache-many", "concurrency": concurrency}
    )
    started = time.perf_counter()
    built = build_dataset(clips, folder / "many", settings=mine)
    calls = sum(usage.calls for usage in built.usage.values())
    return _rates(calls, built.records, started)


def _rates(calls: int, records: int, started: float) -> Json:
    seconds = time.perf_counter() - started
    return {
        "calls": calls,
        "records": records,
        "seconds": round(seconds, 2),
        "calls_per_min": round(60 * calls / seconds, 1),
        "records_per_min": round(60 * records / seconds, 1),
    }


@contextmanager
def serving(latency_s: float, pairs: int = PAIRS) -> Iterator[str]:
    """The base URL of a rehearsal server in another process. pairs: how many a group gets."""
    command = [sys.executable, "-m", "lab.rehearsal_server"]
    command += ["--latency", str(latency_s), "--pairs", str(pairs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def clip(path: Path, seed: int, seconds: int) -> None:
    """Writes a film of 160 x 90, with another picture every second."""
    import av  # noqa: PLC0415 - only for making clips
    import numpy as np  # noqa: PLC0415 - as above
    from PIL import Image, ImageDraw  # noqa: PLC0415 - as above

    draw = random.Random(seed)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=2, options={"crf": "30", "g": "2"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for _ in range(seconds):
            ground, patch = ((draw.randrange(256),) * 2 + (draw.randrange(256),) for _ in range(2))
            picture = Image.new("RGB", (160, 90), ground)
            left = draw.randrange(80)
            ImageDraw.Draw(picture).rectangle((left, 20, left + 60, 70), fill=patch)
            for _ in range(2):
                frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--alone", type=int, default=1, help="videos the plain script does")
    parser.add_argument("--seconds", type=int, default=24, help="of a clip: a frame each")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--latency", type=float, default=0.5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = bench(
            Path(folder),
            videos=given.videos,
            alone=given.alone,
            seconds=given.seconds,
            concurrency=given.concurrency,
            latency_s=given.latency,
        )
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
