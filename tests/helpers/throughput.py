"""How many times faster many callers are than one, and what a long run takes in memory.

    python -m tests.helpers.throughput [--callers 16] [--server-s 0.5] [--calls 640]

Distinct typed requests through one agent with a reply cache, against a server in another process.
Prints JSON: the rate of one caller, of many, their ratio, and the growth of memory between 100 and
`--items` calls on a fast server. Sequential and concurrent runs take turns, so that a busy machine
slows both.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.chat import chat_model
from videoespresso.models.client.rate_limit import RateLimits
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec

PROMPT = Prompt("verifier", "You are the verifier.", "0" * 64)
_NUMBERS = count()


class Verdict(BaseModel):
    """What is asked for."""

    good: bool


@contextmanager
def serving(seconds: float) -> Iterator[str]:
    """The base URL of a server that takes so long for a reply."""
    command = [sys.executable, str(Path(__file__).with_name("chat_server.py")), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def asker(url: str, cache: Path, callers: int) -> Agent:
    """An agent as a context builds it."""
    spec = ModelSpec.parse(f"openai:slow@{url}")
    return Agent(
        "verifier", spec, chat_model(spec), usage_log=UsageLog(), replies=ReplyCache(cache),
        concurrency=callers, rate_limit=RateLimits(callers).limit(spec),
    )  # fmt: skip


def rate(agent: Agent, calls: int, callers: int) -> float:
    """Replies a second."""

    def ask(number: int) -> None:
        text = f"Question {number}: is the evidence true? " + "A caption of a frame. " * 50
        agent.typed(PROMPT, [Turn("user", (text,))], Verdict)

    numbers = [next(_NUMBERS) for _ in range(calls)]
    started = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(ask, numbers))
    return calls / (time.perf_counter() - started)


def faster(server_s: float, callers: int, calls: int, rounds: int = 2) -> dict[str, Any]:
    """The ratio of the rates, over rounds of one caller and of many in turn."""
    with tempfile.TemporaryDirectory() as folder, serving(server_s) as url:
        agent = asker(url, Path(folder) / "replies.sqlite", callers)
        rate(agent, callers, callers)  # imports, connections
        each = calls // rounds
        alone, together = [], []
        for _ in range(rounds):
            alone.append(rate(agent, max(1, each // callers), 1))
            together.append(rate(agent, each, callers))
    ratios = [many / one for many, one in zip(together, alone, strict=True)]
    return {
        "callers": callers,
        "server_s": server_s,
        "calls": calls,
        "sequential_per_s": round(rounds / sum(1 / r for r in alone), 3),
        "concurrent_per_s": round(rounds / sum(1 / r for r in together), 3),
        "ratio": round(sum(1 / r for r in alone) / sum(1 / r for r in together), 2),
        "ratio_each_round": [round(r, 2) for r in ratios],
    }


def memory(callers: int, items: int) -> dict[str, Any]:
    """Peak resident memory in MB after 100, 1,000 and `items` calls."""
    with tempfile.TemporaryDirectory() as folder, serving(0.0) as url:
        agent = asker(url, Path(folder) / "replies.sqlite", callers)
        peaks = {}
        for reached in range(100, items + 1, 100):  # so that futures of 10,000 are not the growth
            rate(agent, 100, callers)
            if reached in (100, 1000, items):
                kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                peaks[agent.usage_log.total().calls] = round(kilobytes / 1024, 1)
    return {"peak_mb_after_calls": peaks}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--server-s", type=float, default=0.5)
    parser.add_argument("--calls", type=int, default=960)
    parser.add_argument("--items", type=int, default=0)
    given = parser.parse_args()
    told = faster(given.server_s, given.callers, given.calls)
    if given.items:
        told |= memory(given.callers, given.items)
    print(json.dumps(told, indent=1))  # noqa: T201 - a script


if __name__ == "__main__":
    main()
