"""docs/extend.md: its blocks are one package, which is installed and used as the page says."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.test_readme import Block, blocks

from videoespresso.errors import SettingsError
from videoespresso.models import plugins
from videoespresso.models.embedders import embedder
from videoespresso.tools import pickers, registry, scorers
from videoespresso.tools.detectors import base as detector_plugin

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/extend.md").read_text()
BLOCKS = blocks(TEXT)
COMMANDS = [b for b in BLOCKS if b.language == "bash"]
GROUPS = {
    registry.GROUP, detector_plugin.GROUP, plugins.EMBEDDERS, plugins.PROVIDERS, scorers.GROUP,
    pickers.GROUP,
}  # fmt: skip

PRINTED = ("The mean brightness is", "1 bright half", "letters made 1 vector of 26", "a red car")
"""What shows that the commands of a block came through that door: a line for each block."""

pytestmark = pytest.mark.timeout(600)


def entry_points() -> dict[str, dict[str, str]]:
    """group -> name -> object, of all toml blocks."""
    found: dict[str, dict[str, str]] = {}
    for block in BLOCKS:
        if block.language == "toml":
            found |= tomllib.loads(block.text)["project"]["entry-points"]
    return found


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with what pip would put there."""
    folder = tmp_path_factory.mktemp("site")
    code = "\n\n".join(block.text for block in BLOCKS if block.language == "python")
    (folder / "my_package.py").write_text(code)
    info = folder / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items())
        for group, names in entry_points().items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups))
    return folder


def run(package: Path, *command: str) -> str:
    """What the command prints, in the checkout, with the package on the path."""
    path = os.pathsep.join([str(package), str(ROOT / "src"), str(ROOT)])
    commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "PATH": commands},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_door_has_commands() -> None:
    assert len(COMMANDS) == len(PRINTED)


@pytest.mark.parametrize(
    ("block", "printed"), list(zip(COMMANDS, PRINTED, strict=False)), ids=PRINTED
)
def test_the_commands_print_what_the_package_makes(
    block: Block, printed: str, package: Path
) -> None:
    assert printed in run(package, "bash", "-euo", "pipefail", "-c", block.text)


def test_the_strategy_keeps_to_the_contract(package: Path) -> None:
    code = (
        "from my_package import longest\n"
        "from videoespresso.graphs.selection import Candidates\n"
        "from videoespresso.types import Caption\n"
        "texts = ['a', 'a red car', 'b', 'a dog runs', 'a cat']\n"
        "kept = [Caption(frame_id=str(t), time_s=t, text=x) for t, x in enumerate(texts)]\n"
        "chosen = longest(None, Candidates('?', '', [], kept, kept))\n"
        "assert [i for i, _ in chosen] == ['1', '3', '4'], chosen\n"
        "assert all(why for _, why in chosen)\n"
    )
    run(package, sys.executable, "-W", "error", "-c", code)


def test_a_scorer_and_a_picker_of_the_package(package: Path) -> None:
    code = (
        "import numpy as np\n"
        "from PIL import Image\n"
        "from videoespresso.graphs.selection import pair_of\n"
        "from videoespresso.tools.pickers import Frames, pick_frames, picker\n"
        "from videoespresso.tools.scorers import Film, scorer\n"
        "assert pair_of('lightness+last:2').k == 2\n"
        "pictures = [Image.new('L', (8, 8), 20 * n) for n in range(5)]\n"
        "film = Film(np.arange(5.0), pictures.__getitem__, {}, None)\n"
        "score, frames = scorer('lightness')('?', film), Frames(film.times)\n"
        "for name in ('last', 'top'):\n"
        "    assert [p.at for p in pick_frames(picker(name), score, frames, 2)] == [3, 4]\n"
    )
    run(package, sys.executable, "-W", "error", "-c", code)


def test_every_door_is_on_the_page() -> None:
    assert set(entry_points()) == GROUPS
    for group in GROUPS:
        assert f"| `{group}` |" in TEXT


def test_an_embedder_by_its_module(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package))
    filled, blank = embedder("my_package:Letters")(["aab", " "])
    assert np.linalg.norm(filled) == pytest.approx(1)
    assert not blank.any()
    for spec in ("my_package:gone", "my_package:Letters:more", "no_package:Letters"):
        with pytest.raises(SettingsError, match=spec):
            embedder(spec)
