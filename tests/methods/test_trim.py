"""Trimming a model: the folder, its certificate, and what it refuses."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from isogloss.core.errors import ModelError, RecipeError, UserError
from isogloss.methods import trim as method
from isogloss.methods.trim import trim_model
from isogloss.models.backbone import empty_model, load_model, load_tokenizer, save_model, seeded
from isogloss.vocab.rules import ByProbability, BySize
from isogloss.vocab.trimmed import load_trimmed
from tiny_models import FAMILIES, SENTENCES, STYLES, tiny_config, tiny_tokenizer
from tiny_runs import DISTIL, logged, ran, tiny

TEXTS = {"en-Latn": ("miniature/train:60",), "fr-Latn": ("miniature/train:60",)}
UNSEEN = {"en-Latn": ("miniature/test:30",), "fr-Latn": ("miniature/test:30",)}


def test_a_trimmed_model_loads_with_transformers_and_scores_as_before(model, tmp_path):
    found = trim_model(model, corpora=TEXTS, held_out=UNSEEN, out=tmp_path / "small", rule=ByProbability(0))
    small, tokenizer = (
        one.from_pretrained(tmp_path / "small") for one in (AutoModelForMaskedLM, AutoTokenizer)
    )
    full, original = AutoModelForMaskedLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    kept = load_trimmed(tmp_path / "small").kept
    assert small.config.vocab_size == len(tokenizer) == len(kept) == found.certificate.kept < len(original)
    text = "The capital of France is <mask>."
    old, new = original(text, return_tensors="pt"), tokenizer(text, return_tensors="pt")
    assert kept[new["input_ids"][0]].tolist() == old["input_ids"][0].tolist()
    torch.testing.assert_close(small(**new).logits, full(**old).logits[..., kept], atol=1e-5, rtol=0)
    assert found.difference <= 1e-5
    assert tokenizer.mask_token == "<mask>"
    assert tokenizer.model_input_names == original.model_input_names


def test_the_certificate_lies_beside_the_model(model, tmp_path):
    found = trim_model(model, corpora=TEXTS, held_out=UNSEEN, out=tmp_path / "small")
    told = json.loads((tmp_path / "small" / "certificate.json").read_text(encoding="utf-8"))
    assert set(told["languages"]) == {"en-Latn", "fr-Latn"}
    assert told["languages"]["en-Latn"]["sentences"] == 30
    assert told["model"]["parameters_kept"] == found.parameters[1] < found.parameters[0]
    assert told == json.loads(json.dumps(found.to_json()))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_family_keeps_its_head_its_precision_and_its_scores(family, dtype, tmp_path):
    tokenizer = tiny_tokenizer(STYLES[family])
    auto = {"gpt2": "causal", "llama": "causal", "mt5": "seq2seq"}.get(family, "masked")
    with seeded(0):
        model = empty_model(tiny_config(family, tokenizer), auto).to(dtype)
    save_model(model, tokenizer, tmp_path / "full")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(SENTENCES[:5]), encoding="utf-8")
    found = trim_model(
        tmp_path / "full", corpora={"en-Latn": (str(text),)}, held_out={"en-Latn": (str(text),)},
        out=tmp_path / "small", rule=ByProbability(0), alphabet="seen", min_identical=1.0,
    )  # fmt: skip
    assert found.certificate.kept < found.certificate.entries
    assert found.difference <= 1e-5
    again = load_model(tmp_path / "small", auto)
    assert again.config.vocab_size == found.certificate.kept == len(load_tokenizer(tmp_path / "small"))
    stored = json.loads((tmp_path / "small" / "config.json").read_text(encoding="utf-8"))
    assert stored["dtype"] == str(dtype).removeprefix("torch.")


def test_too_few_identical_sentences_save_nothing(model, tmp_path):
    with pytest.raises(ModelError, match="too few held-out sentences"):
        trim_model(
            model, corpora={"en-Latn": ("miniature/train:5",)}, held_out={"fr-Latn": ("miniature/test:30",)},
            out=tmp_path / "small", min_identical=0.999,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone_and_an_earlier_result_is_replaced(model, tmp_path):
    own = tmp_path / "mine"
    own.mkdir()
    (own / "notes.txt").write_text("keep me", encoding="utf-8")
    with pytest.raises(UserError, match="not a trimmed model"):
        trim_model(model, corpora=TEXTS, held_out=UNSEEN, out=own)
    assert (own / "notes.txt").read_text(encoding="utf-8") == "keep me"
    for size in (300, 200):
        trim_model(model, corpora=TEXTS, held_out=UNSEEN, out=tmp_path / "small", rule=BySize(size))
        assert size - 50 < len(load_trimmed(tmp_path / "small").kept) <= size


def test_scores_that_differ_are_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(method, "largest_difference", lambda *_: float("nan"))
    with pytest.raises(ModelError, match="differ from the full model's by nan"):
        trim_model(model, corpora=TEXTS, held_out=UNSEEN, out=tmp_path / "small")


def test_a_recipe_that_wants_sentences_identical_says_on_which_text():
    with pytest.raises(RecipeError, match="dev: held-out text"):
        tiny(DISTIL, without=("dev",), teacher="x", student__vocabulary={"min_identical": 0.9})
    with pytest.raises(RecipeError, match="one of them at most"):
        tiny(DISTIL, teacher="x", student__vocabulary={"size": 100, "coverage": 0.9})


def test_a_recipe_trims_by_size_keeps_a_prompt_and_leaves_a_certificate(model, tmp_path):
    vocabulary = {"size": 200, "keep": ["Nairobi"]}
    run = ran(tiny(DISTIL, teacher=str(model), student__vocabulary=vocabulary), tmp_path)
    folder = run.folder / "vocabulary"
    kept = load_trimmed(folder).kept
    assert len(kept) <= 200
    assert set(load_tokenizer(model)("Nairobi", add_special_tokens=False)["input_ids"]) <= set(kept.tolist())
    assert (folder / "certificate.json").exists()
    shares = {line["language"]: line["value"] for line in logged(run, "identical")}
    assert set(shares) == {"en-Latn", "fr-Latn"}
    assert all(0 <= share <= 1 for share in shares.values())


@pytest.mark.parametrize(
    ("name", "family", "auto"),
    [
        ("BertTokenizer", "bert", "masked"),
        ("XLMRobertaTokenizer", "xlm-roberta", "masked"),
        ("DebertaV2Tokenizer", "deberta-v2", "masked"),
        ("T5Tokenizer", "mt5", "seq2seq"),
        ("GPT2Tokenizer", "gpt2", "causal"),
        ("Qwen2Tokenizer", "llama", "causal"),
    ],
)
def test_tokenizers_of_a_class_of_their_own_are_saved_as_certified(name, family, auto, tmp_path):
    tokenizer = tiny_tokenizer(STYLES[family])
    with seeded(0):
        model = empty_model(tiny_config(family, tokenizer), auto)
    save_model(model, tokenizer, tmp_path / "full")
    config = tmp_path / "full" / "tokenizer_config.json"
    told = json.loads(config.read_text(encoding="utf-8")) | {"tokenizer_class": name}
    config.write_text(json.dumps(told), encoding="utf-8")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(SENTENCES[:5]), encoding="utf-8")
    places = {"en-Latn": (str(text),)}
    trim_model(
        tmp_path / "full", corpora=places, held_out=places, out=tmp_path / "small", rule=ByProbability(0)
    )
    old, new = load_tokenizer(tmp_path / "full"), load_tokenizer(tmp_path / "small")
    assert type(old).__name__ == name
    assert new.extra_special_tokens == old.extra_special_tokens
    for one in SENTENCES[:5]:
        before, after = old(one), new(one)
        assert before.keys() == after.keys()
        assert load_trimmed(tmp_path / "small").kept[after["input_ids"]].tolist() == before["input_ids"]
