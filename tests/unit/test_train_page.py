"""The page about a training run."""

import re
from pathlib import Path

from videoespresso.report import train_page
from videoespresso.report.charts import curves


def test_curves_lie_between_the_least_and_the_most() -> None:
    made = curves("Loss", "", [("a", [(1, 2.0), (3, 0.0)]), ("b", [(2, 1.0)]), ("c", [])])
    assert made is not None
    assert made.lines == (("a", "0.0,0.0 420.0,150.0", "select"), ("b", "210.0,75.0", "core"))
    assert made.ys == ((0.0, "2"), (150.0, "0"))
    assert made.axis == ((0.0, "1"), (420.0, "3"))
    flat = curves("Loss", "", [("a", [(1, 2.0)])])
    assert flat is not None
    assert flat.lines[0][1] == "0.0,150.0"
    assert curves("Loss", "", [("a", [])]) is None


def test_the_page_shows_what_the_log_has_and_loads_nothing(tmp_path: Path) -> None:
    log = [
        {"step": 1, "loss": 0.7, "rewards/frames/mean": 0.5, "rewards/boxes/mean": None},
        {"step": 2, "loss": 0.6, "rewards/frames/mean": 0.75, "eval_score": 0.5},
        {"step": 2, "done": {}},
    ]
    recipe = [("rank", "16", "<b>notes</b>")]
    train_page.write(tmp_path, "rl: <out>", ["right: 0.5"], log, [("Recipe", recipe)])
    page = (tmp_path / "report.html").read_text()
    assert [t for t in re.findall(r"<figcaption><b>(.*?)</b>", page)] == [
        "Loss",
        "Scores",
        "Rewards",
    ]
    assert "rl: &lt;out&gt;" in page
    assert "&lt;b&gt;notes" in page
    assert ">frames</span>" in page
    assert ">boxes</span>" not in page
    assert not re.findall(r"https?://|<script|src=", page)
