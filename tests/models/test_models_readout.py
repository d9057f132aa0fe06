"""What a causal model's classifier reads: the last real token, after the final normalisation."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from isogloss.data.encode import encode
from isogloss.data.features import collate
from isogloss.data.pieces import padding_id
from isogloss.data.records import LabelExample
from isogloss.models.heads import last_state
from isogloss.models.tasks import build_task_model, load_task_model, save_task_model
from tiny_models import DECODERS, tiny_model, tiny_tokenizer

TEXTS = ("The old woman saw the red house in London.", "A cow.", "Paris")
LABELS = ("a", "b", "c")


def classifier(family, style, pooling="first", **changes):
    tokenizer = tiny_tokenizer(style)
    base = tiny_model(family, AutoModel, tokenizer, **changes)
    return build_task_model("label", base, labels=LABELS, pooling=pooling).eval(), tokenizer


def rows(tokenizer, texts, *, padding=None):
    examples = [LabelExample(str(i), "en-Latn", text, None, "a") for i, text in enumerate(texts)]
    features = encode("label", examples, tokenizer, labels=LABELS, max_length=64)
    return collate(features, padding_id(tokenizer) if padding is None else padding)


def read_alone(model, ids):
    """A row's scores, from what the final normalisation says at its last place."""
    [final] = [part for name, part in model.backbone.named_modules() if name in ("ln_f", "norm")]
    normed = []
    hook = final.register_forward_hook(lambda module, inputs, output: normed.append(output))
    model.backbone(input_ids=torch.tensor([ids]))
    hook.remove()
    return model.model.score(normed[0][0, -1])


@pytest.mark.parametrize("style", ["unigram", "bytes-bare"])
@pytest.mark.parametrize("family", DECODERS)
def test_the_last_real_token_is_read_after_the_final_normalisation(family, style):
    model, tokenizer = classifier(family, style)
    batch = rows(tokenizer, TEXTS)
    assert batch["attention_mask"].min() == 0, "some rows are padded"
    found = model(batch).logits["labels"]
    for place, scores in enumerate(found):
        ids = batch["input_ids"][place][batch["attention_mask"][place] == 1].tolist()
        torch.testing.assert_close(scores, read_alone(model, ids), rtol=1e-4, atol=1e-5)
    changed = {**batch, "input_ids": batch["input_ids"].clone()}
    changed["input_ids"][batch["attention_mask"] == 0] = 7
    torch.testing.assert_close(model(changed).logits["labels"], found)


@pytest.mark.parametrize("family", DECODERS)
def test_a_configuration_with_another_padding_token_changes_nothing(family):
    model, tokenizer = classifier(family, "unigram")
    batch = rows(tokenizer, TEXTS)
    found = model(batch).logits["labels"]
    model.config.pad_token_id = tokenizer.convert_tokens_to_ids("<mask>")
    torch.testing.assert_close(model(batch).logits["labels"], found)


def test_an_end_of_text_that_also_pads_is_read_where_the_text_has_it():
    model, tokenizer = classifier("gpt2", "bytes-bare")
    end = tokenizer.eos_token_id
    ids = [5, 6, 7, end]
    batch = {
        "input_ids": torch.tensor([[*ids, end, end], [9, 10, 11, 12, 13, 14]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6]),
    }
    torch.testing.assert_close(model(batch).logits["labels"][0], read_alone(model, ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_mean_pooling_leaves_padding_out_too(family):
    model, tokenizer = classifier(family, "unigram", pooling="mean")
    batch = rows(tokenizer, TEXTS)
    found = model(batch).logits["labels"]
    for place, text in enumerate(TEXTS):
        torch.testing.assert_close(
            found[place], model(rows(tokenizer, [text])).logits["labels"][0], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("family", DECODERS)
def test_transformers_alone_reads_a_saved_classifier_alike(family, tmp_path):
    model, tokenizer = classifier(family, "bytes", pad_token_id=3)
    assert padding_id(tokenizer) != 3
    batch = rows(tokenizer, TEXTS)
    wanted = model(batch).logits["labels"]
    save_task_model(model, tokenizer, tmp_path / "model")
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    torch.testing.assert_close(stock(**inputs).logits, wanted, rtol=1e-4, atol=1e-5)
    again, _ = load_task_model(tmp_path / "model")
    torch.testing.assert_close(again(batch).logits["labels"], wanted)


def test_the_last_state_of_rows_padded_on_either_side_or_wholly():
    hidden = torch.arange(12.0).reshape(3, 4, 1)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    assert last_state(hidden, mask).flatten().tolist() == [1.0, 7.0, 8.0]


def test_training_moves_the_classifier_and_the_backbone():
    model, tokenizer = classifier("gpt2", "unigram")
    model.train()
    model(rows(tokenizer, TEXTS)).loss.backward()
    assert model.model.score.weight.grad.abs().sum() > 0
    assert model.backbone.get_input_embeddings().weight.grad.abs().sum() > 0
