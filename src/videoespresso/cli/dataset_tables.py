"""Statistics, problems and records of a dataset as text in the terminal."""

from collections.abc import Iterator, Mapping

from videoespresso.cli.console import one_line, out, say_warning, show_table
from videoespresso.dataset.inspect.overlap import MEANING, Duplicates, Leakage
from videoespresso.dataset.inspect.split import SplitReport
from videoespresso.dataset.inspect.stats import NO_TASK, DatasetStats, Share, Spread, TaskRow
from videoespresso.dataset.inspect.validate import Validation
from videoespresso.dataset_record import DatasetItem, FrameBox
from videoespresso.report.text import instant, letter, money, number, percent, total
from videoespresso.tasks import TASKS

SHOWN = 30
"""Problems a person reads in a terminal; --json has more."""


def show_stats(stats: DatasetStats) -> None:
    """The statistics, the paper's beside them. Shares carry Wilson's 95 % interval."""
    hours = stats.video_seconds / 3600
    out().print(
        f"{stats.records:,} records about {stats.videos:,} videos ({hours:.1f} h), "
        f"{stats.groups:,} caption groups\n"
    )
    header = (
        "Task",
        "Records#",
        "Share (95 %)#",
        "Paper train#",
        "test#",
        "share#",
        "Distance, s#",
    )
    show_table(*header, rows=(_task(row) for row in stats.tasks))
    _heading("Numbers")
    columns = ("", "n#", "mean#", "5 %#", "25 %#", "median#", "75 %#", "95 %#", "most#")
    show_table(*columns, rows=(_spread(name, s) for name, s in spreads(stats).items() if s))
    _heading("Shares")
    show_table("", "n#", "Share (95 %)#", rows=_shares(stats))
    if stats.blind:
        chance = 100 * stats.blind[0].chance
        _heading(f"Right without the video ({chance:.1f} % by chance)")
        guessed = ((g.guesser, f"{g.n:,}", percent(g)) for g in stats.blind)
        show_table("Guesser", "n#", "Share (95 %)#", rows=guessed)
    for what, words in stats.words.items():
        listed = ", ".join(f"{word.word} {word.n}" for word in words)
        out().print(f"\nFrequent in {what}s: {one_line(listed) or '-'}")
    _heading("Sources")
    rows = ((row.source, f"{row.videos:,}", f"{row.records:,}") for row in stats.sources)
    show_table("Folder", "Videos#", "Records#", rows=rows)
    if stats.rejects:
        _heading("Rejects")
        refused = ((r.stage, r.criterion, f"{r.n:,}", percent(r.share)) for r in stats.rejects)
        show_table("Stage", "Criterion", "n#", "Share of rejects (95 %)#", rows=refused)
    whole = total(stats.cost.values())
    out().print(
        f"\nRecords' own calls: {whole.calls:,} ({whole.cached_calls:,} from cache), "
        f"{whole.input_tokens:,} tokens in, {whole.output_tokens:,} out, {money(whole.usd)}"
    )


def _heading(text: str) -> None:
    out().print(f"\n{text}", style="bold")


def _task(row: TaskRow) -> tuple[str, ...]:
    far = f"{number(row.distances.median)} (n {row.distances.n:,})" if row.distances else "-"
    paper = (f"{row.paper_train:,}", f"{row.paper_test:,}", f"{100 * row.paper_share:.1f} %")
    return (row.task, f"{row.n:,}", percent(row.share), *paper, far)


def spreads(stats: DatasetStats) -> Mapping[str, Spread | None]:
    """All spreads under the names a person reads."""
    words = {f"words: {name}": spread for name, spread in stats.lengths.items()}
    return {
        "core frames a record": stats.core_frames,
        "s between core frames": stats.distances,
        "key items a record": stats.key_items,
        **words,
        "right minus longest wrong option, words": stats.longest_by,
        "box score": stats.box_scores,
        "placement score (eq. 3)": stats.placement_scores,
        "records a video": stats.records_per_video,
        "captions a group": stats.group_captions,
    }


def _spread(name: str, s: Spread) -> tuple[str, ...]:
    seen = (s.mean, s.p5, s.p25, s.median, s.p75, s.p95, s.most)
    return (name, f"{s.n:,}", *(number(value) for value in seen))


def _shares(stats: DatasetStats) -> Iterator[tuple[str, ...]]:
    shares: dict[str, Share | None] = {
        "key items with a box": stats.items_found,
        "accepted by the verifier": stats.accepted,
        "rejected of all": stats.rejected,
    }
    shares |= {f"{name} is right": share for name, share in stats.letters.items()}
    for name, share in shares.items():
        if share:
            yield name, f"{share.n:,}", percent(share)


def show_validation(report: Validation) -> None:
    """The first problems of each kind, how to mend them, and how many there are."""
    if report.ok:
        out().print(f"{report.records:,} records, no problem")
        return
    many = max(3, SHOWN // len(report.counts))
    shown = [
        problem
        for check in report.counts
        for problem in [p for p in report.problems if p.check == check][:many]
    ]
    rows = (
        (str(p.line or "all"), p.id, p.check, p.what, p.mend)
        for p in sorted(shown, key=lambda p: (p.line is None, p.line or 0))
    )
    show_table("Line#", "Record", "Check", "What", "How to mend it", rows=rows)
    by_check = ", ".join(f"{n:,} {check}" for check, n in report.counts.items())
    count = sum(report.counts.values())
    out().print(f"\n{report.records:,} records, {count:,} problems: {by_check}", style="bold red")
    if count > len(shown):
        out().print(f"{len(shown)} are shown; --json lists up to {len(report.problems):,}")


def show_split(done: SplitReport) -> None:
    """The parts, the records a task of each, and what is missing on a side."""
    header = ("Part", "Wanted#", "Videos#", "Records#", "Share of records (95 %)#")
    show_table(
        *header,
        rows=(
            (s.name, f"{100 * s.wanted:g} %", f"{s.videos:,}", f"{s.records:,}", percent(s.share))
            for s in done.sides
        ),
    )
    _heading("Records a task")
    tasks = [t for t in (*TASKS, NO_TASK) if any(t in side.tasks for side in done.sides)]
    rows = ((task, *(f"{side.tasks.get(task, 0):,}" for side in done.sides)) for task in tasks)
    show_table("Task", *(f"{side.name}#" for side in done.sides), rows=rows)
    if done.largest > 1:
        out().print(
            f"\n{done.units:,} groups of videos were kept together; "
            f"the largest has {done.largest:,}"
        )
    for side in done.sides:
        lacking = [task for task in tasks if not side.tasks.get(task)]
        if lacking:
            say_warning(f"{side.name} has no record of: {', '.join(lacking)}")
    if done.missing:
        say_warning(f"{done.missing:,} images that records name are missing")


def show_duplicates(same: Duplicates) -> None:
    """How often a dataset asks the same."""
    out().print(
        f"{same.records:,} records: {same.repeated:,} ask and answer what another one does "
        f"(same words, or cosine {same.threshold:g} or more), in {same.groups:,} groups of up to "
        f"{same.largest:,}; {same.extra:,} could go"
    )
    style = "bold red" if same.same_video else ""
    out().print(f"{same.same_video:,} ask a second time about one video", style=style)
    for e in same.examples:
        line = f"  {e.cosine:.2f}  {e.first} {e.question!r} ~ {e.second} {e.other!r}"
        out().print(one_line(line), style="dim")


def show_leakage(report: Leakage) -> None:
    """What the splits share, with examples."""
    sizes = ", ".join(f"{one_line(name)} {n:,}" for name, n in report.records.items())
    out().print(f"records: {sizes}")
    if report.ok:
        out().print("nothing is shared")
    for leak in report.leaks:
        out().print(
            one_line(f"{leak.first} and {leak.second}: {leak.n:,} × {MEANING[leak.kind]}"),
            style="bold red",
        )
        for example in leak.examples[:5]:
            out().print(f"  {one_line(example)}", style="dim")


def show_item(item: DatasetItem) -> None:
    """A record as text: question, options, evidence, core frames, who made it."""
    show = out().print
    show(f"{item.id} · {item.task or 'no task'} · {one_line(item.video.path)}", style="dim")
    show(one_line(item.question), style="bold")
    for k, option in enumerate(item.options):
        mark = "*" if letter(k) == item.letter else " "
        show(f" {mark} {letter(k)}  {one_line(option)}")
    show(f"Answer: {one_line(item.answer)}\n")
    missing = "not found" if item.detected else "no boxes"
    for step in item.evidence:
        at = f"[{step.frame + 1}] " if step.frame is not None else ""
        show(f"{at}{one_line(step.text)}")
        for thing in step.items:
            show(f"      {one_line(thing.name)}: {_boxes(thing.boxes) or missing}", style="dim")
    show("")
    show_table(
        "Frame#", "Instant#", "Caption", "Rule", "Image",
        rows=(
            (str(k), instant(f.time_s), f.caption, f.rule, f.image)
            for k, f in enumerate(item.core_frames, 1)
        ),
    )  # fmt: skip
    if item.verification is not None:
        verdict = "accepted" if item.verification.accepted else "refused"
        why = " · ".join(x for x in (item.verification.criterion, item.verification.reason) if x)
        show(f"\nVerification: {verdict}{f': {one_line(why)}' if why else ''}")
    for stage in dict.fromkeys((*item.made, *item.cost)):
        by = item.made[stage].model if stage in item.made else "-"
        spent = f" · {money(item.cost[stage].usd)}" if stage in item.cost else ""
        show(f"{one_line(stage)}: {one_line(by)}{spent}", style="dim")


def _boxes(boxes: tuple[FrameBox, ...]) -> str:
    shown = []
    for box in boxes:
        corners = ", ".join(f"{v:.2f}" for v in box.xyxy)
        on = f" on [{box.frame + 1}]" if box.frame is not None else ""
        score = f" {box.score:.2f}" if box.score is not None else ""
        shown.append(f"({corners}){on}{score}")
    return "; ".join(shown)
