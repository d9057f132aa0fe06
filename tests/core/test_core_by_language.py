"""One object for the tokenizers of several languages."""

from __future__ import annotations

import copy

import pytest

from isogloss.core.by_language import (
    TokenizerByLanguage,
    each_tokenizer,
    groups,
    saved_places,
    tokenizer_of,
)
from isogloss.core.errors import ModelError
from isogloss.vocab.merge import joined
from tiny_models import tiny_tokenizer

TEXT = "The old woman saw the red house."


@pytest.fixture
def several():
    own = {"en-Latn": tiny_tokenizer("unigram"), "fr-Latn": tiny_tokenizer("t5")}
    own["sw-Latn"] = tiny_tokenizer("wordpiece")
    return joined(own, anchored=False).tokenizer


def test_it_is_the_first_languages_tokenizer_unless_asked(several):
    first = several.of("en-Latn")
    assert several(TEXT)["input_ids"] == first(TEXT)["input_ids"]
    assert several.pad_token_id == first.pad_token_id
    assert several.decode(several(TEXT)["input_ids"]) == first.decode(first(TEXT)["input_ids"])
    assert several.is_fast
    assert len(several) == len(first)
    assert several.languages == ("en-Latn", "fr-Latn", "sw-Latn")
    with pytest.raises(AttributeError):
        several.no_such_thing  # noqa: B018
    assert copy.copy(several).languages == several.languages


def test_languages_are_known_in_any_spelling_and_others_refused_by_name(several):
    assert several.of("fra") is several.of("fr-Latn") is not several.of("English")
    for unknown in ("deu", "nonsense"):
        with pytest.raises(ModelError, match="en-Latn, fr-Latn, sw-Latn"):
            several.of(unknown)


def test_where_all_languages_share_one_tokenizer_it_reads_any():
    one = tiny_tokenizer("unigram")
    shared = TokenizerByLanguage({"en-Latn": one, "fr-Latn": one})
    assert shared.of("de-Latn") is one
    assert tokenizer_of(one, "de-Latn") is one
    assert each_tokenizer(one) == each_tokenizer(shared) == (one,)


def test_special_tokens_of_every_language_are_special(several):
    wanted = {index for one in several.each for index in one.all_special_ids}
    assert set(several.all_special_ids) == wanted > set(several.of("en-Latn").all_special_ids)


def test_texts_are_grouped_by_the_tokenizer_that_reads_them(several):
    found = list(groups(several, ["fr-Latn", "en-Latn", "fr-Latn"]))
    assert found == [(several.of("fr-Latn"), [0, 2]), (several.of("en-Latn"), [1])]
    one = tiny_tokenizer("unigram")
    assert list(groups(one, ["fr-Latn", "de-Latn"])) == [(one, [0, 1])]
    assert list(groups(one, [])) == []


def test_a_folder_holds_each_tokenizer_once(tmp_path, several):
    shared = TokenizerByLanguage(
        {"en-Latn": several.of("eng"), "de-Latn": several.of("eng"), "fr-Latn": several.of("fra")}
    )
    shared.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").exists()
    assert saved_places(tmp_path) == {
        "en-Latn": tmp_path,
        "de-Latn": tmp_path,
        "fr-Latn": tmp_path / "tokenizers" / "fr-Latn",
    }
    assert saved_places(tmp_path / "tokenizers") == {}
