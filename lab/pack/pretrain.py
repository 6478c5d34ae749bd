"""`python -m lab.pack.pretrain RECORDS --out runs/pack`: the pack from nothing, resumable.

RECORDS is what `theatre build --records` wrote. `vision` and `language` learn side by side, `joint`
puts them together, and `OUT/model` is what `train export-onnx` makes a pack of. Each stage stops
when its minutes are spent; the same command goes on where it was interrupted, and does nothing when
all is done. With a GPU a larger model learns for longer.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from lab.pack.frames import FrameSet, build
from lab.pack.train import STAGES, Run
from videoespresso.training.pack.shape import LARGE, SMALL

CPU_MINUTES = {"vision": 25.0, "language": 25.0, "joint": 65.0}
"""Two cores: under two hours with rendering and export."""
GPU_MINUTES = {"vision": 1.5, "language": 3.0, "joint": 9.2}
"""One H100 and sixteen cores."""


def main(argv: list[str] | None = None) -> int:
    """Runs what is missing; returns 0 when the pack is written."""
    parser = argparse.ArgumentParser(prog="python -m lab.pack.pretrain", description=__doc__)
    parser.add_argument("records", type=Path, help="folder of `theatre build --records`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--stage", choices=STAGES, help="run one stage only")
    parser.add_argument(
        "--init", type=Path, help="go on from a pack's transformers folder: only `joint` is run"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all times (tests)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(argv)
    gpu = torch.cuda.is_available()
    torch.set_num_threads(given.threads)
    minutes = {k: v * given.scale for k, v in (GPU_MINUTES if gpu else CPU_MINUTES).items()}
    large = gpu and given.init is None  # a pack keeps the size it has
    run = Run(
        given.out,
        LARGE if large else SMALL,
        minutes,
        init=given.init,
        workers=max(2, given.threads - 2) if gpu else 0,
    )
    build(given.out / "frames", given.records, given.threads)
    frames = FrameSet.load(given.out / "frames")
    if given.init is not None and not (given.out / "processor").exists():
        shutil.copytree(given.init, given.out / "processor", ignore=_weights)
    run.tokenizer(frames)
    if given.stage:
        run.train(given.stage, frames)
        return 0
    if given.init is None:
        _side_by_side(given, ("vision", "language"))
    run.train("joint", frames)
    model = run.model(run.tokenizer(frames))
    model.load_state_dict(torch.load(run.checkpoint("joint"), map_location="cpu")["model"])
    shutil.copytree(given.out / "processor", given.out / "model", dirs_exist_ok=True)
    model.cpu().save_pretrained(given.out / "model")
    sys.stdout.write(f"written: {given.out / 'model'}\n")
    return 0


def _weights(folder: str, names: list[str]) -> list[str]:
    """What of a transformers folder is not its processor."""
    return [n for n in names if n in ("model.safetensors", "config.json", "generation_config.json")]


def _side_by_side(given: argparse.Namespace, stages: tuple[str, ...]) -> None:
    """Stages that do not need each other, a process each, sharing the cores."""
    threads = max(1, given.threads // len(stages))
    own = [str(given.records), "--out", str(given.out), "--scale", str(given.scale)]
    command = [sys.executable, "-m", "lab.pack.pretrain", *own, "--threads", str(threads)]
    processes = [subprocess.Popen([*command, "--stage", stage]) for stage in stages]
    try:
        failed = [p.wait() for p in processes]
    except KeyboardInterrupt:
        for process in processes:
            process.wait()
        raise
    if any(failed):
        raise SystemExit(f"a stage failed; its log is in {given.out}")


if __name__ == "__main__":
    raise SystemExit(main())
