"""`build_dataset`: many videos, several at a time, resumable at every stage."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from videoespresso.dataset.batch_rounds import Batch, in_batches
from videoespresso.dataset.engine import Engine, LocalEngine
from videoespresso.dataset.folder import Folder
from videoespresso.dataset.manifest import made_with
from videoespresso.dataset.run import Built, Progress, Run
from videoespresso.dataset.videos import find_videos
from videoespresso.errors import UserError
from videoespresso.graphs.context import Context, open_context
from videoespresso.graphs.dataset_context import GROUP
from videoespresso.settings import DATASET_ROLES, Settings
from videoespresso.types import Usage

__all__ = ["Batch", "Built", "Progress", "build_dataset", "open_dataset_context"]

JOBS = 4
"""Videos at a time, at least: while one is decoded or has but one call to make, others make use of
the calls that may be made at a time."""


def open_dataset_context(settings: Settings, **shared: Any) -> Context:
    """Models, stores and limits of dataset mode; shared: see `open_context`.

    A limit in frames is each video's, as it is each question's: as the run's it would make records
    depend on which videos came before. Captions are indexed when somebody searches them: no stage
    does. Raises SettingsError, MemoryStoreError.
    """
    most, settings = settings.budget_frames, settings.model_copy(update={"budget_frames": None})
    context = open_context(settings, roles=("captioner", *DATASET_ROLES), **shared)
    context.memory.eager = False
    if most is None or most >= context.plan.max_frames:
        return context
    return replace(context, plan=replace(context.plan, max_frames=most))


def build_dataset(
    videos: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    settings: Settings | None = None,
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
    videos at a time; None is 4 or the calls at a time if these are more, and on a cluster one a
    CPU. engine: threads here, or workers of the Ray cluster at `ray_address` (see
    docs/dataset-cluster.md); the records are the same. batch: ask OpenAI's models through its Batch
    API, at half the price and within a day a round.

    What an earlier run did there is not done again; a stage whose model or prompt has changed is,
    and what follows it. Ctrl-C lets the calls under way finish, writes what is complete and raises
    KeyboardInterrupt; a second one leaves at once.

    Raises BudgetExceeded when a limit ended the run, and ModelError when a key was refused or video
    after video failed on its models; in all cases records.jsonl holds what is complete. Raises
    UserError for a folder that holds something else or for batches that no model takes,
    SettingsError and MemoryStoreError. on_end hears what a run came to, also where it then raises
    (in batches: of every round).
    """
    if (jobs is not None and jobs < 1) or group < 2:
        raise UserError(
            f"jobs is {jobs} and group {group}", hint="At least 1 job, and 2 captions a group."
        )
    settings = settings or Settings.load()
    paths = find_videos([videos] if isinstance(videos, str | Path) else videos)
    folder = Folder(Path(out))
    context = open_dataset_context(settings)
    folder.open()
    made = made_with(context, seed, group)
    many = jobs or max(JOBS, settings.concurrency)
    if batch is not None:
        if engine != "local":
            raise UserError("batches are not for a cluster", hint="Leave --engine away.")

        earlier: dict[str, Usage] = {}

        def once() -> Built:
            local = LocalEngine(folder, context, seed=seed, group=group, jobs=many)
            try:
                return Run(folder, local, paths, made, on_progress, on_end, earlier).run()
            finally:
                earlier.update(context.usage_log.by_role())

        return in_batches(once, folder, context, batch)
    worked_by: Engine
    if engine == "ray":
        # imports the worker, which imports this
        from videoespresso.dataset.ray_engine import RayEngine, plan  # noqa: PLC0415

        told = plan(folder, settings, paths, seed=seed, group=group, made=made)
        worked_by = RayEngine(folder, told, address=ray_address, jobs=jobs)
    else:
        worked_by = LocalEngine(folder, context, seed=seed, group=group, jobs=many)
    return Run(folder, worked_by, paths, made, on_progress, on_end).run()
