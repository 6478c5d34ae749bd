"""A Hugging Face hub on localhost: the API and the files of small made-up repositories.

with Hub() as hub:
    hub.add("owner/name", {"config.json": b"{}", "model.onnx": data}, large={"model.onnx"})
    run(..., env={"HF_ENDPOINT": hub.url("")})
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tests.helpers.web import Handler, Page, Site

REVISION = hashlib.sha1(b"one commit").hexdigest()


class Hub(Site):
    """Repositories by name; `pages[path]` may be replaced to serve a file badly."""

    def add(self, repo: str, files: Mapping[str, bytes], *, large: Collection[str] = ()) -> None:
        """large: files that are in LFS, whose sha256 the API says."""
        siblings = [_sibling(name, data, name in large) for name, data in files.items()]
        info = {"id": repo, "modelId": repo, "sha": REVISION, "siblings": siblings}
        self.pages[f"/api/models/{repo}"] = _json(info)
        for name, data in files.items():
            etag = f'"{hashlib.sha256(data).hexdigest()}"'
            told = {"ETag": etag, "X_Repo_Commit": REVISION}
            self.heads[self.path(repo, name, "main")] = (len(data), told)
            self.pages[self.path(repo, name, "main")] = file_page(data)
            self.pages[self.path(repo, name)] = file_page(data)

    def path(self, repo: str, name: str, revision: str = REVISION) -> str:
        """Where a file is."""
        return f"/{repo}/resolve/{revision}/{name}"

    def fetched(self) -> list[str]:
        """Files that were requested, in order."""
        found = (re.search("/resolve/[^/]+/(.+)", path) for path in self.paths())
        return [match[1] for match in found if match]


def file_page(data: bytes) -> Page:
    """A file, with ranges."""

    def page(handler: Handler) -> None:
        begin = _begin(handler)
        more = {"Content_Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
        handler.start(206 if begin else 200, len(data) - begin, **more)
        handler.wfile.write(data[begin:])

    return page


def cut_page(data: bytes, then: Callable[[Handler], None]) -> Page:
    """Half of a file and a cut; what follows is `then`."""
    done = []

    def page(handler: Handler) -> None:
        if done:
            then(handler)
            return
        done.append(True)
        handler.start(200, len(data))
        handler.wfile.write(data[: len(data) // 2])
        handler.cut()

    return page


def stuck_page(data: bytes) -> Page:
    """Half of a file, then nothing."""

    def page(handler: Handler) -> None:
        handler.start(200, len(data))
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        handler.server.closing.wait(60)

    return page


def missing(code: int = 404, **headers: str) -> Page:
    """A status with headers, names with underscores."""
    return lambda handler: handler.start(code, 0, **headers)


def _begin(handler: Handler) -> int:
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    return int(match[1]) if match else 0


def _sibling(name: str, data: bytes, large: bool) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    sibling: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob}
    if large:
        digest = hashlib.sha256(data).hexdigest()
        sibling["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 130}
    return sibling


def _json(info: dict[str, Any]) -> Page:
    body = json.dumps(info).encode()

    def page(handler: Handler) -> None:
        handler.start(200, len(body), Content_Type="application/json")
        handler.wfile.write(body)

    return page
