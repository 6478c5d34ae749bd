"""Counts which answers are right where, over training stories, for `elsewhere.py`.

    python -m videoespresso.theatre.questions.count

writes `answers.json` again; needed after a change to the stories or to a family of questions.
"""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable

from videoespresso.theatre.questions import FAMILIES
from videoespresso.theatre.questions.law import ENOUGH, LEAST, TABLE, contexts, form
from videoespresso.theatre.stories import make_story

STORIES = range(100_000)
"""Seeds that are counted, all of the training split; others of it have the same laws."""
SAMPLE = range(200)
"""Seeds whose counts are fingerprinted, to see that the file is not older than the code."""

Counts = dict[str, dict[str, Counter[str]]]


def count(seeds: Iterable[int]) -> Counts:
    """family -> context -> form of answer -> how often, by one draft a story and family."""
    counts: Counts = {
        f.__name__: defaultdict(Counter) for families in FAMILIES.values() for f in families
    }
    for seed in seeds:
        story = make_story(seed)
        for families in FAMILIES.values():
            for family in families:
                draft = family(story, random.Random(f"{family.__name__}{seed}"))
                if draft is None or draft.false:
                    continue
                keys, names = contexts(draft.context)
                answer = form(draft.answer, names)
                for key in keys:
                    counts[family.__name__]["|".join(key)][answer] += 1
    return counts


def fingerprint(counts: Counts) -> str:
    """Changes with what is counted."""
    return hashlib.sha256(json.dumps(counts, sort_keys=True).encode()).hexdigest()


def write() -> None:
    """Contexts with enough answers, and the answers that are frequent enough to know how often."""
    kept = {}
    for family, by_context in count(STORIES).items():
        kept[family] = {
            key: {a: n for a, n in sorted(c.items()) if n >= LEAST * max(c.values())}
            for key, c in sorted(by_context.items())
            if c.total() >= ENOUGH and len(c) > 1
        }
    record = {"stories": len(STORIES), "sample": fingerprint(count(SAMPLE)), "counts": kept}
    TABLE.write_text(json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    write()
