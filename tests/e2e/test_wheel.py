"""What a user installs: everything is inside, nothing heavy comes along, and it answers."""

import io
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/videoespresso"
ROOMS = ("agents", "graphs", "memory", "tools")
NOT_SHIPPED = shutil.ignore_patterns(
    ".git", ".venv*", "*.egg-info", "build", "dist", "runs", "tests", "__pycache__", ".*_cache"
)
PIP = ("-m", "pip", "--disable-pip-version-check")

pytestmark = pytest.mark.timeout(900)  # an installation of the whole core, maybe on a slow line


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Without our own paths: what runs is what was installed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build folder left behind in the checkout would hide a missing file."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=NOT_SHIPPED)
    run(sys.executable, *PIP, "wheel", "--no-deps", "-w", folder, folder / "source", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The commands of an environment which holds the wheel and what it requires, nothing else."""
    folder = wheel.parent
    venv.create(folder / "env", with_pip=True)
    bin_ = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    constraints = ROOT / "constraints.txt"
    run(bin_ / "python", *PIP, "install", "--no-compile", "-c", constraints, wheel, cwd=folder)
    return bin_


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {
        f"videoespresso/{path.relative_to(PACKAGE)}"
        for folder in (PACKAGE, *(PACKAGE / room for room in ROOMS))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for room in ROOMS for name in here if f"/{room}/" in name}, "the links are empty"
    assert any(name.endswith(".onnx") for name in here), "there is no pack"
    assert inside == here


def test_no_file_of_the_wheel_runs_code_when_it_is_loaded(wheel: Path) -> None:
    """Weights are ONNX, safetensors or plain arrays: what is a pickle, or a zip with one, is not
    shipped (a pickle of protocol 2 and later begins with 0x80 and its number)."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            assert not name.endswith((".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib"))
            content = archive.read(name)
            assert not (content[:1] == b"\x80" and 2 <= content[1] <= 5), name
            assert content[:4] != b"PK\x03\x04" or b".pkl" not in content, name
            if name.endswith((".npy", ".npz")):
                loaded = np.load(io.BytesIO(content), allow_pickle=False)
                for part in loaded.files if name.endswith(".npz") else ():
                    loaded[part]


@pytest.mark.slow
def test_nothing_heavy_comes_along(installed: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.util import find_spec as f; "
        "print([n for n in ('torch', 'torchvision', 'transformers', 'ultralytics') if f(n)])"
    )
    assert run(installed / "python", "-c", code, cwd=tmp_path).stdout.strip() == "[]"


@pytest.mark.slow
def test_an_installed_wheel_answers(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/videos/street.mp4", tmp_path / "clip.mp4")
    command = installed / "videoespresso"
    question = "Why does the white car stop?"
    asked = run(command, "ask", "clip.mp4", question, "--json", cwd=tmp_path)
    answer = json.loads(asked.stdout)
    assert answer["answered"]
    assert answer["core_frames"]
    assert answer["evidence"]


def test_nothing_of_the_lab_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if name.startswith(("lab/", "tests/"))] == []


def test_a_checkout_without_links_is_not_built(tmp_path: Path) -> None:
    """Half of the code would be missing from the wheel."""
    clone, source = tmp_path / "clone", tmp_path / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_SHIPPED)
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@x", "-C", source)
    run(*git, "init", "--quiet", cwd=tmp_path)
    run(*git, "add", "--all", cwd=tmp_path)
    run(*git, "commit", "--quiet", "--message", "all", cwd=tmp_path)
    run("git", "clone", "--quiet", "-c", "core.symlinks=false", source, clone, cwd=tmp_path)
    assert (clone / "src/videoespresso/tools").is_file()
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path / "out", clone],
        capture_output=True,
        text=True,
    )
    assert built.returncode != 0
    assert "core.symlinks true" in built.stdout + built.stderr
    assert not list(tmp_path.glob("out/*.whl"))
