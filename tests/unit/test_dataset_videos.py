"""Which videos a run is about."""

from pathlib import Path

import pytest
from PIL import Image

from videoespresso.dataset.videos import HIDDEN, OTHER, STILL, find, find_videos, summary
from videoespresso.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.MKV", ".hidden.mp4", "notes.txt", "in/c.webm", "#1.mp4"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
    return tmp_path


def names(found: list[str], folder: Path) -> list[str]:
    return [str(Path(path).relative_to(folder)) for path in found]


def test_a_folder_gives_its_videos_and_those_in_folders_below(folder: Path) -> None:
    assert names(find_videos([folder]), folder) == ["#1.mp4", "a.MKV", "b.mp4", "in/c.webm"]


def test_what_is_passed_over_in_a_folder_is_known_with_its_reason(folder: Path) -> None:
    (folder / "set").mkdir()
    (folder / "set" / "records.jsonl").write_bytes(b"")
    found = find([folder], folder / "set")
    skipped = {str(Path(path).relative_to(folder)): why for path, why in found.skipped.items()}
    assert skipped == {".hidden.mp4": HIDDEN, "notes.txt": OTHER}
    hidden, other = summary(found.by_reason())
    assert hidden == f"1 file (hidden): {folder / '.hidden.mp4'}"
    assert other.startswith("1 file (not a video by its name): ")
    assert find([folder, folder / "notes.txt"]).skipped.keys() == {
        str(folder / ".hidden.mp4"),
        str(folder / "set" / "records.jsonl"),
    }, "a file that is named itself is looked at"
    for k in range(5):
        (folder / f"z{k}.srt").write_bytes(b"")
    others = find([folder]).by_reason()
    assert summary(others)[1].startswith("7 files (not a video by its name): ")
    assert summary(others)[1].endswith(", ... (--json names all)")
    assert len(others[OTHER]) == 7, "each by its name"


@pytest.mark.parametrize(
    ("name", "count", "why"),
    [("a.gif", 1, STILL), ("a.gif", 2, None), ("a.gif", 3, None), ("a.webp", 1, STILL),
     ("a.WEBP", 3, None),
     ("a.avif", 1, STILL), ("a.avif", 3, None), ("a.h264", 0, None), ("a.hevc", 0, None),
     ("a.jpg", 1, OTHER), ("a.gif", 0, STILL)],
)  # fmt: skip
def test_a_picture_in_a_folder_is_a_video_if_it_is_animated(
    folder: Path, name: str, count: int, why: str | None
) -> None:
    file = folder / name
    images = [Image.new("RGB", (16, 16), (80 * k, 0, 0)) for k in range(count)]
    if images:
        more = {"save_all": True, "append_images": images[1:]} if count > 1 else {}
        images[0].save(file, **more)
    else:
        file.touch()
    found = find([folder])
    assert (str(file) in found.paths) is (why is None)
    assert found.skipped.get(str(file)) == why


def test_a_list_gives_a_path_a_line_beside_it_without_comments(folder: Path) -> None:
    listed = folder / "in" / "list.txt"
    listed.write_text("#EXTM3U\n\n  ../b.mp4  \nc.webm\n# c.webm\n.././#1.mp4\n../b.mp4\n")
    assert [Path(p).resolve() for p in find_videos([f"@{listed}"])] == [
        folder / "b.mp4",
        folder / "in" / "c.webm",
        folder / "#1.mp4",
    ]


def test_a_list_from_windows_begins_with_a_mark(folder: Path) -> None:
    listed = folder / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbfb.mp4\r\na.MKV\r\n")
    assert names(find_videos([f"@{listed}"]), folder) == ["b.mp4", "a.MKV"]


def test_a_tilde_is_a_home_where_somebody_has_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "~b.mp4").write_bytes(b"")
    listed = folder / "list.txt"
    listed.write_text("~b.mp4\n~/b.mp4\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "in"))
    assert find_videos(["~b.mp4", "~/c.webm"]) == ["~b.mp4", str(folder / "in" / "c.webm")]
    assert names(find_videos([f"@{listed}"]), folder) == ["~b.mp4", "in/b.mp4"]


def test_a_name_that_no_file_can_have_is_said(folder: Path) -> None:
    listed = folder / "list.txt"
    listed.write_text("b.mp4\nc\0.mp4\n")
    for given in (f"@{listed}", "c\0.mp4"):
        with pytest.raises(UserError, match=r"c\\x00\.mp4' cannot be a file's name"):
            find_videos([str(folder / "b.mp4"), given])
    with pytest.raises(UserError, match="cannot be a file's name"):
        find_videos(["@list\0.txt"])


def test_a_missing_file_stays_in_the_list_beside_one_that_is_there(folder: Path) -> None:
    given = [str(folder / "b.mp4"), str(folder / "gone.mp4")]
    assert find_videos(given) == given


def test_nothing_to_do_is_said(folder: Path) -> None:
    empty = folder / "none"
    empty.mkdir()
    (folder / "none.txt").write_text("# nothing\n")
    for given in ([empty], [f"@{folder}/none.txt"]):
        with pytest.raises(UserError, match="no video in what was given"):
            find_videos(given)
    with pytest.raises(UserError, match=r"gone.mp4 and 1 more: no such file"):
        find_videos([folder / "gone.mp4", folder / "also.mp4"])
    with pytest.raises(UserError, match="cannot be read as a list"):
        find_videos([f"@{folder}/gone.txt"])


def test_links_to_folders_are_followed_and_may_lead_in_a_circle(folder: Path) -> None:
    elsewhere = folder / "in"
    given = folder / "given"
    given.mkdir()
    (given / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(elsewhere)
    assert names(find_videos([given]), folder) == ["given/link/c.webm"]


@pytest.mark.parametrize(
    ("given", "told"), [("", "empty name"), ("https://example.org/a.mp4", "built from files")]
)
def test_what_is_no_file_is_said(folder: Path, given: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        find_videos([str(folder / "b.mp4"), given])


def test_an_address_in_a_list_is_said(folder: Path) -> None:
    (folder / "list.txt").write_text("b.mp4\nhttp://example.org/a.mp4\n")
    with pytest.raises(UserError, match="built from files"):
        find_videos([f"@{folder}/list.txt"])
