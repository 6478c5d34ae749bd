"""`videoespresso doctor`: is everything here, and does it answer?"""

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from videoespresso.cli.console import Exit, examples
from videoespresso.cli.models import Check, attempt, drawn_street, role_checks, show_checks
from videoespresso.cli.options import MODELS, takes_settings
from videoespresso.errors import MemoryStoreError, VideoError
from videoespresso.settings import Settings, find_file

if TYPE_CHECKING:
    from videoespresso.tools.video import Backend

EPILOG = examples(
    "doctor",
    "doctor --profile openai --detector hf:google/owlv2-base-patch16",
    codes=True,
)

FRAMES = 12
"""Length of the test video: two key frames and what lies between."""


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("doctor", epilog=EPILOG)(doctor)


@takes_settings(MODELS)
def doctor(*, settings: Settings) -> None:
    """Check decoders, cache and pack, and make one real request to each role's model."""
    if not show_checks(checks(settings)):
        raise typer.Exit(Exit.FAILED)


def checks(settings: Settings) -> Iterator[Check]:
    """Everything, cheapest first."""
    file = find_file()
    yield Check(
        "settings", True, f"from {file}" if file else "no videoespresso.toml, and none needed"
    )
    yield attempt("cache", lambda: _cache(settings.cache_dir))
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "test.mp4"
        write_test_video(video)
        for backend in backends():
            yield attempt(backend, partial(_decode, video, backend))
    yield attempt("pack", _pack)
    yield from role_checks(settings)


def _cache(folder: Path) -> str:
    """Writes and removes a file there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise MemoryStoreError(
            f"the cache folder {folder} cannot be written to: {error.strerror}",
            hint="Set VIDEOESPRESSO_CACHE_DIR to a folder that can.",
        ) from error
    return f"{folder}, {free / 1e9:.1f} GB free"


def backends() -> "list[Backend]":
    """The decoders that should work here; decord has no wheel for some platforms."""
    from importlib.util import find_spec

    return ["decord", "pyav"] if find_spec("decord") else ["pyav"]


def write_test_video(path: Path) -> None:
    """A second of a drawn street as MPEG-4, which every build of the decoders reads."""
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FRAMES)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.gop_size = FRAMES // 2
        for _ in range(FRAMES):
            picture = np.asarray(drawn_street())
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _decode(path: Path, backend: "Backend") -> str:
    from videoespresso.tools.video import open_video

    with open_video(path, backend=backend) as reader:
        seen = sum(1 for _ in reader.at([0.0, 0.5], max_side=320))
    if seen != 2:
        raise VideoError(f"{backend} decoded {seen} of 2 frames", hint="Reinstall it.")
    return "decodes a test video"


def _pack() -> str:
    from videoespresso.models.embedded import PACK

    files = [file for file in Path(PACK).rglob("*") if file.is_file()]
    if not any(file.suffix == ".onnx" for file in files):
        raise MemoryStoreError(
            f"the embedded pack is not in {PACK}", hint="Reinstall videoespresso, or run make pack."
        )
    return f"{len(files)} files, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
