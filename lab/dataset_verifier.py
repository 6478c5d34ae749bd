"""How well a verifier tells true pairs from false ones, where it is known which is which.

For every group of captions the verifier is asked about pairs that are true in the story and pairs
that were spoilt in a known way, once with the story's own captions and once with the captioner's.
It sees captions only, so what the captioner got wrong it cannot know; both figures are reported.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lab.dataset_script import Looked, Plain
from videoespresso.agents import generator, verifier
from videoespresso.evaluation.results import Json
from videoespresso.theatre.stories import Story
from videoespresso.theatre.truth import (
    Planted,
    caption_at,
    false_pairs,
    pair_truth,
    part_of,
    spoilt,
    true_pairs,
)
from videoespresso.types import Caption

MOST = 12
"""Planted pairs of each sort a group at most, drawn at random, so that long stories do not decide
the figures."""
BY_WORDS = ("subjective", "single frame")
"""Criteria that hold of how a pair asks, whatever the story."""


def verifier_rows(plain: Plain, story: Story, seen: Looked) -> list[Json]:
    """Each pair that the verifier was asked about: what it was ("how", "" for a true one), with
    whose captions, whether it should be refused, whether it was and for which criterion."""
    rows = []
    for part in seen["groups"]:
        own = [Caption.model_validate(c) for c in part["captions"]]
        true = [c.model_copy(update={"text": caption_at(story, c.time_s)}) for c in own]
        rng = random.Random(f"planted {story.seed} {part['number']}")
        planted = list(_planted(story, [c.time_s for c in own], rng))
        for whose, captions in (("true", true), ("captioner", own)):
            made = list(_generated(plain, story, captions, rng))
            for source, pair in (*(("planted", p) for p in planted), *made):
                rows.append(
                    {"captions": whose, "source": source, **_verdict(plain, captions, pair)}
                )
    return rows


def _verdict(plain: Plain, captions: Sequence[Caption], pair: Planted) -> Json:
    agent = plain.agent("verifier")
    finding = verifier.verify(agent, captions, pair.question, pair.answer).value
    return {
        "how": pair.how,
        "criterion": pair.criterion,
        "refused": not finding.accepted,
        "named": finding.criterion,
        "question": pair.question,
        "answer": pair.answer,
    }


def _planted(story: Story, instants: Sequence[float], rng: random.Random) -> Iterator[Planted]:
    """True and false pairs about what the group shows; only such as the whole story bears out."""
    part = part_of(story, instants)
    if len(part.phases) < 2:
        return
    true = [p for p in true_pairs(part) if _is(story, p, "true")]
    false = [p for p in false_pairs(part, rng) if p.criterion in BY_WORDS or _is(story, p, "false")]
    for pairs in (true, false):
        yield from rng.sample(pairs, min(MOST, len(pairs)))


def _is(story: Story, pair: Planted, verdict: str) -> bool:
    return pair_truth(story, pair.question, pair.answer).verdict == verdict


def _generated(
    plain: Plain, story: Story, captions: Sequence[Caption], rng: random.Random
) -> Iterator[tuple[str, Planted]]:
    """The generator's own pairs about these captions, and the true ones of them spoilt.

    Its false ones are false because the captions are, or because it reasons wrongly. Undecidable
    ones are not asked about; they are marked, because their share is part of the measure.
    """
    for made in generator.generate(plain.agent("generator"), captions).value.pairs:
        pair = Planted(made.question, made.answer)
        verdict = pair_truth(story, pair.question, pair.answer).verdict
        if verdict == "false":
            yield "generator", replace(pair, how="false as generated", criterion="accuracy")
        elif verdict == "undecidable":
            yield "undecidable", pair
        else:
            yield "generator", pair
            ways = [*spoilt(pair, story, rng), *_turned(pair)]
            yield from (("generator", w) for w in ways if _is(story, w, "false"))


def _turned(pair: Planted) -> Iterator[Planted]:
    """The generator's wording of an order, turned round."""
    if pair.question.count(" after ") == 1:
        question = pair.question.replace(" after ", " before ")
        yield replace(pair, question=question, criterion="continuity", how="order")
    first, comma, rest = pair.answer.removeprefix("First ").removesuffix(".").partition(", then ")
    if comma and pair.answer.startswith("First ") and ", " not in rest:
        turned = f"First {rest}, then {first}."
        yield replace(pair, answer=turned, criterion="continuity", how="order")
