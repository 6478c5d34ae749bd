"""The ban of conftest.py holds: tried from outside, by a run of pytest over tests that offend."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
REMOTE = "203.0.113.7"
"""An address of the block kept for documentation: nobody is there, should the ban fail."""

OFFENDERS = {
    "connects": f"socket.socket().connect(({REMOTE!r}, 9))",
    "looks up a name": "socket.getaddrinfo('example.invalid', 443)",
    "sends a datagram": (
        f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ({REMOTE!r}, 9))"
    ),
    "swallows the error": f"""
    try:
        socket.create_connection(({REMOTE!r}, 9))
    except Exception:
        pass""",
    "does it in a thread": f"""
    thread = threading.Thread(target=lambda: socket.socket().connect(({REMOTE!r}, 9)))
    thread.start()
    thread.join()""",
    "awaits": f"asyncio.run(asyncio.open_connection({REMOTE!r}, 9))",
}

ALLOWED = {
    "localhost": """
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()""",
    "a unix socket": """
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))""",
    "a pair": "[end.close() for end in socket.socketpair()]",
    "an event loop": "asyncio.run(asyncio.sleep(0))",
    "no key": "assert not {'OPENAI_API_KEY', 'VIDEOESPRESSO_PROFILE'} & set(os.environ)",
    "a cache of its own": "assert not os.listdir(os.environ['VIDEOESPRESSO_CACHE_DIR'])",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """'PASSED' or 'FAILED' of a test for each body, all in one run of pytest."""
    folder = tmp_path_factory.mktemp("ban")
    shutil.copy(CONFTEST, folder / "conftest.py")
    bodies = {**OFFENDERS, **ALLOWED}
    tests = [
        f"def test_{i}(tmp_path):\n    {body.strip()}" for i, body in enumerate(bodies.values())
    ]
    text = "\n\n".join(["import asyncio, os, socket, threading", *tests])
    (folder / "test_them.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PATH": "", "OPENAI_API_KEY": "k", "VIDEOESPRESSO_PROFILE": "openai"},
    )
    found = re.findall(r"^(PASSED|FAILED|ERROR) \S+::test_(\d+)( .*)?$", done.stdout, re.MULTILINE)
    assert {int(number) for _, number, _ in found} == set(range(len(bodies))), done.stdout
    names = list(bodies)
    ended = dict.fromkeys(names, "PASSED")
    for outcome, number, why in found:
        if outcome != "PASSED":  # a test can pass, and then its fixture finds it out
            assert "remote host" in why or "RemoteHostError" in why, done.stdout
            ended[names[int(number)]] = "FAILED"
    return ended


@pytest.mark.parametrize("name", OFFENDERS)
def test_a_test_which_leaves_this_machine_fails(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name] == "FAILED"


@pytest.mark.parametrize("name", ALLOWED)
def test_what_stays_here_passes(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name] == "PASSED"
