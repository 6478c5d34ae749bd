"""`fetch`: what is kept, what is asked for again, and what is refused; all from localhost."""

import importlib.util
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers import web
from tests.helpers.small import square_video
from tests.helpers.web import LOCAL, Site

from videoespresso.errors import AddressError, DownloadError, MemoryStoreError
from videoespresso.memory import downloads
from videoespresso.memory.downloads import Downloads
from videoespresso.settings import Settings
from videoespresso.tools.fetch import transfer
from videoespresso.tools.fetch.download import fetch, limits_of, local, name_of
from videoespresso.tools.fetch.http import Limits
from videoespresso.tools.fetch.transfer import Progress
from videoespresso.tools.video import probe


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("clips")
    return [square_video(folder / f"{s}.mp4", seconds=s).read_bytes() for s in (2, 3, 4)]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("files/*/*") if not p.name.startswith("."))


def test_the_settings_and_the_function_have_the_same_limits() -> None:
    assert limits_of(Settings()) == Limits()


def test_a_video_is_fetched_once_and_then_only_asked_about(
    site: Site, folder: Path, clips: list[bytes]
) -> None:
    site.pages["/a/clip.mp4"] = web.serve(clips[0])
    heard: list[Progress] = []
    path = fetch(site.url("/a/clip.mp4"), folder, LOCAL, on_progress=heard.append)
    assert path.read_bytes() == clips[0]
    assert path == folder / "files" / probe(path).id / "clip.mp4"
    assert heard[-1].received == len(clips[0])
    assert fetch(site.url("/a/clip.mp4"), folder, LOCAL) == path
    assert len(site.requests) == 1, "asked about a moment ago"
    assert fetch(site.url("/a/clip.mp4"), folder, LOCAL, fresh_s=0) == path
    assert site.requests[1][1]["if-none-match"] == '"one"'
    assert list(folder.glob("parts/*")) == []


def test_a_video_that_changed_is_fetched_anew(site: Site, folder: Path, clips: list[bytes]) -> None:
    site.pages["/clip.mp4"] = web.serve(clips[0])
    fetch(site.url("/clip.mp4"), folder, LOCAL)
    site.pages["/clip.mp4"] = web.serve(clips[1], etag='"two"')
    assert fetch(site.url("/clip.mp4"), folder, LOCAL, fresh_s=0).read_bytes() == clips[1]


def test_without_the_server_the_known_video_is_used_and_that_is_said(
    folder: Path, clips: list[bytes]
) -> None:
    said: list[str] = []
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(clips[0])
        url = site.url("/clip.mp4")
        path = fetch(url, folder, LOCAL)
        site.pages["/clip.mp4"] = web.status(503)
        assert fetch(url, folder, LOCAL, fresh_s=0, on_warning=said.append) == path
        site.pages["/clip.mp4"] = web.status(404)
        with pytest.raises(DownloadError, match="404"):
            fetch(url, folder, LOCAL, fresh_s=0)
    assert fetch(url, folder, LOCAL, fresh_s=0, on_warning=said.append) == path
    assert "503" in said[0]
    assert "cannot be reached" in said[1]
    assert "is used" in said[1]
    with pytest.warns(UserWarning, match="is used"):
        fetch(url, folder, LOCAL, fresh_s=0)


def test_the_same_content_is_kept_once(site: Site, folder: Path, clips: list[bytes]) -> None:
    site.pages["/one.mp4"] = site.pages["/two.mp4"] = web.serve(clips[0])
    one = fetch(site.url("/one.mp4"), folder, LOCAL)
    assert fetch(site.url("/two.mp4?v=2"), folder, LOCAL) == one
    store = Downloads(folder)
    assert files(folder) == ["one.mp4"]
    assert store.source(one) == site.url("/two.mp4?v=2")
    assert (store.stats().videos, store.stats().addresses) == (1, 2)
    assert store.stats().bytes == len(clips[0])


def test_no_secret_is_in_any_file(
    site: Site, folder: Path, clips: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    site.pages["/clip.mp4"] = web.serve(clips[0])
    url = site.url("/clip.mp4?sig=hunter2").replace("://", "://me:hunter2@")
    path = fetch(url, folder, LOCAL)
    assert site.requests[0][0] == "/clip.mp4?sig=hunter2"
    assert Downloads(folder).source(path) == site.url("/clip.mp4?sig=***")
    written = [p for p in folder.rglob("*") if p.is_file()]
    assert len(written) >= 3
    assert all(b"hunter2" not in p.read_bytes() and "hunter2" not in str(p) for p in written)
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/clip.mp4", "clip.mp4"),
        ("/a/Räume%20%231.MP4", "R_ume_1.MP4"),
        ("/..%2f..%2fetc%2fpasswd", "passwd"),
        ("/a%00%1b[31m.mp4", "a_31m.mp4"),
        ("/.source", "source"),
        ("/%2e%2e", "video"),
        ("/", "video"),
        ("/" + "x" * 300 + ".mp4", "x" * 70 + ".mp4"),
    ],
)
def test_a_name_is_made_of_harmless_letters(path: str, name: str) -> None:
    assert name_of(f"https://h.org{path}?x=/etc/passwd") == name


def test_what_a_server_calls_a_file_is_not_asked(
    site: Site, folder: Path, clips: list[bytes]
) -> None:
    def page(handler: web.Handler) -> None:
        name = 'attachment; filename="../../../evil.sh"'
        handler.start(200, len(clips[0]), Content_Disposition=name)
        handler.wfile.write(clips[0])

    site.pages["/clip.mp4"] = page
    fetch(site.url("/clip.mp4"), folder, LOCAL)
    assert files(folder) == ["clip.mp4"]


def test_what_is_no_video_is_refused_and_not_kept(
    site: Site, folder: Path, clips: list[bytes]
) -> None:
    site.pages["/a.mp4"] = web.serve(b"no video at all" * 100)
    site.pages["/b.mp4"] = web.stream(clips[0], length=len(clips[0]) // 2)
    for path in ("/a.mp4", "/b.mp4"):
        with pytest.raises(DownloadError) as caught:
            fetch(site.url(path), folder, LOCAL)
        assert site.url(path) in str(caught.value)
        assert caught.value.hint
    assert files(folder) == []
    assert list(folder.glob("parts/*/*.mp4")) == []


def test_a_video_may_be_too_long(site: Site, folder: Path, clips: list[bytes]) -> None:
    site.pages["/clip.mp4"] = web.serve(clips[0])
    with pytest.raises(DownloadError, match="lasts") as caught:
        fetch(site.url("/clip.mp4"), folder, replace(LOCAL, duration_s=1))
    assert "download_max_duration_s" in caught.value.hint
    assert files(folder) == []


def test_a_long_video_is_refused_as_soon_as_its_header_is_there(
    site: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = square_video(tmp_path / "long.mkv", seconds=20).read_bytes()
    monkeypatch.setattr(transfer, "HEAD_BYTES", len(long) // 3)
    site.pages["/long.mkv"] = web.stalling(long[: len(long) // 2])
    with pytest.raises(DownloadError, match="lasts"):
        fetch(site.url("/long.mkv"), folder, replace(LOCAL, duration_s=10))
    assert list(folder.glob("parts/*/*.mkv")) == []
    limits = replace(LOCAL, duration_s=30, stall_s=0.3)
    with pytest.raises(DownloadError, match="nothing for"):
        fetch(site.url("/long.mkv"), folder, limits)


def test_a_page_without_the_extra_names_it(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    site.pages["/watch"] = web.html("<!doctype html><p>")
    with pytest.raises(DownloadError, match="web page") as caught:
        fetch(site.url("/watch"), folder, LOCAL)
    assert 'pip install "videoespresso[web]"' in caught.value.hint


def test_a_private_address_is_refused_unless_allowed(site: Site, folder: Path) -> None:
    with pytest.raises(AddressError):
        fetch(site.url("/clip.mp4"), folder)
    assert site.requests == []


def test_one_at_a_time_fetches_an_address(site: Site, folder: Path, clips: list[bytes]) -> None:
    site.pages["/clip.mp4"] = web.serve(clips[0])
    found: list[Path] = []

    def work() -> None:
        found.append(fetch(site.url("/clip.mp4"), folder, LOCAL))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(site.requests) == 1


def test_videos_used_longest_ago_go_first(
    site: Site, folder: Path, clips: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = len(clips[1]) + len(clips[2])
    monkeypatch.setattr(Downloads.__init__, "__kwdefaults__", {"cap_bytes": room})
    for n, clip in enumerate(clips):
        site.pages[f"/{n}.mp4"] = web.serve(clip)
        fetch(site.url(f"/{n}.mp4"), folder, LOCAL)
    assert files(folder) == ["1.mp4", "2.mp4"]
    assert Downloads(folder).stats().addresses == 2
    fetch(site.url("/0.mp4"), folder, LOCAL)
    assert site.paths().count("/0.mp4") == 2


def test_what_lies_unfinished_for_a_week_goes(
    site: Site, folder: Path, clips: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = folder / "parts" / "old"
    old.mkdir(parents=True)
    site.pages["/clip.mp4"] = web.serve(clips[0])
    monkeypatch.setattr(downloads, "_STALE_S", -1.0)
    fetch(site.url("/clip.mp4"), folder, LOCAL)
    assert not old.exists()


@pytest.mark.parametrize("damage", ["index", "file"])
def test_a_store_that_lost_something_fetches_again(
    site: Site, folder: Path, clips: list[bytes], damage: str
) -> None:
    site.pages["/clip.mp4"] = web.serve(clips[0])
    path = fetch(site.url("/clip.mp4"), folder, LOCAL)
    if damage == "file":
        path.unlink()
    else:
        (entry,) = folder.glob("index/*.json")
        entry.write_text("{")
    assert fetch(site.url("/clip.mp4"), folder, LOCAL).read_bytes() == clips[0]


def test_a_store_that_cannot_be_written_says_so(site: Site, tmp_path: Path) -> None:
    (tmp_path / "downloads").write_text("in the way")
    with pytest.raises(MemoryStoreError):
        fetch(site.url("/clip.mp4"), tmp_path / "downloads", LOCAL)


def test_a_path_stays_a_path_and_an_address_becomes_a_file(
    site: Site, tmp_path: Path, clips: list[bytes]
) -> None:
    settings = Settings.load({"allow_private_addresses": True, "cache_dir": tmp_path}, environ={})
    assert local(Path("clip.mp4"), settings) == ("clip.mp4", "", ())
    assert local("C:/clip.mp4", settings).path == "C:/clip.mp4"
    site.pages["/clip.mp4"] = web.serve(clips[0])
    first = local(site.url("/clip.mp4"), settings)
    assert Path(first.path).is_relative_to(tmp_path / "downloads" / "files")
    assert first.fetched == f"{site.url('/clip.mp4')}: 0.0 MB"
    assert local(site.url("/clip.mp4"), settings).fetched.endswith("known from before")
    with pytest.raises(AddressError):
        local("file:///etc/passwd", settings)


def test_a_file_of_yours_has_no_source(tmp_path: Path) -> None:
    (tmp_path / ".source").write_text("https://h.org/")
    assert Downloads(tmp_path / "downloads").source(tmp_path / "clip.mp4") == ""
