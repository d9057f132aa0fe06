"""Prompts are read with their lines, ask in the example's language, and say what is wrong with them."""

from __future__ import annotations

import pytest

from isogloss.core.errors import DataError, ModelError, RecipeError
from isogloss.data.encode import encode
from isogloss.data.prompts import Prompt, ask, check_prompt, load_prompt, pieces_of, shipped_prompts
from isogloss.data.records import GAP, ChoiceExample, LabelExample
from isogloss.data.tasks import TASKS
from tiny_models import tiny_tokenizer

NLI = TASKS["nli"].labels
KINDS = {"nli": "label", "paraphrase": "label", "topic": "label", "copa": "choice"}
PAIR = LabelExample("a", "en-Latn", "It rains.", "It is wet.", "neutral")
CHOICE = ChoiceExample("c", "tr-Latn", "It rains.", "effect", ("It is wet.", "The cow was sold."), 1)


def refused(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        load_prompt(str(file))
    return str(error.value).replace(str(tmp_path), "")


def test_the_published_patterns_are_kept_letter_by_letter():
    asked = ask(PAIR, load_prompt("nli"), NLI)
    assert asked.prompt == (
        "Suppose It rains. Can we infer that It is wet.? Yes, no or maybe? Answer: <mask>."
    )
    assert asked.candidates == ("yes", "maybe", "no")
    assert asked.answers == ("maybe",)
    paraphrase = load_prompt("paraphrase")
    assert paraphrase.pattern("en-Latn") == (
        "Are the following sentences {text} and {pair}  are paraphrases of each other? "
        "yes or no? Answer: <mask>."
    )
    assert paraphrase.words("en-Latn") == {"0": "no", "1": "yes"}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_shipped_prompts_fit_their_tasks_and_tell_labels_apart_in_every_language(name):
    prompt = load_prompt(name)
    row = TASKS[name]
    assert row.kind == KINDS[name]
    check_prompt(prompt, row.kind, row.labels or ())
    assert set(prompt.patterns) <= {*prompt.verbalisers, "other"}
    for words in prompt.verbalisers.values():
        assert len({word.casefold() for word in words.values()}) == len(words)


def test_no_other_prompt_is_shipped():
    assert set(shipped_prompts()) == set(KINDS)


def test_candidates_come_in_the_order_of_the_labels_asked_for():
    backwards = tuple(reversed(NLI))
    assert ask(PAIR, load_prompt("nli"), backwards).candidates == ("no", "maybe", "yes")


def test_every_language_is_asked_in_its_own_words_in_whatever_order_they_are_written():
    one = {"de": "{text} Thema: <mask>.", "other": "{text} Topic: <mask>.", "fra": "{text} Sujet : <mask>."}
    words = {"de": {"a": "Haus"}, "other": {"a": "house"}}
    for patterns in (one, dict(reversed(one.items()))):
        prompt = Prompt(patterns=patterns, verbalisers=words)
        for language, text, word in [
            ("de-Latn", "x Thema: <mask>.", "Haus"),
            ("fr-Latn", "x Sujet : <mask>.", "house"),
            ("sw-Latn", "x Topic: <mask>.", "house"),
        ]:
            asked = ask(LabelExample("a", language, "x", None, None), prompt, ("a",))
            assert (asked.prompt, asked.candidates, asked.answers) == (text, (word,), ())


def test_alternatives_fill_the_gap_after_the_question_in_their_language():
    asked = ask(CHOICE, load_prompt("copa"), ())
    assert asked.prompt == "It rains. Sonuç ne oldu? <mask>"
    assert asked.candidates == CHOICE.choices
    assert asked.answers == ("The cow was sold.",)


def test_braces_in_a_text_stay_what_they_are():
    example = LabelExample("a", "en-Latn", "{pair} {x}", "b", None)
    prompt = Prompt(patterns="{text} {pair} <mask>", verbalisers={"a": "b"})
    assert ask(example, prompt, ("a",)).prompt == "{pair} {x} b <mask>"


def test_labels_that_yaml_reads_as_numbers_are_text(tmp_path):
    (tmp_path / "mine.yaml").write_text("patterns: '{text} <mask>'\nverbalisers: {0: no, 1: yes}")
    assert load_prompt(str(tmp_path / "mine.yaml")).words("xx-Latn") == {"0": "no", "1": "yes"}


def test_the_pieces_of_a_prompt_are_its_words_alone_and_in_their_place():
    prompt = Prompt(patterns={"en": "See {text}: <mask>."}, verbalisers={"en": {"a": "x", "b": "y"}})
    assert pieces_of(prompt, "en-Latn") == ("See : x.", "x", "See : y.", "y")
    assert pieces_of(prompt, "de-Latn") == ()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("patterns: 'a {txt} <mask>'\nverbalisers: {a: b}", ["/mine.yaml:1", "{txt}", "did you mean 'text'"]),
        ("patterns:\n  en: a {text}", ["/mine.yaml:2  patterns.en", "exactly one <mask>"]),
        ("patterns: <mask> or <mask>", ["/mine.yaml:1", "exactly one <mask>"]),
        ("patterns:\n  en: <mask>\n  eng: <mask>", ["/mine.yaml:3", "the same language as en"]),
        ("patterns:\n  english-ish: <mask>", ["/mine.yaml:2", "unknown language"]),
        (
            "patterns: <mask>\nverbalisers:\n  en: {a: b, c: d}\n  de: {a: b}",
            ["/mine.yaml:2", "none in de-Latn for c"],
        ),
        ("patterns: <mask>\nscore: product", ["/mine.yaml:2  score", "'sum' or 'mean'"]),
        ("pattern: <mask>", ["/mine.yaml:1", "did you mean 'patterns'?"]),
        ("  ", ["the prompt is empty", "patterns:"]),
    ],
)
def test_mistakes_in_a_file_are_told_with_their_line(tmp_path, text, parts):
    told = refused(tmp_path, text)
    for part in parts:
        assert part in told


def test_a_name_that_is_not_shipped_brings_the_nearest_and_a_missing_file_its_path(tmp_path):
    with pytest.raises(RecipeError, match="did you mean 'nli'"):
        load_prompt("nil")
    with pytest.raises(RecipeError, match="cannot read the prompt"):
        load_prompt(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("kind", "labels", "prompt", "words"),
    [
        ("tags", ("O",), {"patterns": "{text} <mask>"}, "kind 'tags'"),
        ("label", ("a",), {"patterns": "{premise} <mask>", "verbalisers": {"a": "b"}}, "{premise}"),
        ("choice", (), {"patterns": "{text} <mask>"}, "{text}"),
        (
            "label",
            ("a", "b"),
            {"patterns": "{text} <mask>", "verbalisers": {"a": "x"}},
            "'b' has no verbaliser",
        ),
    ],
)
def test_a_prompt_for_other_examples_or_labels_is_refused(kind, labels, prompt, words):
    with pytest.raises(RecipeError, match=words):
        check_prompt(Prompt(**prompt), kind, labels)


@pytest.mark.parametrize(
    ("example", "prompt", "words"),
    [
        (
            PAIR,
            {"patterns": {"de": "{text} <mask>"}, "verbalisers": {"neutral": "x"}},
            "no pattern in en-Latn",
        ),
        (PAIR, {"patterns": "<mask>", "verbalisers": {"de": {"neutral": "x"}}}, "no verbalisers in en-Latn"),
        (CHOICE, {"patterns": "{question} <mask>", "verbalisers": {"cause": "x"}}, "tr-Latn for 'effect'"),
        (
            LabelExample("a", "en-Latn", "x", None, "neutral"),
            {"patterns": "{text} {pair} <mask>", "verbalisers": {"neutral": "x"}},
            "has no pair",
        ),
    ],
)
def test_what_a_prompt_lacks_for_an_example_is_told(example, prompt, words):
    with pytest.raises(DataError, match=words):
        ask(example, Prompt(**prompt), ("neutral",))


def encoded(prompt, labels, style="unigram", **options):
    options = {"max_length": 64, "purpose": "predict"} | options
    return encode("label", [PAIR], tiny_tokenizer(style), labels=labels, prompt=Prompt(**prompt), **options)


def test_two_labels_told_by_the_same_pieces_are_refused_with_language_and_pieces():
    prompt = {"patterns": "{text} <mask>", "verbalisers": {"a": "house", "b": "house"}}
    with pytest.raises(DataError, match=r"in en-Latn 'a' and 'b' are told by the same pieces: ▁h o use"):
        encoded(prompt, ("a", "b"))
    prompt = {"patterns": "{text} <mask>", "verbalisers": {"a": "ሰላም", "b": "ዓለም"}}
    with pytest.raises(DataError, match=r"the same pieces: .*\[UNK\]"):
        encoded(prompt, ("a", "b"), style="wordpiece")


def test_gold_is_read_in_training_alone():
    prompt = {"patterns": "{text} <mask>", "verbalisers": {"x": "house", "neutral": "cow"}}
    (learnt,) = encoded(prompt, ("x", "neutral"), purpose="train")
    (asked,) = encoded(prompt, ("x", "neutral"), purpose="predict")
    assert learnt.labels == [1]
    assert asked.labels is None
    assert asked.entries == learnt.entries
    assert asked.alternatives == 2


def test_a_text_that_holds_a_gap_itself_is_refused():
    prompt = Prompt(patterns="{text} <mask>", verbalisers={"a": "house"})
    example = LabelExample("a", "en-Latn", f"The {GAP}", None, None)
    with pytest.raises(DataError, match="exactly one <mask>"):
        encode(
            "label",
            [example],
            tiny_tokenizer("unigram"),
            labels=("a",),
            max_length=64,
            prompt=prompt,
            purpose="predict",
        )


def test_a_causal_model_without_a_first_token_cannot_tell_what_begins_the_text():
    tokenizer = tiny_tokenizer("t5")  # has an end token: what follows takes it away
    bare = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>", unk_token="<unk>")
    prompt = Prompt(patterns="<mask> {text}", verbalisers={"a": "house", "b": "cow"})
    with pytest.raises(ModelError, match="differ in the first piece"):
        encode(
            "label",
            [PAIR],
            bare,
            labels=("a", "b"),
            max_length=64,
            prompt=prompt,
            objective="causal",
            purpose="predict",
        )
