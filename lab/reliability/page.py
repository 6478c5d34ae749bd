"""docs/results/reliability.md out of results.jsonl."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from videoespresso.statistics import wilson_bounds

Json = dict[str, Any]

BAD = ("crash", "hang", "memory", "untyped", "left", "lost", "doubled", "obeyed", "secret", "wrong")
"""Outcomes of which there should be none. left: processes that outlive their trial."""


def write(file: Path, records: Iterable[Json]) -> None:
    """A table a part, with intervals, and each bad outcome by name. What the file has of parts
    without records is kept, and what a person wrote into it, from NOTES on."""
    parts: dict[str, list[Json]] = defaultdict(list)
    for record in records:
        parts[record["part"]].append(record)
    old = file.read_text(encoding="utf-8") if file.exists() else ""
    above, mark, notes = old.partition(NOTES)
    sections = {text.partition("\n")[0]: text for text in above.split("\n## ")[1:]}
    for name, of_part in parts.items():
        lines = _part(name, of_part)
        sections[lines[0].removeprefix("## ")] = "\n".join(lines).removeprefix("## ")
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "\n## ".join([HEAD, *(section.strip() + "\n" for section in sections.values())])
    file.write_text(f"{text}\n{mark}{notes}".rstrip() + "\n", encoding="utf-8")


def _part(name: str, records: list[Json]) -> list[str]:
    outcomes: Counter[str] = Counter()
    for record in records:
        outcomes[_outcome(record)] += record.get("n", 1)
    count = outcomes.total()
    bad = sum(n for kind, n in outcomes.items() if kind in BAD)
    low, high = wilson_bounds(bad, count)
    commits = ", ".join(sorted({r["commit"] for r in records}))
    machines = "; ".join(sorted({r["machine"] for r in records}))
    lines = [
        f"## {TITLES.get(name, name)}",
        "",
        f"n = {count}; commit {commits}; {machines}.",
        "",
        "| outcome | n |",
        "|---|---|",
        *(f"| {kind} | {n} |" for kind, n in outcomes.most_common()),
        "",
        f"Bad: {bad} of {count} (Wilson 95 %: {low:.2%} to {high:.2%}).",
    ]
    if name == "videos":
        seeds = len({r["seed"] for r in records})
        peak = max(r.get("peak", 0) for r in records) / 2**20
        slow = max(r.get("seconds", 0) for r in records)
        lines.append(
            f"{seeds} whole files were damaged; the largest process had {peak:.0f} MB resident; "
            f"the longest trial took {slow:.1f} s."
        )
    shown = [r for r in records if _outcome(r) in BAD][:MOST_SHOWN]
    lines += [f"- `{r['key']}`: {_outcome(r)} {r.get('error', '')}".rstrip() for r in shown]
    return [*lines, ""]


def _outcome(record: Json) -> str:
    return "left" if record.get("left") else str(record["outcome"])


MOST_SHOWN = 20
NOTES = "## What it found"
TITLES = {
    "videos": "Damaged videos",
    "kills": "Kills of `dataset build`",
    "kills_ask": "Kills of `ask`, `ask-many` and `chat`",
    "dialects": "Dialects of model servers, each role",
    "faults": "Faults of model servers",
    "settings": "Hostile settings files",
    "planted": "Planted instructions",
    "planted_films": "Planted instructions in whole films",
}
HEAD = """# How hard it is to break

    python -m lab.reliability --out runs/reliability --page docs/results/reliability.md

The same command goes on where it was; a trial is named by its number, and the same number is the
same trial. What each part does is written in its file in `lab/reliability/`.
"""
