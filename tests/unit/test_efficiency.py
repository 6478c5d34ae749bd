"""Efficiency: numbers computed by hand, and what is not known."""

import pytest

from videoespresso.evaluation import efficiency
from videoespresso.evaluation.efficiency import LOOKING, Parameters
from videoespresso.models.client.usage import UsageEntry, UsageLog
from videoespresso.types import Usage

SIZES = Parameters(language=4_000_000, vision=2_000_000, patches=144, image_tokens=16)
KNOWN = {"captioner": SIZES, "reasoner": SIZES}
NEEDED = {
    "captioner": {"calls": 10, "input_tokens": 900, "output_tokens": 100, "images": 10,
                  "image_tokens": 160},
    "reasoner": {"calls": 2, "input_tokens": 400, "output_tokens": 100, "images": 4,
                 "image_tokens": 64},
}  # fmt: skip


def test_tflops_by_the_formula() -> None:
    every = efficiency.tflops(NEEDED, KNOWN)
    assert every is not None
    # 2 × 4e6 × (1000 + 500) and 2 × 2e6 × 144 × (10 + 4), in 1e12
    assert every.language == pytest.approx(0.012)
    assert every.vision == pytest.approx(0.008064)
    reasoner = efficiency.tflops(NEEDED, KNOWN, LOOKING)
    assert reasoner is not None
    assert reasoner.language == pytest.approx(0.004)
    assert reasoner.vision == pytest.approx(0.002304)


def test_parameters_that_are_not_known_are_not_guessed() -> None:
    partly = {"captioner": None, "reasoner": SIZES}
    assert efficiency.tflops(NEEDED, partly) is None
    assert efficiency.tflops(NEEDED, partly, LOOKING) is not None
    assert efficiency.tflops(NEEDED, {}) is None
    assert efficiency.parameters_of({"reasoner": object()}) == {"reasoner": None}


def test_a_reply_of_the_cache_counts_as_if_it_had_been_asked_for() -> None:
    log = UsageLog()
    asked = Usage(calls=1, input_tokens=200, output_tokens=50, images=2)
    log.record(UsageEntry("reasoner", "x", asked, image_tokens=700))
    before = UsageEntry("reasoner", "x", asked, image_tokens=700)
    log.record(UsageEntry("reasoner", "x", Usage(cached_calls=1), stored=before))
    assert log.total().input_tokens == 200
    found = efficiency.used(log, {"reasoner": SIZES})["reasoner"]
    assert found == {"calls": 2, "input_tokens": 400, "output_tokens": 100, "images": 4,
                     "image_tokens": 64}  # fmt: skip
    assert efficiency.used(log, {})["reasoner"]["image_tokens"] == 1400, "the estimate"


def record(video: str, *, first: bool, usd: float | None) -> efficiency.Json:
    needed = NEEDED if first else {"reasoner": NEEDED["reasoner"]}
    return {"video": video, "first": first, "frames": 2, "needed": needed, "cached_calls": 0,
            "captioned": 10 if first else 0, "seconds": 6.0 if first else 2.0, "usd": usd,
            "nodes": {"answer": 1.0, **({"caption": 4.0} if first else {})}}  # fmt: skip


def test_first_and_later_questions_apart() -> None:
    records = [record(v, first=first, usd=0.0) for v in "ab" for first in (True, False, False)]
    found = {name: one.value for name, one in efficiency.costs(records, KNOWN).items()}
    assert found["model calls"] == pytest.approx((12 + 2 + 2) / 3)
    assert (found["model calls, first"], found["model calls, later"]) == (12, 2)
    assert found["image tokens"] == pytest.approx((160 + 64 + 64 + 64) / 3)
    assert found["text tokens in"] == pytest.approx((1300 - 224 + 2 * (400 - 64)) / 3)
    assert found["TFLOPs, first"] == pytest.approx(0.012)
    assert found["TFLOPs, later"] == pytest.approx(0.004)
    assert found["TFLOPs without looking"] == pytest.approx(0.004)
    stages = efficiency.stages(records)
    assert (stages["caption"].value, stages["caption"].n) == (4.0, 2), "where it came there at all"
    assert stages["answer"].n == 6


def test_a_price_that_is_not_known_is_left_out() -> None:
    found = efficiency.costs([record("a", first=True, usd=None)], {})
    assert "dollars" not in found
    assert not [name for name in found if name.startswith("TFLOPs")]


def test_memory_is_measured() -> None:
    peak = efficiency.peak_mb()
    assert peak is None or 10 < peak < 1e6
    assert efficiency.peak_of([{"peak_mb": 3.0}, {"peak_mb": 5.0}, {}]) == 5.0


def test_the_pack_says_its_sizes() -> None:
    from videoespresso.models.embedded.chat import PackChatModel, runtime  # noqa: PLC0415

    sizes = efficiency.parameters_of({"reasoner": PackChatModel()})["reasoner"]
    assert sizes is not None
    assert sizes.language + sizes.vision == runtime().facts["parameters"]
