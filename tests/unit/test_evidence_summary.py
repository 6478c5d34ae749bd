"""What records say of their evidence, by hand: nothing is asked."""

from typing import Any

import pytest

from videoespresso.evaluation import conditions, evidence_summary
from videoespresso.evaluation.cases import Truth
from videoespresso.evaluation.first_fault import faults, first_fault, lost
from videoespresso.types import NOT_CAPTIONED, Answer, Caption, CoreFrame, DroppedFrame, FrameRef
from videoespresso.types import Video as Film

BOX = [0.0, 0.0, 0.5, 0.5]


def record(k: int = 0, **more: Any) -> dict[str, Any]:
    truth = {"intervals": [[0.0, 4.0]], "boxes": [], "sentences": [["true", ""]], "carried": [True]}
    given = {"item": f"q{k}", "video": f"v{k % 2}", "said": "A", "checked": True, "lost": [None],
             "steps": [{"time_s": 1.0, "text": "so", "boxes": []}], "truth": truth}  # fmt: skip
    return given | more | {"truth": truth | more.get("truth", {})}


def values(found: Any) -> dict[str, float]:
    return {name: round(estimate.value, 6) for name, estimate in found.items()}


def test_sentences_are_counted_by_what_they_are_worth() -> None:
    told = [["true", ""], ["elsewhere", ""], ["contradicted", "mood"], ["undecidable", ""]]
    some = record(0, truth={"sentences": told, "carried": [True, False]})
    found = values(evidence_summary.entailment([(some, 1.0), (record(1), 0.0)]))
    assert found["sentences true at their instant"] == 0.4
    assert found["sentences with a wrong mood"] == found["sentences contradicted"] == 0.2
    assert found["sentences with a wrong actor"] == 0.0
    assert found["evidence is sufficient"] == 0.5
    bare = record(0) | {"truth": {"intervals": [], "boxes": None}}
    assert evidence_summary.entailment([(bare, 1.0)]) == {}, "other benchmarks cannot tell"


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        ("caption", {"lost": [None, "selector", "caption"]}),
        ("selector", {"lost": [None, "selector"]}),
        ("box", {"truth": {"boxes": [[1.0, BOX]]}}),
        ("evidence", {"truth": {"boxes": [[1.0, BOX]], "carried": [True, False]},
                      "steps": [{"time_s": 1.0, "text": "so", "boxes": [BOX]}]}),
        ("evidence", {"truth": {"sentences": [["contradicted", "act"]]}}),
        ("evidence", {"steps": []}),
        ("answer", {}),
        (None, {"truth": {"intervals": []}}),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_the_fault_of_the_first_stage(stage: str, more: Any) -> None:
    assert first_fault(record(**more)) == stage


def test_faults_are_counted_over_all_stages() -> None:
    found = faults([record(), record(lost=["filter"])])
    assert (found["answer"], found["filter"], found["caption"]) == (1, 1, 0)
    assert faults([{"truth": {"intervals": []}}]) == {}


def frame(time_s: float) -> FrameRef:
    return FrameRef(id=f"f@{time_s}", video_id="f", time_s=time_s, index=0, fps=1, rule="", sha="",
                    width=2, height=2)  # fmt: skip


@pytest.mark.parametrize(
    ("stages", "captions", "where"),
    [
        ((), (), "sampling"),
        (("select", "filter"), ("lies", "lies"), "caption"),
        (("select", "filter"), ("lies", "true"), "filter"),
        (("duplicate", "select"), ("true", "true"), "selector"),
        (("caption",), ("",), "caption"),
        (("passed by",), ("",), "selector"),
    ],
)
def test_where_a_stretch_was_lost(
    stages: tuple[str, ...], captions: tuple[str, ...], where: str
) -> None:
    dropped = [
        DroppedFrame.model_validate(
            {"frame_id": f"f@{k + 1.0}", "time_s": k + 1.0}
            | {"stage": "caption" if stage == "passed by" else stage}
            | {"reason": NOT_CAPTIONED if stage == "passed by" else ""}
        )
        for k, stage in enumerate(stages)
    ]
    told = [
        Caption(frame_id=f"f@{k + 1.0}", time_s=k + 1.0, text=t) for k, t in enumerate(captions)
    ]
    film = Film(id="f", path="f.mp4", duration_s=9.0, fps=1, width=2, height=2)
    core = (CoreFrame(frame=frame(7.0)),)
    answer = Answer(question="?", text="", core_frames=core, dropped=tuple(dropped), video=film)
    truth = Truth(
        intervals=((0.0, 4.0), (6.0, 8.0)),
        read=lambda cited: {"sentences": [(cited[0][0], "")]},
    )
    assert lost(truth, answer, told) == [where, None]


def test_a_checker_is_worth_what_it_tells_apart() -> None:
    good = [(record(k, checked=k != 3), float(k not in (2, 3))) for k in range(4)]
    found = values(evidence_summary.checker(good))
    assert found["right where checked"] == pytest.approx(2 / 3, abs=1e-5)
    assert found["right where not confirmed"] == 0.0
    assert found["expected calibration error"] == 0.25
    assert found["AUC"] == 0.75


def test_guessing_falls_out_of_linked_questions() -> None:
    def asked(k: int, video: str, *spans: tuple[float, float]) -> dict[str, Any]:
        return record(k, video=video, truth={"intervals": [*spans]})

    chain = [asked(0, "a", (0, 1)), asked(1, "a", (2, 3)), asked(2, "a", (0, 1), (2, 3)),
             asked(3, "a", (2, 3)), asked(4, "a", (8, 9)), asked(5, "b", (0, 1))]  # fmt: skip
    found = values(evidence_summary.groups([(r, float(k < 2)) for k, r in enumerate(chain)]))
    assert found == {"accuracy in groups of four": 0.5, "grouped score": 0.25,
                     "grouped by plain": 0.5}  # fmt: skip
    assert evidence_summary.groups([(chain[0], 1.0)] * 3) == {}


def test_the_oracle_gap_and_what_a_sentence_does() -> None:
    rows = [record(k) for k in range(4)]
    by = {
        conditions.OURS: [(r, float(k == 0)) for k, r in enumerate(rows)],
        conditions.GOLD_FRAMES: [(r, float(k < 3)) for k, r in enumerate(rows)],
        conditions.REMOVED: [(r | {"said": "B"}, 0.0) for r in rows[:1]] + [(rows[1], 1.0)],
    }
    assert values(evidence_summary.oracle_gap(by)) == {"gold frames": 0.5}
    changed = evidence_summary.necessity(conditions.REMOVED, by)
    assert values(changed) == {"answers that change": 0.5}
    assert evidence_summary.necessity(conditions.OURS, by) == {}


def test_the_means_of_v_star() -> None:
    rows = [
        ("v0", {"temporal IoU": 0.5, "mean best box IoU": 0.5}, 1.0),
        ("v1", {"temporal IoU": 0.5, "mean best box IoU": 0.5}, 0.0),
        ("v1", {"temporal IoU": 0.5}, 0.0),
    ]
    found = evidence_summary.chain(rows)
    assert found["AM of V-STaR"].value == 0.5
    lgm = found["LGM of V-STaR"]
    assert lgm.value == pytest.approx(0.693147, abs=1e-5)
    assert lgm.low is not None
    assert lgm.low < lgm.value
