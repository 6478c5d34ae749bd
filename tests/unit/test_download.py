"""`fetch`: what is kept, what is checked again, and what is refused; all from localhost."""

import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers import web
from tests.helpers.small import square_video
from tests.helpers.web import Site

from videoespresso.errors import AddressError, DownloadError, MemoryStoreError, VideoError
from videoespresso.memory import downloads
from videoespresso.memory.downloads import Downloads
from videoespresso.settings import Settings
from videoespresso.tools.fetch import transfer
from videoespresso.tools.fetch.download import fetch, local, name_of
from videoespresso.tools.fetch.transfer import Progress
from videoespresso.tools.video import probe


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("clips")
    return [square_video(folder / f"{s}.mp4", seconds=s).read_bytes() for s in (2, 3, 4)]


@pytest.fixture
def site(clips: list[bytes]) -> Iterator[Site]:
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(clips[0])
        yield site


@pytest.fixture
def url(site: Site) -> str:
    return site.url("/clip.mp4")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return web.local(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("files/*/*") if not p.name.startswith("."))


def test_a_video_is_fetched_once_and_then_only_checked_for_changes(
    site: Site, url: str, settings: Settings, folder: Path, clips: list[bytes]
) -> None:
    heard: list[Progress] = []
    path = fetch(url, settings, on_progress=heard.append)
    assert path.read_bytes() == clips[0]
    assert path == folder / "files" / probe(path).id / "clip.mp4"
    assert heard[-1].received == len(clips[0])
    assert fetch(url, settings) == path
    assert len(site.requests) == 1, "checked a moment ago"
    assert fetch(url, settings, fresh_s=0) == path
    assert site.requests[1][1]["if-none-match"] == '"one"'
    assert list(folder.glob("parts/*")) == []
    site.pages["/clip.mp4"] = web.serve(clips[1], etag='"two"')
    assert fetch(url, settings, fresh_s=0).read_bytes() == clips[1]


def test_without_the_server_the_known_video_is_used_with_a_warning(
    settings: Settings, clips: list[bytes]
) -> None:
    warnings: list[str] = []
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(clips[0])
        url = site.url("/clip.mp4")
        path = fetch(url, settings)
        site.pages["/clip.mp4"] = web.status(503)
        assert fetch(url, settings, fresh_s=0, on_warning=warnings.append) == path
        site.pages["/clip.mp4"] = web.status(404)
        with pytest.raises(DownloadError, match="404"):
            fetch(url, settings, fresh_s=0)
    assert fetch(url, settings, fresh_s=0, on_warning=warnings.append) == path
    assert "503" in warnings[0]
    assert "cannot be reached" in warnings[1]
    assert "is used" in warnings[1]
    with pytest.warns(UserWarning, match="is used"):
        fetch(url, settings, fresh_s=0)


def test_the_same_content_is_kept_once(
    site: Site, url: str, settings: Settings, folder: Path, clips: list[bytes]
) -> None:
    site.pages["/two.mp4"] = web.serve(clips[0])
    one = fetch(url, settings)
    assert fetch(site.url("/two.mp4?v=2"), settings) == one
    store = Downloads(folder)
    assert files(folder) == ["clip.mp4"]
    assert store.source(one) == site.url("/two.mp4?v=2")
    assert (store.stats().videos, store.stats().addresses) == (1, 2)
    assert store.stats().bytes == len(clips[0])


def test_no_secret_is_in_any_file(site: Site, settings: Settings, folder: Path) -> None:
    path = fetch(site.url("/clip.mp4?sig=hunter2").replace("://", "://me:hunter2@"), settings)
    assert site.requests[0][0] == "/clip.mp4?sig=hunter2"
    assert Downloads(folder).source(path) == site.url("/clip.mp4?sig=***")
    written = [p for p in folder.rglob("*") if p.is_file()]
    assert len(written) >= 3
    assert all(b"hunter2" not in p.read_bytes() and "hunter2" not in str(p) for p in written)


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


def test_what_a_server_calls_a_file_is_not_used(
    site: Site, url: str, settings: Settings, folder: Path, clips: list[bytes]
) -> None:
    def page(handler: web.Handler) -> None:
        name = 'attachment; filename="../../../evil.sh"'
        handler.start(200, len(clips[0]), Content_Disposition=name)
        handler.wfile.write(clips[0])

    site.pages["/clip.mp4"] = page
    fetch(url, settings)
    assert files(folder) == ["clip.mp4"]


def test_what_is_no_video_is_refused_and_not_kept(
    site: Site, settings: Settings, folder: Path, clips: list[bytes]
) -> None:
    site.pages["/a.mp4"] = web.serve(b"no video at all" * 100)
    site.pages["/b.mp4"] = web.stream(clips[0], length=len(clips[0]) // 2)
    for path in ("/a.mp4", "/b.mp4"):
        with pytest.raises(DownloadError) as caught:
            fetch(site.url(path), settings)
        assert site.url(path) in str(caught.value)
        assert caught.value.hint
    assert files(folder) == []
    assert list(folder.glob("parts/*/*.mp4")) == []


def test_a_video_may_be_too_long(url: str, folder: Path) -> None:
    with pytest.raises(DownloadError, match="lasts") as caught:
        fetch(url, web.local(folder.parent, max_duration_s=1))
    assert "download_max_duration_s" in caught.value.hint
    assert files(folder) == []


def test_a_long_video_is_refused_as_soon_as_its_header_is_there(
    site: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = square_video(tmp_path / "long.mkv", seconds=20).read_bytes()
    monkeypatch.setattr(transfer, "HEAD_BYTES", len(long) // 3)
    site.pages["/long.mkv"] = web.stalling(long[: len(long) // 2])
    with pytest.raises(DownloadError, match="lasts"):
        fetch(site.url("/long.mkv"), web.local(tmp_path, max_duration_s=10))
    assert list(folder.glob("parts/*/*.mkv")) == []
    with pytest.raises(DownloadError, match="nothing for"):
        fetch(site.url("/long.mkv"), web.local(tmp_path, max_duration_s=30, stall_s=0.3))


def test_a_page_without_the_extra_names_it(
    site: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    site.pages["/watch"] = web.html("<!doctype html><p>")
    with pytest.raises(DownloadError, match="web page") as caught:
        fetch(site.url("/watch"), settings)
    assert 'pip install "videoespresso[web]"' in caught.value.hint


def test_one_at_a_time_fetches_an_address(site: Site, url: str, settings: Settings) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch(url, settings))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(paths) == 4
    assert len(set(paths)) == 1
    assert len(site.requests) == 1


def test_videos_used_longest_ago_go_first(
    site: Site, settings: Settings, folder: Path, clips: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    room = len(clips[1]) + len(clips[2])
    monkeypatch.setattr(Downloads.__init__, "__kwdefaults__", {"cap_bytes": room})
    for n, clip in enumerate(clips):
        site.pages[f"/{n}.mp4"] = web.serve(clip)
        fetch(site.url(f"/{n}.mp4"), settings)
    assert files(folder) == ["1.mp4", "2.mp4"]
    assert Downloads(folder).stats().addresses == 2
    fetch(site.url("/0.mp4"), settings)
    assert site.paths().count("/0.mp4") == 2


def test_what_lies_unfinished_for_a_week_goes(
    url: str, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = folder / "parts" / "old"
    old.mkdir(parents=True)
    monkeypatch.setattr(downloads, "_STALE_S", -1.0)
    fetch(url, settings)
    assert not old.exists()


@pytest.mark.parametrize("damage", ["index", "file"])
def test_a_store_that_lost_something_fetches_again(
    url: str, settings: Settings, folder: Path, clips: list[bytes], damage: str
) -> None:
    path = fetch(url, settings)
    if damage == "file":
        path.unlink()
    else:
        (entry,) = folder.glob("index/*.json")
        entry.write_text("{")
    assert fetch(url, settings).read_bytes() == clips[0]


def test_a_store_that_cannot_be_written_says_so(url: str, settings: Settings, folder: Path) -> None:
    folder.write_text("in the way")
    with pytest.raises(MemoryStoreError):
        fetch(url, settings)


def test_a_path_stays_a_path_and_an_address_becomes_a_file(
    url: str, settings: Settings, folder: Path
) -> None:
    clip = folder.with_name("clip.mp4")
    clip.write_bytes(b"a film")
    assert local(clip, settings) == (str(clip), "", (), False)
    with pytest.raises(VideoError, match=r"C:/clip\.mp4: no such file"):
        local("C:/clip.mp4", settings)
    first = local(url, settings)
    assert Path(first.path).is_relative_to(folder / "files")
    assert first.fetched == f"{url}: 0.0 MB"
    assert local(url, settings).fetched.endswith("known from before")
    with pytest.raises(AddressError):
        local("file:///etc/passwd", settings)


def test_a_file_of_yours_has_no_source(tmp_path: Path) -> None:
    (tmp_path / ".source").write_text("https://h.org/")
    assert Downloads(tmp_path / "downloads").source(tmp_path / "clip.mp4") == ""
