"""What is true in a story: sentences and question-answer pairs read in the theatre's own language,
held against its phases, events and causes; and pairs with a planted fault, to measure a verifier.

It judges whatever a model wrote about a film of the theatre, and knows no model itself.
"""

from videoespresso.theatre.truth.pair import caption_at, drawn_at, part_of, phases_of
from videoespresso.theatre.truth.planted import Planted, false_pairs, spoilt, true_pairs
from videoespresso.theatre.truth.sentence import (
    Entailment,
    Fault,
    carried,
    contrary,
    sentence_truth,
)
from videoespresso.theatre.truth.verdict import Truth, pair_truth

__all__ = [
    "Entailment",
    "Fault",
    "Planted",
    "Truth",
    "caption_at",
    "carried",
    "contrary",
    "drawn_at",
    "false_pairs",
    "pair_truth",
    "part_of",
    "phases_of",
    "sentence_truth",
    "spoilt",
    "true_pairs",
]
