"""The video on a web page, through yt-dlp (extra `web`): what it is, and where its file is.

yt-dlp only reads pages here; the file is fetched as every other, with all its checks. A video that
comes in pieces (HLS, DASH) is fetched by yt-dlp itself. Every request that yt-dlp begins is checked
before and, since it follows redirects by itself, after; what a redirect passes through in between,
and a name that resolves differently a moment later, is not.
"""

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from videoespresso.errors import DownloadError, VideoEspressoError
from videoespresso.tools.fetch.addresses import parse, reachable, shown, without_secrets
from videoespresso.tools.fetch.http import Wire
from videoespresso.tools.fetch.transfer import OnProgress, Progress

ENOUGH = "[height<=?720]"
"""Frames are reduced to 640 pixels before a model sees them (settings, max_side)."""
WHOLE = "[protocol~='^https?$']"
FORMAT = "/".join(
    f"{kind}{whole}{size}"
    for whole in (WHOLE, "")
    for size in (ENOUGH, "")
    for kind in ("b", "bv*")  # with sound, else without
)
_NAMELESS = ("Generic", "HTML5MediaEmbed")
"""Extractors whose id is the page's name, whatever it shows."""
_PIECES = ("m3u8_native", "http_dash_segments")


class OnPage(NamedTuple):
    """A video on a page. version: changes with the video. url: its file; "" when in pieces."""

    name: str
    version: str
    duration_s: float | None
    url: str
    headers: dict[str, str]
    info: dict[str, Any]


class PageReader:
    """yt-dlp under our limits."""

    def __init__(self, wire: Wire, page: str) -> None:
        if importlib.util.find_spec("yt_dlp") is None:
            raise DownloadError(
                f"{shown(page)} is a web page, not a video file",
                hint='pip install "videoespresso[web]" to fetch from pages, or give the '
                "address of the file itself.",
            )
        self.wire, self.page = wire, page

    def look(self) -> OnPage:
        """What is on the page. Raises DownloadError: no video, several, a live one, too long."""
        with self._open() as ydl:
            info = self._run(lambda: ydl.extract_info(self.page, download=False))
        info = self._one(info or {})
        if info.get("is_live") or info.get("live_status") == "is_upcoming":
            raise DownloadError(
                f"{shown(self.page)} is live", hint="Ask again when the recording is there."
            )
        protocol = str(info.get("protocol") or "")
        if protocol not in ("http", "https", *_PIECES):
            raise DownloadError(
                f"{shown(self.page)} sends its video by {protocol or 'no way we know'}",
                hint="Download it by other means and give the file.",
            )
        url = "" if protocol in _PIECES else str(info["url"])
        parts = [info.get("extractor"), info.get("id"), info.get("format_id")]
        if info.get("extractor_key") in _NAMELESS:
            parts.append(shown(url))
        return OnPage(
            name=f"{info.get('id') or 'video'}.{info.get('ext') or 'mp4'}",
            version=":".join(map(str, parts)),
            duration_s=info.get("duration"),
            url=url,
            headers=_harmless(info.get("http_headers") or {}),
            info=info,
        )

    def pieces(self, found: OnPage, target: Path, on_progress: OnProgress | None) -> None:
        """Fetches a video that comes in pieces into `target`. Raises DownloadError."""
        began, limit = time.monotonic(), self.wire.limits.size

        def hook(told: dict[str, Any]) -> None:
            size = int(told.get("downloaded_bytes") or 0)
            if size > limit:
                raise DownloadError(
                    f"{shown(self.page)} is larger than {limit / 1e6:,.0f} MB",
                    hint="Raise download_max_bytes, or give a smaller file.",
                )
            if on_progress is not None:
                whole = told.get("total_bytes") or told.get("total_bytes_estimate")
                rate = size / max(time.monotonic() - began, 1e-3)
                on_progress(Progress(size, int(whole) if whole else None, rate))

        target.parent.mkdir(parents=True, exist_ok=True)
        template = str(target).replace("%", "%%")
        with self._open(outtmpl={"default": template}, progress_hooks=[hook]) as ydl:
            self._run(lambda: ydl.process_info(dict(found.info)))

    def _one(self, info: dict[str, Any]) -> dict[str, Any]:
        if info.get("_type") != "playlist":
            return info
        entries = [entry for entry in info.get("entries") or [] if entry]
        if len(entries) != 1:
            what = "several videos" if entries else "no video"
            raise DownloadError(
                f"{shown(self.page)} has {what}", hint="Give the address of one video."
            )
        return self._one(entries[0])

    def _open(self, **more: Any) -> Any:
        import yt_dlp  # noqa: PLC0415 - an extra

        ydl = yt_dlp.YoutubeDL(
            {
                "quiet": True,
                "logger": _Silent(),
                "format": FORMAT,
                "noplaylist": True,
                "playlist_items": "1:2",
                "socket_timeout": self.wire.limits.stall_s,
                "cachedir": False,
                "fixup": "never",
                "retries": 3,
                "fragment_retries": 3,
                "skip_unavailable_fragments": False,  # a video with holes is no answer's ground
                # it would connect by itself, unchecked
                "ffmpeg_location": "/nonexistent/ffmpeg",
                "proxy": "",  # it would choose the address
                **more,
            }
        )
        send = ydl.urlopen

        def checked(request: Any) -> Any:
            self._check(request if isinstance(request, str) else request.url)
            response = send(request)
            try:
                self._check(response.url)
            except DownloadError:
                response.close()
                raise
            return response

        ydl.urlopen = checked
        return ydl

    def _check(self, url: str) -> None:
        """Raises AddressError, and DownloadError when the time is over."""
        if url.startswith("data:"):
            return
        if time.monotonic() >= self.wire.deadline:
            raise self.wire.late(shown(self.page))
        address = parse(url)
        try:
            reachable(
                address.host,
                address.port,
                allow_private=self.wire.limits.allow_private,
                resolve=self.wire.resolve,
            )
        except OSError as error:
            raise DownloadError(
                f"{shown(url)} cannot be reached: {error.strerror or error}",
                hint="Check the address and the connection, and try again.",
                retryable=True,
            ) from error

    def _run(self, work: Callable[[], Any]) -> Any:
        """Runs yt-dlp, with its errors as ours."""
        from yt_dlp.utils import YoutubeDLError  # noqa: PLC0415 - an extra

        try:
            return work()
        except YoutubeDLError as error:
            ours = _ours(error)
            if ours is not None:
                raise ours from error
            said = without_secrets(str(error)).removeprefix("ERROR: ").partition(";")[0]
            raise DownloadError(
                f"{shown(self.page)}: {said}",
                hint="Sites change: pip install -U yt-dlp may help; or download the video and "
                "give the file.",
            ) from error


class _Silent:
    """yt-dlp's messages; what matters comes as an error."""

    def debug(self, text: str) -> None:
        """Not said."""

    warning = error = info = debug


def _ours(error: BaseException) -> VideoEspressoError | None:
    """The error of ours that yt-dlp wrapped."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, VideoEspressoError):
            return seen
        wrapped = getattr(seen, "exc_info", None)
        seen = seen.__cause__ or (wrapped[1] if wrapped and wrapped[1] is not seen else None)
    return None


def _harmless(headers: dict[str, str]) -> dict[str, str]:
    """What a server wants to see, without what says who we are: redirects may lead elsewhere."""
    return {k: v for k, v in headers.items() if k.lower() in ("user-agent", "referer", "origin")}
