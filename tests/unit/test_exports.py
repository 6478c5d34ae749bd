"""The public names: few, sorted, and all there."""

from importlib.util import find_spec

import videoespresso as ve

FEW = 40
"""A person can read these; beyond that a name belongs to its module."""


def test_exported_names_are_sorted_and_few() -> None:
    assert list(ve.__all__) == sorted(ve.__all__)
    assert 0 < len(ve.__all__) <= FEW


def test_exported_names_exist_and_are_ours() -> None:
    for name in ve.__all__:
        exported = getattr(ve, name)
        assert getattr(exported, "__module__", "videoespresso").startswith("videoespresso"), name


def test_the_readme_names_are_exported() -> None:
    assert {"Answer", "ask"} <= set(ve.__all__)


def test_no_module_takes_the_place_of_an_exported_name() -> None:
    """Importing `videoespresso.ask` would put the module where the function is expected."""
    shadowed = [name for name in ve.__all__ if find_spec(f"videoespresso.{name}") is not None]
    assert shadowed == []
