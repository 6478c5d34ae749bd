"""The video on a web page, through yt-dlp (extra `web`): what it is, and where its file is.

yt-dlp only reads pages here; the file is fetched as every other, with all its checks. A video that
comes in pieces (HLS, DASH) is fetched by yt-dlp itself. Every request that yt-dlp begins is checked
before and, since it follows redirects by itself, after; what a redirect passes through in between,
and a name that resolves differently a moment later, is not.
"""

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from videoespresso.errors import DownloadError, VideoEspressoError
from videoespresso.tools.fetch.addresses import shown, without_secrets
from videoespresso.tools.fetch.http import Client
from videoespresso.tools.fetch.transfer import OnProgress, Progress, too_large

_WHOLE, _ENOUGH = "[protocol~='^https?$']", "[height<=?720]"
"""In one file; frames are reduced to 640 pixels before a model sees them (settings, max_side)."""
FORMAT = "/".join(
    f"{kind}{whole}{size}"
    for whole in (_WHOLE, "")
    for size in (_ENOUGH, "")
    for kind in ("b", "bv*")  # with sound, else without
)
_NAMELESS = ("Generic", "HTML5MediaEmbed")
"""Extractors whose id is the page's name, whatever it shows."""
_PIECES = ("m3u8_native", "http_dash_segments")
_HARMLESS = ("user-agent", "referer", "origin")
"""Headers that a server wants to see and that do not say who we are: redirects lead elsewhere."""


class PageVideo(NamedTuple):
    """A video on a page. version: changes with the video. url: its file; "" when in pieces. info:
    yt-dlp's."""

    name: str
    version: str
    duration_s: float | None
    url: str
    headers: dict[str, str]
    info: dict[str, Any]


class PageReader:
    """yt-dlp under our limits."""

    def __init__(self, client: Client, page: str) -> None:
        if importlib.util.find_spec("yt_dlp") is None:
            raise DownloadError(
                f"{shown(page)} is a web page, not a video file",
                hint='pip install "videoespresso[web]" to fetch from pages, or give the '
                "address of the file itself.",
            )
        self.client, self.page = client, page

    def read(self) -> PageVideo:
        """What is on the page. Raises DownloadError: no video, several, a live one."""
        with self._opened() as ydl:
            info = ydl.extract_info(self.page, download=False) or {}
        while info.get("_type") == "playlist":
            entries = [entry for entry in info.get("entries") or [] if entry]
            if len(entries) != 1:
                what = "several videos" if entries else "no video"
                raise self._error(f" has {what}", "Give the address of one video.")
            info = entries[0]
        if info.get("is_live") or info.get("live_status") == "is_upcoming":
            raise self._error(" is live", "Ask again when the recording is there.")
        protocol = str(info.get("protocol") or "")
        if protocol not in ("http", "https", *_PIECES):
            raise self._error(
                f" sends its video by {protocol or 'no way we know'}",
                "Download it by other means and give the file.",
            )
        url = "" if protocol in _PIECES else str(info["url"])
        version = [info.get("extractor"), info.get("id"), info.get("format_id")]
        if info.get("extractor_key") in _NAMELESS:
            version.append(shown(url))
        headers = info.get("http_headers") or {}
        return PageVideo(
            name=f"{info.get('id') or 'video'}.{info.get('ext') or 'mp4'}",
            version=":".join(map(str, version)),
            duration_s=info.get("duration"),
            url=url,
            headers={name: headers[name] for name in headers if name.lower() in _HARMLESS},
            info=info,
        )

    def pieces(self, video: PageVideo, target: Path, on_progress: OnProgress | None) -> None:
        """Fetches a video that comes in pieces into `target`. Raises DownloadError."""
        began, limit = time.monotonic(), self.client.settings.download_max_bytes

        def report(status: dict[str, Any]) -> None:
            size = int(status.get("downloaded_bytes") or 0)
            if size > limit:
                raise too_large(self.page, limit)
            if on_progress is not None:
                total = status.get("total_bytes") or status.get("total_bytes_estimate")
                rate = size / max(time.monotonic() - began, 1e-3)
                on_progress(Progress(size, int(total) if total else None, rate))

        target.parent.mkdir(parents=True, exist_ok=True)
        template = str(target).replace("%", "%%")
        with self._opened(outtmpl={"default": template}, progress_hooks=[report]) as ydl:
            ydl.process_info(dict(video.info))

    @contextmanager
    def _opened(self, **more: Any) -> Iterator[Any]:
        """yt-dlp, with its errors as ours."""
        import yt_dlp  # noqa: PLC0415 - an extra

        try:
            with yt_dlp.YoutubeDL(
                {
                    "quiet": True,
                    "logger": _Silent(),
                    "format": FORMAT,
                    "noplaylist": True,
                    "playlist_items": "1:2",
                    "socket_timeout": self.client.settings.download_stall_s,
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
            ) as ydl:
                self._check_requests(ydl)
                yield ydl
        except yt_dlp.utils.YoutubeDLError as error:
            if (ours := _cause(error)) is not None:
                raise ours from error
            text = without_secrets(str(error)).removeprefix("ERROR: ").partition(";")[0]
            raise self._error(
                f": {text}",
                "Sites change: pip install -U yt-dlp may help; or download the video and "
                "give the file.",
            ) from error

    def _check_requests(self, ydl: Any) -> None:
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

    def _check(self, url: str) -> None:
        if not url.startswith("data:"):
            self.client.check(url)

    def _error(self, text: str, hint: str) -> DownloadError:
        return DownloadError(f"{shown(self.page)}{text}", hint=hint)


class _Silent:
    """yt-dlp's messages; what matters comes as an error."""

    def debug(self, text: str) -> None:
        """Not shown."""

    warning = error = info = debug


def _cause(error: BaseException | None) -> VideoEspressoError | None:
    """The error of ours that yt-dlp wrapped."""
    while error is not None and not isinstance(error, VideoEspressoError):
        wrapped = (getattr(error, "exc_info", None) or (None, None))[1]
        error = error.__cause__ or (wrapped if wrapped is not error else None)
    return error
