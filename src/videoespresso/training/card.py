"""`MODEL_CARD.md`: what a model was taught from, how, and what it scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from videoespresso.report import train_page
from videoespresso.training.recipes import Kept, Line

FILE: Final = "MODEL_CARD.md"


def write(done: Mapping[str, Any], kept: Kept, out: Path) -> None:
    """Writes the card into a run's folder. Raises OSError."""
    if done["score"] is None:
        score = "No validation records: nothing is known of how well it answers."
    else:
        score = (
            f"{done['measure']}: {done['score']:.3f} ({interval(done)}, "
            f"n = {done['n']} validation rows, asked as at run time), at step "
            f"{done['best_step']}, whose adapter is kept because it answered best: its score "
            f"is a little too high. "
            f"Replies that cannot be read: {done['unparsable']:.1%}."
        )
    left = ", ".join(f"{n} {why}" for why, n in done["left_out"].items()) or "none"
    pairs = ", ".join(f"{n} {name}" for name, n in done["sources"].items())
    pairs = f" (pairs by what is wrong in the worse one: {pairs})" if pairs else ""
    groups = (
        f"\n{done['groups']} groups of replies; {done['equal']} of them earned the same, and were "
        "not learned from.\n"
        if done["groups"]
        else ""
    )
    recipe = "\n".join(
        f"| {name} | {value} |"
        for name, value in kept.recipe.model_dump().items()
        if value is not None
    )
    leak = (
        f"\n{len(done['leaked'])} rows are of videos that another part has, too.\n"
        if done["leaked"]
        else ""
    )
    text = f"""# {kept.recipe.stage}, taught with VideoEspresso

A LoRA adapter; `hf:` finds its base.

- base: `{kept.base}` (weights {kept.base_weights}); licence: {licence(kept.base)}
- began with: `{kept.start}`
- data: {done["rows"]} rows{pairs}, sha256 {kept.data}
- left out: {left}; too long: {done["dropped"]}
- {done["steps"]} steps, last loss {done["loss"]}
{leak}{groups}
## Scores

{score}

## Recipe

| value | |
|---|---|
{recipe}
| learning_rate used | {kept.learning_rate} |
"""
    (out / FILE).write_text(text, encoding="utf-8")


def report(
    done: Mapping[str, Any], lines: Sequence[Line], log: Sequence[Mapping[str, Any]], out: Path
) -> None:
    """`report.html` in a run's folder: its curves, its values, what it came to. lines: the recipe's
    values with their sources. Raises UserError."""
    score = (
        "no validation records: nothing is known of its answers"
        if done["score"] is None
        else f"{done['measure']}: {done['score']:.3f} ({interval(done)}, n = {done['n']})"
    )
    text = [
        ("rows", done["rows"], "learned from"),
        *[
            (name, n, "pairs, by what is wrong in the worse reply")
            for name, n in done["sources"].items()
        ],
        *[(why, n, "left out") for why, n in done["left_out"].items()],
        ("too long", done["dropped"], "left out"),
        ("steps", done["steps"], f"{done['seconds']:.0f} s since it was begun or went on"),
        *(
            [("groups", done["groups"], f"{done['equal']} earned the same")]
            if done["groups"]
            else []
        ),
    ]
    train_page.write(
        out,
        f"{done['stage']}: {out.name}",
        [score],
        log,
        [
            ("What it came to", [(name, str(value), note) for name, value, note in text]),
            ("Recipe", [(line.name, line.value, line.source) for line in lines]),
        ],
    )


def interval(done: Mapping[str, Any]) -> str:
    """ "95 % 0.412 to 0.623 over videos", or why there is none."""
    if done["low"] is None or done["high"] is None:
        return "no interval: too few videos, or no variation"
    return f"95 % {done['low']:.3f} to {done['high']:.3f} over videos"


def licence(base: str) -> str:
    """The base's licence as its own card says it, "not said" where it does not."""
    folder = Path(base)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if isinstance(config.get("license"), str):
            return str(config["license"])
        for line in (folder / "README.md").read_text(encoding="utf-8").splitlines():
            if line.startswith("license:"):
                return line.partition(":")[2].strip()
    except (OSError, ValueError):
        pass
    return "not said; see the base's own page"
