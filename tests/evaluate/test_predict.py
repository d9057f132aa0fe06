"""A model that has learnt eight examples by heart predicts their gold: labels, alignment and decoding fit."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from isogloss.core.errors import DataError
from isogloss.data.encode import encode
from isogloss.data.features import collate
from isogloss.data.labels import inventory
from isogloss.data.pieces import padding_id
from isogloss.data.records import LabelExample, SpanExample, TagsExample, TextExample, TreeExample
from isogloss.evaluate.disparity import disparity
from isogloss.evaluate.predict import batches, predict, row_length, whole_characters
from isogloss.evaluate.predictions import TextPrediction
from isogloss.evaluate.suite import evaluate, score
from isogloss.models.tasks import build_task_model
from tiny_examples import EXAMPLES
from tiny_models import DECODERS, STYLES, TOKENIZERS, tiny_model, tiny_tokenizer

LANGUAGE_MODELS = {
    "xlm-roberta": AutoModelForMaskedLM,
    "modernbert": AutoModelForMaskedLM,
    "bert": AutoModelForMaskedLM,
    "gpt2": AutoModelForCausalLM,
    "mt5": AutoModelForSeq2SeqLM,
}


def task_model(kind, family, style, **options):
    auto = LANGUAGE_MODELS[family] if kind in ("text", "gap") else AutoModel
    source = tiny_model(family, auto, tiny_tokenizer(style))
    return build_task_model(kind, source, labels=inventory(EXAMPLES[kind]), **options)


def learn(model, tokenizer, examples, *, steps=300, rate=2e-3, max_length=64, stride=None):
    """Until the loss is next to nothing, or that many steps."""
    features = encode(
        model.kind,
        examples,
        tokenizer,
        labels=model.labels,
        max_length=max_length,
        objective=model.objective,
        stride=stride,
    )
    batch = collate(features, padding_id(tokenizer))
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for _ in range(steps):
        optimiser.zero_grad()
        loss = model(batch).loss
        if loss < 0.03:
            break
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


PERFECT = {
    "label": {"accuracy": 1.0, "macro_f1": 1.0},
    "choice": {"accuracy": 1.0},
    "gap": {"accuracy": 1.0, "mrr": 1.0},
    "tags": {"accuracy": 1.0, "span_f1": 1.0},
    "tree": {"uas": 1.0, "las": 1.0},
    "span": {"em": 1.0, "f1": 1.0},
}
PAIRS = [
    ("xlm-roberta", "unigram"),
    ("bert", "wordpiece"),
    ("modernbert", "bytes"),
    ("gpt2", "bytes-bare"),
    ("mt5", "t5"),
]


@pytest.mark.parametrize("kind", list(PERFECT))
@pytest.mark.parametrize(("family", "style"), PAIRS)
def test_eight_examples_are_learnt_by_heart(kind, family, style):
    tokenizer = tiny_tokenizer(style)
    model = task_model(kind, family, style, pooling="mean" if family in DECODERS else "first")
    learn(model, tokenizer, EXAMPLES[kind])
    predictions = predict(model, tokenizer, EXAMPLES[kind], batch_tokens=100)
    assert score(kind, EXAMPLES[kind], predictions, "en-Latn") == PERFECT[kind]


@pytest.mark.parametrize("kind", ["tags", "tree", "span"])
def test_what_is_learnt_in_windows_is_predicted_from_windows(kind):
    tokenizer = tiny_tokenizer("unigram")
    model = task_model(kind, "xlm-roberta", "unigram")
    learn(model, tokenizer, EXAMPLES[kind], max_length=24, stride=10)
    predictions = predict(model, tokenizer, EXAMPLES[kind], max_length=24, stride=10)
    assert score(kind, EXAMPLES[kind], predictions, "en-Latn") == PERFECT[kind]


@pytest.mark.parametrize("kind", list(EXAMPLES))
def test_batching_changes_no_prediction(kind):
    tokenizer = tiny_tokenizer("unigram")
    model = task_model(kind, "xlm-roberta", "unigram")
    together = predict(model, tokenizer, EXAMPLES[kind])
    one_by_one = predict(model, tokenizer, EXAMPLES[kind], batch_tokens=1)
    assert [p.id for p in together] == [e.id for e in EXAMPLES[kind]]
    for a, b in zip(together, one_by_one, strict=True):
        for field in dataclasses.fields(a):
            first, second = getattr(a, field.name), getattr(b, field.name)
            if isinstance(first, float) or (isinstance(first, tuple) and isinstance(first[0], float)):
                assert first == pytest.approx(second, abs=1e-4)
            else:
                assert first == second


def test_prediction_leaves_the_mode_and_the_gradients_alone():
    tokenizer = tiny_tokenizer("unigram")
    model = task_model("label", "xlm-roberta", "unigram").train()
    model.backbone.eval()
    predict(model, tokenizer, EXAMPLES["label"])
    assert model.training
    assert not model.backbone.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bf16_is_close_to_single_precision():
    tokenizer = tiny_tokenizer("unigram")
    model = task_model("label", "xlm-roberta", "unigram")
    exact = predict(model, tokenizer, EXAMPLES["label"], precision="fp32")
    rough = predict(model, tokenizer, EXAMPLES["label"], precision="bf16")
    for a, b in zip(exact, rough, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=0.05)


@pytest.mark.parametrize("family", ["xlm-roberta", "gpt2", "mt5"])
def test_every_token_and_byte_of_a_text_is_counted_once(family):
    tokenizer = tiny_tokenizer(STYLES[family])
    model = task_model("text", family, STYLES[family])
    texts = [TextExample("a", "ru-Cyrl", "Старая женщина увидела красный дом. " * 12), *EXAMPLES["text"]]
    for length in (20, 64):
        for example, found in zip(texts, predict(model, tokenizer, texts, max_length=length), strict=True):
            assert found.n_bytes == len(example.text.encode())
            assert found.tokens == len(tokenizer(example.text, add_special_tokens=False)["input_ids"])
            assert math.isfinite(found.nats)
            assert found.nats > 0


def test_causal_nats_are_those_of_a_plain_forward_pass():
    tokenizer = tiny_tokenizer("bytes-bare")
    model = task_model("text", "gpt2", "bytes-bare").eval()
    example = EXAMPLES["text"][0]
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(example.text)["input_ids"]]])
    with torch.no_grad():
        plain = model.model(input_ids=ids, labels=ids).loss * (ids.shape[1] - 1)
    found = predict(model, tokenizer, [example])[0]
    assert found.nats == pytest.approx(plain.item(), rel=1e-5)


def test_a_model_that_knows_nothing_needs_log_of_the_vocabulary_per_token():
    tokenizer = tiny_tokenizer("unigram")
    model = task_model("text", "xlm-roberta", "unigram")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for found in predict(model, tokenizer, EXAMPLES["text"]):
        assert found.nats / found.tokens == pytest.approx(math.log(len(tokenizer)), rel=1e-5)


def test_empty_inputs_have_empty_answers():
    tokenizer = tiny_tokenizer("unigram")
    empty = {
        "tags": TagsExample("e", "en-Latn", (), ()),
        "tree": TreeExample("e", "en-Latn", (), (), (), ()),
        "span": SpanExample("e", "en-Latn", "Who?", "", ()),
        "text": TextExample("e", "en-Latn", ""),
    }
    for kind, example in empty.items():
        model = task_model(kind, "xlm-roberta", "unigram")
        assert predict(model, tokenizer, []) == []
        (found,) = predict(model, tokenizer, [example])
        if kind == "tags":
            assert found.tags == ()
        if kind == "tree":
            assert (found.heads, found.relations) == ((), ())
        if kind == "span":
            assert found.text == ""
        if kind == "text":
            assert found == TextPrediction("e", 0.0, 0, 0)


def test_only_the_root_has_the_relation_root():
    tokenizer = tiny_tokenizer("unigram")
    model = task_model("tree", "xlm-roberta", "unigram")
    for found in predict(model, tokenizer, EXAMPLES["tree"]):
        assert [head == 0 for head in found.heads] == [r == "root" for r in found.relations]


def test_rows_are_as_long_as_wanted_within_what_the_model_takes():
    short, boundless = task_model("label", "xlm-roberta", "unigram"), task_model("label", "mt5", "unigram")
    assert [row_length(short, wanted) for wanted in (None, 100, 129)] == [128, 100, 128]
    assert [row_length(boundless, wanted) for wanted in (None, 100, 4096)] == [512, 100, 4096]


def test_answers_keep_combining_marks_with_their_letters():
    text = "वह दिल्ली में है"
    start = text.index("दिल्ली")
    assert text[slice(*whole_characters(text, start, start + 1))] == "दि"
    assert text[slice(*whole_characters(text, start - 1, start + 7))] == "दिल्ली"
    assert whole_characters("  ", 0, 2) == (2, 2)


@pytest.mark.parametrize("style", TOKENIZERS)
@pytest.mark.parametrize("answer", ["cafe\u0301", "दिल्ली", "北京", "c"])
def test_answers_come_back_from_their_tokens(style, answer):
    context = f"The woman saw {answer} in London."
    example = SpanExample("a", "en-Latn", "in ?", context, ((14, answer),))
    (one,) = encode("span", [example], tiny_tokenizer(style), max_length=100)
    start, end = (one.offsets[label] for label in one.labels)
    assert context[slice(*whole_characters(context, start[0], end[1]))] == answer


def test_batches_hold_every_feature_once_and_stay_in_the_budget():
    tokenizer = tiny_tokenizer("unigram")
    features = encode("choice", EXAMPLES["choice"], tokenizer, max_length=64, purpose="predict")
    made = list(batches(features, 80))
    assert sorted(index for batch in made for index in batch) == list(range(len(features)))
    for batch in made:
        rows = sum(len(features[index].rows) for index in batch)
        assert len(batch) == 1 or rows * max(features[index].length for index in batch) <= 80


def test_evaluation_sums_up_each_language_and_their_spread():
    tokenizer = tiny_tokenizer("unigram")
    model = task_model("label", "xlm-roberta", "unigram")
    halves = {"en-Latn": EXAMPLES["label"][:4], "ru-Cyrl": EXAMPLES["label"][4:]}
    learn(model, tokenizer, halves["en-Latn"])
    found = evaluate(model, tokenizer, halves, headline="macro_f1", source="en-Latn")
    assert found.scores["en-Latn"]["accuracy"] == 1.0
    assert found.summary.source_lead == pytest.approx(1 - found.scores["ru-Cyrl"]["macro_f1"])
    with pytest.raises(DataError, match="span_f1 cannot be measured in en-Latn"):
        evaluate(model, tokenizer, halves, headline="span_f1")


def test_evaluation_refuses_labels_of_another_spelling():
    model = task_model("label", "xlm-roberta", "unigram")
    stranger = LabelExample("q7", "en-Latn", "A cow.", None, "entailed")
    with pytest.raises(DataError, match="'q7' has the label 'entailed'"):
        evaluate(model, tiny_tokenizer("unigram"), {"en-Latn": [stranger]}, headline="accuracy")


def test_examples_without_gold_are_not_scored():
    tokenizer = tiny_tokenizer("unigram")
    model = task_model("label", "xlm-roberta", "unigram")
    blind = [dataclasses.replace(example, label=None) for example in EXAMPLES["label"]]
    found = predict(model, tokenizer, blind)
    with pytest.raises(DataError, match="no example in en-Latn has gold"):
        score("label", blind, found, "en-Latn")
    with pytest.raises(DataError, match="not those of the examples"):
        score("label", EXAMPLES["label"][1:], found[:-1], "en-Latn")


def test_disparity_is_as_computed_by_hand():
    found = disparity({"en": 0.9, "sw": 0.5, "tr": 0.7}, source="en")
    assert found.macro_average == pytest.approx(0.7)
    assert (found.best, found.worst, found.worst_score) == ("en", "sw", 0.5)
    assert found.gap == pytest.approx(0.4)
    assert found.source_lead == pytest.approx(0.3)
    assert found.deviation == pytest.approx(math.sqrt(0.08 / 3))
    lower = disparity({"en": 1.0, "sw": 3.0}, higher_is_better=False)
    assert (lower.best, lower.worst, lower.gap, lower.source_lead) == ("en", "sw", 2.0, None)
    assert disparity({"en": 0.5}, source="en").source_lead is None
    with pytest.raises(DataError):
        disparity({})
