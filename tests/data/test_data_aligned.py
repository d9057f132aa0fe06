"""Items aligned over languages, and batches that hold each of them once per language."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isogloss.core.errors import DataError
from isogloss.data.aligned import align, aligned_batches, wording
from isogloss.data.beside import TOLD, part_of
from isogloss.data.features import Features
from isogloss.data.records import GAP, GapExample, LabelExample, TextExample

LANGUAGES = ("en-Latn", "fr-Latn", "sw-Latn")


def item(identifier, language, text=None):
    return LabelExample(str(identifier), language, text or f"{language} {identifier}", None, "a")


def items(ids, languages=LANGUAGES):
    return {tag: [item(i, tag) for i in ids] for tag in languages}


def test_what_one_language_lacks_is_left_out_for_all_and_counted():
    given = items(range(5)) | {"sw-Latn": [item(i, "sw-Latn") for i in (4, 1, 2, 9)]}
    found = align(given)
    assert found.ids == ("1", "2", "4")
    assert [example.id for example in found.examples["sw-Latn"]] == ["1", "2", "4"]
    assert found.missing == {"en-Latn": 2, "fr-Latn": 2, "sw-Latn": 1}


def test_an_item_with_other_candidates_in_some_language_is_left_out_and_named():
    def gap(tag, count):
        return [GapExample(str(i), tag, f"x {GAP}", tuple("abc"[: count[i]]), ()) for i in range(2)]

    found = align({"en-Latn": gap("en-Latn", (3, 2)), "hi-Deva": gap("hi-Deva", (2, 2))})
    assert found.ids == ("1",)
    assert found.unequal == ("0",)


@pytest.mark.parametrize("given", [{}, items(range(3), LANGUAGES[:1])])
def test_one_language_is_refused(given):
    with pytest.raises(DataError, match="two languages"):
        align(given)


def test_languages_without_a_common_item_are_refused():
    with pytest.raises(DataError, match="no id is in all of en-Latn, fr-Latn"):
        align({"en-Latn": [item(1, "en-Latn")], "fr-Latn": [item(2, "fr-Latn")]})


def test_held_out_items_and_the_others_are_all_items_and_have_none_in_common():
    whole = align(items(range(20)))
    learnt, held_out = whole.held_out(0.25, seed=3)
    assert len(held_out) == 5
    assert sorted(learnt.ids + held_out.ids, key=int) == list(whole.ids)
    assert whole.held_out(0.25, seed=3)[1].ids == held_out.ids
    assert whole.held_out(0.25, seed=4)[1].ids != held_out.ids


def test_an_item_that_reads_like_a_held_out_one_in_any_language_is_on_neither_side():
    given = items(range(20))
    given["fr-Latn"] = [
        replace(one, text="oui" if int(one.id) < 10 else one.text) for one in given["fr-Latn"]
    ]
    learnt, held_out = align(given).held_out(0.25, seed=3)
    assert any(int(key) < 10 for key in held_out.ids)
    assert [key for key in learnt.ids if int(key) < 10] == []
    assert len(learnt) == 10 - sum(int(key) >= 10 for key in held_out.ids)


def test_a_share_that_leaves_one_side_empty_is_refused():
    with pytest.raises(DataError, match="leaves 0 and 3"):
        align(items(range(3))).held_out(0.1, seed=0)


def test_the_same_words_in_other_spacing_and_case_are_the_same_item():
    one = item(1, "en-Latn", "The  cat sat")
    assert wording(one) == wording(replace(one, id="7", text=" the cat SAT"))
    assert wording(one) != wording(replace(one, pair="the cat SAT"))
    with pytest.raises(DataError, match="TextExample"):
        wording(TextExample("1", "en-Latn", "x"))


def features(rows):
    """A feature per item, whose first token tells language and item."""
    return {
        tag: [Features("label", i, ([100 * number + i] * (1 + i % 3),)) for i in range(rows)]
        for number, tag in enumerate(LANGUAGES)
    }


def test_each_item_is_in_a_pass_once_per_language_and_in_one_batch():
    batches = aligned_batches(features(7), pad_id=0, batch_size=2, seed=0)
    assert len(batches) == 4
    seen = []
    for number in range(len(batches)):
        batch = batches[number]
        count = len(batch["items"])
        first = batch["input_ids"][:, 0].view(len(LANGUAGES), count)
        assert (first - 100 * batch["language"].view(len(LANGUAGES), count) == batch["items"]).all()
        assert batch["language"].tolist() == [i for i in range(len(LANGUAGES)) for _ in range(count)]
        seen += batch["items"].tolist()
    assert sorted(seen) == list(range(7))


def test_the_teachers_rows_come_once_more_by_themselves():
    batches = aligned_batches(features(3), pad_id=0, batch_size=2, seed=0, told=("sw-Latn", "en-Latn"))
    batch = batches[0]
    told = part_of(batch, TOLD)
    expected = [200 + i for i in batch["items"].tolist()] + batch["items"].tolist()
    assert told["input_ids"][:, 0].tolist() == expected
    assert not part_of(aligned_batches(features(3), pad_id=0, batch_size=2, seed=0)[0], TOLD)
