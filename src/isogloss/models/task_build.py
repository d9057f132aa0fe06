"""Task models from pretrained backbones.

Stock transformers heads serve wherever they exist (label, tags, span, gap, text), so that the saved folder
works with transformers alone; choice, tree and mean-pooled label have heads of ours over a bare backbone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from isogloss.core.errors import ModelError
from isogloss.core.seeds import derive
from isogloss.data.prompts import Prompt, check_prompt
from isogloss.data.records import PIECES, Kind
from isogloss.models.anatomy import anatomy
from isogloss.models.backbone import (
    Auto,
    empty_model,
    load_config,
    load_model,
    quiet,
    seeded,
)
from isogloss.models.biaffine import BiaffineParser
from isogloss.models.heads import MeanClassifier
from isogloss.models.task_model import Pooling, TaskModel, objective_of

STOCK: dict[Kind, Auto] = {"label": "label", "tags": "tokens", "span": "span"}
_HEAD_CLASS: dict[Auto, str] = {
    "label": "ForSequenceClassification",
    "tokens": "ForTokenClassification",
    "span": "ForQuestionAnswering",
}
_LABELLED: tuple[Kind, ...] = ("label", "tags", "tree")


def build_task_model(
    kind: Kind,
    source: str | Path | nn.Module,
    *,
    labels: Sequence[str] = (),
    pooling: Pooling = "first",
    seed: int = 0,
    prompt: Prompt | None = None,
) -> TaskModel:
    """A model for a kind of task on a pretrained backbone.

    A head the source already has is kept when it is of the kind asked for and its labels are the same (their
    order is then the source's); otherwise a fresh one is drawn from `seed`.

    Args:
        source: a folder, a Hub id, or a transformers model in memory, which is copied.
        labels: the labels (label), tags (tags) or relations (tree), by number.
        pooling: label only: "first" is the architecture's stock classifier (the first token's state; the last
            token's in decoders), "mean" the mean of all states. Choice always takes the mean.
        prompt: label and choice only: keep the language-model head and tell classes by words; there is then
            no pooling. None takes a head of classes.

    Raises:
        ModelError: labels missing or given twice, no such model, or no such head for it.
        RecipeError: a prompt that does not fit the kind and the labels.
    """
    _check_labels(kind, labels)
    if prompt is not None:
        check_prompt(prompt, kind, labels)
        return TaskModel(_language_model(source), None, kind=kind, labels=labels, prompt=prompt)
    if kind in PIECES:
        return TaskModel(_language_model(source), None, kind=kind)
    if kind in STOCK and not _needs_own_head(kind, source, pooling):
        model = _stock_model(STOCK[kind], source, labels, seed)
        if pooling == "mean":
            model.config.classifier_pooling = "mean"
        return TaskModel(model, None, kind=kind, labels=_labels_of(model, labels), pooling=pooling)
    backbone = _bare_backbone(source)
    with seeded(derive(seed, "head", kind)):
        head = new_head(kind, backbone.config.hidden_size, len(labels)).to(_first_weight(backbone))
    return TaskModel(backbone, head, kind=kind, labels=labels, pooling="mean")


def _check_labels(kind: Kind, labels: Sequence[str]) -> None:
    if kind in _LABELLED and not labels:
        raise ModelError(
            f"a model of kind {kind!r} without labels",
            wanted="the labels, by number",
            fix="pass labels=inventory(training_examples)",
        )
    if len(set(labels)) < len(labels):
        raise ModelError(f"the same label twice among {', '.join(labels)}", fix="give each label once")


def _needs_own_head(kind: Kind, source: str | Path | nn.Module, pooling: Pooling) -> bool:
    """Mean pooling is a setting of ModernBERT's stock classifier; the others have no such setting."""
    return kind == "label" and pooling == "mean" and _config(source).model_type != "modernbert"


def _config(source: str | Path | nn.Module) -> Any:
    return anatomy(source).config if isinstance(source, nn.Module) else load_config(source)


def new_head(kind: Kind, hidden: int, labels: int) -> nn.Module:
    """A head of ours for tree, label or choice, drawn from torch's current generator."""
    if kind == "tree":
        return BiaffineParser(hidden, labels)
    return MeanClassifier(hidden, labels if kind == "label" else 1)


def _language_model(source: str | Path | nn.Module) -> Any:
    objective = objective_of(_config(source))
    if not isinstance(source, nn.Module):
        _check_language_model(source)
        return load_model(source, objective)
    whole = _transformers_model(source)
    if whole.get_output_embeddings() is not None or anatomy(whole).lm_bias is not None:
        return copy.deepcopy(whole)
    raise ModelError(
        f"a {type(whole).__name__}, which has no language-model head",
        wanted=f"a {objective} language model",
        fix="load the checkpoint with its language-model head",
    )


def _check_language_model(source: str | Path) -> None:
    """A head that a folder lacks would be drawn at random, and whatever it says be taken for an answer."""
    name = next(iter(load_config(source).architectures or ()), "")
    if name.endswith(tuple(_HEAD_CLASS.values())) or (name.endswith("Model") and "LMHead" not in name):
        raise ModelError(
            f"a {name}, which has no language-model head",
            wanted="a pretrained language model",
            fix="give the model as it was before it was fine-tuned",
            where=str(source),
        )


def _transformers_model(module: nn.Module) -> Any:
    from transformers import PreTrainedModel

    anatomy(module)  # says so when there is none
    return next(inner for inner in module.modules() if isinstance(inner, PreTrainedModel))


def _stock_model(auto: Auto, source: str | Path | nn.Module, labels: Sequence[str], seed: int) -> Any:
    config = _config(source)
    names = config.architectures or [""]
    if isinstance(source, nn.Module):
        names = [type(_transformers_model(source)).__name__]
    fits = names[0].endswith(_HEAD_CLASS[auto]) and (not labels or set(config.label2id) == set(labels))
    if fits and isinstance(source, nn.Module):
        return copy.deepcopy(_transformers_model(source))
    if fits and not isinstance(source, nn.Module):
        return load_model(source, auto)
    base = anatomy(source).base if isinstance(source, nn.Module) else load_model(source, "base")
    return _with_weights_of(base, auto, labels, seed)


def _with_weights_of(base: Any, auto: Auto, labels: Sequence[str], seed: int) -> Any:
    """A fresh model with a head, and the base's weights copied into it."""
    config = copy.deepcopy(base.config)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
    if config.pad_token_id is None:
        # Decoders' classifiers look for the last token that is not padding.
        config.pad_token_id = config.eos_token_id or 0
    with seeded(derive(seed, "head", auto)):
        model = empty_model(config, auto).to(_first_weight(base))
    _copy_weights(base, model)
    return model.eval()


def _first_weight(model: nn.Module) -> Tensor:
    return next(model.parameters())


def _copy_weights(base: Any, model: Any) -> None:
    target = anatomy(model).base
    report = target.load_state_dict(base.state_dict(), strict=False)
    parts = anatomy(target)
    lost = [name for name in report.missing_keys if parts.place(name).part != "head"]
    if lost:
        raise ModelError(
            f"a {type(base).__name__} without weights that the new model needs: {', '.join(lost[:3])}",
            fix="give the whole pretrained model",
        )


def _bare_backbone(source: str | Path | nn.Module) -> Any:
    """The base model, copied; of an encoder-decoder the encoder, which is all that our heads read."""
    base = anatomy(source).base if isinstance(source, nn.Module) else load_model(source, "base")
    if objective_of(base.config) == "seq2seq":
        return _encoder_of(base)
    model = empty_model(copy.deepcopy(base.config), "base").to(_first_weight(base))
    _copy_weights(base, model)
    return model.eval()


def _encoder_of(base: Any) -> Any:
    from transformers import AutoModelForTextEncoding

    with quiet():
        model = AutoModelForTextEncoding.from_config(copy.deepcopy(base.config)).to(_first_weight(base))
    _copy_weights(base, model)
    return model.eval()


def _labels_of(model: Any, labels: Sequence[str]) -> tuple[str, ...]:
    """The model's own order; span heads have no labels."""
    return tuple(model.config.id2label[number] for number in range(len(labels)))
