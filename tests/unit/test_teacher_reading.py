"""The teacher's reading of captions: clauses, when they hold, what is news."""

import pytest

from videoespresso.models.embedded.teacher.captions import Film, film_of, kind, read_caption, things
from videoespresso.theatre import make_story


def film(*texts: str) -> Film:
    return film_of(texts)


@pytest.mark.parametrize(
    ("caption", "read"),
    [
        ("red car stops", [("red car", "stops")]),
        (
            "room: man in blue waves and is sad",
            [("man in blue", "waves"), ("man in blue", "is sad")],
        ),
        ("white truck with logs drives past", [("white truck with logs", "drives past")]),
        ("street: light is red; cat sits", [("light", "is red"), ("cat", "sits")]),
        ("a vase on a table", []),
        ("The dog is not barking", []),
        ("Two children play in a park.", []),
        ("", []),
    ],
)
def test_clauses_of_a_caption(caption: str, read: list[tuple[str, str]]) -> None:
    assert [tuple(c) for c in read_caption(caption).clauses] == read


def test_every_caption_of_the_theatre_is_read() -> None:
    """Each actor's clause, in its own words; nothing more."""
    for seed in range(1_000_000, 1_000_060):
        for phase in make_story(seed).phases:
            shot = read_caption(phase.caption)
            assert (shot.place, shot.weather) == (phase.setting, phase.weather)
            said = {part for a in phase.actors for part in a.clause.split(" and ")}
            read = {c.act if c.mood else f"{c.who} {c.act}" for c in shot.clauses}
            moods = {p for p in read if p.startswith("is ")}
            assert read - moods <= said
            assert all(any(s.endswith(m) for s in said) for m in moods)
            assert len(shot.clauses) == len(
                {(a.phrase, p) for a in phase.actors for p in a.clause.split(" and ")}
            )


def test_what_is_seen_again_after_a_cut_did_not_start_again() -> None:
    seen = film(
        "room: cook waves", "park, sun: flower blooms", "room: cook waves", "room: cat sits"
    )
    assert [(h.start, h.end) for h in seen.happenings if h.clause.act == "waves"] == [(0, 2)]


def test_news_is_what_somebody_does_and_how_a_thing_changes() -> None:
    seen = film("street: light is green; cook stands", "street: light is red; cook runs away")
    assert {h.clause.text for h in seen.events} == {"the light is red", "the cook runs away"}


def test_rain_starts_between_two_shots_of_one_place() -> None:
    seen = film("park, sun: cat sits", "room: cat sits", "park, rain: cat sits")
    assert [h.start for h in seen.events if h.clause.act == "starts to rain"] == [2]
    assert not film("park, rain: cat sits", "street, sun: cat sits").events


@pytest.mark.parametrize(
    ("act", "named"),
    [
        ("gives the box to the man in blue", ["box", "man in blue"]),
        ("holds a balloon", ["balloon"]),
        ("chops the carrot", ["carrot"]),
        ("stops", []),
    ],
)
def test_things_of_an_act(act: str, named: list[str]) -> None:
    assert things(act) == named


@pytest.mark.parametrize(
    ("who", "what"),
    [
        ("man in red", "person"),
        ("white truck with logs", "vehicle"),
        ("dog", "animal"),
        ("lamp", "thing"),
    ],
)
def test_kind_of_a_subject(who: str, what: str) -> None:
    assert kind(who) == what
