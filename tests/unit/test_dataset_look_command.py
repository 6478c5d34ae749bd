"""`videoespresso dataset stats|validate|show|split|check` as a person and a script call them."""

import json
from pathlib import Path

import pytest
from tests.helpers.records import HOSTILE, dataset, item, reject, video
from typer.testing import CliRunner

from videoespresso.cli import dataset_inspect
from videoespresso.cli.app import app
from videoespresso.dataset.inspect import overlap, split
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError

ITEMS = [item(seed) for seed in range(60)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return dataset(tmp_path / "my-set", ITEMS, [reject(k) for k in range(5)])


def run(*words: str | Path, code: int = 0) -> str:
    """stdout of `videoespresso dataset ...`, which must end with this code."""
    done = CliRunner().invoke(app, ["dataset", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.stdout


def test_the_choices_are_those_of_the_modules() -> None:
    assert tuple(dataset_inspect.Together) == split.TOGETHER
    assert tuple(dataset_inspect.Kind) == overlap.KINDS


def test_stats_as_text_json_and_page(folder: Path, tmp_path: Path) -> None:
    text = run("stats", folder, "--html", tmp_path / "s.html")
    assert "60 records about 20 videos" in text
    assert "43.0 %" in text
    assert "Share of rejects" in text
    assert "Right without the video (25.0 % by chance)" in text
    assert "naive Bayes on words" in text
    assert "Right without the video" in (tmp_path / "s.html").read_text()
    assert "<!doctype html>" in (tmp_path / "s.html").read_text()
    told = json.loads(run("stats", folder, "--json"))
    assert told["records"] == 60
    assert told["rejected"]["hits"] == 5
    assert told["core_frames"]["n"] == 60
    assert {guess["n"] for guess in told["blind"]} == {60}
    assert json.loads(run("stats", folder / "records.jsonl", "--json")) == told
    run("validate", folder / "records.jsonl")


def test_a_page_that_has_no_place_is_refused_first(tmp_path: Path) -> None:
    run("stats", tmp_path / "nothing", "--html", tmp_path / "no/s.html", code=2)
    run("stats", tmp_path / "nothing", code=2)


@pytest.mark.parametrize("command", [("stats",), ("show", "1")])
@pytest.mark.parametrize("name", ["records.jsonl", "rejects.jsonl", "dataset.json", "frames/a"])
def test_a_page_is_not_written_over_the_dataset(
    folder: Path, name: str, command: tuple[str, ...]
) -> None:
    before = {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    run(command[0], folder, *command[1:], "--html", folder / name, code=2)
    assert {file: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before


def test_the_dataset_s_own_page_may_be_made_anew(folder: Path) -> None:
    run("stats", folder, "--html", folder / "index.html")
    assert "<!doctype html>" in (folder / "index.html").read_text()
    run("show", folder, "1", "--html", folder / "one.html")


def test_validate_says_what_to_mend(folder: Path) -> None:
    assert "60 records, no problem" in run("validate", folder)
    with (folder / "records.jsonl").open("a") as file:
        file.write("{}\n")
    text = " ".join(run("validate", folder, code=1).split())
    assert "unreadable" in text
    assert "Mend the line" in text
    told = json.loads(run("validate", folder, "--json", code=1))
    assert told["counts"] == {"unreadable": 1}
    assert told["problems"][0]["line"] == 61
    run("validate", folder, "--videos", folder, code=1)


def test_show_by_number_and_by_id(folder: Path, tmp_path: Path) -> None:
    one = ITEMS[4]
    text = run("show", folder, "5", "--html", tmp_path / "r.html")
    assert text == run("show", folder, one.id)
    for words in (one.question, f" * {one.letter}", "shadow: not found", "openai:gpt-4o"):
        assert words in text
    assert one.answer in (tmp_path / "r.html").read_text()
    assert DatasetItem.model_validate(json.loads(run("show", folder, "5", "--json"))) == one


@pytest.mark.parametrize("which", ["0", "61", "abc", "-1", "²"])
def test_a_record_that_is_not_there(folder: Path, which: str) -> None:
    with pytest.raises(UserError, match=f"no record {which} in .*, which has 60") as caught:
        dataset_inspect.pick(folder, which)
    assert caught.value.hint.endswith(f"the `id` that a line of {folder / 'records.jsonl'} has.")
    run("show", folder, "--", which, code=2)


def test_open_hands_the_page_to_the_browser(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    run("show", folder, "1", "--open")
    (address,) = opened
    assert ITEMS[0].question in Path(address.removeprefix("file://")).read_text()


def test_hostile_records_do_not_move_the_cursor(tmp_path: Path) -> None:
    odd = item(
        1, question=HOSTILE, answer=HOSTILE, options=(HOSTILE, "b"), letter="A",
        video=video(1, path=HOSTILE + b"\xe9".decode("utf-8", "surrogateescape")),
    )  # fmt: skip
    folder = dataset(tmp_path / "set", [odd, odd])
    for words in (("stats",), ("validate",), ("show", "1"), ("check",)):
        done = CliRunner().invoke(app, ["dataset", words[0], str(folder), *words[1:]])
        assert done.exit_code in (0, 1), done.output
        assert isinstance(done.exception, SystemExit | None)
        assert "\x1b[2J" not in done.output


def test_split_and_check(folder: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    text = run("split", folder, "--out", parts, "--ratios", "train=0.7,test=0.3")
    assert "Records a task" in text
    told = json.loads(
        run("split", folder, "--out", parts, "--ratios", "train=0.7,test=0.3", "--force", "--json")
    )
    assert sum(side["records"] for side in told["sides"]) == 60
    run("split", folder, "--out", parts, code=2)
    clean = ("--threshold", "0.999")
    assert "nothing is shared" in run("check", parts, *clean)
    assert "nothing is shared" in run("check", parts / "train", parts / "test", *clean)
    run("check", parts / "train", folder, *clean, code=1)
    found = json.loads(run("check", parts / "train", folder, "--json", *clean, code=1))
    assert {leak["kind"] for leak in found["leaks"]} == {"video", "image", "question"}
    ignored = [word for kind in overlap.KINDS for word in ("--ignore", kind)]
    run("check", parts / "train", folder, *ignored)


def test_a_dataset_is_not_checked_against_itself(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(folder)
    other = dataset(tmp_path / "other", [item(999)])
    monkeypatch.chdir(tmp_path)
    for again in (folder, Path("my-set/../my-set"), tmp_path / "link", folder / "records.jsonl"):
        with pytest.raises(UserError, match="are the same dataset"):
            dataset_inspect.check([folder, other, again])
        run("check", folder, other, again, code=2)


def test_no_records_are_told_of(tmp_path: Path) -> None:
    empty = dataset(tmp_path / "set", [])
    done = CliRunner().invoke(app, ["dataset", "stats", str(empty), "--json"])
    assert done.exit_code == 0
    assert "has no records" in done.stderr
    assert json.loads(done.stdout)["records"] == 0


def test_an_earlier_split_is_kept(folder: Path, tmp_path: Path) -> None:
    run("split", folder, "--out", tmp_path / "a", "--stratify")
    more = dataset(tmp_path / "more", [item(seed) for seed in range(120)])
    run("split", more, "--out", tmp_path / "b", "--stratify", "--like", tmp_path / "a")
    run("check", tmp_path / "a/train", tmp_path / "b/test", "--threshold", "0.999")


def test_check_of_one_dataset_tells_questions_asked_twice(tmp_path: Path) -> None:
    again = item(500, question=ITEMS[0].question, answer=ITEMS[0].answer, film=99)
    folder = dataset(tmp_path / "set", [*ITEMS, again])
    assert "0 ask a second time about one video" in run("check", folder, "--threshold", "0.999")
    twice = item(500, question=ITEMS[0].question, answer=ITEMS[0].answer, film=0, id="0" * 16)
    folder = dataset(tmp_path / "set", [*ITEMS, twice])
    told = json.loads(run("check", folder, "--threshold", "0.999", "--json", code=1))
    assert told["same_video"] == 1
    assert told["examples"][0]["question"] == ITEMS[0].question
