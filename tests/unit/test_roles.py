"""Which model a role uses: what was set, what follows it, and never the pack unasked."""

from pathlib import Path

import pytest

from videoespresso.cli.options import roles, settings_of
from videoespresso.errors import SettingsError, UserError
from videoespresso.models.profiles import NOT_CHOSEN, resolve
from videoespresso.models.weights import NOTE, Pulled
from videoespresso.settings import ROLES, Settings

C, R, X = "openai:c@http://h/v1", "openai:r@http://h/v1", "onnx:some/model?dtype=q4f16"
PACK, TEACHER, OFF, WORDS = "embedded:", "embedded:teacher", "off", "wordllama"

TABLE = {
    # what was set: captioner, selector, reasoner, checker, detector, embedder,
    #               generator, verifier, annotator, distractor
    "nothing": ({}, (PACK,) * 5 + (WORDS,) + (TEACHER,) * 4),
    "the captioner": ({"captioner": C}, (C,) * 4 + (OFF, WORDS) + (C,) * 4),
    "the reasoner": ({"reasoner": R}, (R,) * 4 + (OFF, WORDS) + (R,) * 4),
    "both": ({"captioner": C, "reasoner": R}, (C, C, R, R, OFF, WORDS, R, R, R, R)),
    "the selector": ({"selector": X}, (X,) * 4 + (OFF, WORDS) + (X,) * 4),
    "the checker and the captioner": (
        {"checker": X, "captioner": C},
        (C, C, C, X, OFF, WORDS, C, C, C, C),
    ),
    "a role of dataset mode": ({"verifier": X}, (X,) * 4 + (OFF, WORDS) + (X,) * 4),
    "every role": ({"model": X}, (X,) * 4 + (OFF, WORDS) + (X,) * 4),
    "every role and one": (
        {"model": X, "generator": R},
        (X, X, X, X, OFF, WORDS, R, X, X, X),
    ),
    "the pack": ({"model": PACK}, (PACK,) * 5 + (WORDS,) + (TEACHER,) * 4),
    "the pack reasons": ({"reasoner": PACK}, (PACK,) * 5 + (WORDS,) + (TEACHER,) * 4),
    "the pack captions": (
        {"captioner": PACK, "reasoner": R},
        (PACK, PACK, R, R, OFF, WORDS, R, R, R, R),
    ),
    "the teacher": ({"generator": TEACHER}, (PACK,) * 5 + (WORDS,) + (TEACHER,) * 4),
    "a detector": ({"detector": "hf:d"}, (PACK,) * 4 + ("hf:d", WORDS) + (TEACHER,) * 4),
    "a profile": (
        {"profile": "local"},
        ("openai:@http://localhost:8000/v1",) * 4
        + (OFF, WORDS)
        + ("openai:@http://localhost:8000/v1",) * 4,
    ),
    "the pack's profile and the reasoner": (
        {"profile": "embedded", "reasoner": R},
        (PACK, PACK, R, PACK, OFF, WORDS) + (TEACHER,) * 4,
    ),
    "the pack's profile and every role": (
        {"profile": "embedded", "model": X},
        (X,) * 4 + (OFF, WORDS) + (X,) * 4,
    ),
    "the pack's profile and a detector": (
        {"profile": "embedded", "detector": OFF},
        (PACK,) * 4 + (OFF, WORDS) + (TEACHER,) * 4,
    ),
    "a profile with a detector, and the reasoner": (
        {"profile": "paper", "model": X, "reasoner": R},
        (X, X, R, X, "hf:IDEA-Research/grounding-dino-base", "hf:BAAI/bge-m3", X, X, X, X),
    ),
}


def loaded(given: dict[str, str], folder: Path) -> Settings:
    return Settings.load({**given, "models_dir": folder}, environ={})


@pytest.mark.parametrize("what", TABLE)
def test_a_role_follows_what_was_set(what: str, tmp_path: Path) -> None:
    given, specs = TABLE[what]
    found = resolve(loaded(given, tmp_path))
    assert {role: found[role].spec for role in ROLES} == dict(
        zip(
            ["captioner", "selector", "reasoner", "checker", "detector", "embedder",
             "generator", "verifier", "annotator", "distractor"],
            specs,
            strict=True,
        )
    )  # fmt: skip


def test_a_role_says_whom_it_follows(tmp_path: Path) -> None:
    found = resolve(loaded({"captioner": C, "reasoner": R}, tmp_path))
    assert found["captioner"].source == "given"
    assert found["selector"].source == "as the captioner"
    assert found["verifier"].source == "as the reasoner"
    assert found["detector"].source == NOT_CHOSEN


@pytest.mark.parametrize(
    ("given", "spec", "source"),
    [
        ({"model": X}, "onnx:", "pulled"),
        ({"profile": "openai"}, "onnx:", "pulled"),
        ({"profile": "embedded", "reasoner": X}, "onnx:", "pulled"),
        ({"profile": "paper"}, "hf:IDEA-Research/grounding-dino-base", "profile paper"),
        ({"model": X, "detector": OFF}, OFF, "given"),
        ({}, PACK, "profile embedded (default)"),
    ],
)
def test_a_pulled_detector_is_used_where_none_was_chosen(
    given: dict[str, str], spec: str, source: str, tmp_path: Path
) -> None:
    note = Pulled(part="detector", repo="a/b", files={"model.onnx": 0})
    (tmp_path / "detector").mkdir()
    (tmp_path / "detector" / "model.onnx").touch()
    (tmp_path / "detector" / NOTE).write_text(note.model_dump_json())
    found = resolve(loaded(given, tmp_path))["detector"]
    assert found.spec == (spec if spec != "onnx:" else f"onnx:{tmp_path / 'detector'}")
    assert found.source == source


def test_one_place_beats_another_whole(tmp_path: Path) -> None:
    """`model` of a place beats single roles of the places behind it, and not those of its own."""
    file = tmp_path / "videoespresso.toml"
    file.write_text(f'captioner = "{C}"\nchecker = "{C}"\n')
    environ = {"VIDEOESPRESSO_CHECKER": R, "VIDEOESPRESSO_MODEL": X}
    settings = Settings.load(file=file, environ=environ)
    assert (settings.captioner, settings.checker, settings.verifier) == (X, R, X)
    assert settings.source("captioner") == "VIDEOESPRESSO_MODEL"
    settings = Settings.load({"model": C, "verifier": None}, file=file, environ=environ)
    assert {getattr(settings, role) for role in ROLES} == {C, ""}
    settings = Settings.load({"reasoner": R}, file=file, environ={})
    assert resolve(settings)["captioner"].spec == C


def test_a_model_for_every_role_or_for_one() -> None:
    assert roles([X]) == {"model": X}
    assert roles([f"reasoner={R}", X]) == {"model": X, "reasoner": R}
    assert roles([f"reasoner={X}"]) == {"reasoner": X}
    assert roles(["detector=onnx:a=b.onnx"]) == {"detector": "onnx:a=b.onnx"}
    assert settings_of(model=[X]).reasoner == X


@pytest.mark.parametrize(
    "given",
    [["cook=openai:x"], ["reasoner"], ["reasoner="], ["detector="], [""], ["gpt-4o"],
     ["reasoner=gpt-4o"], [X, R], [f"reasoner={X}", f"reasoner={R}"]],
)  # fmt: skip
def test_what_is_no_model_is_said_with_both_ways_to_write_it(given: list[str]) -> None:
    with pytest.raises(UserError, match="--model") as caught:
        roles(given)
    assert "--model SPEC" in caught.value.hint
    assert "ROLE=SPEC" in caught.value.hint


def test_a_wrong_model_for_every_role_in_a_file_is_found_before_the_video() -> None:
    with pytest.raises(SettingsError):
        resolve(Settings.load({"model": "gpt-4o"}, environ={}))
