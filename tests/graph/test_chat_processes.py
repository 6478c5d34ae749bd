"""Two processes that keep chats in one place."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from videoespresso.memory.threads import ThreadStore

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import sys
from pathlib import Path
from videoespresso.memory.threads import ThreadStore, config
from langgraph.checkpoint.base import empty_checkpoint
with ThreadStore(Path(sys.argv[1])) as store:
    name = store.new_name()
    for number in range(100):
        checkpoint = empty_checkpoint()
        turns = [{"said": str(k)} for k in range(number + 1)]
        checkpoint["channel_values"] = {"turns": turns, "videos": ["v"]}
        target = config(name)
        target["configurable"]["checkpoint_ns"] = ""
        store.saver.put(target, checkpoint, {}, {})
        store.settle(name)
"""


@pytest.mark.timeout(900)
def test_two_processes_at_once_do_not_harm_each_other(tmp_path: Path) -> None:
    line = [sys.executable, "-c", WRITER, str(tmp_path)]
    both = [
        subprocess.Popen(line, cwd=ROOT / "src", stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        _, err = process.communicate(timeout=800)
        assert process.returncode == 0, err
    with ThreadStore(tmp_path) as store:
        assert [info.turns for info in store.infos()] == [100, 100]
        with sqlite3.connect(store.file) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()
