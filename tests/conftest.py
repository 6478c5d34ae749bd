"""No test reaches a remote host, a paid model, or the user's own cache, even by accident."""

import ipaddress
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KEYS = ("OPENAI_", "ANTHROPIC_", "GOOGLE_", "AZURE_", "LANGSMITH_", "LANGCHAIN_", "VIDEOESPRESSO_")
OFFLINE = {
    "HF_HUB_OFFLINE": "1",  # a hub lookup fails at once and says so
    "YOLO_OFFLINE": "true",  # ultralytics: no font, weight or telemetry download
    "YOLO_AUTOINSTALL": "false",
    "ANONYMIZED_TELEMETRY": "False",
    "TOKENIZERS_PARALLELISM": "false",
    "NO_PROXY": "localhost,127.0.0.1,::1",
}

_environment = pytest.MonkeyPatch()
_scratch = tempfile.TemporaryDirectory(prefix="videoespresso-tests-")
_numbers = itertools.count()
_refused: list[str] = []
_watching = False


class RemoteHostError(RuntimeError):
    """A test tried to leave this machine."""


def is_local(host: object) -> bool:
    """Whether a host name or address is this machine; a unix socket's path is.

    A name is never resolved to find out: looking up a remote name is already leaving.
    """
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host is None or not isinstance(host, str):
        return host is None
    if host in {"", "localhost", "ip6-localhost"} or host.startswith("/"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def refuse(host: object) -> None:
    """Records the attempt, so that code which swallows the error fails its test all the same."""
    _refused.append(f"{host!r}")
    raise RemoteHostError(f"a test tried to reach {host!r}; only localhost is allowed")


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = args[1]
        if isinstance(address, tuple) and address and not is_local(address[0]):
            refuse(address[0])
    elif event == "socket.getaddrinfo" and not is_local(args[0]):
        refuse(args[0])


def pytest_configure() -> None:
    """Before anything is imported: libraries read some of these names at their own import."""
    global _watching
    for name in list(os.environ):
        if name.startswith(KEYS) or name in {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}:
            _environment.delenv(name)
    for name, value in OFFLINE.items():
        _environment.setenv(name, value)
    if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: a thread each
        _environment.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    # ultralytics keeps its settings in the home folder otherwise
    _environment.setenv("YOLO_CONFIG_DIR", _scratch.name)
    if not _watching:
        sys.addaudithook(_audit)  # unlike a patched socket, it also sees what holds a reference
        _watching = True


def pytest_unconfigure() -> None:
    """An audit hook cannot be taken away; it can be told to look aside."""
    global _watching
    _watching = False
    _environment.undo()
    _scratch.cleanup()


@pytest.fixture(autouse=True)
def _no_remote_host(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test which tried to leave, whatever it made of the error. `network` may."""
    global _watching
    _watching = request.node.get_closest_marker("network") is None
    _refused.clear()
    yield
    _watching = True
    attempts = list(_refused)
    _refused.clear()
    if attempts:
        pytest.fail(f"reached for a remote host: {', '.join(attempts)}")


@pytest.fixture(autouse=True)
def cache_folder() -> Iterator[Path]:
    """Every test gets a cache of its own, and no weights that somebody pulled.

    Not by `tmp_path_factory`: it looks through all folders it has made whenever it makes one.
    """
    folder = Path(_scratch.name) / f"cache{next(_numbers)}"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEOESPRESSO_CACHE_DIR", str(folder))
        patch.setenv("VIDEOESPRESSO_MODELS_DIR", str(folder / "models"))
        yield folder
