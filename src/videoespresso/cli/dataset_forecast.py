"""`videoespresso dataset build --dry-run`: what a run will cost, as a table or as JSON."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from videoespresso.cli.console import Exit, err, one_line, out, say_error, show_table, write_json
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.report.text import money
from videoespresso.settings import Settings

if TYPE_CHECKING:
    from videoespresso.dataset.forecast import Expected, Forecast


def dry_run(
    videos: Sequence[str],
    folder: Path,
    settings: Settings,
    *,
    seed: int,
    group: int,
    sample: int,
    json: bool,
    quiet: bool,
) -> None:
    """Forecasts, and prints it."""
    from videoespresso.dataset.forecast import forecast_dataset

    def tell(path: str) -> None:
        if not quiet:
            err().print(f"for the forecast this video is really done: {one_line(path)}")

    try:
        forecast = forecast_dataset(
            videos, folder, settings=settings, seed=seed, group=group, sample=sample, on_video=tell
        )
    except (BudgetExceeded, ModelError) as error:
        say_error(error)
        code = Exit.BUDGET if isinstance(error, BudgetExceeded) else Exit.FAILED
        raise typer.Exit(code) from error
    except KeyboardInterrupt:
        err().print("interrupted; what was paid for is kept", style="yellow")
        raise typer.Exit(Exit.INTERRUPTED) from None
    if json:
        write_json(forecast)
    else:
        show(forecast)


def show(forecast: "Forecast") -> None:
    """The forecast for a person."""
    columns = ("role", "calls#", "tokens in#", "tokens out#", "dollars#")
    show_table(*columns, rows=_rows(forecast))
    seconds = forecast.seconds
    out().print(
        f"{forecast.left} of {forecast.videos} videos are left to do; at least "
        f"{_time(seconds.value)} ({_time(seconds.low)} to {_time(seconds.high)}). In brackets: "
        f"95 % intervals, from a sample of {forecast.sampled}."
    )
    if forecast.spent.calls:
        out().print(
            f"The sample itself took {forecast.spent.calls} calls, {money(forecast.spent.usd)}. "
            "It is part of the dataset and not in these sums.",
            style="dim",
        )


def _rows(forecast: "Forecast") -> Iterator[tuple[str, ...]]:
    for name, told in [*forecast.roles.items(), ("all", forecast.total)]:
        # tokens without their intervals: with them a line is wider than a terminal (--json has all)
        tokens = (f"{told.input_tokens.value:,.0f}", f"{told.output_tokens.value:,.0f}")
        yield name, _count(told.calls), *tokens, _money(told.usd)


def _count(told: "Expected") -> str:
    return f"{told.value:,.0f} ({told.low:,.0f}-{told.high:,.0f})"


def _money(told: "Expected | None") -> str:
    if told is None:
        return "unknown"
    return f"{money(told.value)} ({money(told.low)}-{money(told.high)})"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
