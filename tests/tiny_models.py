"""Tiny real tokenizers and models: seconds to train or make, no network.

Import from any test: `from tiny_models import tiny_tokenizer, tiny_model`.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections import Counter
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from isogloss.vocab.train import train_vocabulary
from isogloss.vocab.unigram import train_unigram

SENTENCES = (
    "The old woman saw the red house in London.",
    "Did the farmer sell the cow because the rain did not come?",
    "La vieille femme a vu la maison rouge à Paris.",
    "Le fermier n'a pas vendu la vache, car il pleuvait.",
    "Die alte Frau sah gestern das rote Haus in Berlin.",
    "Старая женщина увидела красный дом в Москве.",
    "Фермер не продал корову, потому что шёл дождь.",
    "Yaşlı kadın dün İstanbul'da kırmızı evi gördü.",
    "Mwanamke mzee aliona nyumba nyekundu mjini Nairobi.",
    "Mkulima hakuuza ng'ombe kwa sababu mvua ilinyesha.",
    "老太太在北京看见了红房子。",
    "The capital of Kenya is Nairobi and the capital of France is Paris.",
)
"""What the tiny tokenizers are trained on unless told otherwise."""

TOKENIZERS = ("unigram", "wordpiece", "bytes", "bytes-bare", "t5")
"""Of XLM-R, BERT, RoBERTa, GPT-2 (one end-of-text token, adds nothing) and T5 (no CLS; sentinels)."""

ENCODERS = ("bert", "xlm-roberta", "deberta-v2", "modernbert", "distilbert")
DECODERS = ("gpt2", "llama")
FAMILIES = (*ENCODERS, *DECODERS, "mt5")
STYLES = {
    "bert": "wordpiece",
    "distilbert": "wordpiece",
    "xlm-roberta": "unigram",
    "deberta-v2": "unigram",
    "modernbert": "unigram",
    "gpt2": "bytes-bare",
    "llama": "bytes",
    "mt5": "t5",
}
"""The style of tokenizer each family usually comes with."""

_XLMR = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_SENTINELS = tuple(f"<extra_id_{i}>" for i in range(20))


@functools.cache
def tiny_tokenizer(
    style: str = "unigram", *, texts: tuple[str, ...] = SENTENCES, size: int = 320
) -> PreTrainedTokenizerFast:
    """A fast tokenizer of one of the `TOKENIZERS` styles; the same object for the same arguments."""
    makers = {
        "unigram": _unigram,
        "wordpiece": _wordpiece,
        "bytes": _bytes,
        "bytes-bare": _bytes_bare,
        "t5": _t5,
    }
    return makers[style](texts, size)


def tiny_config(family: str, tokenizer: PreTrainedTokenizerFast, **changes: Any) -> PretrainedConfig:
    """Two layers, 32 wide, 130 positions, no dropout; special ids as the tokenizer has them."""
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "cls_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
    }
    return AutoConfig.for_model(family, **{**common, **_SIZES[family], **changes})


def tiny_model(
    family: str, auto: Any, tokenizer: PreTrainedTokenizerFast, *, seed: int = 0, **changes: Any
) -> PreTrainedModel:
    """A freshly drawn model, e.g. `tiny_model("bert", AutoModelForMaskedLM, tiny_tokenizer("wordpiece"))`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return auto.from_config(tiny_config(family, tokenizer, **changes))


def _encoder(**extra: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 130,
        **extra,
    }


_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_SIZES: dict[str, dict[str, Any]] = {
    "bert": _encoder(**_NO_DROPOUT),
    "xlm-roberta": _encoder(**_NO_DROPOUT, type_vocab_size=1),
    "deberta-v2": _encoder(
        **_NO_DROPOUT,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_biased_input=False,
        type_vocab_size=0,
        pooler_hidden_size=32,
        pooler_dropout=0.0,
    ),
    "modernbert": _encoder(global_attn_every_n_layers=2, local_attention=16),
    "distilbert": {
        "dim": 32,
        "hidden_dim": 64,
        "n_layers": 2,
        "n_heads": 4,
        "max_position_embeddings": 130,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "seq_classif_dropout": 0.0,
        "qa_dropout": 0.0,
    },
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 130,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    },
    "llama": _encoder(num_key_value_heads=2),
    "mt5": {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "relative_attention_num_buckets": 8,
        "dropout_rate": 0.0,
        "classifier_dropout": 0.0,
        "decoder_start_token_id": 0,
    },
}


def _unigram(texts: tuple[str, ...], size: int) -> PreTrainedTokenizerFast:
    return _wrap_roberta_like(_pieces(texts, size, _XLMR), "<s>", "</s>")


def _pieces(texts: tuple[str, ...], size: int, special: tuple[str, ...]) -> Tokenizer:
    """By our trainer: the library's gives another vocabulary in every process."""
    spaced = ["▁" + unicodedata.normalize("NFKC", text).replace(" ", "▁") for text in texts]
    words = Counter(word for text in spaced for word in re.findall(r"▁?[\w']+|.", text))
    learnt = train_unigram(words, size=size - len(special))
    vocabulary = [*((token, 0.0) for token in special), *learnt]
    tokenizer = Tokenizer(models.Unigram(vocabulary, special.index("<unk>")))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def _t5(texts: tuple[str, ...], size: int) -> PreTrainedTokenizerFast:
    tokenizer = _pieces(texts, size, ("<pad>", "</s>", "<unk>", *_SENTINELS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=list(_SENTINELS),
        model_max_length=128,
    )


def _bytes(texts: tuple[str, ...], size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, _byte_trainer(size, _XLMR))
    return _wrap_roberta_like(tokenizer, "<s>", "</s>", add_prefix_space=True)


def _byte_trainer(size: int, special: tuple[str, ...]) -> Any:
    return trainers.BpeTrainer(
        vocab_size=max(size, 256 + len(special) + 40),
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )


def _wrap_roberta_like(tokenizer: Tokenizer, start: str, end: str, **extra: Any) -> PreTrainedTokenizerFast:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} {end} $B {end}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (start, end)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=128,
        **extra,
    )


def _wordpiece(texts: tuple[str, ...], size: int) -> PreTrainedTokenizerFast:
    learnt = json.loads(train_vocabulary({"all": texts}, kind="wordpiece", size=size).tokenizer_json)
    tokenizer = Tokenizer(models.WordPiece(learnt["model"]["vocab"], unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _bytes_bare(texts: tuple[str, ...], size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, _byte_trainer(size, ("<|endoftext|>",)))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        model_max_length=128,
    )
