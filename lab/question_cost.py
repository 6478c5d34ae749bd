"""What a first and a next question cost, counted on a server.

    python -m lab.question_cost
    python -m lab.question_cost --models runs/image-text/models     # and with `clip`

The server is scripted, its models are profile `openai`'s by name and price, and it bills by the
published formulas (models/client/prices.py). The film is drawn, another picture every five seconds,
640 pixels wide, to which looks are reduced anyway. Two core frames; replies are short, a real
model's are longer. Nothing of the server depends on what a picture shows.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.graph.test_candidates import asked, film
from tests.helpers.paid_server import Paid, paid_context

WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("auto", {"select": "auto"}),
    ("pixels+segments", {"select": "pixels+segments"}),
    ("auto, one stage", {"select": "auto", "stages": "one"}),
    ("auto --quick", {"select": "auto", "quick": True}),
)


def questions(video: Path, folder: Path, given: dict[str, Any]) -> Iterator[str]:
    """Of a first and of a next question: calls, pictures, captioned frames, dollars; and the pair
    before them."""
    model = Paid()
    with paid_context(folder, model, **given) as context:
        for text in ("What is it?", "What was there before?"):
            model.calls.clear()
            model.images.clear()
            answer = asked(context, video, text)
            usd = sum(usage.usd or 0.0 for usage in answer.usage.values())
            if text == "What is it?":
                yield str(answer.settings["pair"])
            counts = model.calls.total(), model.images.total(), answer.work.captioned
            yield ", ".join([*map(str, counts), f"${usd:.4f}"])
            context = context.renewed()


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table in Markdown."""
    how = argparse.RawDescriptionHelpFormatter
    name = "python -m lab.question_cost"
    parser = argparse.ArgumentParser(name, None, __doc__, formatter_class=how)
    parser.add_argument("--minutes", type=int, nargs="+", default=[1, 60])
    parser.add_argument("--models", type=Path, help="models_dir with an image-text model")
    given = parser.parse_args(argv)
    os.environ.setdefault("OPENAI_API_KEY", "nobody's")  # the server takes any
    each = "calls, pictures, captioned, dollars"
    print(f"| film | way | pair | first question: {each} | next question |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for minutes in given.minutes:
            video = film(folder / f"{minutes}.mp4", 60 * minutes, size=(640, 360))
            models = {"without clip": folder / "none"}
            models |= {"with clip": given.models} if given.models else {}
            for which, where in models.items():
                for number, (way, settings) in enumerate(WAYS):
                    cache = folder / f"{minutes}-{which}-{number}"
                    cells = questions(video, cache, {"models_dir": where, **settings})
                    row = " | ".join([f"{minutes} min", f"{way}, {which}", *cells])
                    print(f"| {row} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
