"""Loading, saving, fresh models and sizes."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoModelForMaskedLM

from every_family import small_model
from isogloss.core.errors import ModelError
from isogloss.data.miniature import sentences
from isogloss.models.architecture import Architecture, architecture_config, new_model
from isogloss.models.backbone import load_config, load_model, load_tokenizer, save_model, seeded
from isogloss.models.sizes import sizes
from tiny_models import ENCODERS, STYLES, tiny_tokenizer

TINY = {"hidden": 16, "layers": 2, "heads": 2, "max_length": 32}
AUTO = dict.fromkeys(ENCODERS, "masked") | {
    "gpt2": "causal",
    "llama": "causal",
    "qwen3": "causal",
    "mt5": "seq2seq",
}


def tokenizer_of(family):
    tokenizer = tiny_tokenizer(STYLES.get(family, "bytes"))
    return tiny_tokenizer("unigram") if tokenizer.pad_token_id is None else tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    tokenizer = tiny_tokenizer()
    model = new_model(Architecture(**TINY), tokenizer=tokenizer, auto="masked", seed=3)
    save_model(model, tokenizer, folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize("family", AUTO)
def test_what_was_saved_loads_bit_equal(family, tmp_path):
    tokenizer = tokenizer_of(family)
    model = new_model(Architecture(family=family, **TINY), tokenizer=tokenizer, auto=AUTO[family], seed=0)
    save_model(model, tokenizer, tmp_path / "model")
    loaded = load_model(tmp_path / "model", AUTO[family])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    assert load_tokenizer(tmp_path / "model").get_vocab() == tokenizer.get_vocab()
    assert not loaded.training


def test_transformers_alone_loads_the_folder(saved):
    assert AutoModelForMaskedLM.from_pretrained(saved).config.num_hidden_layers == 2


@pytest.mark.parametrize("family", AUTO)
def test_a_fresh_model_depends_on_its_seed_alone(family):
    def fresh(seed):
        model = new_model(
            Architecture(family=family, **TINY), tokenizer=tokenizer_of(family), auto=AUTO[family], seed=seed
        )
        return torch.cat([p.flatten() for p in model.parameters()])

    before = torch.get_rng_state()
    one, same, other = fresh(1), fresh(1), fresh(2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("family", AUTO)
def test_sizes_without_weights_are_those_of_the_model(family):
    tokenizer = tokenizer_of(family)
    architecture = Architecture(family=family, **TINY)
    model = new_model(architecture, tokenizer=tokenizer, auto=AUTO[family], seed=0)
    planned = sizes(architecture, auto=AUTO[family], vocabulary=len(tokenizer))
    assert planned == sizes(model) == sizes(model.config, auto=AUTO[family])
    assert planned["total"] == model.num_parameters()


def test_sizes_follow_a_smaller_vocabulary(saved):
    config = load_config(saved)
    full, trimmed = sizes(config), sizes(config, vocabulary=100)
    gone = config.vocab_size - 100
    assert full["embedding"] - trimmed["embedding"] == gone * 16
    assert full["head"] - trimmed["head"] == gone
    assert config.vocab_size == full["embedding"] // 16 - 1


def test_xlm_r_base_has_as_many_parameters_as_published():
    base = Architecture(family="xlm-roberta", hidden=768, layers=12, heads=12, max_length=512)
    assert sizes(base, auto="base", vocabulary=250_002)["total"] == 277_453_056


@pytest.mark.parametrize(
    ("auto", "labels"), [("label", list("abc")), ("tokens", ["O", "B-PER"]), ("span", None)]
)
def test_a_new_head_is_drawn_from_the_seed_over_the_loaded_base(saved, auto, labels):
    before = torch.get_rng_state()
    one, same, other = (load_model(saved, auto, labels=labels, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    stored = load_file(saved / "model.safetensors")["model.layers.1.mlp.Wi.weight"]
    assert torch.equal(one.model.layers[1].mlp.Wi.weight, stored)
    if labels:
        assert list(one.config.id2label.values()) == labels


def test_weights_are_float32_whatever_the_checkpoint_says(copied):
    file = copied / "model.safetensors"
    save_file({k: v.bfloat16() for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    settings = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(settings | {"dtype": "bfloat16"}))
    assert load_model(copied, "masked").dtype == torch.float32
    assert load_model(copied, "masked", dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_missing_weight_of_the_base_is_an_error(copied):
    file = copied / "model.safetensors"
    save_file(
        {k: v for k, v in load_file(file).items() if "layers.1.mlp." not in k},
        file,
        metadata={"format": "pt"},
    )
    with pytest.raises(ModelError, match=r"without 2 weights of the base model: model\.layers\.1\.mlp\.Wi"):
        load_model(copied, "masked")


def test_a_configuration_of_another_shape_is_an_error(copied):
    settings = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(settings | {"intermediate_size": 10}))
    with pytest.raises(ModelError, match="no model could be loaded"):
        load_model(copied, "masked")


def as_pickle(folder, *, beside=None):
    """The folder with `pytorch_model.bin` in the place of its safetensors."""
    file = folder / "model.safetensors"
    torch.save({**load_file(file), **(beside or {})}, folder / "pytorch_model.bin")
    file.unlink()


def test_a_pickle_of_tensors_alone_is_read(copied):
    wanted = load_model(copied, "masked").state_dict()
    as_pickle(copied)
    found = load_model(copied, "masked").state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.items())


class Runs:
    """What runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_would_run_code_is_refused_and_does_not(copied, tmp_path):
    as_pickle(copied, beside={"more": Runs(tmp_path / "ran")})
    with pytest.raises(ModelError, match="more than tensors") as caught:
        load_model(copied, "masked")
    assert "safetensors" in caught.value.fix
    assert not (tmp_path / "ran").exists()


def test_a_damaged_weights_file_is_an_error(copied):
    file = copied / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="no model could be loaded"):
        load_model(copied, "masked")


@pytest.mark.parametrize(
    ("removed", "message"),
    [("config.json", "without config.json"), ("model.safetensors", "without weights")],
)
def test_an_incomplete_model_folder_is_an_error(copied, removed, message):
    (copied / removed).unlink()
    with pytest.raises(ModelError, match=message):
        load_model(copied, "masked")


def test_a_folder_without_tokenizer_is_an_error_and_not_an_empty_vocabulary(copied):
    (copied / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="without a vocabulary"):
        load_tokenizer(copied)


@pytest.mark.parametrize(
    ("family", "name", "settings"),
    [
        ("deberta-v2", "spm.model", {"do_lower_case": False, "vocab_type": "spm"}),
        ("mt5", "spiece.model", {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}),
        ("xlm-roberta", "sentencepiece.bpe.model", {}),
    ],
)
def test_a_sentencepiece_model_alone_makes_a_fast_tokenizer(tmp_path, family, name, settings):
    """As mDeBERTa and mT5 are on the Hub."""
    texts = list(sentences("en-Latn", "train", 300))
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=(written := BytesIO()),
        vocab_size=300,
        minloglevel=2,
    )
    (tmp_path / name).write_bytes(written.getvalue())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer, wanted = load_tokenizer(tmp_path), SentencePieceProcessor(model_proto=written.getvalue())
    for text in texts[:20]:
        assert tokenizer.tokenize(text) == wanted.encode(text, out_type=str)


def test_a_vocabulary_of_wordpieces_alone_makes_a_fast_tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nThe\ncat\n##s\n")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    assert load_tokenizer(tmp_path).tokenize("The cats") == ["The", "cat", "##s"]


def test_an_output_layer_that_is_not_there_is_told(saved, tmp_path):
    load_model(saved, "base").save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="random until it is trained"):
        load_model(tmp_path, "masked")


@pytest.mark.parametrize("load", [load_tokenizer, lambda source: load_model(source, "base"), load_config])
def test_a_folder_that_does_not_exist_is_an_error(load, tmp_path):
    for source in (tmp_path / "nothing", str(tmp_path / "nothing"), "./nothing"):
        with pytest.raises(ModelError, match="does not exist"):
            load(source)


@pytest.mark.parametrize("load", [load_tokenizer, lambda source: load_model(source, "base")])
def test_a_hub_id_out_of_reach_says_what_to_do(load):
    with pytest.raises(ModelError, match="could be loaded") as caught:
        load("nobody/no-such-model")
    assert "HF_HUB_OFFLINE" in caught.value.fix


def test_an_architecture_outside_the_table_is_refused_before_its_weights_are_read(copied):
    settings = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(settings | {"model_type": "electra"}))
    with pytest.raises(ModelError, match="electra"):
        load_model(copied, "masked")


def test_an_encoder_is_not_made_a_causal_model(saved):
    with pytest.raises(ModelError, match="both directions"):
        load_model(saved, "causal")


def test_loading_prints_nothing(saved, capfd):
    load_model(saved, "label", labels=["a", "b"])
    load_tokenizer(saved)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_a_base_model_has_no_random_pooler():
    model = new_model(
        Architecture(family="bert", **TINY), tokenizer=tiny_tokenizer("wordpiece"), auto="base", seed=0
    )
    assert model.pooler is None


def test_an_architecture_refuses_what_cannot_be_built():
    with pytest.raises(ValueError, match="not divisible by heads"):
        Architecture(hidden=10, heads=3)
    with pytest.raises(ValueError, match="even hidden / heads"):
        Architecture(hidden=9, heads=3)
    with pytest.raises(ModelError, match="local_atention") as caught:
        architecture_config(Architecture(options={"local_atention": 5}), vocabulary=10)
    assert "local_attention" in caught.value.fix


def test_options_reach_the_configuration():
    config = architecture_config(Architecture(options={"global_attn_every_n_layers": 1}), vocabulary=10)
    assert set(config.layer_types) == {"full_attention"}


def test_an_xlm_r_takes_texts_of_its_whole_length():
    tokenizer = tiny_tokenizer("unigram")
    model = new_model(Architecture(family="xlm-roberta", **TINY), tokenizer=tokenizer, auto="masked", seed=0)
    assert model(input_ids=torch.full((1, 32), 5)).logits.shape == (1, 32, len(tokenizer))


def test_a_tokenizer_without_padding_is_refused():
    with pytest.raises(ModelError, match="without a padding token"):
        new_model(
            Architecture(family="gpt2", **TINY), tokenizer=tiny_tokenizer("bytes-bare"), auto="causal", seed=0
        )


def test_a_seeded_block_leaves_the_generator_alone():
    before = torch.get_rng_state()
    with seeded(5):
        drawn = torch.rand(1)
    with seeded(5):
        assert torch.equal(torch.rand(1), drawn)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_failed_save_leaves_the_old_folder(saved, copied):
    class Broken:
        def save_pretrained(self, folder):
            raise RuntimeError("broken")

    before = (copied / "model.safetensors").read_bytes()
    with pytest.raises(RuntimeError, match="broken"):
        save_model(small_model("bert"), Broken(), copied)
    assert (copied / "model.safetensors").read_bytes() == before


def test_a_misspelt_name_in_a_folder_that_is_here_is_a_path_and_not_asked_of_the_hub(tmp_path, monkeypatch):
    (tmp_path / "runs" / "pretrain").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="did you mean 'pretrain'"):
        load_config("runs/pretrian")
