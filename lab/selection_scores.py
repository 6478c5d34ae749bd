"""Frame selection scored by itself, before anything is answered, as KFS-Bench does.

    python -m lab.selection_scores --n 700 --page docs/results/selection.md

Questions of the theatre's test split; a film's frames are those of every second, drawn from the
story, and their captions are the true ones, so that no captioner's mistakes are in the numbers. The
scenes of a question are the stretches of film on which its answer stands. Every scorer that needs
no model of its own with every picker, at 1, 2, 4 and 8 frames; `uniform` and `random` beside them.

kfr, shr, bsr, ukss: key-frame rate, scene hit rate, balanced scene recall, and their geometric mean
with the balance of distribution (`evidence_scores.selection`). Intervals resample whole films. The
scorers `clip` and `vlm` need models that know the theatre, `words` subtitles: they are not here.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from videoespresso.evaluation.theatre_items import Item, by_video, draw
from videoespresso.evidence_scores import Interval, Selection, selection, ukss, union
from videoespresso.models.embedders import WordLlamaEmbedder
from videoespresso.statistics import Estimate, mean
from videoespresso.theatre import Story, make_story
from videoespresso.tools.pickers import PICKERS, Frames, pick_frames
from videoespresso.tools.pickers.base import evenly
from videoespresso.tools.scorers import SCORERS, Film

BUDGETS = (1, 2, 4, 8)
USED = ("captions", "pixels")
"""Scorers that need no model beyond the built-in embedder."""
WIDTH = 320
"""Pixels of the frames by which `pixels` goes and shots are told apart."""


class Row(NamedTuple):
    """What one pair picked for one question. way: "captions+focus", "uniform" ..."""

    way: str
    k: int
    film: str
    found: Selection


def film_of(story: Story, embed: WordLlamaEmbedder) -> Film:
    """A frame a second, with its true caption."""
    times = np.arange(0.0, story.duration_s, 1.0)
    captions = {at: story.scene(float(t)).caption for at, t in enumerate(times)}
    return Film(times, lambda at: story.scene(float(times[at])).render(WIDTH), captions, embed)


def scenes(story: Story, item: Item) -> list[list[Interval]]:
    """The stretches on which the answer stands, those that touch as one scene."""
    core = [(story.phases[i].t0, story.phases[i].t1) for i in item.question.core]
    return [[stretch] for stretch in union(core)]


def rows(items: Sequence[Item]) -> Iterator[Row]:
    """Every pair and budget for every question."""
    embed = WordLlamaEmbedder()
    for asked in by_video(items):
        story = make_story(asked[0].seed, asked[0].style)
        film = film_of(story, embed)
        texts = [film.captions[at] for at in range(len(film.times))]
        frames = Frames(film.times, embed(texts), film.cuts)
        for item in asked:
            true = scenes(story, item)
            for way, k, picked in picks(item, film, frames):
                yield Row(way, k, item.video, selection([float(t) for t in picked], true))


def picks(item: Item, film: Film, frames: Frames) -> Iterator[tuple[str, int, list[float]]]:
    """(way, budget, instants)."""
    count, text = len(film.times), item.question.text
    for k in BUDGETS:
        yield "uniform", k, [film.times[at] for at in evenly(count, k)]
        chance = random.Random(f"{item.id} {k}").sample(range(count), min(k, count))
        yield "random", k, [film.times[at] for at in chance]
    for name in USED:
        score = SCORERS[name](text, film)
        for how, picker in PICKERS.items():
            for k in BUDGETS:
                chosen = pick_frames(picker, score, frames, k)
                yield f"{name}+{how}", k, [film.times[pick.at] for pick in chosen]


def page(found: Sequence[Row], n: int) -> str:
    """The tables in Markdown, a budget each, the best of `ukss` first."""
    films = len({row.film for row in found})
    lines = [
        "# Frame selection by itself",
        "",
        f"    python -m lab.selection_scores --n {n}",
        "",
        f"n = {n} questions about {films} films of the theatre's test split, a frame a second with",
        "its true caption; embedder wordllama:l2_supercat_256. In per cent but for `ukss`; 95 %",
        "intervals over whole films. `ukss` is a geometric mean over questions and has none. What",
        "the numbers are stands in `lab/selection_scores.py`. `clip`, `vlm` and `words` are not",
        "here: they need a model that knows the theatre, or subtitles.",
    ]
    for k in BUDGETS:
        lines += ["", f"## {k} frame{'s' if k > 1 else ''}", ""]
        lines += ["| pair | kfr | shr | bsr | ukss |", "|---|---|---|---|---|"]
        by_way: dict[str, list[Row]] = {}
        for row in found:
            if row.k == k:
                by_way.setdefault(row.way, []).append(row)
        whole = {way: ukss([r.found.ukss for r in of]) for way, of in by_way.items()}
        for way in sorted(by_way, key=lambda way: -whole[way]):
            cells = [_mean(by_way[way], name).text() for name in ("kfr", "shr", "bsr")]
            lines.append(f"| {way} | {' | '.join(cells)} | {whole[way]:.3f} |")
    return "\n".join(lines) + "\n"


def _mean(of: Sequence[Row], name: str) -> Estimate:
    values: list[Mapping[str, float]] = [row.found._asdict() for row in of]
    return mean([value[name] for value in values], [row.film for row in of])


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints the tables, and writes them to --page."""
    how = argparse.RawDescriptionHelpFormatter
    name = "python -m lab.selection_scores"
    parser = argparse.ArgumentParser(name, None, __doc__, formatter_class=how)
    parser.add_argument("--n", type=int, default=700, help="questions (%(default)s)")
    parser.add_argument("--page", type=Path, help="file for the tables")
    given = parser.parse_args(argv)
    items = draw(given.n)
    text = page(list(rows(items)), len(items))
    if given.page:
        given.page.parent.mkdir(parents=True, exist_ok=True)
        given.page.write_text(text)
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
