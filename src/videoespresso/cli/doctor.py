"""`videoespresso doctor`: is everything here, and does it answer?"""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso.cli.console import Exit, examples
from videoespresso.cli.models import Check, attempt, drawn_street, role_checks, show_checks
from videoespresso.cli.options import MODELS, MaxUsd, takes_settings
from videoespresso.errors import MemoryStoreError, VideoError, VideoEspressoError
from videoespresso.memory.disk import private_folder
from videoespresso.settings import Settings
from videoespresso.settings_file import find_file

if TYPE_CHECKING:
    from videoespresso.models.client.budget import Budget
    from videoespresso.models.specs import ModelSpec
    from videoespresso.tools.video import Backend

EPILOG = examples(
    "doctor",
    "doctor --profile server",
    "doctor --profile openai --max-usd 0.05 --json",
    codes=True,
)

FRAMES = 12
"""Length of the test video: two key frames and what lies between."""


@takes_settings({**MODELS, "max_usd": MaxUsd})
def doctor(
    *,
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check this machine, make one real request a role, and prove each server with made pictures.

    Whether pictures arrive, all of them, in order and with their instants, whether the model sees,
    what one question costs; what does not work is said with a remedy."""
    if not show_checks(checks(settings), as_json=as_json):
        raise typer.Exit(Exit.FAILED)


def checks(settings: Settings) -> Iterator[Check]:
    """Everything, cheapest first."""
    from videoespresso.models.client.budget import Budget

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
    yield from _remembered(settings.cache_dir / "replies.sqlite")
    yield from _torchvision()
    budget = Budget.of(settings)
    yield from _announced(settings)
    yield from role_checks(settings, budget)
    yield from _proofs(settings, budget)
    yield from _own_films(settings)


def _own_films(settings: Settings) -> Iterator[Check]:
    """That they cannot be asked about, and what would make it so; nothing where models are set."""
    from videoespresso.models.profiles import configured
    from videoespresso.models.unknown_film import AskCommand, three_ways

    if not configured(settings):
        text = "cannot be asked about yet: only the embedded models are there, which know none"
        yield Check("films of yours", None, text, three_ways(AskCommand(["YOUR.mp4"])))


def _torchvision() -> "Iterator[Check]":
    """Nothing where it goes with torch, or is not there: most processors of `hf:` need it."""
    from videoespresso.models.hf_weights import torchvision_fault

    if fault := torchvision_fault():
        hint = "Install torch and torchvision together: pip install -U torch torchvision"
        yield Check("torchvision", False, fault, hint)


def _remembered(file: Path) -> Iterator[Check]:
    """What is left out of requests, by server and model, because it was refused; nothing where
    nothing was."""
    from videoespresso.memory.replies import REMEMBER_S, ReplyCache
    from videoespresso.models.client.errors import redact
    from videoespresso.models.client.request import shown

    if not file.exists():
        return
    try:
        inabilities = ReplyCache(file).all_inabilities()
    except MemoryStoreError as error:
        yield Check("learned", False, str(error), error.hint)
        return
    for spec, group in groupby(inabilities, key=lambda one: one.spec):
        seen = ", ".join(f"{shown(one.ability)} ({_day(one.seen)})" for one in group)
        days = f"{REMEMBER_S / 86_400:.0f} days"
        hint = f"Believed for {days}; after an upgrade: videoespresso cache clear --learned"
        yield Check("learned", True, f"{redact(spec)} does not take {seen}", hint)


def _day(seen: float) -> str:
    return datetime.fromtimestamp(seen).astimezone().strftime("%Y-%m-%d %H:%M")


def _seeing(settings: Settings) -> "list[ModelSpec]":
    """The models that look at pictures and are asked through a server; each once. Raises
    SettingsError where a server does not say which model it serves."""
    from videoespresso.models import served
    from videoespresso.models.profiles import resolve

    roles = served.located(resolve(settings), ("captioner", "reasoner"))
    specs = dict.fromkeys(roles[name].model for name in ("captioner", "reasoner"))
    return [spec for spec in specs if not spec.in_process]


def _announced(settings: Settings) -> Iterator[Check]:
    """How many requests follow and what they may cost, before the first of them."""
    from videoespresso.models.costs import question_usd
    from videoespresso.models.profiles import CHAT_ROLES, resolve
    from videoespresso.models.proof import CALLS, MOST_CALLS, most_usd

    try:
        specs = _seeing(settings)
    except VideoEspressoError:
        return  # said by the checks of the roles
    if not specs:
        return
    low, high = (len(CHAT_ROLES) + len(specs) * n for n in (CALLS, MOST_CALLS))
    prices = [most_usd(spec) for spec in specs]
    usd = sum(price for price in prices if price is not None)
    cost = "a price that is not known" if None in prices else (f"${usd:.4f}" if usd else "nothing")
    names = ", ".join(str(spec) for spec in specs)
    yield Check("requests", True, f"{low} to {high} follow, for {cost} at most: {names}")
    question = question_usd(resolve(settings))
    if question is None:
        hint = "Set limits in calls or seconds: a limit in dollars cannot be kept."
        yield Check("question", None, "what one costs is not known", hint)
    else:
        text = f"about ${question:.4f}" if question else "free"
        text += " for the first about a minute of film; `models list` says how it is counted"
        yield Check("question", True, text)


def _proofs(settings: Settings, budget: "Budget") -> Iterator[Check]:
    """What each of those models can really do."""
    from videoespresso.models.chat import chat_model
    from videoespresso.models.client.usage import UsageLog
    from videoespresso.models.proof import MOST_TOKENS, Proof

    try:
        specs = _seeing(settings)
    except VideoEspressoError:
        return
    for spec in specs:
        try:
            model = chat_model(spec, timeout_s=settings.timeout_s, max_tokens=MOST_TOKENS)
        except VideoEspressoError:
            continue  # a missing key or package: said by the checks of the roles
        proof = Proof(spec, model, usage_log=UsageLog(), budget=budget)
        for finding in proof.findings():
            ok = {"pass": True, "fail": False}.get(finding.result)
            yield Check(finding.name, ok, f"{finding.detail} · {spec.name}", finding.remedy)


def _cache(folder: Path) -> str:
    """Writes and removes a file there."""
    try:
        private_folder(folder)
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
