from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import seqeval.metrics
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import DataError
from isogloss.evaluate.intervals import bootstrap, paired_difference
from isogloss.evaluate.metrics import (
    accuracy,
    attachment,
    bits_per_byte,
    em_f1,
    macro_f1,
    mean_reciprocal_rank,
    normalised,
    perplexity,
    span_f1,
    spans,
)

BIO2 = [f"{prefix}-{kind}" for prefix in "BI" for kind in ("PER", "LOC")] + ["O"]
IOBES = [f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "X-Y")] + ["O"]


def sentences(tags):
    pair = st.integers(1, 6).flatmap(
        lambda n: st.tuples(*[st.lists(st.sampled_from(tags), min_size=n, max_size=n)] * 2)
    )
    return st.lists(pair, min_size=1, max_size=4)


def test_accuracy_is_the_share_of_equal_items():
    assert accuracy(["a", "b", "c", "a"], ["a", "b", "a", "a"]) == 0.75


def test_macro_f1_weighs_rare_classes_like_common_ones():
    # a: 2 right of 2 gold and 3 predicted, F1 4/5; b: 0 of 1 and 0; F1 0.
    assert macro_f1(["a", "a", "b"], ["a", "a", "a"]) == pytest.approx(0.4)


def test_macro_f1_counts_a_class_that_was_only_predicted():
    # a: 1 right of 2 and 1, F1 2/3; z: 0.
    assert macro_f1(["a", "a"], ["a", "z"]) == pytest.approx(1 / 3)


def test_spans_are_read_from_any_of_the_three_schemes():
    person = [("PER", 0, 1), ("LOC", 3, 3)]
    assert spans(["B-PER", "I-PER", "O", "B-LOC"]) == person
    assert spans(["I-PER", "I-PER", "O", "I-LOC"]) == person
    assert spans(["B-PER", "E-PER", "O", "S-LOC"]) == person


def test_a_tag_of_another_type_opens_a_span():
    assert spans(["B-PER", "I-LOC", "I-LOC"]) == [("PER", 0, 0), ("LOC", 1, 2)]


def test_span_f1_wants_type_and_both_ends():
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]]
    predicted = [["B-PER", "O", "O", "B-LOC"], ["B-PER", "O"]]
    assert span_f1(gold, predicted) == pytest.approx(1 / 3)  # 1 right, 3 wanted, 3 found


def test_span_f1_of_no_spans_at_all_is_zero():
    assert span_f1([["O", "O"]], [["O", "O"]]) == 0.0


@pytest.mark.parametrize("tags", [BIO2, IOBES], ids=["BIO2", "IOBES"])
def test_span_f1_equals_seqeval(tags):
    @given(sentences(tags))
    def agrees(pairs):
        gold, predicted = [list(g) for g, _ in pairs], [list(p) for _, p in pairs]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # seqeval warns where there is no span
            wanted = seqeval.metrics.f1_score(gold, predicted)
        assert span_f1(gold, predicted) == pytest.approx(float(wanted))

    agrees()


def test_attachment_counts_words_over_all_sentences_and_strips_subtypes():
    score = attachment(
        [[2, 0, 2], [0]],
        [["nmod:poss", "root", "punct"], ["root"]],
        [[2, 0, 1], [0]],
        [["nmod", "root", "punct"], ["obj"]],
    )
    assert score.uas == 0.75
    assert score.las == 0.5


def test_attachment_compares_subtypes_when_asked():
    score = attachment([[2, 0]], [["nmod:poss", "root"]], [[2, 0]], [["nmod", "root"]], keep_subtypes=True)
    assert score == (1.0, 0.5)


def test_em_and_f1_take_the_best_gold_answer():
    score = em_f1([["the cat", "a black cat"], ["Paris"]], ["Black cat!", "in Paris"], "en")
    assert score.em == 0.5
    assert score.f1 == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("language", "answer", "wanted"),
    [
        ("en-Latn", "The  House, of a «Lord»", "house of lord"),
        ("es-Latn", "¿Los niños?", "niños"),
        ("de-Latn", "Das Haus des Kindes", "haus kindes"),
        ("vi-Latn", "cái bàn", "bàn"),
        ("hi-Deva", "राम।", "राम"),
        ("ar-Arab", "الكتاب", "كتاب"),
        ("zh-Hans", "北京，2008年 Games", "北 京 2008 年 games"),
        ("ja-Jpan", "東京タワー", "東 京 タ ワ ー"),
        ("th-Thai", "ไทย", "ไ ท ย"),
        ("fr-Latn", "Le chat", "le chat"),
        ("sw-Latn", "Mji wa Nairobi", "mji wa nairobi"),
    ],
)
def test_answers_are_normalised_per_language(language, answer, wanted):
    assert normalised(answer, language) == wanted


def test_turkish_capitals_fall_to_their_own_small_letters():
    assert normalised("IŞIK İstanbul", "tr-Latn") == "ışık istanbul"
    assert em_f1([["ışık"]], ["IŞIK"], "tr") == (1.0, 1.0)
    assert normalised("IŞIK", "en") == "işik"


def test_an_answer_of_articles_alone_matches_exactly_but_shares_no_token():
    assert em_f1([["the"]], ["a"], "en") == (1.0, 0.0)


def test_mean_reciprocal_rank_gives_nothing_for_what_was_not_found():
    assert mean_reciprocal_rank([1, 2, None, 4]) == pytest.approx((1 + 0.5 + 0.25) / 4)


def test_perplexity_of_a_uniform_guess_is_the_number_of_choices():
    assert perplexity(3 * math.log(50), 3) == pytest.approx(50)
    assert perplexity(1e6, 1) == math.inf


def test_bits_per_byte_of_a_uniform_byte_is_eight():
    assert bits_per_byte(10 * math.log(256), 10) == pytest.approx(8)


@pytest.mark.parametrize(
    "score",
    [
        lambda: accuracy([], []),
        lambda: macro_f1([], []),
        lambda: span_f1([], []),
        lambda: attachment([], [], [], []),
        lambda: attachment([[]], [[]], [[]], [[]]),
        lambda: em_f1([], [], "en"),
        lambda: em_f1([[]], ["x"], "en"),
        lambda: mean_reciprocal_rank([]),
        lambda: mean_reciprocal_rank([0]),
        lambda: perplexity(1.0, 0),
        lambda: bits_per_byte(1.0, 0),
        lambda: accuracy(["a"], ["a", "b"]),
        lambda: span_f1([["O"]], [["O", "O"]]),
        lambda: bootstrap([], seed=0),
        lambda: paired_difference([1.0], [], seed=0),
        lambda: bootstrap([1.0], seed=0, weights=[1.0, 2.0]),
    ],
)
def test_what_cannot_be_scored_is_refused(score):
    with pytest.raises(DataError):
        score()


def test_a_bootstrap_interval_holds_the_mean_and_repeats():
    values = [1.0] * 70 + [0.0] * 30
    low, high = bootstrap(values, seed=3)
    assert (low, high) == bootstrap(values, seed=3)
    assert low < 0.7 < high
    # The normal approximation: 1.96 * sqrt(0.7 * 0.3 / 100) = 0.09 on either side.
    assert high - low == pytest.approx(0.18, abs=0.03)


def test_another_seed_draws_other_test_sets():
    values = list(np.linspace(0, 1, 37) ** 2)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_an_interval_of_equal_values_has_no_width():
    assert bootstrap([0.5], seed=0) == (0.5, 0.5)


def test_weights_make_the_interval_of_a_ratio():
    values, weights = [1.0, 0.0], [99.0, 1.0]
    low, high = bootstrap(values * 20, seed=0, weights=weights * 20)
    assert low > 0.9
    assert high <= 1.0


def test_blocks_do_not_change_how_many_draws_there_are(monkeypatch):
    monkeypatch.setattr("isogloss.evaluate.intervals._AT_ONCE", 30)
    low, high = bootstrap(list(np.linspace(0, 1, 10)), seed=0, draws=501)
    assert 0.2 < low < 0.5 < high < 0.8


def test_a_paired_difference_sees_what_separate_intervals_hide():
    before = [0.0, 1.0] * 50
    after = [min(1.0, value + 0.1) for value in before]
    change = paired_difference(before, after, seed=0)
    assert change.mean == pytest.approx(0.05)
    assert 0 < change.low < change.mean < change.high
    assert bootstrap(before, seed=0)[1] > bootstrap(after, seed=0)[0]
