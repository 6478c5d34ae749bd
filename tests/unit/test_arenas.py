"""The C library's arenas: what a run of many threads leaves in memory."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import ctypes, sys, threading
from videoespresso.dataset.engine import few_arenas

if sys.argv[1] == "few":
    few_arenas()
together = threading.Barrier(8)

def allocates():
    kept = bytes(5_000)
    together.wait()

threads = [threading.Thread(target=allocates) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
print(open(sys.argv[2]).read().count("<heap nr="))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas")
@pytest.mark.parametrize(
    ("how", "told", "least", "most"),
    [("few", None, 1, 2), ("all", None, 8, 99), ("few", "6", 6, 6)],
)
def test_few_arenas(tmp_path: Path, how: str, told: str | None, least: int, most: int) -> None:
    env = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    if told is not None:  # what the user asked for stands
        env["MALLOC_ARENA_MAX"] = told
    command = [sys.executable, "-c", COUNT, how, str(tmp_path / "heaps.xml")]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert least <= int(run.stdout) <= most
