"""`python -m lab.evaluation_speed` prints its four rates; how high they are is not asserted."""

import sys

import pytest
from lab import evaluation_speed


def test_it_prints_a_rate_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["evaluation_speed", "--items", "28", "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", given)
    evaluation_speed.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.endswith(" a second") for line in lines)
