"""Frame selection scored by itself, before anything is answered, as KFS-Bench does.

    python -m lab.image_text_scorer --out runs/image-text
    python -m lab.selection_scores --n 700 --clip runs/image-text/models/clip

Questions of the theatre's test split; a film's frames are those of every second, drawn from the
story, and their captions are the true ones, so that no captioner's mistakes are in the numbers. The
scenes of a question are the stretches of film on which its answer stands. Every scorer that needs
no model of its own, and `clip` where --clip names one that knows the theatre, with every picker, at
1, 2, 4 and 8 frames; `uniform` and `random` beside them.

kfr, shr, bsr, ukss: key-frame rate, scene hit rate, balanced scene recall, and their geometric mean
with the balance of distribution (`evidence_scores.selection`). rated: the share of a film's frames
that the scorer is asked about, each of which `captions` needs a caption for and `clip` a vector; of
uniform and random it is none. Intervals resample whole films.

What an answer gains from it stands beside it where --answers names runs of `eval run` that have
conditions of these names, `clip+mmr:4` or `uniform:4`: the share of right letters; a variant, as
`clip+mmr:4@checker=off`, counts as its pair.
`vlm` needs a model that rates pictures of the theatre, `words` subtitles: they are not here.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videoespresso.evaluation.summary import summary
from videoespresso.evaluation.theatre_benchmark import Item, by_video, draw
from videoespresso.evidence_scores import Interval, Selection, selection, ukss, union
from videoespresso.models.embedders import WordLlamaEmbedder
from videoespresso.models.image_text import ImageText
from videoespresso.statistics import Estimate, amounts
from videoespresso.theatre import Story, make_story
from videoespresso.tools.pickers import PICKERS, Floats, Frames, Score, evenly, pick_frames
from videoespresso.tools.scorers import SCORERS, Film

BUDGETS = (1, 2, 4, 8)
USED = ("captions", "pixels")
"""Scorers that need no model beyond the built-in embedder."""
WIDTH = 320
"""Pixels of the frames by which `pixels` goes and shots are told apart."""


class Row(NamedTuple):
    """What one pair picked for one question. way: "captions+focus", "uniform" ...; rated: share of
    the frames that were scored for it, 0 to 1."""

    way: str
    k: int
    film: str
    selection: Selection
    rated: float


class Drawn:
    """An image-text model over a story's frames, each of which it sees once."""

    def __init__(self, model: ImageText, story: Story, times: Sequence[float]) -> None:
        self.name, self._model, self._story, self._times = model.name, model, story, times

    @cached_property
    def _rows(self) -> NDArray[np.float32]:
        return self._model.images([self._story.scene(t).render(WIDTH) for t in self._times])

    def images(self, positions: Sequence[int]) -> NDArray[np.float32]:
        """Vectors (n, d) of those frames."""
        return self._rows[list(positions)]

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as vectors (n, d)."""
        return self._model.texts(texts)


def film_of(story: Story, embed: WordLlamaEmbedder, model: ImageText | None) -> Film:
    """A frame a second, with its true caption."""
    times = np.arange(0.0, story.duration_s, 1.0)
    captions = {at: story.scene(float(t)).caption for at, t in enumerate(times)}
    search = Drawn(model, story, times.tolist()) if model else None

    def image(at: int) -> Image.Image:
        return story.scene(float(times[at])).render(WIDTH)

    return Film(times, image, captions, embed, search=search)


def scenes(story: Story, item: Item) -> list[list[Interval]]:
    """The stretches on which the answer stands, those that touch as one scene."""
    core = [(story.phases[i].t0, story.phases[i].t1) for i in item.question.core]
    return [[stretch] for stretch in union(core)]


def rows(items: Sequence[Item], model: ImageText | None = None) -> Iterator[Row]:
    """Every pair and budget for every question."""
    embed = WordLlamaEmbedder()
    for group in by_video(items):
        story = make_story(group[0].seed, group[0].style)
        film = film_of(story, embed, model)
        texts = [film.captions[at] for at in range(len(film.times))]
        frames = Frames(film.times, embed(texts), film.cuts)
        for item in group:
            true = scenes(story, item)
            for way, k, picked, rated in picks(item, film, frames):
                scores = selection([float(t) for t in picked], true)
                yield Row(way, k, item.video, scores, rated)


def picks(item: Item, film: Film, frames: Frames) -> Iterator[tuple[str, int, list[float], float]]:
    """(way, budget, instants, share of the frames that were scored)."""
    count, text = len(film.times), item.question.text
    for k in BUDGETS:
        yield "uniform", k, [film.times[at] for at in evenly(count, k)], 0.0
        chance = random.Random(f"{item.id} {k}").sample(range(count), min(k, count))
        yield "random", k, [film.times[at] for at in chance], 0.0
    for name in USED + (("clip",) if film.search else ()):
        score = SCORERS[name](text, film)
        if film.search and name == "clip":  # as the product does (graphs/proposal.py)
            frames = replace(frames, vectors=film.search.images(range(count)))
        for how, picker in PICKERS.items():
            for k in BUDGETS:
                rated: set[int] = set()

                def counted(
                    at: Sequence[int], score: Score = score, rated: set[int] = rated
                ) -> Floats | Sequence[float]:
                    rated.update(at)
                    return score(at)

                chosen = pick_frames(picker, counted, frames, k)
                instants = [film.times[pick.at] for pick in chosen]
                yield f"{name}+{how}", k, instants, len(rated) / count


def answers(runs: Sequence[Path]) -> dict[str, str]:
    """Share of right letters in per cent, by condition without its variant, "clip+mmr:4".

    Raises UserError for what is no run."""
    conditions = [one for run in runs for one in summary(run).conditions]
    return {
        one.condition.partition("@")[0]: f"{one.scores.micro.text()}, n {one.scores.measured}"
        for one in conditions
        if one.scores.micro
    }


def page(rows: Sequence[Row], n: int, right: Mapping[str, str]) -> str:
    """The tables in Markdown, a budget each, the best of `ukss` first."""
    films = len({row.film for row in rows})
    lines = [
        f"n = {n} questions about {films} films of the theatre's test split, a frame a second with",
        "its true caption; embedder wordllama:l2_supercat_256. In per cent but for `ukss`; 95 %",
        "intervals over whole films. `ukss` is a geometric mean over questions and has none.",
    ]
    for k in BUDGETS:
        lines += ["", f"### {k} frame{'s' if k > 1 else ''}", ""]
        more = any(way.endswith(f":{k}") for way in right)
        heads = ["pair", "kfr", "shr", "bsr", "ukss", "rated"] + ["right"] * more
        lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        by_way: dict[str, list[Row]] = {}
        for row in rows:
            if row.k == k:
                by_way.setdefault(row.way, []).append(row)
        whole = {way: ukss([r.selection.ukss for r in of]) for way, of in by_way.items()}
        for way in sorted(by_way, key=lambda way: -whole[way]):
            cells = [_mean(by_way[way], name).text() for name in ("kfr", "shr", "bsr")]
            rated = float(np.mean([row.rated for row in by_way[way]]))
            cells += [f"{whole[way]:.3f}", f"{rated:.0%}"]
            cells += [right.get(f"{way}:{k}", "")] * more
            lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(of: Sequence[Row], name: str) -> Estimate:
    values: list[Mapping[str, float]] = [row.selection._asdict() for row in of]
    films = [row.film for row in of]
    return amounts([value[name] for value in values], films, most=1.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints the tables."""
    how = argparse.RawDescriptionHelpFormatter
    name = "python -m lab.selection_scores"
    parser = argparse.ArgumentParser(name, None, __doc__, formatter_class=how)
    parser.add_argument("--n", type=int, default=700, help="questions (%(default)s)")
    parser.add_argument("--clip", type=Path, help="folder of an image-text model for `clip`")
    parser.add_argument("--answers", type=Path, nargs="*", default=[], help="runs of `eval run`")
    given = parser.parse_args(argv)
    items = draw(given.n)
    model = ImageText(str(given.clip), threads=1) if given.clip else None
    print(page(list(rows(items, model)), len(items), answers(given.answers)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
