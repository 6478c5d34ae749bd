"""probe -> sample -> caption -> remember -> filter -> group, then for each group: generate, and for
each pair: verify -> annotate -> ground in time -> ground in space -> distract -> write.

Groups of a video and pairs of a group run side by side. Every stage is done once (see
DatasetContext.once); what it leaves is a record, a reject with its reason, or a failure which
another run may mend. Grounding in time comes before grounding in space, other than in the paper's
list: boxes are drawn on the core frames, and eq. 3 is what says which these are.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial, wraps
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from videoespresso.agents import generator
from videoespresso.dataset_record import REFUSED, UNKNOWN, UNUSABLE, path_text
from videoespresso.errors import ModelError, ModelOutputError, UnknownFilmError
from videoespresso.graphs import watch
from videoespresso.graphs.context import Context, bound, needed
from videoespresso.graphs.dataset_context import (
    SHORTEST,
    DatasetContext,
    DatasetState,
    Filmed,
    GroupState,
    Outcome,
    PairState,
    failure_of,
    reject,
    signed,
)
from videoespresso.graphs.dataset_pair import PAIR_CHAIN, PairNode
from videoespresso.graphs.state import Json, State
from videoespresso.models.batch_api.collector import Deferred
from videoespresso.models.client.errors import AccountError, RefusedError
from videoespresso.tasks import TASKS
from videoespresso.types import Caption

DatasetGraph: TypeAlias = CompiledStateGraph[DatasetState, DatasetContext, Filmed, Outcome]


def probe(state: DatasetState, runtime: Runtime[DatasetContext]) -> dict[str, Any]:
    """What the file is, and the video taken: a file with the same bytes is not done twice.

    Raises VideoError for a file that cannot be read, JournalTaken where another process has it.
    """
    needed(runtime)
    context = runtime.context
    with context.decoding:
        wrote = watch.probe(state, _base(runtime))
    # as it was given, so that records name no home folder
    wrote["video"]["path"] = path_text(state["path"])
    video = wrote["video"]
    first = context.journals.claim(video["id"], state["path"])
    if first:
        rejected = reject(video, "probe", "duplicate", f"the same bytes as {path_text(first)}")
        return {**wrote, **rejected, "stop": "duplicate"}
    return wrote


def sample(state: DatasetState, runtime: Runtime[DatasetContext]) -> dict[str, Any]:
    """See `watch.overview`; few files are decoded at a time. A film that the embedded models do not
    know is a reject."""
    try:
        with runtime.context.decoding:
            return watch.overview(state, _base(runtime))
    except UnknownFilmError as error:
        rejected = reject(state["video"], "sample", UNKNOWN, str(error))
        return {**rejected, "stop": "unknown"}


def _of_a_question(node: watch.Node) -> Callable[..., Json]:
    """A node of the ask graph, with the models and stores of this run."""

    @wraps(node)
    def run(state: State, runtime: Runtime[Any]) -> Json:
        return node(state, _base(runtime))

    return run


def _base(runtime: Runtime[DatasetContext]) -> Runtime[Context]:
    """What the nodes of a question work with."""
    return Runtime(context=runtime.context.base)


def group(state: DatasetState, runtime: Runtime[DatasetContext]) -> dict[str, Any]:
    """Surviving captions in rows of `context.group` (paper, step 4); a short remainder joins the
    group before it."""
    kept = set(state["kept"])
    rows = [c for c in state["captions"] if c["frame_id"] in kept and c["text"].strip()]
    size = runtime.context.group
    parts = [rows[k : k + size] for k in range(0, len(rows), size)]
    if len(parts) > 1 and len(parts[-1]) < min(SHORTEST, size):
        parts[-2:] = [parts[-2] + parts[-1]]
    if len(rows) < 2:
        why = f"{len(rows)} different captions of {len(state['frames'])} frames"
        return {"groups": [], **reject(state["video"], "filter", "too few captions", why)}
    return {"groups": [{"number": n, "captions": part} for n, part in enumerate(parts)]}


def close(state: DatasetState, runtime: Runtime[DatasetContext]) -> dict[str, Any]:
    """Lets another process have the video, unless more is to be done with it."""
    if runtime.context.releases:
        runtime.context.journals.release(state["path"])
    return {}


def to_groups(state: DatasetState) -> list[Send] | str:
    """A branch a group; a video without any is at its end."""
    frames = {f["id"]: f for f in state["frames"]}
    sends = [
        Send(
            "questions",
            GroupState(
                video=state["video"],
                number=g["number"],
                captions=g["captions"],
                frames=[frames[c["frame_id"]] for c in g["captions"]],
            ),
        )
        for g in state["groups"]
    ]
    return sends or "close"


def generate(state: GroupState, runtime: Runtime[DatasetContext]) -> Command[Any]:
    """Pairs about a group, and a branch for each (paper, step 5)."""
    context = runtime.context
    captions = [Caption.model_validate(c) for c in state["captions"]]
    captioned = context.captions_identity()
    identity = context.identity("generator", generator.prompt().sha)

    def make() -> Json:
        agent = context.agent("generator")
        reply = generator.generate(agent, captions)
        pairs = [p.model_dump(mode="json") for p in reply.value.pairs]
        return {"pairs": pairs, **signed(agent, generator.prompt().sha, reply)}

    payload = [captioned, [[c.time_s, c.text] for c in captions]]
    kept = context.once(state["video"]["id"], "generate", identity, payload, make)
    made = {"caption": {"model": captioned["model"], "prompt": captioned["prompt"]}}
    made["generate"] = kept["made"]
    usable, rejects = sifted(kept["pairs"], partial(_reject_pair, state))
    if not kept["pairs"]:
        why = f"the generator found nothing to ask about {len(captions)} captions"
        rejects = reject(state["video"], "generate", "no question", why, state["number"])
    branches = [Send("pair", {**state, **pair, "made": made, "cost": {}}) for pair in usable]
    return Command(update=rejects, goto=branches or END)


def _reject_pair(state: GroupState, pair: Json, criterion: str, reason: str) -> Json:
    return reject(state["video"], "generate", criterion, reason, state["number"], pair)


def sifted(
    pairs: Sequence[Json], refuse: Callable[[Json, str, str], Json]
) -> tuple[list[Json], Json]:
    """The pairs that can be used, and the rejects of those that cannot be, whatever a verifier
    would say: empty, without one of the 14 tasks, asked twice, or speaking of "frame 3"."""
    usable: list[Json] = []
    rejects: list[Json] = []
    for pair in pairs:
        fault = fault_of(pair, usable)
        if fault:
            rejects += refuse(pair, *fault)["rejects"]
        else:
            usable.append(pair)
    return usable, {"rejects": rejects}


def fault_of(pair: Json, before: Sequence[Json]) -> tuple[str, str] | None:
    """(criterion, reason) of a pair that cannot be used."""
    question, answer = pair["question"].strip(), pair["answer"].strip()
    if not question or not answer:
        return "empty", "question or answer is empty"
    if pair["task"] not in TASKS:
        return "task", "none of the 14 tasks was given"
    if any(p["question"].strip().casefold() == question.casefold() for p in before):
        return "asked twice", "the group has this question already"
    if named := generator.NAMES_A_FRAME.search(f"{question} {answer}"):
        return "names a frame", f"speaks of {named[0]!r}: whoever watches a video has no numbers"
    return None


def settled(run: Callable[[], Any], state: GroupState, stage: str, pair: Json | None) -> Any:
    """Runs a stage. A model that fails leaves a failure, a refusal or a reply of no use a reject,
    one that will come in a batch a note of it; what ends the whole run (a limit, a wrong setting, a
    wrong key, a full disk) passes through."""
    try:
        return run()
    except Deferred as deferred:
        return {"deferred": [{"key": deferred.key}], "over": True}
    except (ModelOutputError, RefusedError) as error:
        criterion = REFUSED if isinstance(error, RefusedError) else UNUSABLE
        number = state.get("number")
        rejected = reject(state["video"], stage, criterion, str(error), number, pair)
        return {**rejected, "over": True}
    except AccountError:
        raise
    except ModelError as error:
        return {"failures": [failure_of(state, stage, str(error))], "over": True}


def _settled_pair(node: PairNode) -> Callable[..., Json]:
    @wraps(node)
    def run(state: PairState, runtime: Runtime[DatasetContext]) -> Json:
        pair = {"question": state["question"], "answer": state["answer"]}
        wrote: Json = settled(lambda: node(state, runtime), state, node.__name__, pair)
        return wrote

    return run


def settled_group(state: GroupState, runtime: Runtime[DatasetContext]) -> Command[Any]:
    """`generate`; where it fails, the group ends."""
    wrote = settled(lambda: generate(state, runtime), state, "generate", None)
    if isinstance(wrote, Command):
        return wrote
    return Command(update={k: v for k, v in wrote.items() if k != "over"}, goto=END)


def pair_graph() -> CompiledStateGraph[Any, DatasetContext, Any, Any]:
    """A pair's way to a record; it ends early when it is rejected or fails."""
    builder = StateGraph(PairState, context_schema=DatasetContext, output_schema=Outcome)
    for node in PAIR_CHAIN:
        builder.add_node(node.__name__, _settled_pair(node))
    builder.add_edge(START, PAIR_CHAIN[0].__name__)
    for a, b in pairwise(node.__name__ for node in PAIR_CHAIN):
        builder.add_conditional_edges(a, _unless_over(b), [b, END])
    builder.add_edge(PAIR_CHAIN[-1].__name__, END)
    return builder.compile(name="pair", checkpointer=False)


def _unless_over(onward: str) -> Callable[[PairState], str]:
    def route(state: PairState) -> str:
        return END if state.get("over") else onward

    return route


def questions_graph() -> CompiledStateGraph[Any, DatasetContext, Any, Any]:
    """A group's way to pairs, and the pairs' side by side."""
    builder = StateGraph(GroupState, context_schema=DatasetContext, output_schema=Outcome)
    builder.add_node("generate", settled_group, destinations=("pair", END))
    builder.add_node("pair", pair_graph())
    builder.add_edge(START, "generate")
    builder.add_edge("pair", END)
    return builder.compile(name="questions", checkpointer=False)


@cache
def dataset_graph() -> DatasetGraph:
    """The whole: a video's path -> its records, rejects and failures; `context=` a DatasetContext.

    Raises, when run, UserError without a context, VideoError for a video that cannot be read,
    ModelError where its frames cannot be captioned, BudgetExceeded at a limit, JournalTaken where
    another process is at work on the video, and Stopped when the run was asked to stop. After an
    error, and always where `context.releases` is False, whoever ran it calls
    `context.journals.release(path)`.
    """
    builder = StateGraph(
        DatasetState, context_schema=DatasetContext, input_schema=Filmed, output_schema=Outcome
    )
    builder.add_node("probe", probe)
    builder.add_node("sample", sample)
    builder.add_node("caption", _of_a_question(watch.caption))
    builder.add_node("remember", _of_a_question(watch.remember))
    builder.add_node("filter", _of_a_question(watch.filter_))
    builder.add_node("group", group)
    builder.add_node("questions", questions_graph())
    builder.add_node("close", close)
    builder.add_edge(START, "probe")
    builder.add_conditional_edges("probe", _new, ["sample", "close"])
    builder.add_conditional_edges("sample", _known, ["caption", "close"])
    for a, b in pairwise(("caption", "remember", "filter", "group")):
        builder.add_edge(a, b)
    builder.add_conditional_edges("group", to_groups, ["questions", "close"])
    builder.add_edge("questions", "close")
    builder.add_edge("close", END)
    return builder.compile(name="dataset")


def _new(state: DatasetState) -> str:
    return "close" if state.get("stop") else "sample"


def _known(state: DatasetState) -> Literal["caption", "close"]:
    return "close" if state.get("stop") else "caption"


def build_dataset_graph(context: DatasetContext) -> DatasetGraph:
    """The graph with a context in it. Deprecated, until 1.0: `dataset_graph()`, which is given the
    context when it is run."""
    warnings.warn("use dataset_graph() and give it context=", DeprecationWarning, stacklevel=2)
    return bound(dataset_graph(), context)
