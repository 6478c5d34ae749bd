"""Videos on web pages, with the real yt-dlp on pages of localhost."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers import web
from tests.helpers.small import square_video
from tests.helpers.web import Site, local

from videoespresso.errors import AddressError, DownloadError
from videoespresso.memory.downloads import Downloads
from videoespresso.settings import Settings
from videoespresso.tools.fetch.download import fetch
from videoespresso.tools.fetch.http import Client
from videoespresso.tools.fetch.web_pages import PageReader

pytestmark = [
    pytest.mark.extras,
    # yt-dlp leaves its files to the garbage collector when it is stopped in the middle
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

PAGE = "<!doctype html><html><head><title>A page</title></head><body>{}</body></html>"


def showing(*sources: str) -> web.Page:
    return web.html(PAGE.format("".join(f'<video src="{source}"></video>' for source in sources)))


def pieces(count: int, where: str = "") -> web.Page:
    lines = "".join(f"#EXTINF:1,\n{where}/{n}.mp4\n" for n in range(count))
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{lines}#EXT-X-ENDLIST\n"
    return web.html(text, "application/vnd.apple.mpegurl")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Here and not during some other test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return square_video(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=2).read_bytes()


def test_the_video_on_a_page_is_fetched_by_us_and_once(tmp_path: Path, clip: bytes) -> None:
    with Site() as site:
        site.pages["/watch"] = showing("/clip.mp4?sig=hunter2")
        site.pages["/clip.mp4"] = web.serve(clip)
        url = site.url("/watch?v=1")
        path = fetch(url, local(tmp_path))
        assert path.read_bytes() == clip
        assert Downloads(tmp_path / "downloads").source(path) == url
        agents = [h["user-agent"] for p, h in site.requests if p.startswith("/clip.mp4")]
        assert fetch(url, local(tmp_path), fresh_s=0) == path
        assert site.paths().count("/clip.mp4?sig=hunter2") == len(agents) == 1
    kept = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert all(b"hunter2" not in p.read_bytes() for p in kept)


def test_a_page_that_shows_another_video_now_is_fetched_anew(tmp_path: Path, clip: bytes) -> None:
    with Site() as site:
        site.pages["/watch"] = showing("/one.mp4")
        site.pages["/one.mp4"] = site.pages["/two.mp4"] = web.serve(clip)
        fetch(site.url("/watch"), local(tmp_path))
        site.pages["/watch"] = showing("/two.mp4")
        fetch(site.url("/watch"), local(tmp_path), fresh_s=0)
        assert "/two.mp4" in site.paths()


def test_a_video_in_pieces_is_put_together(tmp_path: Path, clip: bytes) -> None:
    half = len(clip) // 2
    with Site() as site:
        site.pages["/list.m3u8"] = pieces(2)
        site.pages["/0.mp4"] = web.serve(clip[:half])
        site.pages["/1.mp4"] = web.serve(clip[half:])
        path = fetch(site.url("/list.m3u8"), local(tmp_path))
        assert path.read_bytes() == clip
        site.pages["/1.mp4"] = web.status(404)
        with pytest.raises(DownloadError, match="404"):
            fetch(site.url("/list.m3u8?a-piece-is-gone"), local(tmp_path))


def test_a_video_that_says_it_is_too_long_is_not_begun(tmp_path: Path) -> None:
    with Site() as site:
        site.pages["/list.m3u8"] = pieces(120)
        with pytest.raises(DownloadError, match="lasts 2 minutes") as caught:
            fetch(site.url("/list.m3u8"), local(tmp_path, max_duration_s=60))
        assert set(site.paths()) == {"/list.m3u8"}
    assert "download_max_duration_s" in caught.value.hint


def test_a_video_in_pieces_has_a_size_too(tmp_path: Path, clip: bytes) -> None:
    with Site() as site:
        site.pages["/list.m3u8"] = pieces(2)
        site.pages["/0.mp4"] = site.pages["/1.mp4"] = web.serve(clip)
        with pytest.raises(DownloadError, match="larger than") as caught:
            fetch(site.url("/list.m3u8"), local(tmp_path, max_bytes=len(clip) + 1))
    assert "download_max_bytes" in caught.value.hint


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (showing("/a.mp4", "/b.mp4"), "several videos"),
        (web.html(PAGE.format("nothing")), "Unsupported URL"),
        (showing("/gone.mp4"), "404"),
        (showing("/page"), "web page"),
    ],
    ids=["several", "none", "gone", "a page again"],
)
def test_what_cannot_be_fetched_says_why(tmp_path: Path, page: web.Page, says: str) -> None:
    with Site() as site:
        site.pages["/watch"] = page
        site.pages["/page"] = web.html(PAGE.format(""))
        with pytest.raises(DownloadError, match=says) as caught:
            fetch(site.url("/watch?sig=hunter2"), local(tmp_path))
    assert caught.value.hint
    assert "hunter2" not in str(caught.value)


def test_a_page_of_the_public_internet_cannot_lead_inside(tmp_path: Path, clip: bytes) -> None:
    """The page itself is believed to be public; what it names is not."""
    with Site() as site:
        site.pages["/watch"] = showing("http://127.0.0.1:1/clip.mp4", "http://10.0.0.1/clip.mp4")
        site.pages["/list.m3u8"] = pieces(1, "http://10.0.0.1")
        inside = {"localhost": ["93.184.215.14"]}

        def resolve(host: str, port: int) -> list[str]:
            return inside[host]

        with Client(Settings(download_ports=(site.server_port, 80)), resolve) as client:
            reader = PageReader(client, site.url("/list.m3u8", "localhost"))
            with pytest.raises(AddressError, match=r"10\.0\.0\.1"):
                reader.pieces(reader.read(), tmp_path / "part" / "v.mp4", None)
            with pytest.raises(AddressError):
                PageReader(client, site.url("/watch")).read()


def test_a_page_too_is_under_the_deadline(tmp_path: Path) -> None:
    with Site() as site, Client(local(tmp_path, timeout_s=1e-9)) as client:
        site.pages["/watch"] = showing("/clip.mp4")
        with pytest.raises(DownloadError, match="not done after"):
            PageReader(client, site.url("/watch")).read()
        assert site.requests == []
