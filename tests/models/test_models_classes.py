"""Class scores: from a head its logits, from pieces sums of log-probabilities that one can add up by hand."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from isogloss.data.encode import encode
from isogloss.data.features import collate
from isogloss.data.labels import inventory
from isogloss.data.pieces import padding_id
from isogloss.data.records import GAP, GapExample
from isogloss.evaluate.predict import predict
from isogloss.models.classes import class_scores
from isogloss.models.tasks import build_task_model
from tiny_examples import EXAMPLES
from tiny_models import DECODERS, ENCODERS, FAMILIES, STYLES, tiny_model, tiny_tokenizer

LANGUAGE_MODELS = {
    **dict.fromkeys(ENCODERS, AutoModelForMaskedLM),
    **dict.fromkeys(DECODERS, AutoModelForCausalLM),
    "mt5": AutoModelForSeq2SeqLM,
}
LOWEST = torch.finfo(torch.float32).min


def task_model(kind, family, tokenizer):
    auto = LANGUAGE_MODELS[family] if kind == "gap" else AutoModel
    return build_task_model(
        kind, tiny_model(family, auto, tokenizer), labels=inventory(EXAMPLES[kind])
    ).eval()


def batch_of(model, tokenizer, examples, **options):
    features = encode(
        model.kind,
        examples,
        tokenizer,
        labels=model.labels,
        objective=model.objective,
        purpose="predict",
        **{"max_length": 128} | options,
    )
    assert [feature.example for feature in features] == list(range(len(examples)))
    return collate(features, padding_id(tokenizer))


@pytest.mark.parametrize("kind", ["label", "choice", "gap"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_example_has_one_row_of_scores_that_predict_agrees_with(kind, family):
    tokenizer = tiny_tokenizer(STYLES[family])
    model = task_model(kind, family, tokenizer)
    batch = batch_of(model, tokenizer, EXAMPLES[kind])
    assert "labels" not in batch
    scores = class_scores(model, batch)
    assert scores.shape == (8, 3)
    assert scores.dtype == torch.float32
    for row, found in zip(scores, predict(model, tokenizer, EXAMPLES[kind]), strict=True):
        expected = found.scores if kind == "gap" else found.probabilities
        own = row[: len(expected)]
        assert (row[len(expected) :] == LOWEST).all()
        torch.testing.assert_close(
            own.softmax(0),
            torch.tensor(expected).softmax(0) if kind == "gap" else torch.tensor(expected),
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize("kind", ["label", "choice", "gap"])
@pytest.mark.parametrize("family", ["xlm-roberta", "llama", "mt5"])
def test_gradients_flow_from_the_scores_of_classes_to_the_embedding(kind, family):
    tokenizer = tiny_tokenizer(STYLES[family])
    model = task_model(kind, family, tokenizer).train()
    class_scores(model, batch_of(model, tokenizer, EXAMPLES[kind])).log_softmax(1)[:, 0].sum().backward()
    gradient = model.backbone.get_input_embeddings().weight.grad
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


def test_masked_candidates_of_equally_many_pieces_share_a_row():
    tokenizer = tiny_tokenizer("wordpiece")
    model = task_model("gap", "bert", tokenizer)
    asked = [GapExample("a", "en-Latn", f"The {GAP} saw London.", ("woman", "house", "farmer", "cow"), ())]
    pieces = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in asked[0].candidates]
    lengths = {len(ids) for ids in pieces}
    assert 1 < len(lengths) < 4
    batch = batch_of(model, tokenizer, asked)
    assert len(batch["input_ids"]) == len(lengths)
    scores = class_scores(model, batch)[0]
    for ids, score in zip(pieces, scores, strict=True):
        text = f"The {' '.join(['[MASK]'] * len(ids))} saw London."
        row = tokenizer(text, return_tensors="pt")
        gains = model.model(**row).logits[0].log_softmax(-1)
        places = (row["input_ids"][0] == tokenizer.mask_token_id).nonzero().squeeze(1)
        by_hand = sum(gains[place, token] for place, token in zip(places, ids, strict=True)) / len(ids)
        torch.testing.assert_close(score, by_hand)


def test_causal_candidates_are_scored_from_their_first_difference_to_the_end():
    tokenizer = tiny_tokenizer("bytes-bare")
    model = task_model("gap", "gpt2", tokenizer)
    asked = [GapExample("a", "en-Latn", f"The capital of France is {GAP}.", ("Paris", "Nairobi", "Park"), ())]
    scores = class_scores(model, batch_of(model, tokenizer, asked))[0]
    texts = [asked[0].prompt.replace(GAP, word) for word in asked[0].candidates]
    rows = [[tokenizer.bos_token_id, *tokenizer(text)["input_ids"]] for text in texts]
    wholes = []
    for row in rows:
        gains = model.model(torch.tensor([row])).logits[0].log_softmax(-1)
        wholes.append(sum(gains[place - 1, row[place]] for place in range(1, len(row))))
    torch.testing.assert_close(scores.log_softmax(0), torch.stack(wholes).log_softmax(0))
    shared = next(i for i, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1)
    gains = model.model(torch.tensor(rows[:1])).logits[0].log_softmax(-1)
    by_hand = sum(gains[place - 1, rows[0][place]] for place in range(shared, len(rows[0])))
    torch.testing.assert_close(scores[0], by_hand)


def test_causal_candidates_of_one_last_piece_share_a_row():
    tokenizer = tiny_tokenizer("bytes-bare")
    model = task_model("gap", "gpt2", tokenizer)
    batch = batch_of(model, tokenizer, [GapExample("a", "en-Latn", f"The cow {GAP}", ("7", "8"), ())])
    assert len(batch["input_ids"]) == 1
    assert len(batch["entries"]) == 2


def test_a_causal_candidate_that_another_begins_with_is_told_apart_by_its_end():
    tokenizer = tiny_tokenizer("bytes-bare")
    model = task_model("gap", "gpt2", tokenizer)
    asked = [GapExample("a", "en-Latn", f"The {GAP}", ("cow", "cow sold"), ())]
    scores = class_scores(model, batch_of(model, tokenizer, asked))[0]
    end = tokenizer.eos_token_id
    row = [tokenizer.bos_token_id, *tokenizer("The cow")["input_ids"]]
    gains = model.model(torch.tensor([row])).logits[0].log_softmax(-1)
    torch.testing.assert_close(scores[0], gains[-1, end])
    assert scores[1].isfinite()


def test_an_encoder_decoder_is_forced_on_the_candidate_after_the_sentinel():
    tokenizer = tiny_tokenizer("t5")
    model = task_model("gap", "mt5", tokenizer)
    asked = [GapExample("a", "en-Latn", f"The {GAP} saw London.", ("old woman", "farmer", "house"), ())]
    batch = batch_of(model, tokenizer, asked)
    assert len(batch["input_ids"]) == 1
    scores = class_scores(model, batch)[0]
    mark = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    source = tokenizer("The", add_special_tokens=False)["input_ids"] + [mark]
    source += tokenizer(" saw London.")["input_ids"]
    for word, score in zip(asked[0].candidates, scores, strict=True):
        ids = tokenizer(word, add_special_tokens=False)["input_ids"]
        said = torch.tensor([[model.config.decoder_start_token_id, mark, *ids]])
        logits = model.model(input_ids=torch.tensor([source]), decoder_input_ids=said).logits[0]
        gains = logits.log_softmax(-1)
        by_hand = sum(gains[1 + place, token] for place, token in enumerate(ids)) / len(ids)
        torch.testing.assert_close(score, by_hand)


@pytest.mark.parametrize("family", ["bert", "gpt2", "mt5"])
def test_a_long_prompt_keeps_the_same_pieces_around_every_candidate(family):
    tokenizer = tiny_tokenizer(STYLES[family])
    model = task_model("gap", family, tokenizer)
    prompt = "The old woman saw the house. " * 5 + GAP + " saw the red house in London." * 5
    asked = [GapExample("a", "en-Latn", prompt, ("The old woman", "The cow"), ())]
    batch = batch_of(model, tokenizer, asked, max_length=24)
    assert batch["input_ids"].shape[1] <= 24
    long, short = class_scores(model, batch)[0]
    assert long.isfinite()
    assert short.isfinite()


@pytest.mark.parametrize("family", ["bert", "gpt2", "mt5"])
def test_company_in_a_batch_changes_no_score_of_a_class(family):
    tokenizer = tiny_tokenizer(STYLES[family])
    model = task_model("gap", family, tokenizer)
    together = class_scores(model, batch_of(model, tokenizer, EXAMPLES["gap"]))
    for index, example in enumerate(EXAMPLES["gap"]):
        alone = class_scores(model, batch_of(model, tokenizer, [example]))[0]
        torch.testing.assert_close(together[index, : len(alone)], alone, rtol=1e-4, atol=1e-5)
