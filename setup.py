"""Refuses to build from a checkout without symbolic links: the wheel would lack half of the code.

Everything else stands in pyproject.toml.
"""

from pathlib import Path

from setuptools import setup

ROOMS = ("agents", "graphs", "memory", "tools")

missing = [
    f"src/videoespresso/{room}"
    for room in ROOMS
    if not (Path(__file__).parent / "src/videoespresso" / room / "__init__.py").is_file()
]
if missing:
    raise SystemExit(
        f"{', '.join(missing)}: not a link to the folder at the root, so the package would be "
        "built without it.\nThis checkout was made without symbolic links. Run "
        "`git config core.symlinks true` and `git checkout -- src/videoespresso` (on Windows with "
        "developer mode on), or build from the source distribution."
    )
setup()
