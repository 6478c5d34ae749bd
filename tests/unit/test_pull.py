"""Pulling without a hub: which files, from a folder, and what stands in the way."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from tests.helpers.full_disk import full_disk
from tests.helpers.hub import Hub

from videoespresso.cli.app import main
from videoespresso.cli.console import Exit
from videoespresso.errors import SettingsError, UserError
from videoespresso.models.pull import hub
from videoespresso.models.pull.catalogue import BUNDLES, WEIGHTS, named, needed
from videoespresso.models.pull.plan import planned, pull
from videoespresso.models.weights import folder, pulled, pulled_detector, pulled_spec
from videoespresso.settings import Settings

VLM = (
    *("config.json", "tokenizer.json", "chat_template.json", "README.md", "model.safetensors"),
    *("onnx/vision_encoder.onnx", "onnx/vision_encoder_int8.onnx", "onnx/embed_tokens.onnx"),
    *("onnx/decoder_model_merged_int8.onnx", "onnx/decoder_model_merged_q4.onnx"),
    *("onnx/decoder_model_merged_q4.onnx_data", "onnx/decoder_model_merged_q4.onnx_data_1"),
    *("onnx/decoder_model_merged_q4f16.onnx", "onnx/decoder_model_merged_q4f16.onnx_data"),
)


def filled(where: Path, *names: str, size: int = 10) -> Path:
    for name in names:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(name.encode().ljust(size))
    return where


def test_only_one_type_of_each_graph_is_needed_with_its_external_data() -> None:
    vlm = WEIGHTS["vlm"]
    sides = ["chat_template.json", "config.json", "tokenizer.json"]
    assert needed(vlm, VLM, where="x") == [
        "onnx/vision_encoder.onnx",
        "onnx/embed_tokens.onnx",
        "onnx/decoder_model_merged_int8.onnx",
        *sides,
    ]
    quarter = needed(vlm, VLM, dtype="q4", where="x")
    assert [name for name in quarter if "decoder" in name] == [
        "onnx/decoder_model_merged_q4.onnx",
        "onnx/decoder_model_merged_q4.onnx_data",
        "onnx/decoder_model_merged_q4.onnx_data_1",
    ]
    with pytest.raises(SettingsError, match="no decoder_model_merged in fp16") as refused:
        needed(vlm, VLM, dtype="fp16", where="x")
    assert "q4, q4f16, int8" in refused.value.hint
    with pytest.raises(SettingsError, match="no vision_encoder") as refused:
        needed(vlm, ["config.json", "model.safetensors"], where="/copied")
    assert refused.value.hint.endswith("-m hf:/copied")


def test_a_folder_of_transformers_needs_no_pull(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "hf:owner/name", "--from", "/copied"]) == Exit.USER
    assert "-m hf:/copied" in capsys.readouterr().err


def test_names_and_bundles() -> None:
    assert [weights.name for weights in named(["laptop"])] == list(BUNDLES["laptop"])
    assert [weights.name for weights in named(["detector", "laptop"])] == [
        "detector",
        "vlm",
        "clip",
    ]
    with pytest.raises(SettingsError, match="'vml'"):
        named(["vml"])
    with pytest.raises(SettingsError, match="for the same"):
        named(["laptop", "rf-detr"])


def test_a_folder_is_taken_whole_and_what_was_before_goes(tmp_path: Path) -> None:
    settings = Settings.load()
    source = filled(tmp_path / "copied", *VLM)
    pull(settings, planned(settings, WEIGHTS["vlm"], source=source))
    place = folder(settings, "vlm")
    assert pulled_spec(settings, "vlm") == f"onnx:{place}?dtype=int8"
    pull(settings, planned(settings, WEIGHTS["vlm"], source=source, dtype="q4"))
    assert pulled_spec(settings, "vlm") == f"onnx:{place}?dtype=q4"
    there = {path.name for path in place.rglob("*.onnx")}
    assert there == {"vision_encoder.onnx", "embed_tokens.onnx", "decoder_model_merged_q4.onnx"}
    shutil.rmtree(source)
    assert pulled(settings, "vlm") is not None  # a copy, not a link


def test_a_detector_of_ones_own_may_have_any_name(tmp_path: Path) -> None:
    settings = Settings.load()
    source = filled(tmp_path / "mine", "best.onnx", "best.onnx_data", "config.json", "notes.txt")
    pull(settings, planned(settings, WEIGHTS["detector"], source=source))
    place = folder(settings, "detector")
    assert pulled_detector(settings) == f"onnx:{place}"
    assert {path.name for path in place.iterdir()} == {
        *("best.onnx", "best.onnx_data", "config.json", "pulled.json")
    }
    filled(source, "other.onnx")
    with pytest.raises(SettingsError, match="no model in fp32"):
        planned(settings, WEIGHTS["detector"], source=source)
    with pytest.raises(SettingsError, match="no folder"):
        planned(settings, WEIGHTS["detector"], source=tmp_path / "nowhere")


def test_a_disk_without_room_is_said_before_and_kept_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.load()
    source = filled(tmp_path / "mine", "model.onnx", size=50_000)
    plan = planned(settings, WEIGHTS["detector"], source=source)
    with full_disk(20_000), pytest.raises(UserError, match="cannot be written") as full:
        pull(settings, plan)
    assert "VIDEOESPRESSO_MODELS_DIR" in full.value.hint
    usage = shutil.disk_usage(tmp_path)._replace(free=64 * 1024**2 + 10_000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(UserError, match="room for 0"):
            pull(settings, plan)
    assert pulled_detector(settings) is None
    pull(settings, plan)
    assert pulled_detector(settings) is not None


def test_two_pulls_do_not_mix(tmp_path: Path) -> None:
    settings = Settings.load()
    plan = planned(settings, WEIGHTS["detector"], source=filled(tmp_path / "mine", "model.onnx"))
    (settings.models_dir / ".unfinished").mkdir(parents=True)
    with (
        FileLock(settings.models_dir / ".unfinished/lock"),
        pytest.raises(UserError, match="another pull"),
    ):
        pull(settings, plan)
    pull(settings, plan)


def test_a_repository_cannot_name_a_file_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hub() as site:
        site.add("a/b", {"onnx/model.onnx": b"x", "onnx/model.onnx_/../../../evil": b"y"})
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", site.url(""))
        found = hub.listing("a/b")
    assert [file.name for file in found.files] == ["onnx/model.onnx"]


@pytest.mark.parametrize("repo", ["/nowhere", "a b/c", "-a/b"])
def test_what_cannot_be_a_repository_is_not_in_the_cache(repo: str) -> None:
    assert hub.in_cache(repo) is None
