"""The four folders at the root are the package; nothing is imported under two names."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("agents", "graphs", "memory", "tools")


def broken_links(root: Path) -> list[str]:
    """The links of a checkout which do not lead to the root folder of their name.

    Git without `core.symlinks`, and zip files opened by some programs, leave a text file in the
    place of each link; a wheel built from that is silently empty.
    """
    return [
        name
        for name in FOLDERS
        if (root / "src/videoespresso" / name).resolve() != (root / name).resolve()
        or not (root / name).is_dir()
    ]


def bare_modules(code: str, cwd: Path, *paths: Path) -> set[str]:
    """The root folders' names which a fresh interpreter holds as top-level modules after `code`."""
    search = "".join(f"import sys; sys.path.insert(0, {str(path)!r}); " for path in paths)
    listing = f"{search}{code}; import sys; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", listing], check=True, capture_output=True, text=True, cwd=cwd
    ).stdout
    return {name.partition(".")[0] for name in out.split()} & set(FOLDERS)


def test_links_lead_to_the_root_folders() -> None:
    assert broken_links(ROOT) == [], "run `git config core.symlinks true`, then check out again"


def test_a_link_which_became_a_text_file_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "src/videoespresso"
    package.mkdir(parents=True)
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (package / name).symlink_to(f"../../{name}")
    assert broken_links(tmp_path) == []
    (package / "tools").unlink()
    (package / "tools").write_text("../../tools")
    assert broken_links(tmp_path) == ["tools"]


@pytest.mark.parametrize("cwd", [ROOT, ROOT / "src"], ids=["root", "src"])
def test_no_module_is_loaded_under_its_bare_name(cwd: Path) -> None:
    code = (
        "import pkgutil, importlib, videoespresso.tools, videoespresso.memory, "
        "videoespresso.agents, videoespresso.graphs, videoespresso.cli.app\n"
        "for room in ('tools', 'memory', 'agents', 'graphs'):\n"
        "    package = importlib.import_module(f'videoespresso.{room}')\n"
        "    for found in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
    )
    assert bare_modules(f"exec({code!r})", cwd, ROOT / "src") == set()


def test_a_bare_import_is_noticed() -> None:
    assert bare_modules("import tools", ROOT, ROOT) == {"tools"}
