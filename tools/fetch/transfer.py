"""One file over HTTP into a folder: within its limits, and going on where it was cut."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import httpx

from videoespresso.errors import DownloadError, MemoryStoreError
from videoespresso.memory.disk import private_file, private_folder
from videoespresso.tools.fetch.addresses import shown
from videoespresso.tools.fetch.http import Client

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
        return (self.total - self.received) / self.rate if self.total and self.rate else None


OnHead = Callable[[Path], None]
OnProgress = Callable[[Progress], None]


class Version(NamedTuple):
    """What tells one version of a file from another: its ETag and Last-Modified, "" where none."""

    etag: str = ""
    modified: str = ""

    @property
    def exact(self) -> str:
        """For If-Range, which takes no weak tag; "" where there is none that can be sent."""
        tag = self.etag if self.etag and not self.etag.startswith("W/") else self.modified
        return tag if tag.isascii() else ""


_UNKNOWN = Version()

Outcome = Literal["file", "unchanged", "page"]
"""The file, nothing because nothing changed, or a page about a video."""


class _CutError(Exception):
    """The connection ended in the middle of the file."""


@dataclass
class Transfer:
    """One file into `target`, going on from what is there; what is cut off stays for the next time.

    version: the one that is known, afterwards the one that came. on_head: called with the file once
    its beginning is there; what it raises ends the transfer.
    """

    client: Client
    url: str
    target: Path
    version: Version = _UNKNOWN
    headers: Mapping[str, str] = field(default_factory=dict)
    on_progress: OnProgress | None = None
    on_head: OnHead | None = None

    def run(self) -> Outcome:
        """Raises AddressError, DownloadError; MemoryStoreError where the disk is full."""
        self._received, self._begun = 0, time.monotonic()
        self._reported = self._begun
        cuts = 0
        while cuts < MOST_CUTS:
            before = self._received
            try:
                outcome = self._once()
            except _CutError:
                cuts = 0 if self._received > before else cuts + 1
            except OSError as error:
                raise MemoryStoreError(
                    f"{self.target.parent} cannot be written: {error.strerror or error}",
                    hint="Free some space, or choose another folder with VIDEOESPRESSO_CACHE_DIR.",
                ) from error
            else:
                if outcome is not None:
                    return outcome
        raise DownloadError(
            f"{shown(self.url)}: the connection is lost again and again",
            hint="What came is kept: the same again goes on from there.",
            retryable=True,
        )

    def _once(self) -> Outcome | None:
        """One request; None: what was there is of no use, and the next begins anew."""
        have, version = self._unfinished()
        if have:
            more = {"Range": f"bytes={have}-", "If-Range": version.exact}
        else:
            more = {"If-None-Match": self.version.etag, "If-Modified-Since": self.version.modified}
        more = {name: tag for name, tag in more.items() if tag and tag.isascii()}
        with self.client.get(self.url, {**self.headers, **more}) as response:
            status = response.status_code
            if status == 304 and not have:
                return "unchanged"
            start, total = _position(response)
            if have and (status == 416 or start not in (0, have)):
                self.target.unlink(missing_ok=True)
                return None
            if status not in (200, 206) or start not in (0, have):
                raise _refused(self.url, status)
            if _is_page(self.url, response):
                return "page"
            self._check_size(total or 0)
            version = Version(*(response.headers.get(k, "") for k in ("etag", "last-modified")))
            private_folder(self.target.parent)
            private_file(self.target)
            self._version_file().write_text(json.dumps(version))
            if not self._store(response, start, total):
                return "page"
            self.version = version
            return "file"

    def _store(self, response: httpx.Response, start: int, total: int | None) -> bool:
        """The body onto the disk; False where it turns out to be HTML under another name."""
        size = start
        with self.target.open("ab" if start else "wb") as file:
            for chunk in self._chunks(response):
                if not size and _HTML.match(chunk):
                    return False
                self._check_size(size + len(chunk))
                size += file.write(chunk)
                self._received += len(chunk)
                self._report(size, total)
                if self.on_head is not None and size >= HEAD_BYTES:
                    file.flush()
                    self.on_head(self.target)
                    self.on_head = None
        self._report(size, total, last=True)
        if total is not None and size < total:
            raise _CutError
        return True

    def _chunks(self, response: httpx.Response) -> Iterator[bytes]:
        """Raises _CutError where the connection ends too early, DownloadError where it stalls."""
        try:
            for chunk in response.iter_raw():
                if time.monotonic() >= self.client.deadline:
                    raise httpx.ReadTimeout("the time is over")
                yield chunk
        except (httpx.NetworkError, httpx.ProtocolError) as error:
            raise _CutError from error

    def _unfinished(self) -> tuple[int, Version]:
        """The bytes of an earlier time that a server can be asked to go on from."""
        try:
            version = Version(*json.loads(self._version_file().read_text()))
            have = self.target.stat().st_size
        except (OSError, ValueError, TypeError):
            return 0, _UNKNOWN
        return (have, version) if version.exact else (0, _UNKNOWN)

    def _version_file(self) -> Path:
        return self.target.parent / "stamp.json"

    def _check_size(self, size: int) -> None:
        limit = self.client.settings.download_max_bytes
        if size > limit:
            self.target.unlink(missing_ok=True)
            raise too_large(self.url, limit)

    def _report(self, size: int, total: int | None, *, last: bool = False) -> None:
        now = time.monotonic()
        if self.on_progress is not None and (last or now - self._reported >= _EVERY_S):
            self._reported = now
            self.on_progress(Progress(size, total, self._received / max(now - self._begun, 1e-3)))


def too_large(url: str, limit: int) -> DownloadError:
    """limit: bytes."""
    return DownloadError(
        f"{shown(url)} is larger than {limit / 1e6:,.0f} MB",
        hint="Raise download_max_bytes, or give a smaller file.",
    )


def _position(response: httpx.Response) -> tuple[int, int | None]:
    """Where the body starts in the file, and the file's size as far as the server says it."""
    if response.status_code == 206:
        match = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if match is None:
            return -1, None
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("content-length", "")
    return 0, int(length) if length.isdigit() else None


def _is_page(url: str, response: httpx.Response) -> bool:
    """By what the server says. Raises DownloadError for what cannot be a video."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if any(page in kind for page in _PAGES):
        return True
    packed = response.headers.get("content-encoding", "identity").lower() or "identity"
    if kind.startswith(_NO_VIDEO) or packed != "identity":
        raise DownloadError(
            f"{shown(url)} is no video: the server sends {kind or 'data'}"
            + (f" packed with {packed}" if packed != "identity" else ""),
            hint="Give the address of the video file, or of the page that shows it.",
        )
    return False


def _refused(url: str, status: int) -> DownloadError:
    retryable = status == 429 or status >= 500
    text, hint = "the server says", "Try again later." if retryable else "Check the address."
    if status in (401, 403):
        text = "it may not be fetched, the server says"
        hint = "It wants a login, or no programs: download the video and give the file."
    elif status in (404, 410):
        text = "there is nothing, the server says"
    return DownloadError(
        f"{shown(url)}: {text} {status}", hint=hint, status=status, retryable=retryable
    )
