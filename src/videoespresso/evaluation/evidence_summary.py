"""Records of a benchmark that knows the truth -> what their evidence, their checker and the oracles
say of them. Shares of 0 to 1 in which videos vary; no model, no pixels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from videoespresso import comparison, statistics
from videoespresso.evaluation import conditions
from videoespresso.evaluation.planted_answers import auc
from videoespresso.evidence_scores import Chain, arithmetic_mean, logarithmic_mean
from videoespresso.statistics import Estimate

Json = dict[str, Any]
Scored = Sequence[tuple[Json, float]]
"""Records that were measured, each with its credit."""
Numbers = Mapping[str, float]
VERDICTS = {
    "true": "sentences true at their instant",
    "elsewhere": "sentences true at another instant",
    "contradicted": "sentences contradicted",
    "undecidable": "sentences not decidable",
}
FAULTS = ("actor", "act", "mood", "place")
GROUP = 4
"""Linked questions, as Video-MME-v2 asks them."""
GAPS = {
    conditions.GOLD_EVIDENCE: "gold frames and sentences (the oracle gap)",
    conditions.GOLD_FRAMES: "gold frames",
    conditions.GOLD_SENTENCES: "gold sentences on own frames",
}


def entailment(good: Scored) -> dict[str, Estimate]:
    """Of all cited sentences: so at the cited instant, elsewhere, contradicted and by what, or not
    decidable; and of the items, where the cited sentences say all that the proof needs."""
    read = [(v, f, r["video"]) for r, _ in good for v, f in r["truth"].get("sentences", ())]
    videos = [video for *_, video in read]
    shares = {
        name: statistics.proportion([float(v == verdict) for v, *_ in read], videos)
        for verdict, name in (VERDICTS.items() if read else ())
    }
    for fault in FAULTS:
        if hits := [float(f == fault) for _, f, _ in read]:
            shares[f"sentences with a wrong {fault}"] = statistics.proportion(hits, videos)
    proofs = [(all(r["truth"]["carried"]), r["video"]) for r, _ in good if "carried" in r["truth"]]
    if proofs:
        shares["evidence is sufficient"] = _share(proofs)
    return shares


def _share(pairs: Sequence[tuple[bool, str]]) -> Estimate:
    return statistics.proportion([float(hit) for hit, _ in pairs], [video for _, video in pairs])


def chain(rows: Sequence[tuple[str, Numbers, float]]) -> dict[str, Estimate]:
    """V-STaR's AM and LGM of items that have true times and boxes: what, when and where, asked in
    one order. rows: (video, the item's numbers, its credit). LGM is of means, so that its interval
    is that of its linearization."""
    full = [(v, Chain(c, n["temporal IoU"], n["mean best box IoU"])) for v, n, c in rows
            if "temporal IoU" in n and "mean best box IoU" in n]  # fmt: skip
    if not full:
        return {}
    videos, chains = [v for v, _ in full], [c for _, c in full]
    means = Chain(*(math.fsum(column) / len(full) for column in zip(*chains, strict=True)))
    value, numbers = logarithmic_mean(means), {}
    numbers["AM of V-STaR"] = statistics.proportion([arithmetic_mean(c) for c in chains], videos)
    if max(means) < 1:
        moved = [
            value + sum((x - m) / (1 - m) for x, m in zip(c, means, strict=True)) / len(means)
            for c in chains
        ]
        numbers["LGM of V-STaR"] = statistics.mean(moved, videos)
    return numbers


def checker(good: Scored) -> dict[str, Estimate]:
    """How far a checked answer is a right one. Its verdict is yes or no, so that the expected
    calibration error is the share of answers about which it is wrong."""
    rows = [(bool(r["checked"]), credit == 1.0, r["video"]) for r, credit in good if "checked" in r]
    shares = {
        name: _share(mine)
        for name, wanted in (("right where checked", True), ("right where not confirmed", False))
        if (mine := [(right, video) for verdict, right, video in rows if verdict == wanted])
    }
    if rows:
        verdict, right, videos = ([*column] for column in zip(*rows, strict=True))
        shares["expected calibration error"] = _share([(s != r, v) for s, r, v in rows])
        if (area := auc([float(s) for s in verdict], right, videos)) is not None:
            shares["AUC"] = area
    return shares


def refusals(unanswerable: Sequence[Json], good: Scored) -> dict[str, Estimate]:
    """Of questions that nothing answers: refused, answered with a letter all the same, confirmed by
    the checker; and how many of the others were refused. Empty where none was asked."""
    measured = [r for r in unanswerable if "error" not in r]
    shares = {
        "refused where nothing answers": [(not r["answered"], r["video"]) for r in measured],
        "a letter where nothing answers": [(r["said"] is not None, r["video"]) for r in measured],
        "confirmed where nothing answers": [(bool(r.get("checked")), r["video"]) for r in measured],
        "refused where the film answers": [(not r["answered"], r["video"]) for r, _ in good],
    }
    return {name: _share(rows) for name, rows in shares.items() if rows and measured}


def groups(good: Scored) -> dict[str, Estimate]:
    """Fours of questions of a film that stand on the same stretches: accuracy, the grouped score
    (right of four, squared), and its ratio to accuracy, which guessing makes small."""
    fours = list(_fours(good))
    if not fours:
        return {}
    videos = [four[0][0]["video"] for four in fours]
    plain = [sum(credit for _, credit in four) / GROUP for four in fours]
    grouped = [share**2 for share in plain]
    shares = {
        "accuracy in groups of four": statistics.proportion(plain, videos),
        "grouped score": statistics.proportion(grouped, videos),
    }
    if any(plain):
        shares["grouped by plain"] = statistics.ratio(grouped, plain, videos)
    return shares


def _fours(good: Scored) -> Iterator[Scored]:
    """Questions of a film that share a true interval, also over others; what is left of a chain
    that fours do not fill is left out."""
    chains: list[tuple[set[Any], list[tuple[Json, float]]]] = []
    for record, credit in good:
        spans = {(record["video"], *span) for span in record["truth"]["intervals"]}
        linked = [one for one in chains if one[0] & spans]
        chains = [one for one in chains if not one[0] & spans]
        members = [member for _, mine in linked for member in mine]
        chains.append((spans.union(*(s for s, _ in linked)), [*members, (record, credit)]))
    for _, members in chains:
        for k in range(0, len(members) - GROUP + 1, GROUP):
            yield members[k : k + GROUP]


def oracle_gap(by: Mapping[str, Scored]) -> dict[str, Estimate]:
    """What accuracy gains over `ours` by what is true, item by item; by: condition -> its
    records."""
    gaps = {}
    ours = {r["item"]: credit for r, credit in by.get(conditions.OURS, ())}
    for condition, name in GAPS.items():
        pairs = [
            (credit == 1.0, ours[r["item"]] == 1.0, r["video"])
            for r, credit in by.get(condition, ())
            if r["item"] in ours
        ]
        if pairs:
            gold, own, videos = ([*column] for column in zip(*pairs, strict=True))
            gaps[name] = comparison.paired(gold, own, videos).difference
    return gaps


def necessity(condition: str, by: Mapping[str, Scored]) -> dict[str, Estimate]:
    """How often the choice changes when a sentence is taken away, or turned into its contrary,
    beside the same evidence given whole."""
    if condition not in (conditions.REMOVED, conditions.CONTRARY):
        return {}
    whole = by.get(conditions.OWN_SENTENCES) or by.get(conditions.OURS, ())
    before = {r["item"]: r["said"] for r, _ in whole}
    pairs = [
        (r["said"] != before[r["item"]], r["video"])
        for r, _ in by.get(condition, ())
        if r["item"] in before
    ]
    return {"answers that change": _share(pairs)} if pairs else {}
