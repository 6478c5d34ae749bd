"""`videoespresso dataset build --dry-run`: what a run will cost, as a table or as JSON."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from videoespresso.cli.console import (
    Exit,
    err,
    one_line,
    out,
    say_error,
    say_warning,
    show_table,
    write_json,
)
from videoespresso.errors import BudgetExceeded, ModelError, SettingsError, UserError
from videoespresso.report.text import money
from videoespresso.settings import Settings

if TYPE_CHECKING:
    from videoespresso.dataset.forecast import Forecast


def _check_keys(settings: Settings, sample: int) -> None:
    """Raises SettingsError where a model has no key: a forecast is measured, not guessed."""
    from videoespresso.models.chat import missing_key
    from videoespresso.models.profiles import resolve
    from videoespresso.settings import DATASET_ROLES

    roles = resolve(settings)
    specs = [roles[name].model for name in ("captioner", *DATASET_ROLES)]
    missing = sorted({missing_key(spec) for spec in specs} - {""})
    if missing:
        raise SettingsError(
            f"--dry-run really makes up to {sample} videos, to measure what all will cost, and so "
            f"needs {' and '.join(missing)} as the run itself does",
            hint=f"Set {missing[0]}, and --max-usd for what the sample may cost at most.",
        )


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

    _check_keys(settings, sample)

    def on_video(path: str) -> None:
        if not quiet:
            err().print(f"for the forecast this video is really done: {one_line(path)}")

    try:
        forecast = forecast_dataset(
            videos,
            folder,
            settings=settings,
            seed=seed,
            group=group,
            sample=sample,
            on_video=on_video,
        )
    except (BudgetExceeded, ModelError) as error:
        say_error(error)
        code = Exit.BUDGET if isinstance(error, BudgetExceeded) else Exit.FAILED
        raise typer.Exit(code) from error
    except KeyboardInterrupt:
        err().print("interrupted; what was paid for is kept", style="yellow")
        raise typer.Exit(Exit.INTERRUPTED) from None
    finally:
        _write_page(folder)
    if json:
        write_json(forecast)
    else:
        show(forecast)


def _write_page(folder: Path) -> None:
    """The page of the dataset, which the sample is part of."""
    from videoespresso.dataset.folder import Folder
    from videoespresso.report.dataset_page import write_page

    dataset = Folder(folder)
    try:
        if dataset.manifest.is_file() and dataset.records.is_file():
            write_page(dataset.root, dataset.page)
    except UserError as error:
        say_warning(f"{error}. {error.hint}")


def show(forecast: "Forecast") -> None:
    """The forecast for a person."""
    if not forecast.left:
        out().print(
            f"Nothing is left to do: all {forecast.videos} videos are in this dataset, an earlier "
            "sample's too. `dataset build` will call no model for them and cost nothing."
        )
    else:
        out().print(f"{forecast.left} of {forecast.videos} videos are left to do.")
        show_table("", "mean#", "range#", rows=_rows(forecast))
        out().print(
            f"Scaled by minutes of video, of which {forecast.minutes:.1f} are left, from a sample "
            f"of {forecast.sampled} videos: their mean, and the cheapest to the dearest of them. "
            "What the cache has of the others will be free."
        )
    if forecast.spent.calls:
        out().print(
            f"The sample itself took {forecast.spent.calls} calls, {money(forecast.spent.usd)}. "
            "It is part of the dataset and not in these sums.",
            style="dim",
        )


def _rows(forecast: "Forecast") -> Iterator[tuple[str, str, str]]:
    for name, label in (
        ("calls", "calls"),
        ("images", "images"),
        ("input_tokens", "tokens in"),
        ("output_tokens", "tokens out"),
    ):
        it = getattr(forecast, name)
        yield label, f"{it.mean:,.0f}", f"{it.low:,.0f} to {it.high:,.0f}"
    if (usd := forecast.usd) is None:
        yield "dollars", "unknown", ""
    else:
        yield "dollars", money(usd.mean), f"{money(usd.low)} to {money(usd.high)}"
