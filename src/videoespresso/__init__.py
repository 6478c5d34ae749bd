"""Ask a video a question and see the evidence: core frames, timestamps, boxes.

import videoespresso as ve
answer = ve.ask("clip.mp4", "Why does the red car stop?")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videoespresso.api.answer import Answer, CoreFrame
    from videoespresso.api.ask import Step, aask, ask, astream, stream
    from videoespresso.api.ask_many import ask_many
    from videoespresso.api.ask_many_records import Question, QuestionResult
    from videoespresso.api.build_dataset import build_dataset
    from videoespresso.api.chat import Chat
    from videoespresso.api.evaluate import compare, evaluate
    from videoespresso.api.score import score
    from videoespresso.dataset_record import DatasetItem
    from videoespresso.errors import (
        BudgetExceeded,
        ModelError,
        SettingsError,
        ToolError,
        UserError,
        VideoError,
        VideoEspressoError,
    )
    from videoespresso.graphs.ask import ask_graph
    from videoespresso.graphs.chat import chat_graph
    from videoespresso.graphs.context import open_context
    from videoespresso.graphs.dataset import dataset_graph
    from videoespresso.graphs.dataset_context import open_dataset
    from videoespresso.report.progress_bar import ProgressBar
    from videoespresso.settings import Settings
    from videoespresso.tools.base import Finding, ToolRequest
    from videoespresso.training.run import train
    from videoespresso.types import (
        Box,
        EvidenceStep,
        FrameRef,
        KeyItem,
        Progress,
        Usage,
        Video,
    )

__all__ = [
    "Answer",
    "Box",
    "BudgetExceeded",
    "Chat",
    "CoreFrame",
    "DatasetItem",
    "EvidenceStep",
    "Finding",
    "FrameRef",
    "KeyItem",
    "ModelError",
    "Progress",
    "ProgressBar",
    "Question",
    "QuestionResult",
    "Settings",
    "SettingsError",
    "Step",
    "ToolError",
    "ToolRequest",
    "Usage",
    "UserError",
    "Video",
    "VideoError",
    "VideoEspressoError",
    "aask",
    "ask",
    "ask_graph",
    "ask_many",
    "astream",
    "build_dataset",
    "chat_graph",
    "compare",
    "dataset_graph",
    "evaluate",
    "open_context",
    "open_dataset",
    "score",
    "stream",
    "train",
]


_LATER = {
    "Answer": "api.answer",
    "Box": "types",
    "BudgetExceeded": "errors",
    "Chat": "api.chat",
    "CoreFrame": "api.answer",
    "DatasetItem": "dataset_record",
    "EvidenceStep": "types",
    "Finding": "tools.base",
    "FrameRef": "types",
    "KeyItem": "types",
    "ModelError": "errors",
    "Progress": "types",
    "ProgressBar": "report.progress_bar",
    "Question": "api.ask_many_records",
    "QuestionResult": "api.ask_many_records",
    "Settings": "settings",
    "SettingsError": "errors",
    "Step": "api.ask",
    "ToolError": "errors",
    "ToolRequest": "tools.base",
    "Usage": "types",
    "UserError": "errors",
    "Video": "types",
    "VideoError": "errors",
    "VideoEspressoError": "errors",
    "aask": "api.ask",
    "ask": "api.ask",
    "ask_graph": "graphs.ask",
    "ask_many": "api.ask_many",
    "astream": "api.ask",
    "build_dataset": "api.build_dataset",
    "chat_graph": "graphs.chat",
    "compare": "api.evaluate",
    "dataset_graph": "graphs.dataset",
    "evaluate": "api.evaluate",
    "open_context": "graphs.context",
    "open_dataset": "graphs.dataset_context",
    "score": "api.score",
    "stream": "api.ask",
    "train": "training.run",
}
"""Name -> the module it comes from when it is first used: whoever needs one part, as the decoding
process of each video does, does not load the others."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"videoespresso.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
