"""Profile `laptop`: without weights nothing is decoded; with them no part of the pack speaks."""

import json
import warnings
from pathlib import Path

import pytest
from tests.helpers.small import square_video
from tests.helpers.videos import real_clips

import videoespresso as ve
from videoespresso.cli.app import main
from videoespresso.errors import SettingsError
from videoespresso.models.profiles import LAPTOP_VLM, resolve
from videoespresso.models.pull.catalogue import WEIGHTS
from videoespresso.models.pull.plan import planned, pull
from videoespresso.models.weights import folder
from videoespresso.settings import MODEL_ROLES, Settings


def test_without_weights_it_ends_before_anything_is_decoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = square_video(tmp_path / "clip.mp4")
    settings = Settings.load({"profile": "laptop"})
    with pytest.raises(SettingsError) as refused:
        ve.ask(video, "What moves?", settings=settings)
    assert "`videoespresso models pull laptop`" in refused.value.hint
    assert not list((settings.cache_dir / "frames").rglob("*.jpg"))
    assert main(["ask", str(video), "What moves?", "--profile", "laptop"]) == 2
    assert "models pull laptop" in capsys.readouterr().err
    assert main(["models", "list", "--json"]) == 0  # what is not there can be listed
    named = {row["name"]: row for row in json.loads(capsys.readouterr().out)["profiles"]}
    assert named["laptop"]["question_usd"] == 0


def test_every_role_uses_what_was_pulled(tmp_path: Path) -> None:
    settings = Settings.load({"profile": "laptop"})
    assert {resolve(settings)[role].spec for role in MODEL_ROLES} == {LAPTOP_VLM}
    assert resolve(settings)["detector"].spec == "off"
    names = ("vision_encoder", "embed_tokens", "decoder_model_merged_q4")
    for name in (*(f"onnx/{name}.onnx" for name in names), "tokenizer.json"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_bytes(b"x")
    pull(settings, planned(settings, WEIGHTS["vlm"], source=tmp_path / "own", dtype="q4"))
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen/model.onnx").write_bytes(b"x")
    pull(settings, planned(settings, WEIGHTS["detector"], source=tmp_path / "seen"))
    roles = resolve(settings)
    spec = f"onnx:{folder(settings, 'vlm')}?dtype=q4"
    assert {roles[role].spec for role in MODEL_ROLES} == {spec}
    assert roles["detector"].spec == f"onnx:{folder(settings, 'detector') / 'model.onnx'}"
    given = resolve(Settings.load({"profile": "laptop", "reasoner": "openai:gpt-4o"}))
    assert given["reasoner"].spec == "openai:gpt-4o"
    assert given["captioner"].spec == spec


@pytest.mark.extras
@pytest.mark.timeout(900)  # a random model writes to the end of every reply
def test_a_film_is_answered_by_the_pulled_weights_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    for name in ("FPS", "DYNAMIC_FPS"):  # four frames are enough
        monkeypatch.setenv(f"VIDEOESPRESSO_{name}", "0.4")
    from tests.helpers.detr_twins import build  # noqa: PLC0415 - torch
    from tests.helpers.onnx_twins import LAYOUTS, twin  # noqa: PLC0415

    with warnings.catch_warnings():  # the exporter's own
        warnings.simplefilter("ignore")
        twin(tmp_path / "vlm", LAYOUTS["smolvlm"])
    config = json.loads((tmp_path / "vlm/config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 16384  # a prompt has many letters
    (tmp_path / "vlm/config.json").write_text(json.dumps(config))
    build("yolos", tmp_path / "detector")  # the quickest to export
    arguments = ["models", "pull", "vlm", "--from", str(tmp_path / "vlm"), "--dtype", "fp32"]
    assert main([*arguments, "--yes"]) == 0
    assert main(["models", "pull", "detector", "--from", str(tmp_path / "detector"), "-y"]) == 0
    capsys.readouterr()
    [video, *_] = real_clips()
    code = main(["ask", str(video), "What moves?", "--profile", "laptop", "--json"])
    said = capsys.readouterr()
    assert code in (0, 3), said.err  # a random model may well not answer
    assert {role for role, spent in json.loads(said.out)["usage"].items() if spent["calls"]} >= {
        "captioner",
        "reasoner",
    }
    assert "embedded" not in said.out + said.err
