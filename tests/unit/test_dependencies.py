"""What we import is what we declare; nothing is borrowed from somebody else's requirements."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ROOMS = ("src/videoespresso", "agents", "graphs", "memory", "tools")
OTHERS = {
    "langchain": "another provider's package is asked for by name (models/chat.py)",
    "IPython": "asked for only inside a notebook, which has it (report/progress_bar.py)",
}
"""Imported only where the user named something that needs it; its absence is told."""

COMES_WITH = {"openai": "langchain-openai", "httpcore": "httpx"}
COMES_WITH |= dict.fromkeys(("typing-extensions", "pydantic-core"), "pydantic")
"""Part of the interface of a package we declare: its errors, its types. That one's range rules."""

NAMES = {
    "langgraph": "langgraph",
    "langgraph.checkpoint.sqlite": "langgraph-checkpoint-sqlite",
}
"""Namespaces of several distributions; whose the rest is, is read off what is installed."""

INSTALLED = packages_distributions()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\s\[<>=!~;(]", text, maxsplit=1)[0]) for text in requirements}


CORE = names(PROJECT["dependencies"])
EXTRAS = names([text for group in PROJECT["optional-dependencies"].values() for text in group])


def imports() -> dict[str, set[str]]:
    """Third-party module -> files which import it."""
    found: dict[str, set[str]] = {}
    for file in (file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
            for module in map(owned, modules):
                if module not in sys.stdlib_module_names and module != "videoespresso":
                    found.setdefault(module, set()).add(str(file.relative_to(ROOT)))
    return found


def owned(name: str) -> str:
    """The part of a module's name that says whose it is: mostly the first."""
    return name if name in NAMES else name.partition(".")[0]


def distribution(module: str) -> str:
    """The name under which a module is installed; for one that is not, its own name."""
    installed = INSTALLED.get(module, [module])
    return NAMES.get(module, normal(installed[0]))


CONSTRAINTS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"
]


@pytest.mark.parametrize(("module", "files"), imports().items(), ids=list(imports()))
def test_every_import_is_declared(module: str, files: set[str]) -> None:
    if module in OTHERS:
        return
    name = distribution(module)
    if name in COMES_WITH:
        assert COMES_WITH[name] in CORE
        assert name in names(requires(COMES_WITH[name]) or [])
        return
    assert name in CORE | EXTRAS, f"{module} is imported by {sorted(files)}"


def test_every_core_requirement_is_imported() -> None:
    """tokenizers and the like cost every user an installation; what is unused goes."""
    used = {distribution(module) for module in imports()}
    assert CORE - used == set()


def test_constraints_hold_the_core() -> None:
    held = names(CONSTRAINTS)
    assert CORE - held == set()
    assert not held & {"torch", "torchvision", "transformers", "ultralytics"}


def test_the_lock_has_hashes_and_the_versions_of_the_constraints() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text, "no machine's own index"
    locked: dict[str, Requirement] = {}
    for block in text.replace(" \\\n    ", " ").splitlines():
        if block.startswith("#"):
            continue
        requirement, *hashes = block.split(" --hash=")
        assert hashes, block
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", found) for found in hashes), block
        found = Requirement(requirement)
        locked[normal(found.name)] = found
    pinned = {normal(r.name): r.specifier for r in map(Requirement, CONSTRAINTS)}
    assert CORE - set(locked) == set()
    others = [name for name, found in locked.items() if pinned.get(name) != found.specifier]
    assert all(locked[name].marker for name in others), "what only other platforms need"
