"""Imports only go down, and the heavy libraries stay outside until they are used."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/videoespresso"

ORDER = (
    ("types", "errors", "settings", "settings_file", "tasks", "dataset_record",
     "statistics", "comparison", "evidence_scores", "letters"),
    ("memory", "theatre"),
    ("models",),
    ("tools",),
    ("agents",),
    ("graphs",),
    ("dataset",),
    ("report",),
    ("evaluation",),
    ("training",),
    ("api",),
    ("testing",),
    ("",),  # videoespresso/__init__.py: the public names
    ("cli",),
    ("__main__",),
    ("lab",),
)  # fmt: skip
"""The ranks of docs/design.md, lowest first: a room imports itself, its own rank's base files and
what is lower."""
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
BASE = 0
"""The rank whose files may import each other; elsewhere two rooms of one rank may not."""
ONLY = {"theatre": {"types", "errors", "tasks", "dataset_record", "theatre"}}
"""Rooms which may import less than their rank allows: the theatre knows records, nothing else."""
HEAVY = {"torch", "torchvision", "transformers", "ultralytics"}
SLOW = HEAVY | {
    "av", "chromadb", "decord", "langchain_core", "langchain_openai", "langgraph", "numpy",
    "onnxruntime", "openai", "PIL", "wordllama",
}  # fmt: skip


def sources() -> dict[str, Path]:
    """Import name -> file, of the package (through its links) and of lab."""
    found = {"videoespresso": PACKAGE / "__init__.py"}
    for entry in sorted(PACKAGE.iterdir()):
        if entry.suffix == ".py" and entry.stem != "__init__":
            found[f"videoespresso.{entry.stem}"] = entry
        elif entry.is_dir():
            found |= named(f"videoespresso.{entry.name}", entry.resolve())
    return found | named("lab", ROOT / "lab")


def named(prefix: str, folder: Path) -> dict[str, Path]:
    """Import name -> file below a folder; a package's name is that of its __init__.py."""
    return {
        ".".join((prefix, *file.relative_to(folder).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): file
        for file in sorted(folder.rglob("*.py"))
    }


SOURCES = sources()


def room_of(name: str) -> str:
    """'videoespresso.tools.video' -> 'tools'; 'videoespresso' -> ''; 'lab.pack.train' -> 'lab'."""
    first, _, rest = name.partition(".")
    return "lab" if first == "lab" else rest.partition(".")[0]


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, 'videoespresso.x…') of each import of ours, wherever in the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in ("videoespresso", "lab"):
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "<relative>"
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.partition(".")[0] in ("videoespresso", "lab"):
                for alias in node.names:
                    full = f"{module}.{alias.name}"
                    yield node.lineno, full if full in SOURCES else module


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
            continue
        beside = target != room and RANK[target] == RANK[room] != BASE
        above = RANK[target] > RANK[room] or beside
        if above or (room in ONLY and target not in ONLY[room]):
            wrong.append(f"{line}: {room or '__init__'} imports {name}, which is not below it")
    return wrong


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Each group of files that import one another, directly or through others (Tarjan)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        path.append(name)
        for other in graph.get(name, ()):
            if other not in numbers:
                visit(other)
            if other in path:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == numbers[name]:
            group = path[path.index(name) :]
            del path[path.index(name) :]
            if len(group) > 1 or name in graph.get(name, ()):
                found.append(sorted(group))

    for name in graph:
        if name not in numbers:
            visit(name)
    return found


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


@pytest.mark.parametrize("name", SOURCES)
def test_imports_only_go_down(name: str) -> None:
    assert room_of(name) in RANK, f"{room_of(name)} has no place in ORDER"
    assert upward(SOURCES[name].read_text(), room_of(name)) == []


def test_no_file_imports_itself_in_a_circle() -> None:
    graph = {
        name: {other for _, other in imported(ast.parse(file.read_text()))}
        for name, file in SOURCES.items()
    }
    assert circles(graph) == []


def test_the_house_is_drawn_as_it_stands() -> None:
    """docs/design.md lists each room at its rank, and each room of the package is listed."""
    text = (ROOT / "docs/design.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", text, flags=re.MULTILINE)
    drawn = {
        "" if room == "videoespresso" else room: int(rank)
        for rank, rooms in rows
        for room in re.findall(r"`(\w+)`", rooms)
    }
    assert drawn == RANK
    assert {room_of(name) for name in SOURCES} | {"testing"} == set(drawn)


def test_a_circle_is_noticed() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"e"}}
    assert circles(graph) == [["a", "b", "c"], ["e"]]


@pytest.mark.parametrize("name", SOURCES)
def test_heavy_libraries_wait_until_they_are_used(name: str) -> None:
    networks = ("lab/", "models/hf", "training/pack/export")
    if name.replace(".", "/").removeprefix("videoespresso/").startswith(networks):
        return
    assert heavy_at_import(SOURCES[name].read_text()) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("tools", "from videoespresso.agents.base import Agent"),
        ("types", "import videoespresso.tools.video"),
        ("graphs", "def f():\n    from videoespresso.cli import app"),
        ("memory", "from videoespresso import ask"),
        ("memory", "from videoespresso import Answer"),
        ("theatre", "from videoespresso.tools.sampling import fingerprint"),
        ("theatre", "from videoespresso.memory.disk import writer_lock"),
        ("memory", "from videoespresso.models.specs import ModelSpec"),
        ("models", "from videoespresso.tools.base import Tool"),
        ("dataset", "def f():\n    from videoespresso.report import page"),
        ("api", "import lab.theatre_scores"),
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
        ("theatre", "from videoespresso.types import Box"),
        ("cli", "from videoespresso import ask"),
        ("lab", "import torch, videoespresso.theatre"),
    ],
)
def test_a_downward_import_is_not(room: str, source: str) -> None:
    assert upward(source, room) == []


def test_a_heavy_import_is_noticed_only_where_it_runs() -> None:
    assert heavy_at_import("try:\n    import torch.nn\nexcept ImportError:\n    torch = None")
    assert heavy_at_import("class A:\n    from transformers import AutoModel")
    assert not heavy_at_import("def f():\n    import torch")
    assert not heavy_at_import("if TYPE_CHECKING:\n    import torch")


def loaded(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after `code`."""
    code = f"import atexit, sys; atexit.register(lambda: print('|', *sys.modules)); {code}"
    run = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
    )
    return {module.partition(".")[0] for module in run.stdout.rpartition("|")[2].split()}


@pytest.mark.parametrize("name", ["videoespresso", "videoespresso.cli.app"])
def test_importing_us_loads_nothing_slow(name: str) -> None:
    assert loaded(f"import {name}") & SLOW == set()


@pytest.mark.parametrize("argv", [["videoespresso", "--help"], ["videoespresso", "ask", "--help"]])
def test_help_loads_nothing_slow(argv: list[str]) -> None:
    assert "typer" in (
        modules := loaded(f"sys.argv = {argv}; import videoespresso.cli.app as app; app.main()")
    )
    assert modules & (SLOW | {"prompt_toolkit", "httpx", "rich"}) == set()


def test_what_a_cached_reply_needs_of_the_pack_loads_no_runtime() -> None:
    code = "from videoespresso.models.embedded.chat import PackChatModel as P; P().identity"
    assert loaded(code) & {"onnxruntime", "jinja2", "tokenizers"} == set()
