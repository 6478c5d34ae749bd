"""A video by its address: fetched once, kept by content, and later only checked for changes.

path = fetch("https://example.org/clip.mp4", Settings.load())
"""

import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from videoespresso.errors import DownloadError, VideoError
from videoespresso.memory.disk import writer_lock
from videoespresso.memory.downloads import Downloads, Fetched
from videoespresso.models.client.http import resolved
from videoespresso.settings import Settings
from videoespresso.tools.fetch.addresses import Resolve, is_address, shown
from videoespresso.tools.fetch.http import Client, parse
from videoespresso.tools.fetch.transfer import OnProgress, Progress, Transfer, Version
from videoespresso.tools.fetch.web_pages import PageReader
from videoespresso.tools.video import checked, declared_duration, probe

FRESH_S = 300.0
"""A chat or a batch asks a server for changes once in this time, not once a question."""

OnWarning = Callable[[str], None]


class Local(NamedTuple):
    """A video as a file. fetched: one line on what was fetched, "" for a path. warnings: what to
    know of it. found: in a folder that was given, and not named itself."""

    path: str
    fetched: str = ""
    warnings: tuple[str, ...] = ()
    found: bool = False


def local(video: str | Path, settings: Settings, on_progress: OnProgress | None = None) -> Local:
    """The file of a video that is given by path or by address. Raises as `fetch`, and VideoError
    where there is no such file."""
    if not isinstance(video, str) or not is_address(video):
        checked(video)
        return Local(str(video))
    size = "known from before"
    raised: list[str] = []

    def listener(progress: Progress) -> None:
        nonlocal size
        size = f"{progress.received / 1e6:.1f} MB"
        if on_progress is not None:
            on_progress(progress)

    path = fetch(video, settings, on_progress=listener, on_warning=raised.append)
    return Local(str(path), f"{shown(video)}: {size}", tuple(raised))


def fetch(
    url: str,
    settings: Settings,
    *,
    on_progress: OnProgress | None = None,
    on_warning: OnWarning = warnings.warn,
    fresh_s: float = FRESH_S,
    resolve: Resolve = resolved,
) -> Path:
    """The video at an http(s) address, as a file of the store (memory/downloads.py).

    A file is fetched as it is; of a page (YouTube and the like) the video on it, with yt-dlp. What
    was fetched before is used again after asking the server whether it changed, or without asking
    within `fresh_s` seconds; when the server cannot be reached, with a warning. What is cut off is
    kept and gone on with the next time.

    Raises AddressError for what is not http(s) or not public (unless the settings allow it),
    DownloadError for what cannot be fetched, is no video or beyond a limit, MemoryStoreError.
    """
    parse(url)
    store = Downloads(settings.cache_dir / "downloads")
    key = store.key(url)
    with writer_lock(store.lock(key), wait_s=settings.download_timeout_s):
        known = store.find(key)
        if known is not None and 0 <= time.time() - known.checked_s < fresh_s:
            return store.note(key, known)
        with Client(settings, resolve) as client:
            try:
                return _Download(store, client, url, on_progress).run(known)
            except DownloadError as error:
                if known is None or not error.retryable:
                    raise
                when = time.strftime("%Y-%m-%d %H:%M", time.localtime(known.checked_s))
                on_warning(f"{error}; the video as it was on {when} is used")
                return store.file(known)


@dataclass(frozen=True)
class _Download:
    """One address being fetched."""

    store: Downloads
    client: Client
    url: str
    on_progress: OnProgress | None

    @property
    def key(self) -> str:
        return self.store.key(self.url)

    def run(self, known: Fetched | None) -> Path:
        """As a file, else as a page."""
        transfer = self._transfer(self.url, name_of(self.url))
        if known is not None:
            transfer.version = Version(known.etag, known.modified)
        outcome = transfer.run()
        if outcome == "page":
            return self._from_page(known)
        if outcome == "unchanged" and known is not None:
            return self._unchanged(known)
        return self._kept(transfer.target, transfer.version)

    def _from_page(self, known: Fetched | None) -> Path:
        reader = PageReader(self.client, self.url)
        video = reader.read()
        if known is not None and known.etag == video.version:
            return self._unchanged(known)
        self._check_duration(video.duration_s or 0.0)
        transfer = self._transfer(video.url, safe(video.name), video.headers)
        if not video.url:
            reader.pieces(video, transfer.target, self.on_progress)
        elif transfer.run() != "file":
            raise DownloadError(
                f"{shown(self.url)}: what it gives as its video is a web page",
                hint="Download the video and give the file.",
            )
        return self._kept(transfer.target, Version(video.version))

    def _transfer(self, url: str, name: str, headers: dict[str, str] | None = None) -> Transfer:
        target = self.store.part(self.key) / name
        return Transfer(
            self.client,
            url,
            target,
            headers=headers or {},
            on_progress=self.on_progress,
            on_head=self._check_head,
        )

    def _kept(self, part: Path, version: Version) -> Path:
        """The finished file into the store. Raises DownloadError for what is no video."""
        try:
            video = probe(part)
            self._check_duration(video.duration_s)
        except VideoError as error:
            part.unlink(missing_ok=True)
            if isinstance(error, DownloadError):
                raise
            raise DownloadError(f"{shown(self.url)}: {error}", hint=error.hint) from error
        known = Fetched(
            source=shown(self.url),
            sha=video.id,
            name=part.name,
            etag=version.etag,
            modified=version.modified,
            checked_s=time.time(),
        )
        return self.store.keep(self.key, part, known)

    def _unchanged(self, known: Fetched) -> Path:
        return self.store.note(self.key, known.model_copy(update={"checked_s": time.time()}))

    def _check_head(self, part: Path) -> None:
        """Before the rest is fetched in vain."""
        try:
            self._check_duration(declared_duration(part) or 0.0)
        except DownloadError:
            part.unlink()
            raise

    def _check_duration(self, seconds: float) -> None:
        limit = self.client.settings.download_max_duration_s
        if seconds > limit:
            raise DownloadError(
                f"{shown(self.url)} lasts {seconds / 60:.0f} minutes, which is more than "
                f"{limit / 60:.0f}",
                hint="Raise download_max_duration_s, or give a shorter video.",
            )


def name_of(url: str) -> str:
    """A file name from an address; what a server proposes (Content-Disposition) is not used."""
    return safe(unquote(urlsplit(url).path).rpartition("/")[2])


def safe(name: str) -> str:
    """Letters, digits and a few marks, no hidden file, 80 characters at most."""
    kept = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._-")
    stem, dot, ending = kept.rpartition(".")
    return f"{stem[:70]}{dot}{ending[:9]}" if dot else kept[:80] or "video"
