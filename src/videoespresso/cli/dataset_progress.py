"""Output of `videoespresso dataset build`: progress and problems on stderr, counts on stdout."""

from typing import TYPE_CHECKING

from videoespresso.cli.console import CountBar, err, one_line, out, say_warning
from videoespresso.report.text import money, total

if TYPE_CHECKING:
    from videoespresso.dataset.run import Built, Progress

SHOWN = 10
"""At most so many failures, and so many videos that were left out, are listed one by one."""


class Bar(CountBar):
    """Videos done, records, rate, what is left, what was spent."""

    def show(self, progress: "Progress") -> None:
        """The state of the run."""
        if progress.stopping:
            self.stopping()
        self.update(progress.done, progress.videos, about_of(progress))


def about_of(progress: "Progress") -> str:
    """ "12 records (18/min), 3 rejects, 210 calls, $0.41, 2:10 left"."""
    rate = 60 * progress.records / max(progress.seconds, 1e-9)
    parts = [
        f"{progress.records} records ({rate:.0f}/min)",
        f"{progress.rejects} rejects",
        *([f"{progress.failures} failures"] if progress.failures else []),
        f"{progress.calls} calls",
        money(progress.usd),
    ]
    if progress.eta_s is not None and progress.done < progress.videos:
        minutes, seconds = divmod(round(progress.eta_s), 60)
        parts.append(f"{minutes}:{seconds:02} left")
    return ", ".join(parts)


def show(built: "Built") -> None:
    """The counts for a person."""
    spent = total(built.usage.values())
    out().print(f"{built.records} records, {built.rejects} rejects in {one_line(built.out)}")
    out().print(
        f"{built.done} of {built.videos} videos done in this run: {spent.calls} model calls "
        f"({spent.cached_calls} from cache), {spent.input_tokens:,} + {spent.output_tokens:,} "
        f"tokens, {money(spent.usd)}, {built.seconds:.0f} s",
        style="dim",
    )
    if built.refused:
        refused = ", ".join(f"{n} {one_line(name)}" for name, n in built.refused.items())
        out().print(f"rejects of these videos: {refused}", style="dim")


def show_problems(built: "Built") -> None:
    """On stderr: videos left out, failures, what is still to come, each with what to do."""
    from videoespresso.dataset.videos import summary

    for line in summary(built.skipped_files):
        err().print(f"not looked at: {one_line(line)}", style="dim")
    for line in built.reasons[:SHOWN]:
        say_warning(f"left out: {line}")
    if built.left_out > SHOWN:
        say_warning(f"{built.left_out} videos in all were left out: see rejects.jsonl")
    for line in built.failures[:SHOWN]:
        say_warning(f"not done: {line}")
    if built.failed:
        say_warning(
            f"{built.failed} failures in all; the same command tries these again, "
            "and pays for nothing else"
        )
    if built.busy:
        videos = "1 video is" if len(built.busy) == 1 else f"{len(built.busy)} videos are"
        err().print(
            f"{videos} being done by another process; the same command does what it leaves",
            style="dim",
        )
    if built.deferred:
        err().print(
            f"{built.deferred} replies are to come in batches: the same command goes on with them",
            style="yellow",
        )
