"""One video from its path to its shard: what a thread does here and a worker on another machine."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from videoespresso.dataset.folder import Folder
from videoespresso.dataset.manifest import made_key, made_with
from videoespresso.dataset_record import Reject, path_text
from videoespresso.errors import BudgetExceeded, ModelError, SettingsError, UserError, VideoError
from videoespresso.graphs.context import Context
from videoespresso.graphs.dataset import dataset_graph
from videoespresso.graphs.dataset_context import GROUP, DatasetContext, Event, Stopped, reject
from videoespresso.memory.frames import PixelsGone
from videoespresso.memory.journal import Journals, JournalTaken
from videoespresso.models.batch_api.collector import Deferred
from videoespresso.models.client.errors import AccountError
from videoespresso.tools.detectors.label_check import label_check

Json = dict[str, Any]

TRIES = 3
"""How often a video's frames are sampled: what was damaged or evicted is decoded anew."""


@dataclass
class Outcome:
    """What became of a video. complete: every pair of it is a record or a reject.

    ended: why the run must end ("budget", "refused", "stopped"), empty while it goes on; message:
    why it ended or waits, hint: what to do. busy: another process is at work on it. unreadable: why
    the file is no video that can be read, "" if it is one. deferred: replies it waits for, of
    batches. lying: the id of the video at that path, "" where it is not known; video_id: "" for a
    duplicate.
    """

    path: str
    video_id: str = ""
    lying: str = ""
    items: dict[str, Json] = field(default_factory=dict)
    rejects: dict[str, Json] = field(default_factory=dict)
    failures: dict[str, Json] = field(default_factory=dict)
    deferred: set[str] = field(default_factory=set)
    complete: bool = False
    busy: bool = False
    unreadable: str = ""
    ended: str = ""
    message: str = ""
    hint: str = ""

    @property
    def name(self) -> str:
        """What its shard is called: by its bytes, or by its path where these are unknown or are
        another file's."""
        return self.video_id[:16] or self.unread

    @property
    def unread(self) -> str:
        """What its shard is called where its bytes are unknown or are another file's."""
        path = hashlib.sha256(self.path.encode(errors="surrogateescape")).hexdigest()
        return f"path-{path[:16]}"

    @property
    def answered(self) -> bool:
        """Whether it went on: its models replied, or will in a batch. A file that cannot be read
        says nothing of them."""
        return bool(self.items or self.deferred or (self.complete and not self.unreadable))

    def take(self, update: Json) -> None:
        """Takes in what a node wrote; the same record may come by way of several graphs."""
        for item in update.get("items") or ():
            self._take_item(item)
        for rejected in update.get("rejects") or ():
            self.rejects[repr(sorted(rejected.items(), key=str))] = rejected
        for failure in update.get("failures") or ():
            self.failures[repr(sorted(failure.items(), key=str))] = failure
        self.deferred |= {d["key"] for d in update.get("deferred") or ()}
        if video := update.get("video"):
            self.lying = str(video["id"])
            self.video_id = "" if update.get("stop") == "duplicate" else self.lying

    def _take_item(self, item: Json) -> None:
        """Where several groups came to the same pair the first one's is the record, whichever was
        done first."""
        known = self.items.get(item["id"], item)
        first, other = sorted((known, item), key=lambda i: i["group"])
        self.items[item["id"]] = first
        if other["group"] != first["group"]:
            why = "an earlier group has this pair already"
            self.take(reject(item["video"], "generate", "asked twice", why, other["group"], other))

    def shard(self) -> Json:
        """As the folder keeps it."""
        return {
            "path": self.path,
            "file": os.path.abspath(self.path),
            "video_id": self.video_id,
            "complete": self.complete,
            "items": list(self.items.values()),
            "rejects": list(self.rejects.values()),
            "failures": list(self.failures.values()),
        }


class Worker:
    """Does videos, one a call; several threads may share one.

    context: models, stores, limits. tell: called after every stage. first: whose a video
    is that several files hold (videos.first_paths).
    """

    def __init__(
        self,
        folder: Folder,
        context: Context,
        *,
        seed: int = 0,
        group: int = GROUP,
        concurrency: int = 16,
        tell: Callable[[Event], None] = lambda _event: None,
        first: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self.context = DatasetContext(
            base=context,
            keep_image=self._keep_image,
            journals=Journals(folder.work, first),
            label_check=label_check(context.settings.label_check),
            tell=tell,
            seed=seed,
            group=group,
            releases=False,
        )
        self.made = made_key(made_with(context, seed, group))
        self._concurrency = concurrency
        self._graph = dataset_graph()

    def _keep_image(self, frame: Json) -> str:
        frames = self._folder.frames
        name = self.context.base.store.keep(frame["video_id"], frame["sha"], frames)
        return f"{frames.name}/{name}"

    def stop(self) -> None:
        """Ends at the next calls; what is under way is finished and kept."""
        self.context.stopping.set()
        self.context.base.budget.stop("the run was stopped")

    def do(self, path: str) -> Outcome:
        """The outcome of a video; its shard is written. Raises only what is about the run and not
        about the video: SettingsError, MemoryStoreError."""
        outcome = Outcome(path)
        try:
            self._settle(outcome)
            if outcome.complete or outcome.items or outcome.rejects or outcome.failures:
                self._write(outcome)
        except JournalTaken as error:
            outcome.busy, outcome.message = True, str(error)
        finally:
            self.context.journals.release(path)
        return outcome

    def _settle(self, outcome: Outcome) -> None:
        """Does the video. Raises as `do` does, and JournalTaken."""
        try:
            self._run(outcome)
            outcome.complete = not outcome.failures and not outcome.deferred
        except BudgetExceeded as error:
            stopped = self.context.stopping.is_set()
            outcome.ended, outcome.message = "stopped" if stopped else "budget", str(error)
        except Deferred as deferred:
            outcome.deferred.add(deferred.key)
        except AccountError as error:
            outcome.ended, outcome.message, outcome.hint = "refused", str(error), error.hint
        except Stopped:
            outcome.ended = "stopped"
        except (VideoError, ModelError, PixelsGone) as error:
            _lost(outcome, error)

    def _write(self, outcome: Outcome) -> None:
        """Writes its shard, while no other process may."""
        if outcome.complete or not self._folder.has(outcome.name, self.made):
            self._folder.write_shard(outcome.name, outcome.shard() | {"made": self.made})
        if outcome.name != outcome.unread:  # it could be, other than in an earlier run
            self._folder.shard(outcome.unread).unlink(missing_ok=True)

    def _run(self, outcome: Outcome) -> None:
        for left in reversed(range(TRIES)):
            try:
                self._run_once(outcome)
                return
            except PixelsGone:
                if not left:
                    raise
                outcome.failures.clear()
                outcome.deferred.clear()

    def _run_once(self, outcome: Outcome) -> None:
        try:
            for update in self._updates(outcome.path):
                outcome.take(update)
        except (SettingsError, VideoError, ModelError, BudgetExceeded, Stopped, JournalTaken):
            raise
        except UserError as error:
            raise VideoError(str(error), hint=error.hint) from error

    def _updates(self, path: str) -> Iterator[Json]:
        """What each node writes, of the graphs inside too, as it comes: if the run ends in the
        middle of a video, what was finished is known."""
        stream: Iterator[Any] = self._graph.stream(
            {"path": path},
            # one more: LangGraph waits for updates in a thread of the same pool
            {"max_concurrency": self._concurrency + 1},
            context=self.context,
            stream_mode="updates",
            subgraphs=True,
        )
        for _, updates in stream:
            for update in updates.values():
                if isinstance(update, dict):
                    yield update


def _lost(outcome: Outcome, error: VideoError | ModelError | PixelsGone) -> None:
    """A video that cannot be read is a reject; one whose model failed, or whose frames do not stay
    in their store, may be done another time."""
    if isinstance(error, VideoError):
        outcome.unreadable = path_text(f"{error}. {error.hint}".strip())
        rejected = Reject(
            video=path_text(outcome.path),
            stage="probe",
            criterion="unreadable video",
            reason=outcome.unreadable,
        )
        outcome.take({"rejects": [rejected.model_dump(mode="json")]})
        outcome.complete = True
    else:
        stage = "caption" if isinstance(error, ModelError) else "sample"
        failure = {"stage": stage, "reason": str(error), "video": outcome.path}
        outcome.take({"failures": [failure]})
