"""Rows -> lines of the table of dataset mode: a number, its interval, what it is computed from."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.measure.results import Json
from lab.yolo_score import Tally
from videoespresso import statistics
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
    """sum(over) / sum(under) where it is a part of a whole, videos resampled.

    Where it is 0 or 1 in every video, resampling would call it certain: then Wilson's interval is
    given with each video as one observation, which errs to the wide side.
    """
    found = ratio(over, under, clusters)
    if found is None or found.value not in (0.0, 1.0):
        return found
    videos = len({c for c, u in zip(clusters, under, strict=True) if u})
    wide = statistics.wilson(round(found.value * videos), videos)
    return Estimate(found.value, wide.low, wide.high, found.n, "Wilson over videos")


def ratio(
    over: Sequence[float], under: Sequence[float], clusters: Sequence[Hashable]
) -> Estimate | None:
    """sum(over) / sum(under), videos resampled; None where there is nothing to divide by."""
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


def truth_lines(rows: Rows, taught: Rows) -> list[Line]:
    """Truth of pairs before and after verification. taught: pairs that the generator made from the
    story's own captions, with their "truth"."""
    name = "Truth"
    accepted = [r for r in rows if r["fate"] not in ("generate", "verify")]
    records = [r for r in rows if r["fate"] == "record"]
    refused = [r for r in rows if r["fate"] == "verify"]

    def true(what: str, those: Rows, note: str = "") -> Line:
        return of(name, what, decided(those), lambda r: r["truth"] == "true", note)

    return [
        true("generated pairs that are true", rows),
        of(name, "generated pairs that cannot be decided", rows, _undecided, "not counted above"),
        true(
            "the same from the story's own captions",
            taught,
            "without the captioner's errors, on the frames that the filter kept",
        ),
        true("accepted by the verifier: true", accepted),
        of(
            name,
            "rejected by the verifier: false",
            decided(refused),
            lambda r: r["truth"] == "false",
        ),
        true("records that are true", records),
        of(
            name,
            "true records whose core frames show all that is said",
            [r for r in records if r["truth"] == "true" and r["shown"] is not None],
            lambda r: r["shown"],
        ),
    ]


def decided(rows: Rows) -> list[Json]:
    """Those whose truth is known."""
    return [r for r in rows if r["truth"] != "undecidable"]


def _undecided(row: Json) -> float:
    return float(row["truth"] == "undecidable")


def verifier_lines(rows: Rows) -> list[Line]:
    """Precision: of the refused pairs, those that should be. Recall: of those that should be
    refused, those that are; by what is wrong with them too."""
    found = []
    for whose in ("true", "captioner"):
        told = "the story's own captions" if whose == "true" else "the captioner's captions"
        section = f"Verifier, {told}"
        mine = [r for r in rows if r["captions"] == whose and r["source"] != "undecidable"]
        bad = [r for r in mine if r["how"]]
        good = [r for r in mine if not r["how"]]
        mix = f"{len(bad)} pairs to refuse, {len(good)} to accept"
        refused = [r for r in mine if r["refused"]]
        found += [
            of(section, "precision of refusals", refused, lambda r: bool(r["how"]), mix),
            of(section, "recall of refusals", bad, lambda r: r["refused"]),
        ]
        for how in sorted({r["how"] for r in bad}):
            those = [r for r in bad if r["how"] == how]
            found.append(of(section, f"recall: {how}", those, lambda r: r["refused"]))
        planted = [r for r in bad if r["how"] != "false as generated"]
        found.append(
            of(section, "recall without those false as generated", planted, lambda r: r["refused"])
        )
        named = [r for r in planted if r["refused"]]
        found.append(
            of(
                section,
                "names the planted criterion",
                named,
                lambda r: r["named"] == r["criterion"],
            )
        )
        for source in ("generator", "planted"):
            those = [r for r in good if r["source"] == source]
            name = f"true pairs refused by mistake: {source}'s"
            found.append(of(section, name, those, lambda r: r["refused"]))
    return found


def instant_lines(rows: Rows) -> list[Line]:
    """Grounding in time, beside a frame of the group drawn at random."""
    name = "Grounding in time"
    known = [r for r in rows if not r["undecidable"]]
    ever = [r for r in known if not r["never"]]
    return [
        of(name, "within 0.5 s of what the sentence says", known, lambda r: r["hit"]),
        of(name, "a random frame of the group (chance)", known, lambda r: r["chance"]),
        of(name, "at that very instant", known, lambda r: r["exact"]),
        of(name, "sentences that are true at no time", known, lambda r: r["never"]),
        of(name, "within 0.5 s, sentences true at some time", ever, lambda r: r["hit"]),
        of(name, "chance, sentences true at some time", ever, lambda r: r["chance"]),
        of(name, "sentences that cannot be decided", rows, lambda r: r["undecidable"]),
    ]


def box_lines(rows: Rows) -> list[Line]:
    """F1, precision and recall of boxes. rows: {"video", "named": Tally, "kind": Tally}."""
    found = []
    for how, told in (("named", "the very one that is named"), ("kind", "any of that kind")):
        tallies: list[tuple[Hashable, Tally]] = [(r["video"], r[how]) for r in rows]
        videos = [video for video, _ in tallies]
        right = [float(t.right) for _, t in tallies]
        parts = (
            (
                "F1",
                [2 * r for r in right],
                [2.0 * t.right + t.wrong + t.missed for _, t in tallies],
            ),
            ("precision", right, [float(t.right + t.wrong) for _, t in tallies]),
            ("recall", right, [float(t.right + t.missed) for _, t in tallies]),
        )
        section = "Key items' boxes at IoU 0.5"
        true = sum(t.right + t.missed for _, t in tallies)
        note = f"{true} true boxes, {sum(t.right + t.wrong for _, t in tallies)} reported"
        for name, over, under in parts:
            estimate = proportion(over, under, videos)
            found.append(
                Line(section, f"{told}: {name}", estimate, note=note, videos=len(set(videos)))
            )
    return found


def reject_lines(rows: Rows) -> list[Line]:
    """Shares of generated pairs that each stage and criterion rejects."""
    name = "Rejected, of generated pairs"
    found = [of(name, "at all", rows, lambda r: r["fate"] != "record")]
    for stage in ("generate", "verify", "annotate", "ground_time", "distract"):
        found.append(of(name, stage, rows, lambda r, s=stage: r["fate"] == s))  # type: ignore[misc]
        counted = Counter(r["criterion"] for r in rows if r["fate"] == stage)
        for criterion in sorted(counted):
            wanted = (stage, criterion)
            found.append(
                of(
                    name,
                    f"{stage}: {criterion}",
                    rows,
                    lambda r, w=wanted: (r["fate"], r["criterion"]) == w,  # type: ignore[misc]
                )
            )
    return found


def option_lines(rows: Rows, letters: Iterable[str], credits: Mapping[str, Rows]) -> list[Line]:
    """Wrong options, letters, and what a blind guesser gets. rows: {"video", "truth"} a wrong
    option; letters: of the records; credits: guesser -> {"video", "credit"} a record."""
    name = "Options"
    counts = Counter(letters)
    told = ", ".join(f"{x} {counts[x]}" for x in "ABCD")
    lines = [
        of(
            name, "wrong options that are true (faults)", decided(rows),
            lambda r: r["truth"] == "true",
        ),
        of(name, "wrong options that cannot be decided", rows, _undecided),
    ]  # fmt: skip
    if counts:
        most = statistics.wilson(max(counts.values()), counts.total())
        lines.append(Line(name, "the most frequent letter's share", most, note=told))
    for guesser, those in credits.items():
        lines.append(of(name, f"blind: {guesser}", those, lambda r: r["credit"], "25 % by chance"))
    return lines
