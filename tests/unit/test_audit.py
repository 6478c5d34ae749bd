"""`make audit`: an audit that was none is no clean bill."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).resolve().parents[2] / ".ci/audit"
CLEAN = {"name": "numpy", "version": "2.0", "vulns": []}
FAULTY = {"name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "ours", "skip_reason": "Dependency not found on PyPI and could not be audited"}
EDITABLE = {"name": "videoespresso", "skip_reason": "distribution marked as editable"}

PIP_AUDIT = """
import json, os, sys
found = json.loads(os.environ["FOUND"])
if found is None:
    sys.exit("Traceback (most recent call last):\\nConnectionError: pypi.org cannot be resolved")
with open(sys.argv[sys.argv.index("--output") + 1], "w") as file:
    json.dump({"dependencies": found}, file)
sys.exit(any(one.get("vulns") for one in found))
"""


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ([CLEAN, EDITABLE], 0, "1 of 1 packages audited, 0 faults known"),
        ([CLEAN, UNKNOWN], 0, "not known there: ours"),
        ([CLEAN, FAULTY], 1, "pillow 1.0: CVE-1, mended in 1.1"),
        ([UNKNOWN, EDITABLE], 1, "answered for none of 1 packages: nothing was audited"),
        (None, 1, "did not answer: ConnectionError: pypi.org cannot be resolved"),
    ],
)
def test_what_is_not_looked_up_is_not_clean(
    found: Any, code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "pip_audit.py").write_text(PIP_AUDIT)
    (tmp_path / "audit.json").write_text("of an earlier run")
    done = subprocess.run(
        [sys.executable, str(AUDIT), sys.executable, str(tmp_path / "audit.json")],
        env={"PYTHONPATH": str(tmp_path), "FOUND": json.dumps(found)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
