"""A web server on localhost that serves files well or badly.

    with Site() as site:
        site.pages["/clip.mp4"] = serve(data)
        fetch(site.url("/clip.mp4"), local(tmp_path))

`site.requests` holds (path, headers) of every GET request, in order; `site.heads[path]` is length
and headers for a HEAD.
"""

import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from videoespresso.settings import Settings

Page = Callable[["Handler"], None]


def local(cache: Path, **limits: float) -> Settings:
    """Settings that let this machine be reached. limits: `download_*`."""
    named = {"timeout_s": 60.0, **limits}
    return Settings.model_validate(
        {"cache_dir": cache, "allow_private_addresses": True}
        | {f"download_{name}": value for name, value in named.items()}
    )


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: "Site"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.server.pages.get(path, status(404))(self)

    def do_HEAD(self) -> None:
        length, headers = self.server.heads.get(self.path.partition("?")[0], (0, {}))
        self.start(200 if headers else 404, length, **headers)

    def start(self, status: int, length: int | None, **headers: str) -> None:
        """Status and headers; names with underscores. Without a length the end closes."""
        self.send_response(status)
        if length is None:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def cut(self) -> None:
        """Ends the connection."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Not shown."""


class Site(ThreadingHTTPServer):
    """Pages by path."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.heads: dict[str, tuple[int, dict[str, str]]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a page."""
        return f"http://{host}:{self.server_port}{path}"

    def paths(self) -> list[str]:
        """Which pages were requested."""
        return [path for path, _ in self.requests]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is meant here; all else is a fault of the test."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


def serve(data: bytes, *, etag: str = '"one"', kind: str = "video/mp4", cuts: int = 0) -> Page:
    """A file, with ranges and conditional requests. cuts: so many answers end half way."""
    left = [cuts]

    def page(handler: Handler) -> None:
        headers = handler.headers
        if etag and headers.get("If-None-Match") == etag:
            handler.start(304, 0, ETag=etag)
            return
        begin = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
        if wanted and headers.get("If-Range") == etag:
            begin = int(wanted[1])
        more = {"ETag": etag, "Content_Type": kind} if etag else {"Content_Type": kind}
        if begin >= len(data) and begin:
            handler.start(416, 0, Content_Range=f"bytes */{len(data)}")
            return
        if begin:
            more["Content_Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        body = data[begin:]
        handler.start(206 if begin else 200, len(body), **more)
        if left[0]:
            left[0] -= 1
            handler.wfile.write(body[: len(body) // 2])
            handler.cut()
            return
        handler.wfile.write(body)

    return page


def status(code: int) -> Page:
    """Nothing but a status."""
    return lambda handler: handler.start(code, 0)


def redirect(where: str, code: int = 302) -> Page:
    """Leads elsewhere."""
    return lambda handler: handler.start(code, 0, Location=where)


def html(text: str, kind: str = "text/html; charset=utf-8") -> Page:
    """A web page."""

    def page(handler: Handler) -> None:
        body = text.encode()
        handler.start(200, len(body), Content_Type=kind)
        handler.wfile.write(body)

    return page


def stream(data: bytes, *, length: int | None = None, etag: str = "") -> Page:
    """A body without a length, or with a false one, ended by closing."""

    def page(handler: Handler) -> None:
        more = {"ETag": etag} if etag else {}
        handler.start(200, length, Content_Type="video/mp4", **more)
        handler.wfile.write(data)
        handler.cut()

    return page


def endless(handler: Handler) -> None:
    """A body that does not end."""
    handler.start(200, None, Content_Type="video/mp4")
    while not handler.server.closing.is_set():
        handler.wfile.write(b"\x00" * 65536)


def stalling(data: bytes) -> Page:
    """Some bytes and then silence."""

    def page(handler: Handler) -> None:
        handler.start(200, 10 * len(data), Content_Type="video/mp4", ETag='"s"')
        handler.wfile.write(data)
        handler.wfile.flush()
        handler.server.closing.wait(60)

    return page


def dripping(handler: Handler) -> None:
    """Headers a byte at a time, which never end."""
    handler.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.server.closing.is_set():
        handler.connection.sendall(b"x")
        time.sleep(0.02)
