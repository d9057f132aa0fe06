"""Each rule of the audit's advice on made-up numbers: when it speaks, of whom, and whether it can run."""

from __future__ import annotations

import copy
import shlex

import click
import pytest
import typer

from isogloss.cli.app import app
from isogloss.core.config import Document
from isogloss.methods.audit_advice import ENOUGH_TOKENS, LIMITS, RULES, advise, weak
from isogloss.methods.table import resolve

TAGS = ["en-Latn", "fr-Latn", "sw-Latn"]
GOOD = {
    "unknown_rate": {tag: (0.0, None, None) for tag in TAGS},
    "premium": {tag: (1.1, 1.05, 1.15) for tag in TAGS[1:]},
    "parity": {tag: (0.95, 0.93, 0.97) for tag in TAGS[1:]},
    "retrieval": {tag: (0.9, 0.85, 0.95) for tag in TAGS[1:]},
    "gradient": {tag: (0.3, 0.2, 0.4) for tag in TAGS[1:]},
    "behind": {tag: (0.02, -0.02, 0.06) for tag in TAGS[1:]},
}
FACTS = {
    "source": "en-Latn",
    "languages": TAGS,
    "model": {
        "source": "runs/base/model",
        "objective": "masked",
        "family": "xlm-roberta",
        "language_model": True,
        "hidden": 256,
        "layers": 6,
        "heads": 4,
        "vocabulary": 24_000,
        "max_length": 512,
    },
    "measures": GOOD,
    "task": {"task": "topic", "metric": "accuracy", "tuned": "runs/topics/model"},
    "vocabulary": {
        "rows": 24_000,
        "kept": 20_000,
        "expected": 22_000,
        "tokens": dict.fromkeys(TAGS, ENOUGH_TOKENS),
        "parameters": {"now": 10_000_000, "kept": 9_000_000, "expected": 9_500_000},
        "bytes": {"now": 40_000_000, "kept": 36_000_000, "expected": 38_000_000},
    },
}
RECIPE = {"text": {"sw-Latn": ["held-out/swa.txt"]}, "prompt": None}


def facts(model=(), vocabulary=(), without=(), **measures):
    """The good numbers with some changed: measure=(language, triple)."""
    found = copy.deepcopy(FACTS)
    found["model"] |= dict(model)
    found["vocabulary"] |= dict(vocabulary)
    for name in without:
        del found["measures"][name]
    for name, (tag, triple) in measures.items():
        found["measures"][name][tag] = triple
    return found


def rules(found):
    return [one.rule for one in advise(found, RECIPE)]


_BEHIND = ("sw-Latn", (0.3, 0.2, 0.4))
CASES = {
    "vocabulary": facts(premium=("sw-Latn", (2.4, 2.2, 2.6)), unknown_rate=("sw-Latn", (0.05, None, None))),
    "data": facts(parity=("sw-Latn", (0.5, 0.45, 0.55)), retrieval=("sw-Latn", (0.1, 0.05, 0.15))),
    "apart": facts(retrieval=("sw-Latn", (0.1, 0.05, 0.15))),
    "level": facts(behind=_BEHIND),
    "conflict": facts(gradient=("sw-Latn", (-0.2, -0.3, -0.1))),
    "trim": facts(
        vocabulary={
            "parameters": {"now": 10_000_000, "kept": 5_000_000, "expected": 6_000_000},
            "bytes": {"now": 40_000_000, "kept": 20_000_000, "expected": 24_000_000},
        }
    ),
}


def test_where_nothing_is_weak_nothing_is_said():
    assert weak(GOOD, source="en-Latn") == {name: [] for name in LIMITS}
    assert advise(FACTS, RECIPE) == []


def test_every_rule_has_a_case_here():
    assert CASES.keys() == RULES.keys()


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_speaks_alone_where_its_numbers_are_weak(rule):
    assert rules(CASES[rule]) == [rule]


@pytest.mark.parametrize("rule", RULES)
def test_advice_names_its_languages_and_its_numbers(rule):
    [advice] = advise(CASES[rule], RECIPE)
    assert advice.evidence
    assert any(letter.isdigit() for letter in "".join(advice.evidence))
    assert advice.languages == (() if rule == "trim" else ("sw-Latn",))
    if rule != "trim":
        assert "Swahili" in advice.means
        assert all("Swahili" in line for line in advice.evidence)
    assert advice.to_json()["languages"] == list(advice.languages)


@pytest.mark.parametrize("rule", RULES)
def test_its_command_has_options_that_exist(rule):
    [advice] = advise(CASES[rule], RECIPE)
    program, name, *words = shlex.split(advice.command)
    assert program == "isogloss"
    command = typer.main.get_command(app).get_command(click.Context(click.Command("isogloss")), name)
    command.make_parser(click.Context(command)).parse_args(words)


@pytest.mark.parametrize("rule", ["vocabulary", "data", "conflict"])
@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_its_recipe_is_one(rule, objective):
    changed = copy.deepcopy(CASES[rule])
    changed["model"] |= {"objective": objective, "family": {"masked": "bert", "causal": "gpt2"}[objective]}
    [advice] = advise(changed, RECIPE)
    recipe = resolve(Document(advice.recipe))
    assert recipe.objective == objective
    assert "sw-Latn" in recipe.corpora


def test_chance_alone_makes_nothing_weak():
    assert rules(facts(premium=("sw-Latn", (1.6, 1.45, 1.8)))) == []
    assert rules(facts(retrieval=("sw-Latn", (0.4, 0.3, 0.52)))) == []
    assert rules(facts(gradient=("sw-Latn", (-0.1, -0.2, 0.01)))) == []
    assert rules(facts(behind=("sw-Latn", (0.3, 0.04, 0.6)))) == []
    assert rules(facts(parity=("sw-Latn", (float("nan"), None, None)))) == []


def test_prediction_alone_is_no_reason_for_more_data_where_sentences_lie_near():
    assert rules(facts(parity=("sw-Latn", (0.5, 0.45, 0.55)))) == []


def test_where_only_one_of_the_two_was_measured_it_decides():
    assert rules(facts(without=("retrieval",), parity=("sw-Latn", (0.5, 0.45, 0.55)))) == ["data"]
    apart = facts(without=("parity",), retrieval=("sw-Latn", (0.1, 0.05, 0.15)))
    assert rules(apart) == ["data"]


@pytest.mark.parametrize("unknown", ["sw-Latn", "en-Latn"])
def test_unknown_tokens_make_no_language_look_well_known(unknown):
    """Nearly half of the tokens are unknown and told in no bits: parity is fine, and says nothing."""
    found = facts(unknown_rate=(unknown, (0.45, None, None)), retrieval=("sw-Latn", (0.1, 0.05, 0.15)))
    assert rules(found) == ["vocabulary"]
    badly = facts(unknown_rate=(unknown, (0.45, None, None)), parity=("sw-Latn", (0.5, 0.45, 0.55)))
    assert rules(badly) == ["vocabulary"]


def test_a_new_vocabulary_is_of_all_languages_and_not_of_the_weak_alone():
    [advice] = advise(facts(premium=("sw-Latn", (2.4, 2.2, 2.6))), RECIPE)
    assert list(advice.recipe["corpora"]) == list(FACTS["languages"])


def test_a_score_that_is_behind_can_be_levelled_whether_or_not_the_language_lies_apart():
    [near] = advise(CASES["level"], RECIPE)
    assert "lie near it in the model" in near.means
    _, apart = advise(facts(retrieval=("sw-Latn", (0.1, 0.05, 0.15)), behind=_BEHIND), RECIPE)
    assert apart.rule == "level"
    assert "lie near" not in apart.means
    [unknown] = advise(facts(without=("retrieval",), behind=_BEHIND), RECIPE)
    assert unknown.rule == "level"


def test_a_language_that_only_the_task_was_tested_in_is_spoken_of():
    found = facts(behind=("tr-Latn", (0.3, 0.2, 0.4)))
    found["measures"]["score"] = {tag: (0.5, 0.4, 0.6) for tag in ("en-Latn", "tr-Latn")}
    [advice] = advise(found, RECIPE)
    assert advice.languages == ("tr-Latn",)
    assert "lie near" not in advice.means
    assert advice.evidence == ("behind the source: Turkish 30.0 points",)


def test_bits_that_were_not_measured_are_not_spoken_of():
    found = facts(without=("parity",), retrieval=("sw-Latn", (0.1, 0.05, 0.15)))
    [advice] = advise(found, RECIPE)
    assert "bits" not in advice.means
    assert "was not measured" in advice.means


def test_a_model_with_several_tokenizers_gets_no_recipe_for_one_of_one():
    weak_in_tokens = facts(model={"tokenizers": 3}, premium=("sw-Latn", (2.4, 2.2, 2.6)))
    [advice] = advise(weak_in_tokens, RECIPE)
    assert (advice.rule, advice.recipe, advice.command) == ("vocabulary", None, None)


def test_levelling_is_told_of_the_model_that_was_scored():
    [advice] = advise(CASES["level"], RECIPE)
    assert advice.command.startswith("isogloss level runs/topics/model --task topic --source en-Latn")
    assert "--unlabelled en-Latn=FILE --unlabelled sw-Latn=FILE --train en-Latn=FILE" in advice.command
    [asked] = advise(CASES["level"] | {"task": {"task": "nli", "tuned": None}}, RECIPE | {"prompt": {}})
    assert asked.command.startswith("isogloss level runs/base/model --task nli")
    assert asked.command.endswith("--prompt PROMPT")


def test_the_held_out_text_stays_held_out_when_trimming():
    [advice] = advise(CASES["trim"], RECIPE)
    assert "--held-out sw-Latn=held-out/swa.txt" in advice.command
    assert "--corpus sw-Latn=FILE" in advice.command
    assert "up to 16.0 MB less" in advice.evidence[1]


def test_nothing_is_said_of_rows_that_too_little_text_was_counted_for():
    changed = copy.deepcopy(CASES["trim"])
    changed["vocabulary"]["tokens"]["sw-Latn"] = ENOUGH_TOKENS - 1
    assert rules(changed) == []
    changed["vocabulary"] |= {"expected": None}
    assert rules(changed) == []


@pytest.mark.parametrize("rule", ["vocabulary", "data", "conflict"])
def test_an_encoder_decoder_is_not_told_to_pretrain(rule):
    changed = copy.deepcopy(CASES[rule])
    changed["model"] |= {"objective": "seq2seq", "family": "mt5"}
    [advice] = advise(changed, RECIPE)
    assert advice.command is None
    assert advice.recipe is None


def test_a_task_model_is_told_to_go_back_to_its_base():
    changed = copy.deepcopy(CASES["data"])
    changed["model"] |= {"language_model": False}
    [advice] = advise(changed, RECIPE)
    assert "tuned from" in advice.recipe["model"]
    changed = copy.deepcopy(CASES["conflict"])
    changed["model"] |= {"language_model": False}
    assert advise(changed, RECIPE)[0].recipe is None


def test_many_languages_are_told_by_the_weakest_and_the_last():
    tags = [f"{code}-Latn" for code in ("fi", "et", "hu", "pl", "cs", "sk", "ro", "is", "da")]
    changed = facts()
    changed["languages"] = ["en-Latn", *tags]
    changed["measures"] = {"premium": {tag: (2.0 + place, None, None) for place, tag in enumerate(tags)}}
    [advice] = advise(changed, RECIPE)
    assert advice.languages == tuple(tags)
    assert "and 3 other languages" in advice.means
    assert advice.evidence[0].endswith("Polish 5.00, 3 more up to Finnish 2.00")
    assert "Danish 10.00" in advice.evidence[0]


def test_what_the_embeddings_find_best_is_said_to_be_shared_pieces():
    changed = copy.deepcopy(CASES["apart"])
    assert not any("embeddings" in line for line in advise(changed, RECIPE)[0].evidence)
    changed["layers"] = {"best": 0}
    assert any("embeddings" in line for line in advise(changed, RECIPE)[0].evidence)
