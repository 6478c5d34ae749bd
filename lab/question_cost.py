"""What a first and a next question cost, counted on a server.

    python -m lab.question_cost
    python -m lab.question_cost --models runs/image-text/models     # and with `clip`
    python -m lab.question_cost --delay 0.3 --video film.mp4        # and how long it takes

The server is scripted, its models are profile `openai`'s by name and price, and it bills by the
published formulas (models/client/prices.py). The film is drawn, another picture every five seconds,
640 pixels wide, to which looks are reduced anyway. Two core frames; replies are short, a real
model's are longer. Nothing of the server depends on what a picture shows.
With --delay each call takes that long on the server, and the seconds of a question stand beside
what its calls alone would take one after the other; opening models is not in them. Four calls run
at a time, as in the product (--at-a-time).
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.graph.test_candidates import asked, film
from tests.helpers import chat_server as fake
from tests.helpers.paid_server import Paid, paid_context

WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("auto", {"select": "auto"}),
    ("pixels+segments", {"select": "pixels+segments"}),
    ("auto, one stage", {"select": "auto", "stages": "one"}),
    ("auto --quick", {"select": "auto", "quick": True}),
)


@dataclass
class Slow(Paid):
    """One that takes its time. delay_s: of each call."""

    delay_s: float = 0.0

    def __call__(self, exchange: fake.Exchange) -> None:
        time.sleep(self.delay_s)
        super().__call__(exchange)


def questions(
    video: Path, folder: Path, given: dict[str, Any], delay_s: float, at_a_time: int
) -> Iterator[str]:
    """Of a first and of a next question: calls, pictures, captioned frames, dollars, and seconds
    where the server is slow; and the pair before them."""
    model = Slow(delay_s=delay_s)
    with paid_context(folder, model, at_a_time=at_a_time, **given) as context:
        for text in ("What is it?", "What was there before?"):
            model.calls.clear()
            model.images.clear()
            begin = time.perf_counter()
            answer = asked(context, video, text)
            took = time.perf_counter() - begin
            usd = sum(usage.usd or 0.0 for usage in answer.usage.values())
            if text == "What is it?":
                yield str(answer.settings["pair"])
            counts = model.calls.total(), model.images.total(), answer.work.captioned
            slow = [f"{took:.1f} s (calls {counts[0] * delay_s:.1f})"] if delay_s else []
            yield ", ".join([*map(str, counts), f"${usd:.4f}", *slow])
            context = context.renewed()


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table in Markdown."""
    how = argparse.RawDescriptionHelpFormatter
    name = "python -m lab.question_cost"
    parser = argparse.ArgumentParser(name, None, __doc__, formatter_class=how)
    parser.add_argument("--minutes", type=int, nargs="+", default=[1, 60])
    parser.add_argument("--video", type=Path, help="a film in the place of the drawn ones")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds of a call")
    parser.add_argument("--at-a-time", type=int, default=4, help="calls")
    parser.add_argument("--models", type=Path, help="models_dir with an image-text model")
    given = parser.parse_args(argv)
    os.environ.setdefault("OPENAI_API_KEY", "nobody's")  # the server takes any
    each = "calls, pictures, captioned, dollars"
    print(f"| film | way | pair | first question: {each} | next question |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for minutes in [0] if given.video else given.minutes:
            drawn = folder / f"{minutes}.mp4"
            video = given.video or film(drawn, 60 * minutes, size=(640, 360))
            name = given.video.name if given.video else f"{minutes} min"
            models = {"without clip": folder / "none"}
            models |= {"with clip": given.models} if given.models else {}
            for which, where in models.items():
                for number, (way, settings) in enumerate(WAYS):
                    cache = folder / f"{minutes}-{which}-{number}"
                    used = {"models_dir": where, **settings}
                    cells = questions(video, cache, used, given.delay, given.at_a_time)
                    row = " | ".join([name, f"{way}, {which}", *cells])
                    print(f"| {row} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
