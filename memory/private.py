"""Folders and files of the cache that nobody else on the machine reads: 0700 and 0600.

Frames, captions, questions and videos are somebody's own. Windows has no such modes: the profile
folder, where its cache lies, is the user's alone, and nothing is done there.
"""

import contextlib
import os
import stat
from pathlib import Path

from videoespresso.errors import SettingsError

OURS = (
    *("frames", "memory", "downloads", "chats", "batch", "probes", "dataset", "replies.locks"),
    *("replies.sqlite", "replies.sqlite-wal", "replies.sqlite-shm", "sample.mp4"),
    *("replies.new.lock", "replies.repair.lock"),
)
"""What we put into the cache folder. Its other content, if somebody chose a folder that has any, is
not ours to close."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing, for their owner alone. One that is there
    stays as it is. Raises OSError."""
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for made in reversed(missing):
        made.mkdir(mode=0o700, exist_ok=True)


def check_folder(cache: Path) -> None:
    """Raises SettingsError where a file lies at the cache folder's path, or above it."""
    for path in (cache, *cache.parents):
        if path.is_dir():
            return
        if path.exists():
            raise SettingsError(
                f"the cache folder {cache} cannot be made: {path} is a file",
                hint="Set VIDEOESPRESSO_CACHE_DIR (or cache_dir) to a folder.",
            )


def private_file(path: Path) -> Path:
    """Makes an empty file for its owner alone where there is none, and gives the path. What sqlite
    puts beside its file has the file's mode. Raises OSError."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    return path


def close_tree(root: Path) -> None:
    """Takes what is below `root`, and it, from others; links and what is somebody else's are left.
    The root comes last, so that what was interrupted is done again."""
    if os.name == "nt":
        return
    for folder, _, names in os.walk(root, topdown=False):
        for path in (*(os.path.join(folder, name) for name in names), folder):
            _close(path)
    if root.is_file():
        _close(str(root))


def mend(cache: Path) -> None:
    """Closes what an earlier version left open to others in a cache folder: once, because what is
    made since is closed. The folder itself, where nothing but ours is in it."""
    if os.name == "nt" or not cache.is_dir():
        return
    with contextlib.suppress(OSError):
        names = set(os.listdir(cache))
        for name in names.intersection(OURS):
            if os.lstat(cache / name).st_mode & _OTHERS:
                close_tree(cache / name)
        if names <= set(OURS):
            _close(str(cache))


def _close(path: str) -> None:
    with contextlib.suppress(OSError):  # gone, another user's, or a read-only disk
        mode = os.lstat(path).st_mode
        if mode & _OTHERS and not stat.S_ISLNK(mode):
            os.chmod(path, stat.S_IMODE(mode) & ~_OTHERS)
