"""`dataset build --engine ray` on a cluster of three node processes on this machine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from lab.rehearsal_server import RehearsalServer
from tests.helpers.clips import clips

from videoespresso.api.build_dataset import Built, build_dataset
from videoespresso.dataset.ray_engine import connected
from videoespresso.errors import BudgetExceeded, SettingsError, UserError
from videoespresso.settings import DATASET_ROLES, Settings

pytestmark = [pytest.mark.extras, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
STORE = 80_000_000
"""Bytes; Ray takes no smaller object store."""
AT_A_TIME = 4
"""Calls."""
NODES = 2
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # nodes are at 127.0.0.1, as on those systems
    "RAY_worker_niceness": "0",  # it is 15, which on a busy machine is never
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns of a change to come
}


class Nodes:
    """A head that takes no work, and nodes of one CPU, each with a cache of its own."""

    def __init__(self, caches: Path) -> None:
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - an extra

        self.caches = caches
        head = {"num_cpus": 0, "object_store_memory": STORE}
        self.cluster = Cluster(
            initialize_head=True, head_node_args={**head, "include_dashboard": False}
        )
        self.nodes = [self.add(n) for n in range(NODES)]

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self, number: int) -> Any:
        env = {"VIDEOESPRESSO_CACHE_DIR": str(self.caches / f"node-{number}")}
        return self.cluster.add_node(num_cpus=1, object_store_memory=STORE, env_vars=env)

    def remove(self, number: int) -> None:
        """As a machine that is switched off."""
        self.cluster.remove_node(self.nodes[number], allow_graceful=False)
        self.nodes[number] = None

    def restore(self) -> None:
        """Until the head counts a node that is gone, builds plan for it (tens of seconds)."""
        self.cluster.wait_for_nodes(timeout=120)
        self.nodes = [node or self.add(n) for n, node in enumerate(self.nodes)]

    def workers(self) -> list[int]:
        """The processes that do videos, on all nodes."""
        raylets = {
            each.process.pid
            for node in self.nodes
            if node is not None
            for each in node.all_processes["raylet"]
        }
        return [pid for pid, parent, title in processes() if parent in raylets and ours(title)]


def ours(title: str) -> bool:
    return title.startswith("ray::RankWorker")


def processes() -> Iterator[tuple[int, int, str]]:
    """(number, parent's number, title) of all there are."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        yield int(folder.name), int(after_name[1]), title


class Bench:
    """Clips, a server that replies by rule, a cluster, and what one machine makes of the clips."""

    def __init__(self, folder: Path, server: RehearsalServer, nodes: Nodes) -> None:
        self.folder, self.server, self.nodes = folder, server, nodes
        self.videos = clips(folder / "clips", 5)
        first = sorted(self.videos.iterdir())[0]
        shutil.copy(first, self.videos / "zz-the-same.mp4")
        self.build("local", engine="local")
        self.calls = server.counts.bodies.total()

    def settings(self, **more: Any) -> Settings:
        spec = f"openai:rehearsal@{self.server.url}"
        given = dict.fromkeys(("captioner", *DATASET_ROLES), spec) | {
            "detector": "off", "dynamic_fps": 1.0, "concurrency": AT_A_TIME, "profile": "embedded",
            "cache_dir": self.folder / "cache", **more,
        }  # fmt: skip
        return Settings.load(given, environ={})

    def build(self, name: str, engine: Any = "ray", jobs: int | None = None, **more: Any) -> Built:
        return build_dataset(
            self.videos, self.folder / name, settings=self.settings(**more), group=4, jobs=jobs,
            engine=engine, ray_address=self.nodes.address,
        )  # fmt: skip

    def command(self, name: str) -> "subprocess.Popen[str]":
        spec = f"openai:rehearsal@{self.server.url}"
        models = [f"-m{role}={spec}" for role in ("captioner", *DATASET_ROLES)]
        return subprocess.Popen(
            [sys.executable, "-m", "videoespresso", "dataset", "build", str(self.videos),
             "--out", str(self.folder / name), *models, "--profile", "embedded", "--detector",
             "off", "--group", "4", "--concurrency", str(AT_A_TIME), "--engine", "ray",
             "--ray-address", self.nodes.address, "--quiet"],
            env={**os.environ, "VIDEOESPRESSO_DYNAMIC_FPS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def made(self, name: str) -> tuple[bytes, bytes, set[str]]:
        """What all runs must agree on."""
        folder = self.folder / name
        pictures = {p.name for p in (folder / "frames").iterdir() if p.name[0] != "."}
        records, rejects = (folder / f"{n}.jsonl" for n in ("records", "rejects"))
        return records.read_bytes(), rejects.read_bytes(), pictures

    def forget(self) -> None:
        """Empties the nodes' caches, and counts from zero."""
        shutil.rmtree(self.nodes.caches, ignore_errors=True)
        self.server.forget()

    def at(self, request: int, do: Callable[[], object]) -> None:
        """Does something once that many requests have come; nobody waits for it."""
        self.server.forget()

        def hook(asked: Any) -> None:
            if asked.number == request:
                threading.Thread(target=do).start()

        self.server.hook = hook

    @property
    def asked(self) -> int:
        return self.server.counts.bodies.total()

    @property
    def twice(self) -> int:
        return int(self.server.counts.as_json()["twice"])


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    paths = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**QUIET, "PYTHONPATH": paths}.items():
            patch.setenv(name, value)
        made = Nodes(tmp_path_factory.mktemp("nodes"))
        yield made
        made.cluster.shutdown()


@pytest.fixture(scope="module")
def bench(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with RehearsalServer(0.02) as server:
        yield Bench(tmp_path_factory.mktemp("bench"), server, nodes)


@pytest.fixture(autouse=True)
def _whole(bench: Bench) -> Iterator[None]:
    """Each test begins with all nodes, cold caches, and a server without tricks."""
    bench.forget()
    yield
    bench.server.hook = lambda _asked: None
    bench.nodes.restore()


def test_records_are_those_of_one_machine_and_a_rerun_is_free(bench: Bench) -> None:
    built = bench.build("cluster")
    assert built.failures == ()
    assert built.busy == ()
    assert built.done == built.videos == 6
    assert bench.made("cluster") == bench.made("local")
    assert (bench.asked, bench.twice) == (bench.calls, 0)
    assert sum(usage.calls for usage in built.usage.values()) == bench.calls
    assert bench.server.counts.most <= AT_A_TIME
    caches = [bench.nodes.caches / f"node-{n}" / "replies.sqlite" for n in range(NODES)]
    assert all(cache.is_file() for cache in caches), "a node had nothing to do"
    bench.forget()  # what was paid for on one node is known on every other
    again = bench.build("cluster")
    assert (bench.asked, again.done) == (0, 6)
    assert bench.made("cluster") == bench.made("local")


def test_a_killed_worker_loses_only_what_was_under_way(bench: Bench) -> None:
    def kill() -> None:
        os.kill(bench.nodes.workers()[0], signal.SIGKILL)

    bench.at(bench.calls // 3, kill)
    built = bench.build("killed")
    assert built.failures == ()
    assert bench.made("killed") == bench.made("local")
    assert bench.twice <= AT_A_TIME


def test_a_node_that_is_gone_is_done_without(bench: Bench) -> None:
    bench.at(bench.calls // 3, lambda: bench.nodes.remove(1))
    built = bench.build("removed")
    assert built.failures == ()
    assert bench.made("removed") == bench.made("local")
    assert bench.twice <= AT_A_TIME


def test_limits_hold_over_all_workers(bench: Bench) -> None:
    limit = bench.calls // 2
    with pytest.raises(BudgetExceeded, match=r"worker . of 2, which has an equal share") as caught:
        bench.build("limited", budget_calls=limit)
    assert "model calls made" in str(caught.value)
    assert 0.8 * limit <= bench.asked <= limit
    built = bench.build("limited")
    assert built.failures == ()
    assert bench.made("limited") == bench.made("local")
    assert (bench.asked, bench.twice) == (bench.calls, 0)


def test_a_video_that_kills_its_workers_is_a_failure(bench: Bench) -> None:
    def kill(_asked: Any) -> None:
        for pid in bench.nodes.workers():
            os.kill(pid, signal.SIGKILL)

    bench.server.hook = kill
    video = sorted(bench.videos.iterdir())[0]
    built = build_dataset(
        video, bench.folder / "deadly", settings=bench.settings(), group=4, engine="ray",
        ray_address=bench.nodes.address,
    )  # fmt: skip
    assert (built.done, built.records) == (0, 0)
    (failure,) = built.failures
    assert "3 workers died over it" in failure


def test_keys_are_the_nodes_own_and_do_not_travel(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "only-where-the-command-runs")
    with pytest.raises(SettingsError, match=r"^node ") as caught:
        bench.build("keyless", verifier="openai:gpt-4o")
    assert "OPENAI_API_KEY" in f"{caught.value} {caught.value.hint}"
    assert bench.asked == 0


def test_a_cluster_from_outside_is_refused(bench: Bench) -> None:
    with ExitStack() as held, pytest.raises(UserError, match="outside of the cluster"):
        connected("ray://127.0.0.1:10001", held)


def test_an_address_where_nobody_listens_is_said_at_once() -> None:
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with ExitStack() as held, pytest.raises(UserError, match=f"no Ray cluster at {address}"):
            connected(address, held)


def test_a_run_that_is_killed_or_interrupted_goes_on(bench: Bench) -> None:
    for number, how in ((bench.calls // 4, signal.SIGKILL), (bench.calls // 2, signal.SIGINT)):
        driver = bench.command("broken")
        until = time.monotonic() + 240
        while bench.asked < number and driver.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        driver.send_signal(how)
        _, said = driver.communicate(timeout=240)
        assert driver.returncode == (-9 if how == signal.SIGKILL else 130), said
    assert "the same command goes on" in " ".join(said.split())
    bench.build("broken")
    assert bench.made("broken") == bench.made("local")
    assert bench.twice <= AT_A_TIME
