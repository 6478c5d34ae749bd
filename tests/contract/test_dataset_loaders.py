"""Exported files are opened by those they are for: `datasets`, TRL and a real processor.

LLaMA-Factory and ms-swift want older versions of the same libraries than we use; their documented
formats are tested in tests/unit/test_dataset_export.py, and they in tests/e2e/test_trainers.py.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.helpers.released import bench_record, dataset, item, train_record, write
from tests.helpers.tiny_models import qwen

from videoespresso.dataset.formats.conversations import Medium, Message
from videoespresso.dataset.formats.convert import convert
from videoespresso.dataset.formats.lengths import counter
from videoespresso.dataset.formats.parquet import AS_JSON
from videoespresso.dataset.formats.writing import Choices
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import SettingsError
from videoespresso.models.embedded import pack

pytestmark = pytest.mark.extras

TWIN = Path(next(iter(pack.__path__))) / "torch"


def load(kind: str, file: Path) -> Any:
    """The file by the real loader, nothing kept outside the test's folder."""
    datasets = pytest.importorskip("datasets")
    cache = str(file.parent / "cache")
    return datasets.load_dataset(kind, data_files=str(file), split="train", cache_dir=cache)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A dataset's two stages for TRL."""
    convert(dataset(tmp_path / "d"), tmp_path / "trl", to="trl")
    return tmp_path / "trl"


def test_parquet_has_every_field_and_gives_pictures(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d", 130)  # more than two row groups
    file = tmp_path / "d.parquet"
    convert(folder, file, to="parquet", choices=Choices(embed=True))
    rows = load("parquet", file)
    assert len(rows) == 130
    assert set(rows.column_names) == set(DatasetItem.model_fields)
    picture = rows[129]["core_frames"][1]["image"]
    assert (picture.size, picture.mode) == ((64, 36), "RGB")
    assert picture.getpixel((5, 5))[1] == pytest.approx(129, abs=3)


def test_parquet_by_path_gives_pictures_wherever_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset(tmp_path / "d")
    monkeypatch.chdir(tmp_path)  # not the dataset's folder, which is given by its relative path
    convert("d", tmp_path / "d.parquet", to="parquet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    picture = load("parquet", tmp_path / "d.parquet")[2]["core_frames"][1]["image"]
    assert (picture.size, picture.mode) == ((64, 36), "RGB")


@pytest.mark.parametrize("embed", [True, False])
def test_parquet_has_no_files_that_are_no_pictures(tmp_path: Path, embed: bool) -> None:
    folder = dataset(tmp_path / "d", 4)
    (folder / "images/0-1.jpg").write_text("45")
    whole = (folder / "images/2-0.jpg").read_bytes()
    (folder / "images/2-0.jpg").write_bytes(whole[:-12])
    file = tmp_path / "d.parquet"
    done = convert(folder, file, to="parquet", choices=Choices(embed=embed))
    (left,) = done.left_out
    assert (left.criterion, left.first) == ("image cannot be read", "line 1")
    assert left.also == (("line 3",) if embed else ())  # cut off: told where all bytes are read
    rows = load("parquet", file)
    assert len(rows) == done.written == 4 - left.count
    if embed:
        assert {frame["image"].size for row in rows for frame in row["core_frames"]} == {(64, 36)}


def test_parquet_and_our_records_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "d.parquet"
    records = [bench_record(), bench_record(question="And?", duration={"s": [1, None]})]
    convert(write(tmp_path / "in.json", records), file, to="parquet")
    convert(tmp_path / "in.json", tmp_path / "ours")
    lines = (tmp_path / "ours/records.jsonl").read_text().splitlines()
    datasets = pytest.importorskip("datasets")
    rows = load("parquet", file).cast_column(
        "core_frames", _undecoded(load("parquet", file), datasets)
    )
    for row, line in zip(rows, lines, strict=True):
        for name in AS_JSON:
            row[name] = json.loads(row[name])
        for frame in row["core_frames"]:
            assert frame["image"]["bytes"] is None
            frame["image"] = frame["image"]["path"]
        assert DatasetItem.model_validate(row) == DatasetItem.model_validate_json(line)


def _undecoded(rows: Any, datasets: Any) -> Any:
    frame = dict(rows.features["core_frames"].feature)
    return datasets.List(frame | {"image": datasets.Image(decode=False)})


def test_no_field_of_a_record_is_missing_in_parquet() -> None:
    """A field added to the records has to be added to the columns."""
    pa = pytest.importorskip("pyarrow")
    from videoespresso.dataset.formats import parquet  # noqa: PLC0415 - after the skip

    columns = parquet._schema(pa)

    def compare(told: Any, kind: Any) -> None:
        if isinstance(told, dict) and pa.types.is_struct(kind):
            assert set(told) == {field.name for field in kind}
            for field in kind:
                compare(told[field.name], field.type)
        elif isinstance(told, list) and told and pa.types.is_list(kind):
            compare(told[0], kind.value_type)

    row = parquet.row(item(), [parquet.Picture(None, "a.jpg"), None])
    assert set(row) == set(columns.names)
    for name, value in row.items():
        compare(value, columns.field(name).type)


def test_trl_knows_the_rows_as_conversations(exported: Path) -> None:
    utils = pytest.importorskip("trl.data_utils")
    for name in ("evidence.jsonl", "answer.jsonl"):
        for row in load("json", exported / name):
            assert utils.is_conversational(row)
            for part in ("prompt", "completion"):
                images = row["images"] if part == "prompt" else []
                found = utils.prepare_multimodal_messages(row[part], images)
                blocks = [b for message in found for b in message["content"]]
                assert [b["image"] for b in blocks if b["type"] == "image"] == images


# transformers reads pictures with torchvision where it is there, which torchvision gives up
@pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")
def test_trl_s_collator_and_a_real_processor_learn_the_reply_alone(exported: Path) -> None:
    sft = pytest.importorskip("trl.trainer.sft_trainer")
    transformers = pytest.importorskip("transformers")
    processor = transformers.AutoProcessor.from_pretrained(TWIN)
    collate = sft.DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    for name, expected in (
        ("evidence.jsonl", '{"steps":[{"text":"The light turns red.","frame":1,'),
        ("answer.jsonl", '{"answered":true,"answer":"because the light is red","choice":"B"}'),
    ):
        batch = collate([dict(row) for row in load("json", exported / name).select(range(2))])
        assert batch["pixel_values"].shape[:2] == (2, 2)
        labels = batch["labels"][0]
        learned = processor.tokenizer.decode(labels[labels != -100])
        assert learned.startswith(expected)
        assert "Question" not in learned


def test_the_paper_s_form_is_loaded_by_trl_too(tmp_path: Path) -> None:
    utils = pytest.importorskip("trl.data_utils")
    transformers = pytest.importorskip("transformers")
    file = write(tmp_path / "in.json", [train_record(), bench_record()])
    convert(file, tmp_path / "out", to="trl", choices=Choices(replies="text"))
    processor = transformers.AutoProcessor.from_pretrained(TWIN)
    for row in load("json", tmp_path / "out/answer.jsonl"):
        told = utils.apply_chat_template(
            {"prompt": row["prompt"], "completion": row["completion"]}, processor
        )
        assert told["prompt"].count("<image>") == len(row["images"])
        assert "<obj_start>" in told["prompt"]
        assert row["completion"][0]["content"][0]["text"] in told["completion"]


def test_the_selector_s_rows_are_text_alone(tmp_path: Path) -> None:
    utils = pytest.importorskip("trl.data_utils")
    transformers = pytest.importorskip("transformers")
    convert(dataset(tmp_path / "d"), tmp_path / "out", to="trl-selector")
    processor = transformers.AutoProcessor.from_pretrained(TWIN)
    (row, *_) = load("json", tmp_path / "out/select.jsonl")
    assert set(row) == {"prompt", "completion"}
    assert utils.is_conversational(row)
    told = utils.apply_chat_template(row, processor)
    assert told["completion"].startswith('{"core":[{"why":"core 0","frame":1}')


def test_released_files_are_opened_by_datasets(tmp_path: Path) -> None:
    done = convert(dataset(tmp_path / "d"), tmp_path / "test.json", to="videoespresso-test")
    rows = load("json", Path(done.files[0]))
    assert len(rows) == 3
    assert rows[0]["options"][1] == "(B): because the light is red"


def test_tokens_are_those_of_the_model_s_own_processor(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    count = counter(f"hf:{qwen(tmp_path / 'model')}")
    for name, size in (("small", (56, 56)), ("large", (112, 56)), ("huge", (3000, 1500))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")

    def asked(*pictures: str, text: str = "Why?") -> int:
        shown = (Medium(str(tmp_path / f"{name}.png")) for name in pictures)
        return count((Message("user", (*shown, text)), Message("assistant", ("It is.",))))

    # as many as there are squares of 28 pixels, in two marks; at most 64, by the processor
    assert asked("small") - asked() == 2 * 2 + 2
    assert asked("large", "small") - asked("small") == 4 * 2 + 2
    assert 32 < asked("huge") - asked() <= 64 + 2
    assert asked(text="Why?" + "!" * 7) - asked() == 7


def test_a_base_that_counts_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no folder"):
        counter(f"hf:{tmp_path / 'none'}")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SettingsError, match="its processor cannot be made"):
        counter(f"hf:{tmp_path}")
