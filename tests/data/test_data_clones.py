from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isogloss.core.errors import ModelError
from isogloss.data.batches import LanguageModelBatches, WholeFileBatches
from isogloss.data.clones import SHARED, Clones, ClonesSpec, anchored
from isogloss.data.masking import Masking
from isogloss.data.mixture import Mixture
from isogloss.data.tokens import token_file
from tiny_models import SENTENCES, tiny_tokenizer

CHOICES = st.lists(st.booleans(), min_size=1, max_size=40).map(np.array)
COUNTS = st.integers(1, 7)


@given(cloned=CHOICES, count=COUNTS)
def test_every_row_has_exactly_one_owner(cloned, count):
    clones = Clones(len(cloned), cloned, count)
    everything = np.concatenate([clones.places(number) for number in range(1, count + 1)])
    assert set(everything.tolist()) == set(range(clones.rows))
    assert clones.rows == len(cloned) + (count - 1) * int(cloned.sum())
    own = np.concatenate([clones.places(number)[cloned] for number in range(1, count + 1)])
    assert len(set(own.tolist())) == len(own)


@given(cloned=CHOICES, count=COUNTS, data=st.data())
def test_a_clone_s_text_has_its_number_on_it_and_leads_back_to_the_original(cloned, count, data):
    clones = Clones(len(cloned), cloned, count)
    ids = np.array(data.draw(st.lists(st.integers(0, len(cloned) - 1), max_size=12)), dtype=np.int64)
    number = data.draw(st.integers(1, count))
    text = clones.apply(ids, number)
    assert np.array_equal(clones.original(text), ids)
    assert np.array_equal(clones.number(text), np.where(cloned[ids], number, SHARED))
    assert np.array_equal(text[~cloned[ids]], ids[~cloned[ids]])
    assert np.array_equal(clones.apply(ids.reshape(1, -1), number), text.reshape(1, -1))


def test_the_ids_of_the_third_clone_follow_those_of_the_second():
    clones = Clones(5, np.array([False, True, True, False, True]), 3)
    assert clones.places(2).tolist() == [0, 5, 6, 3, 7]
    assert clones.places(3).tolist() == [0, 8, 9, 3, 10]
    assert clones.rows == 11


def test_with_every_piece_an_anchor_all_clones_are_the_original():
    clones = Clones(4, np.zeros(4, dtype=bool), 3)
    assert clones.rows == 4
    assert clones.places(3).tolist() == clones.original(range(4)).tolist() == [0, 1, 2, 3]
    assert clones.number([0, 3]).tolist() == [SHARED, SHARED]


def test_a_choice_of_another_size_is_refused():
    with pytest.raises(ModelError, match="choice for every id"):
        Clones(4, np.ones(3, dtype=bool), 2)


@given(
    ordinary=CHOICES,
    seed=st.integers(0, 9),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_the_anchors_of_a_smaller_share_are_among_those_of_a_larger(ordinary, seed, shares):
    fewer, more = (ordinary & ~anchored(ordinary, share=share, seed=seed) for share in shares)
    assert (more | ~fewer).all()
    assert fewer.sum() == round(shares[0] * ordinary.sum())


def test_another_seed_draws_other_anchors():
    ordinary = np.ones(200, dtype=bool)
    assert (anchored(ordinary, share=0.3, seed=0) != anchored(ordinary, share=0.3, seed=1)).any()


TOKENIZER = tiny_tokenizer("unigram")
SEPARATOR = TOKENIZER.sep_token_id
SPECIAL = set(TOKENIZER.all_special_ids)


def test_shared_specials_are_never_cloned_and_published_ones_are_unknown_and_separator():
    shared = ClonesSpec(of="eng").clones(TOKENIZER, separator=SEPARATOR)
    assert set(np.flatnonzero(~shared.cloned)) == SPECIAL
    published = ClonesSpec(of="eng", specials="published").clones(TOKENIZER, separator=SEPARATOR)
    assert set(np.flatnonzero(~published.cloned)) == SPECIAL - {SEPARATOR, TOKENIZER.unk_token_id}
    assert not published.cloned[[TOKENIZER.pad_token_id, TOKENIZER.mask_token_id]].any()


def test_padding_that_separates_documents_too_is_not_cloned():
    published = ClonesSpec(of="eng", specials="published")
    assert not published.clones(TOKENIZER, separator=TOKENIZER.pad_token_id).cloned[TOKENIZER.pad_token_id]


def test_a_recipe_names_its_languages_and_refuses_a_single_one():
    assert ClonesSpec(of="swh", count=3).languages == ("sw-Latn", "sw-Latn-x-2", "sw-Latn-x-3")
    for wrong in ({"of": "eng", "count": 1}, {"of": "xx"}, {"of": "eng", "anchors": 1.5}, {"of": "eng-x-2"}):
        with pytest.raises(ValidationError):
            ClonesSpec(**wrong)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return token_file(
        SENTENCES * 9,
        TOKENIZER,
        cache=tmp_path_factory.mktemp("tokens"),
        corpus_key="x",
        tokenizer_key="y",
        separator=SEPARATOR,
    )


def cloned_batches(file, spec, shares, **settings):
    clones = spec.clones(TOKENIZER, separator=SEPARATOR)
    others = spec.languages[1:]
    places = {tag: clones.places(number) for number, tag in enumerate(others, start=2)}
    mixture = Mixture(
        dict(zip(spec.languages, shares, strict=True)), seed=1, texts=dict.fromkeys(others, spec.of)
    )
    files = dict.fromkeys(spec.languages, file)
    settings = {"length": 16, "batch_size": 4} | settings
    return clones, LanguageModelBatches(files, mixture, TOKENIZER, places=places, **settings)


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_clones_read_one_text_between_them_once_an_epoch(file, objective):
    spec = ClonesSpec(of="eng", count=3, anchors=0.25)
    clones, batches = cloned_batches(file, spec, (0.6, 0.2, 0.2), objective=objective, batch_size=1)
    plain = LanguageModelBatches(
        {"en-Latn": file}, Mixture({"en-Latn": 1.0}, seed=1), TOKENIZER,
        length=16, batch_size=1, objective=objective,
    )  # fmt: skip
    assert len(batches) == len(plain)
    seen = set()
    for index in range(len(batches)):
        batch, original = batches[index], plain[index]
        number = int(batch["language"]) + 1
        seen.add(number)
        assert np.array_equal(clones.original(batch["input_ids"]), original["input_ids"])
        labels, gold = batch["labels"].numpy(), original["labels"].numpy()
        asked = gold != -100
        assert np.array_equal(asked, labels != -100)
        assert np.array_equal(labels[asked], clones.apply(gold[asked], number))
    assert seen == {1, 2, 3}


def test_what_masking_puts_in_is_of_the_language_of_the_row(file):
    clones, batches = cloned_batches(
        file,
        ClonesSpec(of="eng", count=2, specials="published"),
        (0.5, 0.5),
        masking=Masking(probability=0.9, mask=0.0, random=1.0),
        batch_size=8,
    )
    for index in range(4):
        batch = batches[index]
        numbers = clones.number(batch["input_ids"].numpy())
        wanted = batch["language"].numpy()[:, None] + 1
        assert ((numbers == wanted) | (numbers == SHARED)).all()


def test_a_clone_s_held_out_text_is_that_of_the_original_with_its_pieces(file):
    clones = ClonesSpec(of="eng").clones(TOKENIZER, separator=SEPARATOR)
    settings = {"length": 12, "batch_size": 5, "seed": 0}
    plain = WholeFileBatches(file, TOKENIZER, **settings)
    cloned = WholeFileBatches(file, TOKENIZER, language=1, places=clones.places(2), **settings)
    for index in range(len(plain)):
        one, two = plain[index], cloned[index]
        assert np.array_equal(clones.apply(one["input_ids"], 2), two["input_ids"])
        assert two["language"].tolist() == [1] * len(two["language"])


def test_decoded_through_the_original_a_clone_s_text_reads_the_same():
    clones = ClonesSpec(of="eng", count=4, anchors=0.1).clones(TOKENIZER, separator=SEPARATOR)
    ids = TOKENIZER(SENTENCES[0])["input_ids"]
    for number in (1, 2, 4):
        back = clones.original(clones.apply(ids, number))
        assert TOKENIZER.decode(back.tolist()) == TOKENIZER.decode(ids)
