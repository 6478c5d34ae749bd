"""One file over HTTP into a folder: within its limits, and going on where it was cut."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import httpcore

from videoespresso.errors import DownloadError, MemoryStoreError
from videoespresso.tools.fetch.addresses import shown
from videoespresso.tools.fetch.http import Wire, header

MOST_CUTS = 3
"""Times a connection may be lost in a row without a byte in between."""
HEAD_BYTES = 4 * 1024**2
"""Enough for the header of what is made for the web, which puts it first."""

_EVERY_S = 0.1
_PAGES = ("text/html", "application/xhtml+xml", "mpegurl", "dash+xml")
_NO_VIDEO = ("text/", "image/", "application/json", "application/xml", "application/pdf")
_HTML = re.compile(rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Progress(NamedTuple):
    """Bytes so far and in all (None: not said), bytes a second in this run."""

    received: int
    total: int | None
    rate: float

    @property
    def left_s(self) -> float | None:
        """Seconds to go at this rate."""
        return (
            None
            if self.total is None or not self.rate
            else ((self.total - self.received) / self.rate)
        )


OnHead = Callable[[Path], None]
OnProgress = Callable[[Progress], None]


class Stamp(NamedTuple):
    """What tells one version of a file from another."""

    etag: str = ""
    modified: str = ""

    def unless_same(self) -> dict[str, str]:
        """Headers with which a server sends nothing where nothing changed."""
        given = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in given.items() if value}

    @property
    def exact(self) -> str:
        """For If-Range, which takes no weak tag; "" where there is none."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class Got(NamedTuple):
    """What came: the file, nothing because nothing changed, or a page about a video."""

    kind: Literal["file", "unchanged", "page"]
    stamp: Stamp = Stamp()
    received: int = 0


def transfer(
    wire: Wire,
    url: str,
    target: Path,
    *,
    known: Stamp | None = None,
    headers: dict[str, str] | None = None,
    on_progress: OnProgress | None = None,
    on_head: OnHead | None = None,
) -> Got:
    """Fetches into `target`, going on from what is there; nothing where the server has what is
    `known`. What is cut off stays for the next time. on_head: called with the file once its
    beginning is there; what it raises ends the transfer.

    Raises AddressError, DownloadError; MemoryStoreError where the disk is full.
    """
    run = _Transfer(wire, url, target, headers or {}, on_progress, on_head)
    cuts = 0
    while True:
        before = run.received
        try:
            got = run.once(known or Stamp())
        except _CutError as error:
            cuts = 0 if run.received > before else cuts + 1
            if cuts >= MOST_CUTS:
                raise DownloadError(
                    f"{shown(url)}: the connection is lost again and again",
                    hint="What came is kept: the same again goes on from there.",
                    retryable=True,
                ) from error
            continue
        except OSError as error:
            raise MemoryStoreError(
                f"{target.parent} cannot be written: {error.strerror or error}",
                hint="Free some space, or choose another folder with VIDEOESPRESSO_CACHE_DIR.",
            ) from error
        if got is not None:
            return got


class _CutError(Exception):
    """The connection ended in the middle of the file."""


class _Transfer:
    def __init__(
        self,
        wire: Wire,
        url: str,
        target: Path,
        headers: dict[str, str],
        on_progress: OnProgress | None,
        on_head: OnHead | None,
    ) -> None:
        self.wire, self.url, self.target, self.headers = wire, url, target, headers
        self.on_progress, self.on_head = on_progress, on_head
        self.stamp_file = target.parent / "stamp.json"
        self.received = 0
        self.begun = self.said = time.monotonic()

    def once(self, known: Stamp) -> Got | None:
        """One request; None: what was there is of no use, and the next begins anew."""
        have, stamp = self._unfinished()
        asked = known.unless_same()
        if have:
            asked = {"Range": f"bytes={have}-", "If-Range": stamp.exact}
        with self.wire.get(self.url, self.headers | asked) as response:
            if response.status == 304 and not have:
                return Got("unchanged", known)
            start, total = _position(response)
            if response.status == 416 or start not in (0, have):
                self.target.unlink(missing_ok=True)
                if not have:
                    raise _refused(self.url, response.status)
                return None
            if response.status not in (200, 206):
                raise _refused(self.url, response.status)
            if (kind := _kind(self.url, response)) == "page":
                return Got("page")
            new = Stamp(header(response, "etag"), header(response, "last-modified"))
            self._check_size(total or 0)
            if not self._store(response, start, total, new):
                return Got("page")
            return Got(kind, new, self.received)

    def _store(
        self, response: httpcore.Response, start: int, total: int | None, stamp: Stamp
    ) -> bool:
        """The body onto the disk; False where it turns out to be HTML under another name."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.stamp_file.write_text(json.dumps(stamp))
        with self.target.open("ab" if start else "wb") as file:
            size = start
            for chunk in self._chunks(response):
                if not size and _HTML.match(chunk):
                    return False
                self._check_size(size + len(chunk))
                size += file.write(chunk)
                self.received += len(chunk)
                self._tell(size, total)
                if self.on_head is not None and size >= HEAD_BYTES:
                    file.flush()
                    self.on_head(self.target)
                    self.on_head = None
        self._tell(size, total, last=True)
        if total is not None and size < total:
            raise _CutError
        return True

    def _chunks(self, response: httpcore.Response) -> Iterator[bytes]:
        """Raises _CutError where the connection ends too early, DownloadError where it stalls."""
        try:
            for chunk in response.iter_stream():
                if time.monotonic() >= self.wire.deadline:
                    raise httpcore.ReadTimeout
                yield chunk
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _CutError from error

    def _unfinished(self) -> tuple[int, Stamp]:
        """The bytes of an earlier time that a server can be asked to go on from."""
        try:
            stamp = Stamp(*json.loads(self.stamp_file.read_text()))
            have = self.target.stat().st_size
        except (OSError, ValueError, TypeError):
            return 0, Stamp()
        return (have, stamp) if stamp.exact else (0, Stamp())

    def _check_size(self, size: int) -> None:
        limit = self.wire.limits.size
        if size <= limit:
            return
        self.target.unlink(missing_ok=True)
        raise DownloadError(
            f"{shown(self.url)} is larger than {limit / 1e6:,.0f} MB",
            hint="Raise download_max_bytes, or give a smaller file.",
        )

    def _tell(self, size: int, total: int | None, *, last: bool = False) -> None:
        now = time.monotonic()
        if self.on_progress is None or (now - self.said < _EVERY_S and not last):
            return
        self.said = now
        rate = self.received / max(now - self.begun, 1e-3)
        self.on_progress(Progress(size, total, rate))


def _position(response: httpcore.Response) -> tuple[int, int | None]:
    """Where the body starts in the file, and the file's size as far as the server says it."""
    if response.status == 206:
        found = _RANGE.fullmatch(header(response, "content-range"))
        if found is None:
            return -1, None
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = header(response, "content-length")
    return 0, int(length) if length.isdigit() else None


def _kind(url: str, response: httpcore.Response) -> Literal["file", "page"]:
    """By what the server says. Raises DownloadError for what cannot be a video."""
    said = header(response, "content-type").partition(";")[0].strip().lower()
    if any(page in said for page in _PAGES):
        return "page"
    packed = header(response, "content-encoding").lower()
    if said.startswith(_NO_VIDEO) or packed not in ("", "identity"):
        raise DownloadError(
            f"{shown(url)} is no video: the server sends {said or 'data'}"
            + (f" packed with {packed}" if packed not in ("", "identity") else ""),
            hint="Give the address of the video file, or of the page that shows it.",
        )
    return "file"


def _refused(url: str, status: int) -> DownloadError:
    name = shown(url)
    if status in (401, 403):
        text = f"{name} may not be fetched: the server says {status}"
        hint = "It wants a login, or no programs: download the video and give the file."
    elif status in (404, 410):
        text, hint = f"{name}: there is nothing, the server says {status}", "Check the address."
    elif status == 429 or status >= 500:
        text, hint = f"{name}: the server says {status}", "Try again later."
        return DownloadError(text, hint=hint, status=status, retryable=True)
    else:
        text, hint = f"{name}: the server says {status}", "Check the address."
    return DownloadError(text, hint=hint, status=status)
