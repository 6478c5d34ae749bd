"""Rows -> lines of the table of dataset mode: a number, its interval, what it is computed from."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.detector_score import Tally
from videoespresso import statistics
from videoespresso.evaluation.results import Json
from videoespresso.statistics import Estimate

Rows = Sequence[Json]


@dataclass(frozen=True)
class Line:
    """A line. unit: "%", "records a minute", ...; note: what is to be known about it. videos: how
    many films the number is from."""

    section: str
    name: str
    estimate: Estimate | None
    unit: str = "%"
    note: str = ""
    videos: int = 0


def share(values: Sequence[float], clusters: Sequence[Hashable]) -> Estimate | None:
    """A share with its interval over videos; None of nothing."""
    return proportion(values, [1.0] * len(values), clusters)


def proportion(
    over: Sequence[float], under: Sequence[float], clusters: Sequence[Hashable]
) -> Estimate | None:
    """sum(over) / sum(under) where it is a part of a whole, with Wilson's interval over videos;
    None where there is nothing to divide by."""
    if not sum(under):
        return None
    return statistics.clustered(statistics.by_cluster(clusters, over, under).tolist())


def ratio(
    over: Sequence[float], under: Sequence[float], clusters: Sequence[Hashable]
) -> Estimate | None:
    """sum(over) / sum(under), over videos; None where there is nothing to divide by."""
    return statistics.ratio(over, under, clusters) if sum(under) else None


def of(
    section: str,
    name: str,
    rows: Rows,
    value: Callable[[Json], float],
    note: str = "",
) -> Line:
    """A share of rows, which say their "video"."""
    videos = [r["video"] for r in rows]
    estimate = share([float(value(r)) for r in rows], videos)
    return Line(section, name, estimate, note=note, videos=len(set(videos)))


Test = Callable[[Json], bool]


def _decided(row: Json) -> bool:
    """Whether its truth is known."""
    return bool(row["truth"] != "undecidable")


def _is_true(row: Json) -> bool:
    return bool(row["truth"] == "true")


def _undecided(row: Json) -> bool:
    return not _decided(row)


def _known(row: Json) -> bool:
    return not row["undecidable"]


def _ever(row: Json) -> bool:
    return _known(row) and not row["never"]


def _fate(*fates: str) -> Test:
    return lambda r: r["fate"] in fates and _decided(r)


_TRUTH, _TIME, _OPTIONS = "Truth", "Grounding in time", "Options"
_ACCEPTED = _fate("record", "annotate", "ground_time", "distract")
SHARES: tuple[tuple[str, str, str, Test, Callable[[Json], float], str], ...] = (
    (_TRUTH, "generated pairs that are true", "pairs", _decided, _is_true, ""),
    (_TRUTH, "generated pairs that cannot be decided", "pairs", bool, _undecided, "not above"),
    (_TRUTH, "the same from the story's own captions", "taught", _decided, _is_true,
     "without the captioner's errors, on the frames that the filter kept"),
    (_TRUTH, "accepted by the verifier: true", "pairs", _ACCEPTED, _is_true, ""),
    (_TRUTH, "rejected by the verifier: false", "pairs", _fate("verify"),
     lambda r: r["truth"] == "false", ""),
    (_TRUTH, "records that are true", "pairs", _fate("record"), _is_true, ""),
    (_TRUTH, "true records whose core frames show all that is said", "pairs",
     lambda r: _is_true(r) and r["fate"] == "record" and r["shown"] is not None,
     lambda r: r["shown"], ""),
    (_TRUTH, "captions of records' groups that are exactly true", "captions", bool,
     lambda r: r["exact"], ""),
    (_TIME, "within 0.5 s of what the sentence says", "instants", _known, lambda r: r["hit"], ""),
    (_TIME, "a random frame of the group (chance)", "instants", _known,
     lambda r: r["chance"], ""),
    (_TIME, "at that very instant", "instants", _known, lambda r: r["exact"], ""),
    (_TIME, "sentences that are true at no time", "instants", _known, lambda r: r["never"], ""),
    (_TIME, "within 0.5 s, sentences true at some time", "instants", _ever,
     lambda r: r["hit"], ""),
    (_TIME, "chance, sentences true at some time", "instants", _ever, lambda r: r["chance"], ""),
    (_TIME, "sentences that cannot be decided", "instants", bool,
     lambda r: r["undecidable"], ""),
    (_OPTIONS, "wrong options that are true (faults)", "options", _decided, _is_true, ""),
    (_OPTIONS, "wrong options that cannot be decided", "options", bool, _undecided, ""),
)  # fmt: skip
"""Section, name, which rows, which of these count, what is counted of each, note."""


def shares(rows: Mapping[str, Rows]) -> list[Line]:
    """The lines of SHARES whose rows are given."""
    return [
        of(section, name, [r for r in rows[which] if fits(r)], value, note)
        for section, name, which, fits, value, note in SHARES
        if which in rows
    ]


def verifier_lines(rows: Rows) -> list[Line]:
    """Precision: of the refused pairs, those that should be. Recall: of those that should be
    refused, those that are; by what is wrong with them too."""
    lines = []
    for whose, captions in (
        ("true", "the story's own captions"),
        ("captioner", "the captioner's captions"),
    ):
        section = f"Verifier, {captions}"
        mine = [r for r in rows if r["captions"] == whose and r["source"] != "undecidable"]
        bad, good = [r for r in mine if r["how"]], [r for r in mine if not r["how"]]
        planted = [r for r in bad if r["how"] != "false as generated"]
        parts: list[tuple[str, Rows]] = [("recall of refusals", bad)]
        parts += [
            (f"recall: {how}", [r for r in bad if r["how"] == how])
            for how in sorted({r["how"] for r in bad})
        ]
        parts += [("recall without those false as generated", planted)]
        parts += [
            (
                f"true pairs refused by mistake: {source}'s",
                [r for r in good if r["source"] == source],
            )
            for source in ("generator", "planted")
        ]
        mix = f"{len(bad)} pairs to refuse, {len(good)} to accept"
        refused = [r for r in mine if r["refused"]]
        lines += [of(section, "precision of refusals", refused, lambda r: bool(r["how"]), mix)]
        lines += [of(section, name, those, lambda r: r["refused"]) for name, those in parts]
        named = [r for r in planted if r["refused"]]
        right = [{"video": r["video"], "right": r["named"] == r["criterion"]} for r in named]
        lines += [of(section, "names the planted criterion", right, lambda r: r["right"])]
    return lines


def box_lines(rows: Rows) -> list[Line]:
    """F1, precision and recall of boxes. rows: {"video", "named": Tally, "kind": Tally}."""
    lines = []
    videos = [r["video"] for r in rows]
    for how, whose in (("named", "the very one that is named"), ("kind", "any of that kind")):
        tallies: list[Tally] = [r[how] for r in rows]
        right = [float(t.right) for t in tallies]
        reported = [float(t.right + t.wrong) for t in tallies]
        there = [float(t.right + t.missed) for t in tallies]
        note = f"{sum(there):.0f} true boxes, {sum(reported):.0f} reported"
        parts = {
            "F1": ([2 * r for r in right], [a + b for a, b in zip(reported, there, strict=True)]),
            "precision": (right, reported),
            "recall": (right, there),
        }
        for name, (over, under) in parts.items():
            estimate = proportion(over, under, videos)
            section = "Key items' boxes at IoU 0.5"
            lines.append(
                Line(section, f"{whose}: {name}", estimate, note=note, videos=len(set(videos)))
            )
    return lines


def reject_lines(rows: Rows) -> list[Line]:
    """Shares of generated pairs that each stage and criterion rejects."""
    fates = [(r["fate"], r["criterion"]) for r in rows]
    stages = ("generate", "verify", "annotate", "ground_time", "distract")
    which: dict[str, list[bool]] = {"at all": [fate != "record" for fate, _ in fates]}
    for stage in stages:
        which[stage] = [fate == stage for fate, _ in fates]
        for criterion in sorted({c for fate, c in fates if fate == stage}):
            which[f"{stage}: {criterion}"] = [f == (stage, criterion) for f in fates]
    return [
        of(
            "Rejected, of generated pairs",
            name,
            [{"video": r["video"], "is": x} for r, x in zip(rows, those, strict=True)],
            lambda r: r["is"],
        )
        for name, those in which.items()
    ]


def option_lines(letters: Iterable[str], credits: Mapping[str, Rows]) -> list[Line]:
    """Letters of the records, and what a blind guesser gets. credits: guesser -> {"video",
    "credit"} a record."""
    counts = Counter(letters)
    lines = []
    if counts:
        most = statistics.wilson(max(counts.values()), counts.total())
        note = ", ".join(f"{x} {counts[x]}" for x in "ABCD")
        lines.append(Line(_OPTIONS, "the most frequent letter's share", most, note=note))
    for guesser, those in credits.items():
        lines.append(
            of(_OPTIONS, f"blind: {guesser}", those, lambda r: r["credit"], "25 % by chance")
        )
    return lines
