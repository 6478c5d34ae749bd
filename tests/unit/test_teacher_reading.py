"""The teacher's reading of captions: clauses, when they hold, what is news."""

import pytest

from videoespresso.models.embedded.teacher import words
from videoespresso.models.embedded.teacher.reading import (
    Film,
    clauses,
    kind,
    read_shot,
    things,
)


def film(*texts: str) -> Film:
    return Film(tuple(read_shot(k + 1, float(k), text) for k, text in enumerate(texts)))


@pytest.mark.parametrize(
    ("sentence", "read"),
    [
        ("red car stops", [("red car", "stops")]),
        ("man in blue waves and is happy", [("man in blue", "waves"), ("man in blue", "is happy")]),
        ("white truck with logs drives past", [("white truck with logs", "drives past")]),
        ("A man in a blue shirt chops onions", [("man in a blue shirt", "chops onions")]),
        (
            "A man chops onions while a dog sleeps on the floor",
            [("man", "chops onions"), ("dog", "sleeps on the floor")],
        ),
        ("There are several people swimming", [("several people", "are swimming")]),
        ("A woman with glasses walks", [("woman with glasses", "walks")]),
        ("The girl laughs, then pets the dog", [("girl", "laughs"), ("girl", "pets the dog")]),
        ("She drinks the coffee", []),
        ("The dog is not barking", []),
        ("The image shows a beach", []),
        ("a vase on a table", []),
        ("", []),
    ],
)
def test_clauses_of_a_sentence(sentence: str, read: list[tuple[str, str]]) -> None:
    assert [tuple(c) for c in clauses(sentence)] == read


def test_a_theatre_caption_has_a_place_a_weather_and_clauses() -> None:
    shot = read_shot(1, 0.0, "street, rain: light is red; red car stops")
    assert (shot.place, shot.weather) == ("street", "rain")
    assert [tuple(c) for c in shot.clauses] == [("light", "is red"), ("red car", "stops")]


def test_what_is_seen_again_after_a_cut_did_not_start_again() -> None:
    seen = film(
        "room: cook waves", "park, sun: flower blooms", "room: cook waves", "room: cat sits"
    )
    assert [(h.start, h.end) for h in seen.happenings if h.clause.act == "waves"] == [(0, 2)]


def test_news_is_what_somebody_does_and_how_a_thing_changes() -> None:
    seen = film("street: light is green; boy stands", "street: light is red; boy runs away")
    assert {h.clause.text for h in seen.events} == {"the light is red", "the boy runs away"}


def test_rain_starts_between_two_shots_of_one_place() -> None:
    seen = film("park, sun: cat sits", "room: cat sits", "park, rain: cat sits")
    assert [h.start for h in seen.events if h.clause.act == "starts to rain"] == [2]
    assert not film("park, rain: cat sits", "street, sun: cat sits").events


@pytest.mark.parametrize(
    ("act", "named"),
    [
        ("gives the box to the man in blue", ["box", "man in blue"]),
        ("holds a balloon", ["balloon"]),
        ("runs after the red ball", ["red ball"]),
        ("plays with a red ball in a park", ["red ball", "park"]),
        ("stops", []),
    ],
)
def test_things_of_an_act(act: str, named: list[str]) -> None:
    assert things(act) == named


@pytest.mark.parametrize(
    ("who", "what"),
    [
        ("man in a red car", "person"),
        ("white truck with logs", "vehicle"),
        ("dog", "animal"),
        ("lamp", "thing"),
        ("two women", "person"),
    ],
)
def test_kind_of_a_subject(who: str, what: str) -> None:
    assert kind(who) == what


def test_forms_of_verbs_have_one_stem() -> None:
    for forms in (
        ("stops", "stopping", "stopped", "stop"),
        ("drives", "driving", "drove", "drive"),
        ("crosses", "crossing", "crossed", "cross"),
        ("fries", "frying", "fried", "fry"),
        ("falls", "falling", "fell", "fall"),
    ):
        assert len({words.stem(form) for form in forms}) == 1, forms
    assert words.base("crosses the road") == "cross the road"
    assert words.base("carries the box") == "carry the box"
