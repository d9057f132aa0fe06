"""Recipes say exactly what is wrong, and where."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.config import (
    Record,
    override,
    parse_document,
    read_document,
    recipe_hash,
    to_yaml,
    validate,
)
from isogloss.core.errors import RecipeError


class Losses(Record):
    hidden: float = 1.0
    attention: float = 1.0


class Phase(Record):
    steps: int = 10
    losses: Losses = Losses()


class Tiny(Record):
    method: Literal["tiny"] = "tiny"
    corpora: dict[str, str] | None = None
    phases: tuple[Phase, ...] = ()
    phase1: Phase = Phase()
    rate: float = 1e-3
    seed: int = 0


def wrong(text: str, *assignments: str) -> str:
    with pytest.raises(RecipeError) as caught:
        validate(override(parse_document(text, source="recipe.yaml"), assignments), Tiny)
    return str(caught.value)


def test_a_misspelt_key_is_refused_with_file_line_path_and_the_nearest_name():
    message = wrong("method: tiny\nphase1:\n  losses:\n    hiden: 1.0\n")
    assert message.splitlines()[0] == "recipe.yaml:4  phase1.losses.hiden"
    assert "did you mean 'hidden'?" in message


def test_a_misspelt_key_at_the_top_names_the_top_level_keys():
    assert "did you mean 'seed'?" in wrong("sed: 1\n")


def test_a_wrong_type_says_what_was_given_and_what_is_wanted():
    message = wrong("method: tiny\nphase1: {steps: many}\n")
    assert "recipe.yaml:2  phase1.steps" in message
    assert '"many"' in message
    assert "a whole number" in message


def test_every_mistake_is_reported_at_once():
    message = wrong("sed: 1\nphase1: {stepz: 1}\n")
    assert "'seed'" in message
    assert "'steps'" in message


def test_a_key_inside_a_list_is_found_by_its_line():
    message = wrong("phases:\n  - steps: 1\n  - stepps: 2\n")
    assert message.startswith("recipe.yaml:3  phases.1.stepps")


def test_set_reaches_into_mappings_and_lists_and_reads_values_as_yaml():
    document = parse_document("phases: [{steps: 1}]\n")
    recipe = validate(override(document, ["phases.0.steps=7", "rate=1e-5", "phase1.losses.hidden=0"]), Tiny)
    assert recipe.phases[0].steps == 7
    assert recipe.rate == 1e-5
    assert recipe.phase1.losses.hidden == 0


def test_a_misspelt_set_names_the_option():
    assert "--set phase1.step=3" in wrong("seed: 0\n", "phase1.step=3")


@pytest.mark.parametrize("assignment", ["seed", "=1"])
def test_set_without_a_key_and_a_value_is_refused(assignment):
    with pytest.raises(RecipeError, match="dotted"):
        override(parse_document("seed: 0\n"), [assignment])


def test_set_beyond_the_end_of_a_list_is_refused():
    with pytest.raises(RecipeError, match="not an entry"):
        override(parse_document("phases: [{steps: 1}]\n"), ["phases.3.steps=1"])


def test_norwegian_is_a_language_and_not_false():
    assert parse_document("corpora: {no: a.txt, on: b.txt}\n").values["corpora"] == {
        "no": "a.txt",
        "on": "b.txt",
    }


@pytest.mark.parametrize(("text", "value"), [("1e-4", 1e-4), ("1.5", 1.5), (".5", 0.5), ("2E3", 2000.0)])
def test_numbers_are_read_as_people_write_them(text, value):
    assert parse_document(f"rate: {text}\n").values["rate"] == value


@pytest.mark.parametrize("text", ["2026-11-20", "1.2.3", "abc", "e5"])
def test_what_is_not_a_number_stays_text(text):
    assert parse_document(f"name: {text}\n").values["name"] == text


def test_a_key_given_twice_is_refused():
    with pytest.raises(RecipeError, match="given twice"):
        parse_document("seed: 0\nseed: 1\n")


@pytest.mark.parametrize("text", ["", "- 1\n", "just words\n"])
def test_what_is_not_a_mapping_is_refused(text):
    with pytest.raises(RecipeError):
        parse_document(text)


def test_broken_yaml_names_the_line():
    with pytest.raises(RecipeError, match="recipe:3"):
        parse_document("seed: 0\nphase1: [\n")


def test_a_missing_recipe_says_how_to_list_those_there_are(tmp_path):
    with pytest.raises(RecipeError, match="isogloss recipes"):
        read_document(tmp_path / "none.yaml")


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "bad.yaml").write_bytes(b"seed: \xff\n")
    with pytest.raises(RecipeError, match="UTF-8"):
        read_document(tmp_path / "bad.yaml")


def test_records_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Tiny().seed = 1  # type: ignore[misc]


@given(st.integers(0, 1000), st.floats(0, 10), st.lists(st.integers(1, 9), max_size=3))
def test_a_resolved_recipe_reads_back_as_itself(seed, rate, steps):
    recipe = Tiny(seed=seed, rate=rate, phases=tuple(Phase(steps=s) for s in steps))
    again = validate(parse_document(to_yaml(recipe)), Tiny)
    assert again == recipe
    assert recipe_hash(again) == recipe_hash(recipe)


def test_the_hash_sees_every_value_and_not_the_way_it_was_written():
    assert recipe_hash(Tiny(seed=0)) == recipe_hash(Tiny())
    assert recipe_hash(Tiny(seed=1)) != recipe_hash(Tiny())
