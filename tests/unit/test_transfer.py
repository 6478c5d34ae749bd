"""One file over HTTP, from a server on localhost that behaves well and badly."""

import random
import socket
from pathlib import Path
from typing import Any

import httpcore
import pytest
from tests.helpers import web
from tests.helpers.web import Site

from videoespresso.errors import AddressError, DownloadError, MemoryStoreError
from videoespresso.settings import Settings
from videoespresso.tools.fetch.http import Client
from videoespresso.tools.fetch.transfer import Progress, Transfer, Version

PUBLIC = "93.184.215.14"
DATA = random.Random(3).randbytes(300_000)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "part" / "clip.mp4"


def get(url: str, target: Path, known: Version | None = None, **limits: float) -> str:
    with Client(web.local(target.parent, **limits)) as client:
        return Transfer(client, url, target, known or Version()).run()


def refused(page: web.Page, target: Path, match: str, **limits: float) -> DownloadError:
    with Site() as site:
        site.pages["/clip.mp4"] = page
        with pytest.raises(DownloadError, match=match) as caught:
            get(site.url("/clip.mp4?token=hunter2"), target, **limits)
    assert caught.value.hint
    assert "hunter2" not in str(caught.value)
    return caught.value


def unfinished(target: Path, data: bytes) -> None:
    """As an earlier run left it."""
    target.parent.mkdir()
    target.write_bytes(data)
    (target.parent / "stamp.json").write_text('["\\"one\\"", ""]')


def test_a_file_comes_whole_and_tells_its_version(target: Path) -> None:
    heard: list[Progress] = []
    with Site() as site, Client(web.local(target.parent)) as client:
        site.pages["/clip.mp4"] = web.serve(DATA)
        transfer = Transfer(client, site.url("/clip.mp4"), target, on_progress=heard.append)
        assert transfer.run() == "file"
        assert transfer.version == Version('"one"', "")
        assert target.read_bytes() == DATA
        assert heard[-1].received == heard[-1].total == len(DATA)
        assert heard[-1].left_s == 0
        other = target.with_name("other.mp4")
        assert get(site.url("/clip.mp4"), other, Version('"one"')) == "unchanged"
        assert not other.exists()
        assert get(site.url("/clip.mp4"), other, Version('"old"')) == "file"


def test_a_cut_connection_is_gone_on_with_at_once(target: Path) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA, cuts=2)
        get(site.url("/clip.mp4"), target)
        ranges = [headers.get("range") for _, headers in site.requests]
    assert target.read_bytes() == DATA
    assert ranges == [None, "bytes=150000-", "bytes=225000-"]
    page = web.stream(b"", length=1000, etag='"x"')
    assert refused(page, target, "again and again").retryable


def test_what_was_left_by_an_earlier_run_is_gone_on_with(target: Path) -> None:
    error = refused(web.stalling(DATA[:1000]), target, r"nothing for 0\.3 s", stall_s=0.3)
    assert error.retryable
    assert "download_stall_s" in error.hint
    assert target.read_bytes() == DATA[:1000]
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA, etag='"s"')
        get(site.url("/clip.mp4"), target)
    assert site.requests[0][1]["range"] == "bytes=1000-"
    assert site.requests[0][1]["if-range"] == '"s"'
    assert target.read_bytes() == DATA


def test_a_file_that_changed_in_between_begins_anew(target: Path) -> None:
    unfinished(target, b"of another version")
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA, etag='"two"')
        get(site.url("/clip.mp4"), target)
        assert "range" in site.requests[0][1]
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("etag", ["", 'W/"weak"', '"ü"'])
def test_without_an_exact_version_nothing_is_pieced_together(target: Path, etag: str) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA, etag=etag, cuts=1)
        get(site.url("/clip.mp4"), target)
        assert all("range" not in headers for _, headers in site.requests)
        assert target.read_bytes() == DATA
        get(site.url("/clip.mp4"), target.with_name("again.mp4"), Version(etag))


def test_a_range_that_is_answered_with_another_is_not_believed(target: Path) -> None:
    good = web.serve(DATA)

    def page(handler: web.Handler) -> None:
        if "Range" in handler.headers:
            handler.start(206, 5, ETag='"one"', Content_Range="bytes 7-11/300000")
            handler.wfile.write(b"wrong")
        else:
            good(handler)

    unfinished(target, DATA[:100])
    with Site() as site:
        site.pages["/clip.mp4"] = page
        get(site.url("/clip.mp4"), target)
    assert target.read_bytes() == DATA


def test_a_file_finished_but_not_noted_is_fetched_again(target: Path) -> None:
    """The range begins at the end: the server says 416."""
    unfinished(target, DATA)
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA)
        get(site.url("/clip.mp4"), target)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    "page",
    [web.endless, web.stream(DATA), web.stream(DATA, length=10**12), web.serve(DATA)],
    ids=["endless", "no length", "false length", "honest"],
)
def test_the_size_is_counted_whatever_the_server_says(target: Path, page: web.Page) -> None:
    error = refused(page, target, "larger than", max_bytes=200_000)
    assert "download_max_bytes" in error.hint
    assert not target.exists()


def test_a_length_that_is_too_short_ends_there(target: Path) -> None:
    """What is missing is found when the file is probed."""
    with Site() as site:
        site.pages["/clip.mp4"] = web.stream(DATA, length=1000)
        get(site.url("/clip.mp4"), target)
    assert target.read_bytes() == DATA[:1000]


@pytest.mark.parametrize("page", [web.dripping, web.endless], ids=["headers", "body"])
def test_the_time_is_over_even_while_bytes_come(target: Path, page: web.Page) -> None:
    error = refused(page, target, r"not done after 0\.5 s", timeout_s=0.5, max_bytes=10**12)
    assert "download_timeout_s" in error.hint


@pytest.mark.parametrize(
    ("code", "retryable"), [(401, False), (404, False), (418, False), (429, True), (503, True)]
)
def test_a_status_comes_with_what_to_do(target: Path, code: int, retryable: bool) -> None:
    error = refused(web.status(code), target, str(code))
    assert (error.status, error.retryable) == (code, retryable)


@pytest.mark.parametrize(
    "page",
    [web.html("<p>"), web.html("<!DOCTYPE html><p>", "video/mp4"), web.html("\n<html>", "")],
    ids=["said", "false type", "no type"],
)
def test_a_page_is_known_for_one(target: Path, page: web.Page) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = page
        assert get(site.url("/clip.mp4"), target) == "page"


@pytest.mark.parametrize("kind", ["text/plain", "image/png", "application/json"])
def test_what_is_no_video_is_refused_by_its_type(target: Path, kind: str) -> None:
    refused(web.serve(DATA, kind=kind), target, kind)


def test_redirects_are_followed_but_not_in_a_circle(target: Path) -> None:
    with Site() as site:
        site.pages["/a"] = web.redirect("/b", 301)
        site.pages["/b"] = web.redirect(site.url("/clip.mp4", "localhost"), 307)
        site.pages["/clip.mp4"] = web.serve(DATA)
        get(site.url("/a"), target)
        assert target.read_bytes() == DATA
        site.pages["/b"], site.requests[:] = web.redirect("/a"), []
        with pytest.raises(DownloadError, match="circle"):
            get(site.url("/a"), target)
        assert len(site.requests) == 11


def test_what_a_redirect_sends_beside_is_not_read(target: Path) -> None:
    """httpx would read it to its end."""

    def page(handler: web.Handler) -> None:
        handler.start(302, None, Location="/clip.mp4")
        while not handler.server.closing.is_set():
            handler.wfile.write(b"\x00" * 65536)

    with Site() as site:
        site.pages["/a"], site.pages["/clip.mp4"] = page, web.serve(DATA)
        get(site.url("/a"), target)
    assert target.read_bytes() == DATA


class _Elsewhere(httpcore.SyncBackend):
    """A network in which PUBLIC leads to the site, and nothing else is reached."""

    def connect_tcp(self, host: str, port: int, *more: Any, **named: Any) -> httpcore.NetworkStream:
        assert host == PUBLIC, "only the address that was checked is connected to"
        return super().connect_tcp("127.0.0.1", port, *more, **named)


def _on(site: Site) -> Settings:
    """Settings with which the site's port is one of the web's."""
    return Settings(download_ports=(site.server_port, 80))


@pytest.mark.parametrize(
    "where",
    ["http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data", "http://[::1]/x",
     "http://inside.example/x", "file:///etc/passwd", "ftp://example.org/x", "ws://example.org/x"],
)  # fmt: skip
def test_a_redirect_is_checked_like_the_first_address(target: Path, where: str) -> None:
    """The first host counts as public here; where it leads to does not."""

    def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1"] if host == "inside.example" else [PUBLIC]

    with Site() as site, Client(_on(site), resolve, _Elsewhere()) as client:
        site.pages["/a"] = web.redirect(where)
        with pytest.raises(AddressError):
            Transfer(client, site.url("/a", "video.example"), target).run()
        assert site.paths() == ["/a"]


def test_a_name_that_resolves_differently_later_gains_nothing(target: Path) -> None:
    """DNS rebinding: the second look at the name would say 127.0.0.1."""
    answers = [["127.0.0.1"], [PUBLIC]]
    with Site() as site, Client(_on(site), lambda *_: answers.pop(), _Elsewhere()) as client:
        site.pages["/clip.mp4"] = web.serve(DATA)
        Transfer(client, site.url("/clip.mp4", "video.example"), target).run()
    assert target.read_bytes() == DATA
    assert site.requests[0][1]["host"] == f"video.example:{site.server_port}"


def test_a_proxy_of_the_environment_is_not_used(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Site() as site, Site() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
        monkeypatch.setenv("ALL_PROXY", proxy.url(""))
        site.pages["/clip.mp4"] = web.serve(DATA)
        get(site.url("/clip.mp4"), target)
        assert proxy.requests == []


def test_localhost_is_refused_unless_allowed(target: Path) -> None:
    with Site() as site, Client(Settings()) as client:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(AddressError):
                Transfer(client, site.url("/clip.mp4", host), target).run()
        assert site.requests == []


def test_a_login_is_for_its_own_host_only_and_no_log_has_a_secret(
    target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with Site() as site, Site() as other:
        site.pages["/a"] = web.redirect("/b?key=hunter2")
        site.pages["/b"] = web.redirect(other.url("/clip.mp4?sig=hunter2"))
        other.pages["/clip.mp4"] = web.serve(DATA)
        get(site.url("/a?sig=hunter2").replace("://", "://me:hunter2@"), target)
    sent = [headers.get("authorization") for _, headers in site.requests]
    assert sent == ["Basic bWU6aHVudGVyMg=="] * 2
    assert "authorization" not in other.requests[0][1]
    assert "/clip.mp4?sig=***" in caplog.text
    assert "hunter2" not in caplog.text


def test_nobody_there_is_an_error_to_try_again(target: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://me:hunter2@127.0.0.1:{free.getsockname()[1]}/clip.mp4"
    with pytest.raises(DownloadError, match="cannot be reached") as caught:
        get(url, target)
    assert caught.value.retryable
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("in the way")
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA)
        with pytest.raises(MemoryStoreError):
            get(site.url("/clip.mp4"), tmp_path / "part" / "clip.mp4")
