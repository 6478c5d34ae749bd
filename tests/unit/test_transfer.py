"""One file over HTTP, from a server on localhost that behaves well and badly."""

import random
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpcore
import pytest
from tests.helpers import web
from tests.helpers.web import LOCAL, Site

from videoespresso.errors import AddressError, DownloadError, MemoryStoreError
from videoespresso.tools.fetch.http import Limits, Wire
from videoespresso.tools.fetch.transfer import Got, Progress, Stamp, transfer

PUBLIC = "93.184.215.14"
DATA = random.Random(3).randbytes(300_000)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "part" / "clip.mp4"


def get(url: str, target: Path, limits: Limits = LOCAL, known: Stamp | None = None) -> Got:
    with Wire(limits) as wire:
        return transfer(wire, url, target, known=known)


def test_a_file_comes_whole_and_tells_its_version(target: Path) -> None:
    heard: list[Progress] = []
    with Site() as site, Wire(LOCAL) as wire:
        site.pages["/clip.mp4"] = web.serve(DATA)
        got = transfer(wire, site.url("/clip.mp4"), target, on_progress=heard.append)
    assert target.read_bytes() == DATA
    assert got == Got("file", Stamp('"one"', ""), len(DATA))
    assert heard[-1].received == heard[-1].total == len(DATA)
    assert heard[-1].left_s == 0


def test_a_known_version_is_not_sent_again(target: Path) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA)
        assert get(site.url("/clip.mp4"), target, known=Stamp('"one"')).kind == "unchanged"
        assert not target.exists()
        assert get(site.url("/clip.mp4"), target, known=Stamp('"old"')).kind == "file"


def test_a_cut_connection_is_gone_on_with_at_once(target: Path) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA, cuts=2)
        got = get(site.url("/clip.mp4"), target)
        ranges = [headers.get("range") for _, headers in site.asked]
    assert target.read_bytes() == DATA
    assert ranges == [None, "bytes=150000-", "bytes=225000-"]
    assert got.received == len(DATA), "no byte came twice"


def test_what_was_left_by_an_earlier_run_is_gone_on_with(target: Path) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.stalling(DATA[:1000])
        with pytest.raises(DownloadError, match=r"nothing for 0\.3 s") as caught:
            get(site.url("/clip.mp4"), target, replace(LOCAL, stall_s=0.3))
        assert caught.value.retryable
        assert target.read_bytes() == DATA[:1000]
        site.pages["/clip.mp4"] = web.serve(DATA, etag='"s"')
        got = get(site.url("/clip.mp4"), target)
    assert site.asked[-1][1]["range"] == "bytes=1000-"
    assert site.asked[-1][1]["if-range"] == '"s"'
    assert target.read_bytes() == DATA
    assert got.received == len(DATA) - 1000


def test_a_file_that_changed_in_between_begins_anew(target: Path) -> None:
    other = DATA[::-1]
    with Site() as site:
        site.pages["/clip.mp4"] = web.stalling(DATA[:1000])
        with pytest.raises(DownloadError):
            get(site.url("/clip.mp4"), target, replace(LOCAL, stall_s=0.3))
        site.pages["/clip.mp4"] = web.serve(other, etag='"two"')
        get(site.url("/clip.mp4"), target)
    assert target.read_bytes() == other


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_an_exact_version_nothing_is_pieced_together(target: Path, etag: str) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA, etag=etag, cuts=1)
        get(site.url("/clip.mp4"), target)
        assert all("range" not in headers for _, headers in site.asked)
    assert target.read_bytes() == DATA


def test_a_range_that_is_answered_with_another_is_not_believed(target: Path) -> None:
    good = web.serve(DATA)

    def page(handler: web.Handler) -> None:
        if "Range" in handler.headers:
            handler.start(206, 5, ETag='"one"', Content_Range="bytes 7-11/300000")
            handler.wfile.write(b"wrong")
        else:
            good(handler)

    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA, cuts=9)
        with pytest.raises(DownloadError):
            get(site.url("/clip.mp4"), target, replace(LOCAL, size=1))
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(DATA[:100])
        (target.parent / "stamp.json").write_text('["\\"one\\"", ""]')
        site.pages["/clip.mp4"] = page
        get(site.url("/clip.mp4"), target)
    assert target.read_bytes() == DATA


def test_a_file_finished_but_not_noted_is_fetched_again(target: Path) -> None:
    """The range begins at the end: the server says 416."""
    target.parent.mkdir()
    target.write_bytes(DATA)
    (target.parent / "stamp.json").write_text('["\\"one\\"", ""]')
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA)
        get(site.url("/clip.mp4"), target)
    assert target.read_bytes() == DATA


def test_a_connection_that_is_always_cut_is_given_up(target: Path) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.stream(b"", length=1000, etag='"x"')
        with pytest.raises(DownloadError, match="again and again") as caught:
            get(site.url("/clip.mp4"), target)
    assert caught.value.retryable


@pytest.mark.parametrize(
    "page",
    [web.endless, web.stream(DATA), web.stream(DATA, length=10**12), web.serve(DATA)],
    ids=["endless", "no length", "false length", "honest"],
)
def test_the_size_is_counted_whatever_the_server_says(target: Path, page: web.Page) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = page
        with pytest.raises(DownloadError, match="larger than") as caught:
            get(site.url("/clip.mp4"), target, replace(LOCAL, size=200_000))
    assert "download_max_bytes" in caught.value.hint
    assert not target.exists()


def test_a_length_that_is_too_short_ends_there(target: Path) -> None:
    """What is missing is found when the file is probed."""
    with Site() as site:
        site.pages["/clip.mp4"] = web.stream(DATA, length=1000)
        get(site.url("/clip.mp4"), target)
    assert target.read_bytes() == DATA[:1000]


@pytest.mark.parametrize("page", [web.dripping, web.endless], ids=["headers", "body"])
def test_the_time_is_over_even_while_bytes_come(target: Path, page: web.Page) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = page
        with pytest.raises(DownloadError, match=r"not done after 0\.5 s") as caught:
            get(site.url("/clip.mp4"), target, replace(LOCAL, total_s=0.5, size=10**12))
    assert "download_timeout_s" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "retryable"), [(401, False), (403, False), (404, False), (410, False), (418, False),
                            (429, True), (500, True), (503, True)],
)  # fmt: skip
def test_a_status_is_told_with_what_to_do(target: Path, code: int, retryable: bool) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.status(code)
        with pytest.raises(DownloadError, match=str(code)) as caught:
            get(site.url("/clip.mp4?token=hunter2"), target)
    assert caught.value.hint
    assert (caught.value.status, caught.value.retryable) == (code, retryable)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "page",
    [web.html("<p>"), web.html("<!DOCTYPE html><p>", "video/mp4"), web.html("\n<html>", "")],
    ids=["said", "false type", "no type"],
)
def test_a_page_is_known_for_one(target: Path, page: web.Page) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = page
        assert get(site.url("/clip.mp4"), target).kind == "page"


@pytest.mark.parametrize("kind", ["text/plain", "image/png", "application/json"])
def test_what_is_no_video_is_refused_by_its_type(target: Path, kind: str) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA, kind=kind)
        with pytest.raises(DownloadError, match=kind):
            get(site.url("/clip.mp4"), target)


def test_redirects_are_followed(target: Path) -> None:
    with Site() as site:
        site.pages["/a"] = web.redirect("/b", 301)
        site.pages["/b"] = web.redirect(site.url("/clip.mp4", "localhost"), 307)
        site.pages["/clip.mp4"] = web.serve(DATA)
        get(site.url("/a"), target)
    assert target.read_bytes() == DATA


def test_a_circle_is_left(target: Path) -> None:
    with Site() as site:
        site.pages["/a"] = web.redirect("/a")
        with pytest.raises(DownloadError, match="circle"):
            get(site.url("/a"), target)
    assert len(site.asked) == 11


@pytest.mark.parametrize(
    "where",
    ["http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data", "http://[::1]/x",
     "file:///etc/passwd", "ftp://example.org/x"],
)  # fmt: skip
def test_a_redirect_is_checked_like_the_first_address(target: Path, where: str) -> None:
    """The first host counts as public here; where it leads to does not."""
    with Site() as site:
        site.pages["/a"] = web.redirect(where)
        with pytest.raises(AddressError), Wire(Limits(), lambda *_: [PUBLIC], _Elsewhere()) as wire:
            transfer(wire, site.url("/a", "video.example"), target)
        assert site.paths() == ["/a"]


class _Elsewhere(httpcore.SyncBackend):
    """A network in which PUBLIC leads to the site, and nothing else is reached."""

    def connect_tcp(self, host: str, port: int, *more: Any, **named: Any) -> httpcore.NetworkStream:
        assert host == PUBLIC, "only the address that was checked is connected to"
        return super().connect_tcp("127.0.0.1", port, *more, **named)


def test_a_name_that_resolves_differently_later_gains_nothing(target: Path) -> None:
    """DNS rebinding: the second look at the name would say 127.0.0.1."""
    answers = [["127.0.0.1"], [PUBLIC]]
    with Site() as site, Wire(Limits(), lambda *_: answers.pop(), _Elsewhere()) as wire:
        site.pages["/clip.mp4"] = web.serve(DATA)
        transfer(wire, site.url("/clip.mp4", "video.example"), target)
    assert target.read_bytes() == DATA
    assert site.asked[0][1]["host"] == f"video.example:{site.server_port}"


def test_localhost_is_refused_unless_allowed(target: Path) -> None:
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA)
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(AddressError):
                get(site.url("/clip.mp4", host), target, Limits())
        assert site.asked == []


def test_a_login_is_for_its_own_host_only(target: Path) -> None:
    with Site() as site, Site() as other:
        site.pages["/a"] = web.redirect("/b")
        site.pages["/b"] = web.redirect(other.url("/clip.mp4"))
        other.pages["/clip.mp4"] = web.serve(DATA)
        get(site.url("/a").replace("://", "://me:hunter2@"), target)
    assert [headers.get("authorization") for _, headers in site.asked] == [
        "Basic bWU6aHVudGVyMg=="
    ] * 2
    assert "authorization" not in other.asked[0][1]


def test_nobody_there_is_told(target: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://me:hunter2@127.0.0.1:{free.getsockname()[1]}/clip.mp4"
    with pytest.raises(DownloadError, match="cannot be reached") as caught:
        get(url, target)
    assert caught.value.retryable
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("in the way")
    with Site() as site:
        site.pages["/clip.mp4"] = web.serve(DATA)
        with pytest.raises(MemoryStoreError):
            get(site.url("/clip.mp4"), tmp_path / "part" / "clip.mp4")
