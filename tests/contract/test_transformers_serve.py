"""`openai:NAME@URL` against a real server: `transformers serve` on this machine."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pydantic import BaseModel
from tests.helpers.blank_model import blank_hf_model
from tests.helpers.videos import real_clips

import videoespresso as ve
from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.dataset.records_io import read_items, read_rejects
from videoespresso.errors import ModelOutputError
from videoespresso.models.chat import chat_model
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.embedded import PACK_TORCH
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import DATASET_ROLES, Settings

pytestmark = [pytest.mark.extras, pytest.mark.timeout(600)]

START = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
STARTUP_S = 240.0
"""Importing torch and transformers on two busy cores takes most of it."""

STREET = Path(__file__).resolve().parents[2] / "examples/videos/street.mp4"
CAPTIONER = Prompt("captioner", "You are the captioner.\nDescribe the frame.", "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(folder: Path, log: Path) -> Iterator[str]:
    """The base URL of a server for a model folder."""
    port = free_port()
    command = [sys.executable, "-c", START, "serve", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ)
        try:
            wait_until_up(server, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_until_up(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail("transformers serve did not come up: " + log.read_text(errors="replace")[-3000:])


@pytest.fixture(
    scope="module",
    params=[
        "blank",
        pytest.param(
            "pack",
            marks=pytest.mark.skipif(
                not (PACK_TORCH / "config.json").exists(), reason="the pack is not built"
            ),
        ),
    ],
)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """(model folder, base URL): an untrained model, and the pack's torch twin."""
    tmp = tmp_path_factory.mktemp("served")
    folder = PACK_TORCH if request.param == "pack" else blank_hf_model(tmp)
    with serving(folder, tmp / "log.txt") as url:
        yield folder, url


def agent(served: tuple[Path, str], max_tokens: int = 48) -> Agent:
    folder, url = served
    spec = ModelSpec.parse(f"openai:{folder}@{url}")
    model = chat_model(spec, timeout_s=120, max_tokens=max_tokens)
    return Agent("captioner", spec, model, usage_log=UsageLog())


def picture(colour: str) -> Image.Image:
    image = Image.new("RGB", (320, 180), "white")
    image.paste(colour, (40, 40, 160, 140))
    return image


def test_images_in_words_out_with_the_servers_own_count(served: tuple[Path, str]) -> None:
    asker = agent(served)
    one = asker.text(CAPTIONER, [Turn("user", (picture("red"), "Describe this frame."))])
    two = asker.text(
        CAPTIONER, [Turn("user", (picture("red"), picture("blue"), "Describe this frame."))]
    )
    assert one.value
    # the server saw pixels: a second image costs it the tokens of an image, and no more
    image = two.usage.input_tokens - one.usage.input_tokens
    assert 16 <= image <= 32
    assert all(entry.reported for entry in asker.usage_log.entries())


def test_streaming_out(served: tuple[Path, str]) -> None:
    turns = [Turn("user", (picture("green"), "Describe this frame."))]
    whole = agent(served).text(CAPTIONER, turns).value
    pieces: list[str] = []
    agent(served).with_listener(pieces.append).text(CAPTIONER, turns)
    assert pieces[-1].strip() == whole
    assert len(pieces) > 1


def test_max_tokens_reaches_the_server(served: tuple[Path, str]) -> None:
    turns = [Turn("user", (picture("green"), "Describe this frame."))]
    assert agent(served, max_tokens=3).text(CAPTIONER, turns).usage.output_tokens <= 3


class Verdict(BaseModel):
    supported: bool


def test_a_server_that_ignores_schemas_is_led_down_to_the_prompt(
    served: tuple[Path, str],
) -> None:
    asker = agent(served)
    try:
        how = "; ".join(asker.typed(CAPTIONER, [Turn("user", ("Why?",))], Verdict).how)
    except ModelOutputError as error:  # an untrained model's words are not the matter here
        how = str(error)
    assert "prompt: " in how or how.endswith("ok")
    # it takes the fields for schemas and tools and does nothing with them: no call failed
    assert "refused" not in how
    assert 1 <= asker.usage_log.total().calls <= 4


CHAIN = [
    "probe", "sample", "caption", "remember", "filter", "select", "ground", "use_tools", "evidence",
]  # fmt: skip


def test_a_real_video_goes_through_the_whole_graph(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    """bikes.mp4, which the pack in process declines; behind a URL nobody knows that it is the pack.

    What it says of bikes is of no worth. That every step is made, and every failing one is told of
    as a gap, is the matter here.
    """
    folder, url = served
    if folder != PACK_TORCH:
        pytest.skip("an untrained model writes until its limit: minutes a frame")
    clip = next(clip for clip in real_clips() if clip.stem == "bikes")
    spec = f"openai:{folder}@{url}"
    roles = {role: spec for role in ("captioner", "selector", "reasoner", "checker")}
    settings = Settings.load(
        {**roles, "cache_dir": tmp_path, "fps": 0.5, "dynamic_fps": 0.5, "timeout_s": 120},
        environ={"OPENAI_API_KEY": "local"},
    )
    steps: list[str] = []
    answer = ve.ask(
        clip,
        "What are the people riding?",
        settings=settings,
        on_step=lambda s: steps.append(s.node),
    )
    assert steps[: len(CHAIN)] == CHAIN
    assert answer.work.captioned >= 3
    assert answer.core_frames
    assert all(core.caption for core in answer.core_frames)
    assert sum(usage.calls for usage in answer.usage.values()) >= answer.work.captioned + 2
    assert not any("embedded" in warning for warning in answer.warnings)


def test_dataset_mode_makes_records_with_a_real_small_model_in_every_role(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    """The pack was taught dataset mode's roles: behind a server it is a small model like any other,
    with its own mistakes, so pairs are lost and what is left are whole records."""
    folder, url = served
    if folder != PACK_TORCH:
        pytest.skip("an untrained model writes no pairs: the next test")
    given = dict.fromkeys(("captioner", *DATASET_ROLES), f"openai:{folder}@{url}")
    settings = Settings.load(
        {**given, "detector": "off", "cache_dir": tmp_path / "cache", "timeout_s": 300.0},
        environ={},
    )
    built = ve.build_dataset(STREET, tmp_path / "set", settings=settings)
    assert (built.done, built.failed) == (1, 0)
    assert built.records >= 1
    for item in read_items(tmp_path / "set"):
        assert item.letter, "wrong answers of the model's own"
        assert item.core_frames
        assert item.evidence
        assert item.verification
        assert item.verification.accepted


def test_dataset_mode_survives_a_small_model_that_writes_no_json(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    """All roles on a real server: captions come back, and a group whose generator writes prose is
    a reject with its reason, not the end of the run."""
    folder, url = served
    if folder == PACK_TORCH:
        pytest.skip("writes JSON: the test before")
    given = dict.fromkeys(("captioner", *DATASET_ROLES), f"openai:{folder}@{url}")
    settings = Settings.load(
        {**given, "detector": "off", "cache_dir": tmp_path / "cache", "fps": 0.1,
         "dynamic_fps": 0.1, "max_side": 160, "timeout_s": 300.0},
        environ={},
    )  # fmt: skip
    built = ve.build_dataset(STREET, tmp_path / "set", settings=settings)
    assert (built.done, built.failed) == (1, 0)
    assert built.usage["captioner"].calls > 0
    assert built.usage["generator"].calls > 0
    told = [r.criterion for r in read_rejects(tmp_path / "set")]
    assert built.records or told, "every group leaves a record or a reason"
