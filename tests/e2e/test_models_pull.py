"""`models pull` against a hub on this machine: sizes, resume, checksums, and what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.hub import REVISION, Hub, cut_page, file_page, missing, stuck_page
from tests.helpers.web import Site, redirect

REPO = "onnx-community/dfine_n_coco-ONNX"
GRAPH = bytes(range(256)) * 4000
FILES = {
    "README.md": b"# a card",
    "config.json": b'{"model_type": "d_fine"}',
    "preprocessor_config.json": b"{}",
    "onnx/model.onnx": GRAPH,
    "onnx/model_fp16.onnx": GRAPH[:512],
    "onnx/model_fp16.onnx_data": GRAPH[:256],
    "model.safetensors": b"not needed",
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        made.add(REPO, FILES, large={"onnx/model.onnx"})
        yield made


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "videoespresso", "models", "pull", *args]


def environment(hub: str, models: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    return kept | {
        "HF_ENDPOINT": hub,
        "HF_HOME": str(models.parent / "hf"),
        "VIDEOESPRESSO_MODELS_DIR": str(models),
        **more,
    }


def run(hub: Hub | str, models: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    address = hub if isinstance(hub, str) else hub.url("")
    return subprocess.run(
        command(*args),
        env=environment(address, models, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_only_what_is_needed_comes_and_once(hub: Hub, models: Path) -> None:
    done = run(hub, models, "detector", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    [pulled] = json.loads(done.stdout)
    assert pulled["spec"] == f"onnx:{models / 'detector'}"
    assert (pulled["repo"], pulled["revision"]) == (REPO, REVISION)
    assert pulled["licence"] == "Apache-2.0"
    assert pulled["bytes"] == len(GRAPH) + len(FILES["config.json"]) + 2
    assert (models / "detector/onnx/model.onnx").read_bytes() == GRAPH
    assert hub.fetched() == ["onnx/model.onnx", "config.json", "preprocessor_config.json"]
    assert "3 files, 1.0 MB" in done.stderr
    assert "to come: 1.0 MB" in done.stderr

    again = run(hub, models, "detector")  # nothing to ask about
    assert again.returncode == 0, again.stderr
    assert "to come: 0 B" in again.stderr
    assert len(hub.fetched()) == 3


def test_nothing_is_fetched_unasked(hub: Hub, models: Path) -> None:
    done = run(hub, models, "detector")
    assert done.returncode == 2
    assert "1.0 MB" in done.stderr
    assert "--yes" in done.stderr
    assert hub.fetched() == []
    assert not models.exists()


def test_another_type_of_weights_takes_the_place_of_the_first(hub: Hub, models: Path) -> None:
    assert run(hub, models, "detector", "--yes").returncode == 0
    done = run(hub, models, "detector", "--yes", "--dtype", "fp16")
    assert done.returncode == 0, done.stderr
    there = sorted(path.name for path in (models / "detector").rglob("*.onnx*"))
    assert there == ["model_fp16.onnx", "model_fp16.onnx_data"]
    refused = run(hub, models, "detector", "--yes", "--dtype", "q4")
    assert refused.returncode == 2
    assert "fp32, fp16" in refused.stderr


@pytest.mark.parametrize("name", ["onnx/model.onnx", "config.json"])
def test_altered_content_is_refused(hub: Hub, models: Path, name: str) -> None:
    altered = FILES[name][:-1] + b"!"
    hub.pages[hub.path(REPO, name)] = file_page(altered)
    done = run(hub, models, "detector", "--yes")
    assert done.returncode == 4
    assert name in done.stderr
    assert "checksum" in done.stderr
    assert not (models / "detector").exists()
    hub.pages[hub.path(REPO, name)] = file_page(FILES[name])
    assert run(hub, models, "detector", "--yes").returncode == 0
    assert (models / "detector" / name).read_bytes() == FILES[name]


def test_a_cut_pull_goes_on_where_it_was(hub: Hub, models: Path) -> None:
    path = hub.path(REPO, "onnx/model.onnx")
    hub.pages[path] = cut_page(GRAPH, missing(500))
    cut = run(hub, models, "detector", "--yes")
    assert cut.returncode == 4
    assert "goes on from there" in cut.stderr
    hub.pages[path] = file_page(GRAPH)
    hub.requests.clear()
    done = run(hub, models, "detector", "--yes")
    assert done.returncode == 0, done.stderr
    assert "512.0 kB there" in done.stderr
    assert "to come: 512.0 kB" in done.stderr
    assert ranges(hub, path) == [f"bytes={len(GRAPH) // 2}-"]
    assert (models / "detector/onnx/model.onnx").read_bytes() == GRAPH


def test_ctrl_c_keeps_what_came(hub: Hub, models: Path) -> None:
    path = hub.path(REPO, "onnx/model.onnx")
    hub.pages[path] = stuck_page(GRAPH)
    process = subprocess.Popen(
        command("detector", "--yes"),
        env=environment(hub.url(""), models),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: largest(models.parent) > 100_000)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    kept = largest(models.parent)
    hub.pages[path] = file_page(GRAPH)
    hub.requests.clear()
    done = run(hub, models, "detector", "--yes")
    assert done.returncode == 0, done.stderr
    assert ranges(hub, path) == [f"bytes={kept}-"]
    assert (models / "detector/onnx/model.onnx").read_bytes() == GRAPH


def test_a_login_goes_to_the_hub_and_not_where_it_leads(hub: Hub, models: Path) -> None:
    with Site() as elsewhere:
        elsewhere.pages["/blob"] = file_page(GRAPH)
        path = hub.path(REPO, "onnx/model.onnx")
        hub.pages[path] = redirect(elsewhere.url("/blob", host="localhost"))
        done = run(hub, models, "detector", "--yes", HF_TOKEN="hf_secretsecretsecret")
        assert done.returncode == 0, done.stderr
        sent = dict(hub.requests)[path]
        assert sent["authorization"] == "Bearer hf_secretsecretsecret"
        assert [headers.get("authorization") for _, headers in elsewhere.requests] == [None]
        assert "secret" not in done.stdout + done.stderr


def test_a_wrong_name_and_no_hub_say_what_to_do(hub: Hub, models: Path) -> None:
    repo = "nobody/nothing"
    hub.pages[f"/api/models/{repo}"] = missing(404, X_Error_Code="RepoNotFound")
    wrong = run(hub, models, "detector", "--repo", repo, "--yes")
    assert wrong.returncode == 2
    assert f"no repository {repo}" in wrong.stderr
    unknown = run(hub, models, "everything")
    assert unknown.returncode == 2
    assert "laptop, vlm" in unknown.stderr
    nobody = run("http://127.0.0.1:9", models, "detector", "--yes")
    assert nobody.returncode == 4
    assert "cannot be reached" in nobody.stderr
    assert "--from FOLDER" in nobody.stderr


def test_offline_takes_what_the_hubs_cache_has(hub: Hub, models: Path) -> None:
    refused = run(hub, models, "detector", "--yes", HF_HUB_OFFLINE="1")
    assert refused.returncode == 2
    assert "HF_HUB_OFFLINE" in refused.stderr
    folder = models.parent / f"hf/hub/models--{REPO.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(REVISION)
    for name, data in FILES.items():
        file = folder / "snapshots" / REVISION / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    online = run(hub, models, "detector", "--yes")
    assert online.returncode == 0, online.stderr
    assert hub.fetched() == []
    done = run(hub, models.with_name("other"), "detector", "--yes", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert (models.with_name("other") / "detector/onnx/model.onnx").read_bytes() == GRAPH
    assert hub.fetched() == []


def largest(folder: Path) -> int:
    """Bytes of the largest file, which is the one that is fetched."""
    return max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)


def ranges(hub: Hub, path: str) -> list[str | None]:
    return [headers.get("range") for name, headers in hub.requests if name == path]


def wait_for(true: object) -> None:
    assert callable(true)
    for _ in range(4800):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


def test_what_transformers_loads_comes_into_the_hubs_cache(hub: Hub, models: Path) -> None:
    both = {"model.safetensors": GRAPH, "pytorch_model.bin": GRAPH, "onnx/model.onnx": GRAPH}
    hub.add("owner/seer", {"config.json": b"{}", "1_Pooling/config.json": b"{ }", **both})
    done = run(hub, models, "hf:owner/seer", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["spec"] == "hf:owner/seer"
    assert "3 files, 1.0 MB" in done.stderr
    wanted = ["1_Pooling/config.json", "config.json", "model.safetensors"]
    assert sorted(hub.fetched()) == wanted
    again = run(hub, models, "hf:owner/seer")
    assert again.returncode == 0, "nothing is left to be asked for"
    assert (sorted(hub.fetched()), "to come: 0" in again.stderr) == (wanted, True)
    look = "from videoespresso.models.pull.hub import local; print(local('owner/seer', 'hf:'))"
    env = environment(hub.url(""), models, HF_HUB_OFFLINE="1")
    where = subprocess.run([sys.executable, "-c", look], env=env, capture_output=True, text=True)
    assert (Path(where.stdout.strip()) / "model.safetensors").read_bytes() == GRAPH
    assert not models.exists(), "the folder of `onnx:` weights has none of it"
    mixed = run(hub, models, "hf:owner/seer", "vlm", "--yes")
    assert (mixed.returncode, "by itself" in mixed.stderr) == (2, True)


def test_a_cut_file_for_transformers_is_gone_on_with(hub: Hub, models: Path) -> None:
    hub.add("owner/seer", {"config.json": b"{}", "model.safetensors": GRAPH})
    path = hub.path("owner/seer", "model.safetensors")
    hub.pages[path] = cut_page(GRAPH, missing(500))
    cut = run(hub, models, "hf:owner/seer", "--yes")
    assert (cut.returncode, "goes on from there" in cut.stderr) == (4, True), cut.stderr
    look = "from videoespresso.models.pull.hub import in_cache; print(in_cache('owner/seer'))"
    env = environment(hub.url(""), models)
    half = subprocess.run([sys.executable, "-c", look], env=env, capture_output=True, text=True)
    assert half.stdout.strip() == "None", "half a model is no model"
    hub.pages[path] = file_page(GRAPH)
    hub.requests.clear()
    done = run(hub, models, "hf:owner/seer", "--yes")
    assert done.returncode == 0, done.stderr
    assert "512.0 kB there" in done.stderr
    assert ranges(hub, path) == [f"bytes={len(GRAPH) // 2}-"]
    where = subprocess.run([sys.executable, "-c", look], env=env, capture_output=True, text=True)
    folder = Path(where.stdout.strip())
    assert {f.name for f in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == GRAPH
