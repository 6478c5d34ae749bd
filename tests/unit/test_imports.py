"""Imports only go down, and the heavy libraries stay outside until they are used."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src/videoespresso"

ORDER = (
    ("types", "errors", "settings", "tasks", "items"),
    ("tools", "memory", "models", "synthetic"),
    ("agents",),
    ("graphs",),
    ("asking",),
    ("batch",),
    ("training", "evaluation", "dataset", "report", "mcp_server", "chatting"),
    ("",),  # videoespresso/__init__.py: the public names
    ("cli", "__main__"),
)
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
ONLY = {"synthetic": {"types", "errors", "synthetic"}}
"""Rooms which may import less than their rank allows: the theatre knows records, nothing else."""

HEAVY = {"torch", "torchvision", "transformers", "ultralytics"}
MAY_BE_HEAVY = ("training/", "models/hf.py")
SLOW = HEAVY | {
    "av", "chromadb", "decord", "langchain_core", "langchain_openai", "langgraph", "numpy",
    "onnxruntime", "openai", "PIL", "wordllama",
}  # fmt: skip


def sources() -> list[Path]:
    """Our files, through the links, so that a path is also the import name."""
    rooms = [path for path in sorted(PACKAGE.iterdir()) if path.is_dir()]
    nested = [file for room in rooms for file in sorted(room.resolve().rglob("*.py"))]
    named = [
        room / file.relative_to(room.resolve())
        for room in rooms
        for file in nested
        if file.is_relative_to(room.resolve())
    ]
    return sorted(PACKAGE.glob("*.py")) + named


def room_of(name: str) -> str:
    """'videoespresso.tools.video' -> 'tools'; 'videoespresso' -> ''."""
    return name.split(".")[1] if "." in name else ""


def room_of_file(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    first = inside.parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, 'videoespresso.x…') of each import of ours, wherever in the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "videoespresso":
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "<relative>"
        elif isinstance(node, ast.ImportFrom) and node.module == "videoespresso":
            for alias in node.names:
                known = alias.name in RANK
                yield node.lineno, f"videoespresso.{alias.name}" if known else "videoespresso"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("videoespresso."):
            yield node.lineno, node.module or ""


def upward(source: str, room: str) -> list[str]:
    """What is wrong with a file's imports of ours, one line each."""
    wrong = []
    for line, name in imported(ast.parse(source)):
        if name == "<relative>":
            wrong.append(f"{line}: relative import; write videoespresso.…")
            continue
        target = room_of(name)
        if target not in RANK:
            wrong.append(f"{line}: {name} has no place in ORDER ({__file__})")
        elif RANK[target] > RANK[room] or (room in ONLY and target not in ONLY[room]):
            wrong.append(f"{line}: {room or '__init__'} imports {name}, which is above it")
    return wrong


def heavy_at_import(source: str) -> list[str]:
    """Heavy libraries imported at module level; `if TYPE_CHECKING:` does not run and may."""
    found = []
    for node in statements_run_at_import(ast.parse(source).body):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        found += [f"{node.lineno}: {name}" for name in names if name.partition(".")[0] in HEAVY]
    return found


def statements_run_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        for field in ("body", "orelse", "finalbody"):
            yield from statements_run_at_import(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from statements_run_at_import(handler.body)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    room = room_of_file(path)
    assert room in RANK, f"{room} has no place in ORDER"
    assert upward(path.read_text(), room) == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_wait_until_they_are_used(path: Path) -> None:
    if str(path.relative_to(PACKAGE)).startswith(MAY_BE_HEAVY):
        return
    assert heavy_at_import(path.read_text()) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("tools", "from videoespresso.agents.base import Agent"),
        ("types", "import videoespresso.tools.video"),
        ("graphs", "def f():\n    from videoespresso.cli import app"),
        ("memory", "from videoespresso import ask"),
        ("memory", "from videoespresso import Answer"),
        ("synthetic", "from videoespresso.tools.frame_similarity import fingerprint"),
        ("agents", "from . import base"),
        ("agents", "import videoespresso.unheard_of"),
    ],
)
def test_an_upward_import_is_noticed(room: str, source: str) -> None:
    assert len(upward(source, room)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("agents", "from videoespresso.models import specs"),
        ("tools", "from videoespresso.models.embedders import Embedder"),
        ("synthetic", "from videoespresso.types import Box"),
        ("cli", "from videoespresso import ask"),
        ("training", "import torch, videoespresso.theatre"),
    ],
)
def test_a_downward_import_is_not(room: str, source: str) -> None:
    assert upward(source, room) == []


def test_a_heavy_import_is_noticed_only_where_it_runs() -> None:
    assert heavy_at_import("try:\n    import torch.nn\nexcept ImportError:\n    torch = None")
    assert heavy_at_import("class A:\n    from transformers import AutoModel")
    assert not heavy_at_import("def f():\n    import torch")
    assert not heavy_at_import("if TYPE_CHECKING:\n    import torch")


@pytest.mark.parametrize("name", ["videoespresso", "videoespresso.cli.app"])
def test_importing_us_loads_nothing_slow(name: str) -> None:
    code = f"import sys, {name}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert {module.partition(".")[0] for module in run.stdout.split()} & SLOW == set()
