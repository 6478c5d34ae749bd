"""The newcomer's story in small: a look nobody taught the pack, taught from records to a pack."""

import json
from pathlib import Path

import pytest
from PIL import Image

from videoespresso.agents import prompt_parts
from videoespresso.agents.prompts import load
from videoespresso.cli.app import main
from videoespresso.dataset import records_io
from videoespresso.models.embedded import PACK_TORCH

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of peft about transformers
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's older exporter
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story's commands: records of winter, a captioner, both, merged, a pack."""
    pytest.importorskip("trl")
    pytest.importorskip("onnx")
    out = tmp_path_factory.mktemp("winter")
    few = ["--steps", "4", "--batch", "8", "--validation", "2", "--quiet"]
    for words in (
        ["theatre", "build", "--style", "winter", "--split", "train", "--n", "48", "--records",
         str(out / "records")],
        ["train", "captioner", str(out / "records"), "--base", f"hf:{PACK_TORCH}",
         "--out", str(out / "captioner"), "--train-vision", *few],
        ["train", "both", str(out / "records"), "--base", f"hf:{out / 'captioner'}",
         "--out", str(out / "both"), *few],
        ["train", "merge", str(out / "both"), "--out", str(out / "merged")],
        ["train", "export-onnx", str(out / "merged"), "--out", str(out / "pack")],
    ):  # fmt: skip
        assert main(words) == 0, words
    return out


def test_the_pack_says_what_the_merged_weights_say(story: Path) -> None:
    """Greedy text of ONNX in 16 bits against torch, on pictures and questions of records."""
    import torch  # noqa: PLC0415 - an extra
    from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: PLC0415 - an extra

    from videoespresso.models.embedded import pack_folder  # noqa: PLC0415
    from videoespresso.models.embedded.runtime import PackRuntime  # noqa: PLC0415 - slow

    where = pack_folder(str(story / "pack"))
    assert where is not None
    pack = PackRuntime(where)
    processor = AutoProcessor.from_pretrained(story / "merged")
    model = AutoModelForImageTextToText.from_pretrained(story / "merged", dtype=torch.float32)
    items = list(records_io.read_items(story / "records"))[::4]
    same = 0
    for item in items:
        path = story / "records" / item.core_frames[0].image
        with Image.open(path) as picture:
            image = picture.convert("RGB").resize((192, 192), Image.Resampling.BICUBIC)
        words = [
            {"role": "system", "content": [{"type": "text", "text": load("captioner").text}]},
            {"role": "user", "content": [
                {"type": "image"}, {"type": "text", "text": prompt_parts.CAPTION_CUE}]},
        ]  # fmt: skip
        prompt = pack.prompt(words, [image])
        inputs = processor(text=prompt.text, images=[image], return_tensors="pt")
        with torch.no_grad():
            whole = model.generate(**inputs, max_new_tokens=60, do_sample=False)
        said = processor.tokenizer.decode(
            whole[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        same += pack.generate([prompt], 60) == [said]
    assert len(items) == 12
    assert same >= 11, "16 bits may turn one word that torch hardly preferred"


def test_what_was_taught_answers_as_a_pack(
    story: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    run = tmp_path / "run"
    line = ["eval", "run", "theatre:winter", "--n", "2", "--out", str(run), "--jobs", "1",
            "--profile", "embedded", "-m", f"embedded:{story / 'pack'}"]  # fmt: skip
    assert main(line) == 0
    capsys.readouterr()
    rows = [json.loads(x) for x in (run / "records.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert all(row["item"].startswith("winter-") for row in rows)
    facts = json.loads((story / "pack/lvlm/pack.json").read_text())
    assert facts["digest"] in (run / "run.json").read_text()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("adapter", "is an adapter, not a whole model"),
        ("nothing", "config.json cannot be read"),
        ("larger pictures", "image_size is 384, not 192"),
        ("other words", "vocab_size is 32000, not 1536"),
        ("another tokenizer", "its tokenizer has no <global-img>"),
        ("full", "holds something"),
    ],
)
def test_other_models_become_no_packs(
    tmp_path: Path, what: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "merged", tmp_path / "pack"
    source.mkdir()
    config = json.loads((PACK_TORCH / "config.json").read_text())
    words = json.loads((PACK_TORCH / "tokenizer.json").read_text())
    if what == "larger pictures":
        config["vision_config"]["image_size"] = 384
    if what == "other words":
        config["text_config"]["vocab_size"] = 32000
    if what == "another tokenizer":
        words["added_tokens"] = [t for t in words["added_tokens"] if t["content"] != "<global-img>"]
    if what == "full":
        out.mkdir()
        (out / "mine.txt").write_text("kept")
    if what == "adapter":
        (source / "adapter_config.json").write_text('{"base_model_name_or_path": "x"}')
    elif what != "nothing":
        (source / "config.json").write_text(json.dumps(config))
        (source / "tokenizer.json").write_text(json.dumps(words))
    assert main(["train", "export-onnx", str(source), "--out", str(out)]) == 2
    printed = capsys.readouterr().err
    assert message in " ".join(printed.split())
    assert "hint: " in printed
