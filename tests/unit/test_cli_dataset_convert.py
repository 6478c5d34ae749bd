"""`dataset convert | export | schema`: what they show and return."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.helpers.released import bench_record, dataset, train_record, write

from videoespresso.cli import dataset_convert
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit, err, out
from videoespresso.dataset.formats.reading import FORMS
from videoespresso.dataset.formats.released_boxes import SCALES
from videoespresso.dataset.formats.writing import TARGETS
from videoespresso.models.embedded import PACK_TORCH


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out.cache_clear()
    err.cache_clear()
    monkeypatch.chdir(tmp_path)


def test_the_choices_are_those_of_the_formats() -> None:
    """Said twice, so that --help loads no format."""
    assert get_args(dataset_convert.From) == ("auto", *FORMS)
    assert get_args(dataset_convert.To) == TARGETS == ("ours", *get_args(dataset_convert.Export))
    assert set(dataset_convert.SCALES) == {"auto", *map(str, SCALES)}


def test_convert_says_what_it_saw(tmp_path: Path, capsys: Any) -> None:
    write(tmp_path / "in.json", [bench_record(), bench_record(answer=7), 5])
    assert main(["dataset", "convert", "in.json", "--out", "set"]) == Exit.ANSWERED
    shown = capsys.readouterr()
    assert shown.out.splitlines()[:2] == [
        "videoespresso-test → ours: 1 of 3 records",
        "boxes: 2, read as cx, cy, w, h at scale 100",
    ]
    assert "frames: core_frames_paths" in shown.out
    assert shown.out.splitlines()[-2:] == ["set/records.jsonl", "set/rejects.jsonl"]
    assert shown.err.splitlines() == [
        "warning: 1 left out: no answer; the first: record 2, `answer` is int",
        "warning: 1 left out: no record; the first: record 3, a int, not a record",
    ]


def test_the_summary_as_json(tmp_path: Path, capsys: Any) -> None:
    write(tmp_path / "in.json", [train_record()])
    line = ["dataset", "convert", "in.json", "--from", "videoespresso-train", "--out", "set"]
    assert main([*line, "--box-scale", "1000", "--json"]) == Exit.ANSWERED
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert (told["read"], told["written"], told["boxes"], told["scale"]) == (1, 1, 1, 1000)
    assert shown.err == ""


def test_bad_lines_of_a_dataset_are_told(tmp_path: Path, capsys: Any) -> None:
    file = dataset(tmp_path / "set", 14) / "records.jsonl"
    lines = file.read_text().splitlines()
    line = ["dataset", "export", "set", "--to", "trl", "--out", "t", "--force"]
    for bad, also in ((2, "; also line 2"), (13, "; also " + ", ".join(
        f"line {k}" for k in range(2, 11)) + ", …")):  # fmt: skip
        file.write_text("\n".join([*["[]"] * bad, *lines[bad:]]))
        assert main(line) == Exit.ANSWERED
        shown = capsys.readouterr()
        assert shown.out.startswith(f"ours → trl: {14 - bad} of 14 records")
        told = " ".join(shown.err.split())
        assert told.startswith(f"warning: {bad} left out: no record of ours; the first: line 1, ")
        assert told.endswith(also)


def test_export_and_what_is_there_already(tmp_path: Path, capsys: Any) -> None:
    dataset(tmp_path / "set")
    line = ["dataset", "export", "set", "--to", "videoespresso-train", "--out", "t.json"]
    assert main(line) == Exit.ANSWERED
    assert len(json.loads((tmp_path / "t.json").read_text())) == 3
    assert main(line) == Exit.USER
    assert "t.json exists" in capsys.readouterr().err
    assert main([*line, "--force"]) == Exit.ANSWERED


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["convert", "none.json", "--out", "o"], "no such file"),
        (["convert", "no.json", "--out", "o"], "none of videoespresso-train"),
        (["export", "set", "--to", "trl", "--out", "o", "--images", "none"], "--images none"),
        (["export", "set", "--to", "ms-swift", "--out", "o", "--show", "video"], "names core"),
        (["export", "set", "--to", "trl", "--out", "o", "--show", "video"], "trl shows no video"),
        (["export", "set", "--to", "trl", "--out", "o", "--embed"], "no images inside"),
        (["export", "no.json", "--to", "trl", "--out", "o"], "no record of ours (line 1"),
        (["export", ".", "--to", "trl", "--out", "o"], "has no records.jsonl"),
    ],
)
def test_what_is_yours_to_mend(tmp_path: Path, capsys: Any, line: list[str], said: str) -> None:
    dataset(tmp_path / "set")
    write(tmp_path / "no.json", [{"messages": 1}], indent=None)
    assert main(["dataset", *line]) == Exit.USER
    shown = capsys.readouterr().err
    assert said in shown
    assert "hint:" in shown
    assert list(tmp_path.glob("o/*")) == []


@pytest.mark.parametrize(
    ("to", "out"),
    [
        ("videoespresso-test", "set/records.jsonl"),
        ("videoespresso-train", "set/dataset.json"),
        ("videoespresso-train", "elsewhere/../set/index.html"),
        ("trl", "set/frames"),
        ("trl", "set/work/a"),
        ("videoespresso-test", "link.json"),
    ],
)
@pytest.mark.parametrize("source", ["set", "set/records.jsonl"])
def test_a_dataset_is_not_written_over(
    tmp_path: Path, capsys: Any, source: str, to: str, out: str
) -> None:
    before = (dataset(tmp_path / "set") / "records.jsonl").read_bytes()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.json").symlink_to("set/records.jsonl")
    line = ["dataset", "export", source, "--to", to, "--out", out, "--force"]
    assert main(line) == Exit.USER
    assert f"is a part of {source}" in capsys.readouterr().err
    assert sorted(file.name for file in (tmp_path / "set").iterdir()) == ["images", "records.jsonl"]
    assert (tmp_path / "set/records.jsonl").read_bytes() == before


def test_a_released_file_is_not_written_over(tmp_path: Path, capsys: Any) -> None:
    before = write(tmp_path / "in.json", [train_record()]).read_bytes()
    line = ["dataset", "convert", "in.json", "--to", "videoespresso-train", "--force", "--out"]
    assert main([*line, "in.json"]) == Exit.USER
    assert "in.json is the source itself" in capsys.readouterr().err
    assert (tmp_path / "in.json").read_bytes() == before
    assert main([*line, "out.json"]) == Exit.ANSWERED


def test_an_export_may_lie_in_the_dataset_s_folder(tmp_path: Path) -> None:
    dataset(tmp_path / "set")
    line = ["dataset", "export", "set", "--to", "videoespresso-test", "--out", "set/exported"]
    assert main(line) == main([*line, "--force"]) == Exit.ANSWERED


def test_the_schema_is_json_schema(capsys: Any) -> None:
    assert main(["dataset", "schema"]) == Exit.ANSWERED
    told = json.loads(capsys.readouterr().out)
    assert told["title"] == "DatasetItem"
    assert {"question", "core_frames", "evidence"} <= set(told["properties"])


def test_a_cutoff_needs_the_model_whose_tokens_it_counts(tmp_path: Path, capsys: Any) -> None:
    dataset(tmp_path / "set", 1)
    line = ["dataset", "export", "set", "--to", "llama-factory", "--out", "lf"]
    assert main([*line, "--cutoff", "10"]) == Exit.USER
    assert "--cutoff counts tokens of --base" in capsys.readouterr().err
    assert main([*line, "--base", "openai:gpt-4o"]) == Exit.USER
    shown = capsys.readouterr().err
    assert "--base openai:gpt-4o is not a model of Hugging Face" in shown
    assert "models pull" not in shown
    assert not (tmp_path / "lf").exists()


@pytest.mark.extras
def test_a_record_over_llama_factory_s_cutoff_is_named_and_left_out(
    tmp_path: Path, capsys: Any
) -> None:
    """Counted by the base's own processor, pictures too; nothing that is written is over it."""
    pytest.importorskip("transformers")
    folder = tmp_path / "set"
    assert main(["theatre", "build", "--split", "train", "--n", "3", "--records", "set"]) == 0
    short, long, other = map(
        json.loads, (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    )
    long["question"] += " Why?" * 400
    lines = [json.dumps(one) for one in (short, long, other)]
    (folder / "records.jsonl").write_text("\n".join(lines), encoding="utf-8")
    capsys.readouterr()
    line = ["dataset", "export", "set", "--to", "llama-factory", "--base", f"hf:{PACK_TORCH}",
            "--out"]  # fmt: skip
    assert main([*line, "lf", "--cutoff", "1000"]) == Exit.ANSWERED
    shown = capsys.readouterr()
    assert shown.out.startswith("ours → llama-factory: 2 of 3 records")
    told = " ".join(shown.err.split())
    assert "1 left out: longer than 1000 tokens; the first: line 2, " in told
    assert "LLaMA-Factory would cut it" in told
    for name in ("evidence", "answer"):
        rows = (tmp_path / f"lf/{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [short["question"] in row for row in rows] == [True, False]
        assert not any("Why? Why?" in row for row in rows)
    assert main([*line, "all", "--cutoff", "2048", "--json"]) == Exit.ANSWERED
    whole = json.loads(capsys.readouterr().out)
    assert (whole["written"], whole["left_out"]) == (3, [])
    assert 1000 < whole["longest"] <= 2048


@pytest.mark.parametrize("command", ["convert", "export", "schema"])
def test_help_has_examples(capsys: Any, command: str) -> None:
    assert main(["dataset", command, "--help"]) == Exit.ANSWERED
    assert f"videoespresso dataset {command}" in capsys.readouterr().out
