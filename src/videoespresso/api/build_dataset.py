"""`build_dataset`: many videos, several at a time, resumable at every stage."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from videoespresso.dataset.batch_rounds import Batch, in_batches
from videoespresso.dataset.engine import JOBS, Engine, LocalEngine
from videoespresso.dataset.folder import Folder
from videoespresso.dataset.manifest import made_with
from videoespresso.dataset.ray_engine import RayEngine
from videoespresso.dataset.run import Built, Progress, Run
from videoespresso.dataset.videos import find
from videoespresso.errors import MemoryStoreError, UserError
from videoespresso.graphs.dataset_context import GROUP, open_dataset_context
from videoespresso.report.dataset_page import write_page
from videoespresso.settings import Settings, settings_of
from videoespresso.types import Usage

__all__ = ["Batch", "Built", "Progress", "build_dataset"]


def build_dataset(
    videos: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    seed: int = 0,
    group: int = GROUP,
    jobs: int | None = None,
    engine: Literal["local", "ray"] = "local",
    ray_address: str = "",
    batch: Batch | None = None,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
    on_end: Callable[[Built], None] = lambda _built: None,
) -> Built:
    """Makes a dataset of questions with evidence from videos, or goes on with one.

    videos: files, folders, "@list.txt". out: the dataset's folder (see dataset/folder.py). jobs:
    videos at a time; None is 4 or the calls at a time if these are more. engine: threads here, or
    workers of the Ray cluster at `ray_address` (see docs/dataset-cluster.md); there jobs are
    workers, None is one a CPU, and the records are the same. batch: ask OpenAI's models through
    its Batch API, at half the price and within a day a round.

    What an earlier run did there is not done again; a stage whose model or prompt has changed is,
    and what follows it. Ctrl-C lets the calls under way finish, writes what is complete and raises
    KeyboardInterrupt; a second one leaves at once.

    Raises BudgetExceeded when a limit ended the run, and ModelError when a key was refused or video
    after video failed on its models; in all cases records.jsonl holds what is complete. Raises
    UserError for a folder that holds something else or for batches that no model takes,
    SettingsError and MemoryStoreError. on_end gets what a run came to, also where it then raises
    (in batches: of every round).
    """
    if (jobs is not None and jobs < 1) or group < 2:
        raise UserError(
            f"jobs is {jobs} and group {group}", hint="At least 1 job, and 2 captions a group."
        )
    if batch is not None and engine != "local":
        raise UserError("batches are not for a cluster", hint="Leave --engine away.")
    settings = settings_of(settings)
    files = find([videos] if isinstance(videos, str | Path) else videos, out)
    paths = files.paths
    folder = Folder(Path(out))
    context = open_dataset_context(settings)
    folder.open()
    made = made_with(context, seed, group)
    earlier: dict[str, Usage] = {}

    def end(built: Built) -> None:
        _write_page(folder)
        on_end(built)

    def once() -> Built:
        by: Engine
        if engine == "ray":
            by = RayEngine(
                folder, settings, made, seed=seed, group=group, address=ray_address, jobs=jobs
            )
        else:
            many = jobs or max(JOBS, settings.concurrency)
            by = LocalEngine(folder, context, seed=seed, group=group, jobs=many)
        try:
            return Run(folder, by, paths, made, on_progress, end, earlier, files).run()
        finally:
            earlier.update(context.usage_log.by_role())

    return once() if batch is None else in_batches(once, folder, context, batch)


def _write_page(folder: Folder) -> None:
    try:
        write_page(folder.root, folder.page)
    except UserError as error:
        raise MemoryStoreError(
            str(error),
            hint="Free the disk; the records are written, and the same command goes on.",
        ) from error
