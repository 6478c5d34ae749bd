"""What a question is doing now: a bar in a notebook, a line on a terminal that goes away again, and
a line on stderr now and then where there is neither."""

import html
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from videoespresso.report.text import printable
from videoespresso.types import Progress

if TYPE_CHECKING:
    from rich.console import Console

EVERY_S = 10.0
"""Between two lines of a log, which must not be flooded."""


class ProgressBar:
    """A listener for `on_progress`, for one question after the other:

    answer = ve.ask("clip.mp4", "Who wins?", on_progress=ve.ProgressBar())

    What is to come ("52 frames, about 6 calls, $0.004") is said once and stays. Everything goes to
    stderr or into the notebook's cell. Give several questions at a time a bar each.
    """

    def __init__(self, console: "Console | None" = None, *, every_s: float = EVERY_S) -> None:
        """console: where lines go; default stderr. every_s: seconds between two lines where there
        is no terminal."""
        from rich.console import Console  # noqa: PLC0415 - `import videoespresso` is fast

        self.console = console or Console(
            stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False
        )
        self._every_s = every_s
        self._show: Callable[[Progress], None] | None = None
        self._end: Callable[[], None] = lambda: None

    def __call__(self, progress: Progress) -> None:
        """Shows what is under way; "done" takes it away."""
        if progress.step == "done":
            self.close()
            return
        if self._show is None:
            self._open()
        assert self._show is not None
        self._show(progress)

    def close(self) -> None:
        """Takes the line or the bar away; the next question begins another."""
        self._end()
        self._show, self._end = None, lambda: None

    def _open(self) -> None:
        if self.console.is_jupyter:
            self._show, self._end = _in_notebook()
        elif self.console.is_terminal:
            from rich.text import Text  # noqa: PLC0415 - see above

            status = self.console.status("")
            status.start()
            self._show = lambda p: (
                self._say(p) if p.step == "plan" else status.update(Text(_line(p)))
            )
            self._end = status.stop
        else:
            self._show = self._now_and_then(time.monotonic())

    def _now_and_then(self, said_s: float) -> Callable[[Progress], None]:
        def show(progress: Progress) -> None:
            nonlocal said_s
            if progress.step == "plan":
                self._say(progress)
            elif time.monotonic() - said_s >= self._every_s:
                said_s = time.monotonic()
                self._say(progress)

        return show

    def _say(self, progress: Progress) -> None:
        self.console.print(_line(progress), style="dim")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _line(progress: Progress) -> str:
    return " ".join(printable(str(progress)).split())


def _in_notebook() -> tuple[Callable[[Progress], None], Callable[[], None]]:
    """A bar in the cell's output, drawn by the notebook itself: no widgets are needed."""
    from IPython.display import HTML, display  # noqa: PLC0415 - a notebook has it, we do not

    make: Any = HTML
    cell: Any = display(make(""), display_id=True)
    plan = ""

    def show(progress: Progress) -> None:
        nonlocal plan
        if progress.step == "plan":
            plan = f"<div>{html.escape(_line(progress))}</div>"
        counted = progress.done is not None and progress.total
        value = f' value="{progress.done}" max="{progress.total}"' if counted else ""
        line = "" if progress.step == "plan" else html.escape(_line(progress))
        cell.update(make(f"{plan}<progress{value}></progress> {line}"))

    return show, lambda: cell.update(make(plan))
