"""Through a prompt a language model scores classes as one can add up by hand, learns, and is saved."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from isogloss.compress.rows import FewerRows, rows_to_keep
from isogloss.core.errors import ModelError, RecipeError
from isogloss.data.encode import encode
from isogloss.data.features import collate
from isogloss.data.pieces import padding_id
from isogloss.data.prompts import Prompt
from isogloss.data.records import ChoiceExample, LabelExample
from isogloss.evaluate.predict import predict
from isogloss.models.classes import class_scores
from isogloss.models.tasks import build_task_model, load_task_model, save_task_model
from tiny_examples import EXAMPLES
from tiny_models import STYLES, tiny_model, tiny_tokenizer

AUTO = {"bert": AutoModelForMaskedLM, "gpt2": AutoModelForCausalLM, "mt5": AutoModelForSeq2SeqLM}
FAMILIES = list(AUTO)
LABELS = ("entailment", "neutral", "contradiction")
WORDS = {"entailment": "house", "neutral": "old woman", "contradiction": "cow"}
"""Of one piece and of several, in every tiny vocabulary."""
PATTERN = "{text} The <mask> saw London."
TEXTS = [
    LabelExample("a", "en-Latn", "The farmer saw the house.", None, "neutral"),
    LabelExample("b", "en-Latn", "It is red.", None, "entailment"),
    LabelExample("c", "en-Latn", "Paris", None, "contradiction"),
]
CHOICES = [
    ChoiceExample("a", "en-Latn", "The rain came.", "effect", ("The cow was sold.", "Paris."), 1),
    ChoiceExample("b", "en-Latn", "The cow was sold.", "cause", ("The rain.", "Paris.", "London is red."), 2),
]


def prompted(family, kind="label", **changes):
    own = (
        {"patterns": PATTERN, "verbalisers": WORDS}
        if kind == "label"
        else {"patterns": "{premise} So <mask>"}
    )
    tokenizer = tiny_tokenizer(STYLES[family])
    source = tiny_model(family, AUTO[family], tokenizer)
    labels = LABELS if kind == "label" else ()
    return build_task_model(kind, source, labels=labels, prompt=Prompt(**own | changes)), tokenizer


def batch_of(model, tokenizer, examples, purpose="train"):
    features = encode(
        model.kind,
        examples,
        tokenizer,
        labels=model.labels,
        max_length=64,
        objective=model.objective,
        purpose=purpose,
        prompt=model.prompt,
    )
    assert len(features) == len(examples)
    return collate(features, padding_id(tokenizer))


def by_hand(model, tokenizer, text, word, score):
    """From a plain forward pass of transformers and explicit log-softmax sums."""
    before, after = PATTERN.replace("{text}", text).split("<mask>")
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    if model.objective == "masked":
        row = tokenizer(before + " ".join(["[MASK]"] * len(ids)) + after, return_tensors="pt")
        places = (row["input_ids"][0] == tokenizer.mask_token_id).nonzero().squeeze(1)
        gains = model.model(**row).logits[0].log_softmax(-1)
    elif model.objective == "seq2seq":
        mark = tokenizer.convert_tokens_to_ids("<extra_id_0>")
        source = [*tokenizer(before.strip(), add_special_tokens=False)["input_ids"], mark]
        source += tokenizer(after)["input_ids"]
        said = torch.tensor([[model.config.decoder_start_token_id, mark, *ids]])
        gains = (
            model.model(input_ids=torch.tensor([source]), decoder_input_ids=said).logits[0].log_softmax(-1)
        )
        places = range(1, 1 + len(ids))
    else:
        start = tokenizer.bos_token_id
        row = [start, *tokenizer(before + word + after)["input_ids"]]
        shared = len([start, *tokenizer(before.rstrip())["input_ids"]])
        ids, places = row[shared:], range(shared - 1, len(row) - 1)
        gains = model.model(torch.tensor([row])).logits[0].log_softmax(-1)
    found = [gains[place, token] for place, token in zip(places, ids, strict=True)]
    return sum(found) / (len(found) if score == "mean" else 1)


@pytest.mark.parametrize("score", ["sum", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_and_loss_are_those_added_up_by_hand(family, score):
    model, tokenizer = prompted(family, score=score)
    model.eval()
    lengths = {len(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in WORDS.values()}
    assert len(lengths) > 1
    batch = batch_of(model, tokenizer, TEXTS)
    expected = torch.stack(
        [
            torch.stack([by_hand(model, tokenizer, example.text, WORDS[label], score) for label in LABELS])
            for example in TEXTS
        ]
    )
    scores = class_scores(model, batch)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    gold = torch.tensor([LABELS.index(example.label) for example in TEXTS])
    torch.testing.assert_close(
        model(batch).loss, torch.nn.functional.cross_entropy(expected, gold), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_gold_is_not_read_for_scores_of_classes_and_predictions_are_their_softmax(family):
    model, tokenizer = prompted(family)
    batch = batch_of(model, tokenizer, TEXTS, purpose="predict")
    assert "labels" not in batch
    assert model(batch).loss is None
    scores = class_scores(model.eval(), batch)
    blind = [dataclasses.replace(example, label=None) for example in TEXTS]
    for row, found in zip(scores, predict(model, tokenizer, blind), strict=True):
        torch.testing.assert_close(row.softmax(0), torch.tensor(found.probabilities))
        assert found.label == LABELS[int(row.argmax())]


@pytest.mark.parametrize("family", FAMILIES)
def test_alternatives_of_any_number_are_scored_and_predicted(family):
    model, tokenizer = prompted(family, kind="choice", score="mean")
    batch = batch_of(model.eval(), tokenizer, CHOICES)
    scores = class_scores(model, batch)
    assert scores.shape == (2, 3)
    assert scores[0, 2] == torch.finfo(torch.float32).min
    gold = torch.tensor([1, 2])
    torch.testing.assert_close(model(batch).loss, torch.nn.functional.cross_entropy(scores, gold))
    first, second = predict(model, tokenizer, CHOICES)
    torch.testing.assert_close(torch.tensor(first.probabilities), scores[0, :2].softmax(0))
    torch.testing.assert_close(torch.tensor(second.probabilities), scores[1].softmax(0))


@pytest.mark.parametrize("kind", ["label", "choice"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompted_model_learns_its_examples_by_heart(kind, family):
    model, tokenizer = prompted(family, kind=kind)
    examples = TEXTS if kind == "label" else CHOICES
    batch = batch_of(model, tokenizer, examples)
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(100):
        optimiser.zero_grad()
        loss = model(batch).loss
        loss.backward()
        optimiser.step()
        if loss < 0.05:
            break
    found = predict(model, tokenizer, examples)
    if kind == "label":
        assert [one.label for one in found] == [example.label for example in examples]
    else:
        assert [one.choice for one in found] == [example.answer for example in examples]


@pytest.mark.parametrize("family", FAMILIES)
def test_it_survives_the_disk_with_its_prompt_as_a_language_model(family, tmp_path):
    model, tokenizer = prompted(family, score="mean")
    save_task_model(model, tokenizer, tmp_path / "model")
    again, _ = load_task_model(tmp_path / "model")
    assert again.prompt == model.prompt
    assert json.loads((tmp_path / "model" / "head.json").read_text())["prompt"]["score"] == "mean"
    batch = batch_of(model.eval(), tokenizer, TEXTS)
    torch.testing.assert_close(class_scores(again, batch), class_scores(model, batch), rtol=0, atol=0)
    _, report = AUTO[family].from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not report["missing_keys"]


@pytest.mark.parametrize("family", FAMILIES)
def test_with_the_rows_in_use_alone_it_prefers_the_same_and_learns(family):
    model, tokenizer = prompted(
        family, verbalisers={"entailment": "house", "neutral": "woman", "contradiction": "cow"}
    )
    batch = batch_of(model.eval(), tokenizer, TEXTS)
    whole = class_scores(model, batch)
    used = {*batch["input_ids"].flatten().tolist(), *batch["entries"][:, 4].tolist()}
    used.update(batch["decoder"].flatten().tolist() if "decoder" in batch else ())
    rows = FewerRows(model, rows_to_keep(model.config, tokenizer, [used, [padding_id(tokenizer)]]))
    assert model.config.vocab_size < len(tokenizer)
    few = class_scores(model, batch)
    assert (few > whole).all()  # of fewer pieces, each is the more probable
    model.train()(batch).loss.backward()
    rows.put_back()
    torch.testing.assert_close(class_scores(model.eval(), batch), whole, rtol=0, atol=0)


def test_the_vocabulary_is_scored_where_a_word_stands_and_nowhere_else():
    model, tokenizer = prompted(
        "bert", verbalisers={"entailment": "house", "neutral": "woman", "contradiction": "cow"}
    )
    seen = []
    model.model.cls.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    batch = batch_of(model, tokenizer, TEXTS)
    places = len({(row, place) for _, _, row, place, _ in batch["entries"].tolist()})
    class_scores(model, batch)
    assert seen == [(1, places, len(tokenizer))]


def test_a_head_for_classes_and_labels_without_words_are_refused(tmp_path):
    tokenizer = tiny_tokenizer("wordpiece")
    prompt = Prompt(patterns=PATTERN, verbalisers=WORDS)
    bare = tiny_model("bert", AutoModel, tokenizer)
    with pytest.raises(ModelError, match="no language-model head"):
        build_task_model("label", bare, labels=LABELS, prompt=prompt)
    bare.save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match="no language-model head"):
        build_task_model("label", tmp_path / "bare", labels=LABELS, prompt=prompt)
    whole = tiny_model("bert", AutoModelForMaskedLM, tokenizer)
    with pytest.raises(RecipeError, match="'other' has no verbaliser"):
        build_task_model("label", whole, labels=("entailment", "other"), prompt=prompt)
    with pytest.raises(RecipeError, match="kind 'tags'"):
        build_task_model("tags", whole, labels=("O",), prompt=prompt)


def test_a_batch_that_was_encoded_without_the_prompt_is_our_own_mistake():
    model, tokenizer = prompted("bert")
    features = encode("label", EXAMPLES["label"], tokenizer, labels=LABELS, max_length=64)
    with pytest.raises(AssertionError, match="prompt"):
        model(collate(features, padding_id(tokenizer)))
