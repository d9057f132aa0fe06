"""Task models build from any family, learn, and come back from disk the same."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    pipeline,
)

from isogloss.core.errors import CheckpointError, ModelError
from isogloss.data.labels import inventory
from isogloss.models.tasks import (
    aligned_labels,
    build_task_model,
    load_task_model,
    longest_input,
    save_task_model,
)
from tiny_batches import batch_of
from tiny_examples import EXAMPLES
from tiny_models import DECODERS, ENCODERS, FAMILIES, STYLES, tiny_model, tiny_tokenizer

LANGUAGE_MODELS = {
    **dict.fromkeys(ENCODERS, AutoModelForMaskedLM),
    **dict.fromkeys(DECODERS, AutoModelForCausalLM),
    "mt5": AutoModelForSeq2SeqLM,
}
SUPPORTED = [(kind, family) for kind in EXAMPLES for family in FAMILIES]


def task_model(kind, family, **options):
    auto = LANGUAGE_MODELS[family] if kind in ("text", "gap") else AutoModel
    source = tiny_model(family, auto, tiny_tokenizer(STYLES[family]))
    return build_task_model(kind, source, labels=inventory(EXAMPLES[kind]), **options)


@pytest.mark.parametrize(("kind", "family"), SUPPORTED)
def test_every_kind_trains_and_survives_the_disk_on_every_family(kind, family, tmp_path):
    tokenizer = tiny_tokenizer(STYLES[family])
    model = task_model(kind, family).train()
    batch = batch_of(kind, model, tokenizer)
    output = model(batch)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    embedding = model.backbone.get_input_embeddings().weight
    assert embedding.grad is not None
    assert embedding.grad.abs().sum() > 0
    save_task_model(model, tokenizer, tmp_path / "model")
    again, tokenizer_again = load_task_model(tmp_path / "model")
    assert again.labels == model.labels
    assert tokenizer_again.get_vocab() == tokenizer.get_vocab()
    first, second = model.eval()(batch).logits, again(batch).logits
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mean_pooled_classifier_survives_the_disk(family, tmp_path):
    tokenizer = tiny_tokenizer(STYLES[family])
    model = task_model("label", family, pooling="mean").eval()
    assert (model.head is None) == (family == "modernbert")
    save_task_model(model, tokenizer, tmp_path / "model")
    again, _ = load_task_model(tmp_path / "model")
    batch = batch_of("label", model, tokenizer)
    assert torch.equal(model(batch).logits["labels"], again(batch).logits["labels"])


@pytest.mark.parametrize("kind", list(EXAMPLES))
@pytest.mark.parametrize("family", ["xlm-roberta", "gpt2"])
def test_padding_does_not_change_the_answer(kind, family):
    tokenizer = tiny_tokenizer(STYLES[family])
    model = task_model(kind, family).eval()
    together = model(batch_of(kind, model, tokenizer)).logits
    alone = model(batch_of(kind, model, tokenizer, EXAMPLES[kind][:1])).logits
    for name, logits in alone.items():
        part = together[name][tuple(slice(size) for size in logits.shape)]
        torch.testing.assert_close(part, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert"])
def test_a_saved_tagger_works_in_a_transformers_pipeline(family, tmp_path):
    model = task_model("tags", family)
    save_task_model(model, tiny_tokenizer(STYLES[family]), tmp_path / "model")
    found = pipeline("token-classification", str(tmp_path / "model"))("The old woman saw London")
    assert {token["entity"] for token in found} <= set(model.labels)


def test_a_saved_classifier_and_reader_work_in_transformers_pipelines(tmp_path):
    tokenizer = tiny_tokenizer("unigram")
    model = task_model("label", "xlm-roberta")
    save_task_model(model, tokenizer, tmp_path / "label")
    assert pipeline("text-classification", str(tmp_path / "label"))("a cow")[0]["label"] in model.labels


def test_a_backbone_under_our_head_is_an_ordinary_transformers_folder(tmp_path):
    model = task_model("tree", "bert")
    save_task_model(model, tiny_tokenizer("wordpiece"), tmp_path / "model")
    loaded, report = AutoModel.from_pretrained(
        tmp_path / "model", output_loading_info=True, add_pooling_layer=False
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert torch.equal(loaded.embeddings.word_embeddings.weight, model.backbone.get_input_embeddings().weight)


@pytest.mark.parametrize("family", [*ENCODERS, *DECODERS])
def test_scoring_only_where_labels_are_changes_no_logit(family):
    tokenizer = tiny_tokenizer(STYLES[family])
    model = task_model("text", family).eval()
    batch = batch_of("text", model, tokenizer)
    some = model(batch)
    stock = model.run(batch, labels=batch["labels"])
    places = aligned_labels(batch["labels"], model.objective) != -100
    everywhere = model({name: tensor for name, tensor in batch.items() if name != "labels"})
    torch.testing.assert_close(
        some.logits["tokens"], everywhere.logits["tokens"][places], rtol=1e-5, atol=1e-6
    )
    stock = model.model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]
    )
    assert some.loss.item() == pytest.approx(stock.loss.item(), rel=1e-5)


def test_the_same_seed_draws_the_same_head():
    one, two, other = (task_model("tree", "bert", seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.head.relation, other.head.relation)


def test_building_moves_no_global_generator():
    source = tiny_model("bert", AutoModel, tiny_tokenizer("wordpiece"))
    state = torch.random.get_rng_state()
    build_task_model("tags", source, labels=["O"])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_building_copies_the_source():
    source = tiny_model("bert", AutoModel, tiny_tokenizer("wordpiece"))
    model = build_task_model("tags", source, labels=["O", "B-LOC"])
    with torch.no_grad():
        model.backbone.get_input_embeddings().weight.zero_()
    assert source.get_input_embeddings().weight.abs().sum() > 0


def test_a_head_with_the_same_labels_is_kept_and_its_order_with_it(tmp_path):
    first = task_model("tags", "bert")
    save_task_model(first, tiny_tokenizer("wordpiece"), tmp_path / "model")
    backwards = tuple(reversed(first.labels))
    for source in (tmp_path / "model", first.model):
        again = build_task_model("tags", source, labels=backwards)
        assert again.labels == first.labels
        assert torch.equal(again.model.classifier.weight, first.model.classifier.weight)
    fresh = build_task_model("tags", tmp_path / "model", labels=("O", "B-ORG"))
    assert fresh.labels == ("O", "B-ORG")
    assert fresh.model.config.label2id == {"O": 0, "B-ORG": 1}


def test_a_batch_without_gold_has_no_loss_and_one_of_ignored_gold_a_loss_of_zero():
    tokenizer = tiny_tokenizer("wordpiece")
    model = task_model("tags", "bert")
    batch = batch_of("tags", model, tokenizer)
    ignored = {**batch, "labels": torch.full_like(batch["labels"], -100)}
    assert model(ignored).loss == 0
    model(ignored).loss.backward()
    del batch["labels"]
    assert model(batch).loss is None


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("tags", {}, "without labels"),
        ("label", {"labels": ["a", "a"]}, "twice"),
        ("text", {}, "no language-model head"),
    ],
)
def test_requests_that_cannot_be_met_say_so(kind, options, words):
    source = tiny_model("bert", AutoModel, tiny_tokenizer("wordpiece"))
    with pytest.raises(ModelError, match=words):
        build_task_model(kind, source, **options)


def test_a_damaged_head_and_a_folder_of_another_sort_are_refused(tmp_path):
    folder = tmp_path / "model"
    save_task_model(task_model("choice", "bert"), tiny_tokenizer("wordpiece"), folder)
    content = bytearray((folder / "head.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "head.safetensors").write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="damaged"):
        load_task_model(folder)
    (folder / "manifest.json").unlink()
    (folder / "head.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_task_model(folder)
    (folder / "head.json").unlink()
    with pytest.raises(ModelError, match=r"no head\.json"):
        load_task_model(folder)


def test_head_facts_are_readable(tmp_path):
    save_task_model(task_model("choice", "bert"), tiny_tokenizer("wordpiece"), tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "head.json").read_text())
    assert facts == {"kind": "choice", "labels": [], "pooling": "mean", "own_head": True}


@pytest.mark.parametrize(
    ("family", "longest"), [("bert", 130), ("xlm-roberta", 128), ("gpt2", 130), ("mt5", None)]
)
def test_the_longest_row_is_known(family, longest):
    assert longest_input(task_model("choice", family).config) == longest
