"""Models with a tokenizer for each language, on disk."""

from __future__ import annotations

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from isogloss.core.by_language import TokenizerByLanguage
from isogloss.core.errors import ModelError
from isogloss.core.files import check_folder
from isogloss.models.backbone import load_tokenizer, save_model
from isogloss.models.tasks import build_task_model, load_task_model, save_task_model
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.merge import joined
from isogloss.vocab.trim import trim_vocabulary
from tiny_models import SENTENCES, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def several():
    own = {"en-Latn": tiny_tokenizer("unigram"), "fr-Latn": tiny_tokenizer("wordpiece")}
    return joined(own, anchored=False).tokenizer


@pytest.fixture(scope="module")
def folder(several, tmp_path_factory):
    folder = tmp_path_factory.mktemp("several") / "model"
    save_model(tiny_model("llama", AutoModelForCausalLM, several), several, folder)
    return folder


def test_a_saved_model_loads_with_the_tokenizer_of_every_language(several, folder):
    check_folder(folder)
    found = load_tokenizer(folder)
    assert isinstance(found, TokenizerByLanguage)
    assert found.languages == several.languages
    assert fingerprint(found) == fingerprint(several)
    for tag in found.languages:
        for text in SENTENCES:
            assert found.of(tag)(text)["input_ids"] == several.of(tag)(text)["input_ids"]


def test_transformers_alone_loads_the_first_languages(several, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert fingerprint(tokenizer) == fingerprint(several.of("eng"))
    assert AutoModelForCausalLM.from_pretrained(folder).config.vocab_size == len(tokenizer)


def test_a_task_model_keeps_them(several, folder, tmp_path):
    model = build_task_model("label", folder, labels=("a", "b"))
    save_task_model(model, several, tmp_path / "task")
    assert fingerprint(load_task_model(tmp_path / "task")[1]) == fingerprint(several)


def test_a_fingerprint_is_of_all_tokenizers_and_of_their_languages(several):
    prints = {
        fingerprint(several),
        fingerprint(several.of("eng")),
        fingerprint(TokenizerByLanguage({"en-Latn": several.of("eng"), "de-Latn": several.of("fra")})),
        fingerprint(TokenizerByLanguage({"en-Latn": several.of("eng")})),
    }
    assert len(prints) == 4


def test_a_vocabulary_that_several_tokenizers_share_is_not_trimmed(several):
    with pytest.raises(ModelError, match="trim: false"):
        trim_vocabulary(several, {"en-Latn": SENTENCES})


def test_a_tokenizer_that_was_lost_is_named(several, tmp_path):
    several.save_pretrained(tmp_path)
    (tmp_path / "tokenizers" / "fr-Latn" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="fr-Latn"):
        load_tokenizer(tmp_path)
