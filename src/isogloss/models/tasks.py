"""A backbone with what each kind of task needs on top: build, run, save and load.

Stock transformers heads serve wherever they exist (label, tags, span, gap, text), so that the saved folder
works with transformers alone; choice, tree and mean-pooled label have heads of ours, saved beside an
ordinary backbone.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from isogloss.core.errors import CheckpointError, ModelError
from isogloss.core.files import MANIFEST, check_folder, whole_folder, write_json
from isogloss.core.seeds import derive
from isogloss.data.encode import Objective
from isogloss.data.features import IGNORED
from isogloss.data.records import Kind
from isogloss.models.anatomy import anatomy, family_of
from isogloss.models.backbone import (
    Auto,
    empty_model,
    load_config,
    load_model,
    load_tokenizer,
    quiet,
    seeded,
)
from isogloss.models.biaffine import BiaffineParser
from isogloss.models.heads import MeanClassifier, by_group

Pooling: TypeAlias = Literal["first", "mean"]

HEAD_FACTS, HEAD_WEIGHTS = "head.json", "head.safetensors"

_STOCK: dict[Kind, Auto] = {"label": "label", "tags": "tokens", "span": "span"}
_HEAD_CLASS: dict[Auto, str] = {
    "label": "ForSequenceClassification",
    "tokens": "ForTokenClassification",
    "span": "ForQuestionAnswering",
}
_OBJECTIVES: dict[str, Objective] = {"encoder": "masked", "decoder": "causal", "encoder-decoder": "seq2seq"}
_LABELLED: tuple[Kind, ...] = ("label", "tags", "tree")


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """What a model says about a batch.

    Attributes:
        loss: the mean loss, or None when the batch has no gold.
        logits: by name, with these shapes.
            label: labels (rows, classes). choice: choices (examples, choices).
            gap, text: tokens (places, vocabulary), for the places that `aligned_labels` counts, row by row;
            for a batch without labels (rows, length, vocabulary).
            tags: tags (rows, length, tags). span: start and end, both (rows, length).
            tree: arcs (examples, words, words + 1), relations (the same, relations).
    """

    loss: Float[Tensor, ""] | None
    logits: dict[str, Tensor]


class TaskModel(nn.Module):
    """A transformers model and, for some kinds, a head of ours.

    Attributes:
        model: the stock model with its head, or the bare backbone under `head`.
        head: our head, or None.
        kind: the kind of task.
        labels: labels, tags or relations by number; () for other kinds.
        pooling: how a text becomes one vector, for label and choice.
    """

    def __init__(
        self,
        model: nn.Module,
        head: nn.Module | None,
        *,
        kind: Kind,
        labels: Sequence[str] = (),
        pooling: Pooling = "first",
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.head = head
        self.kind: Kind = kind
        self.labels = tuple(labels)
        self.pooling: Pooling = pooling
        self._inputs = _accepted_inputs(model)

    @property
    def backbone(self) -> Any:
        """The transformers model without its head."""
        return self.model.base_model

    @property
    def config(self) -> Any:
        """The transformers configuration."""
        return self.model.config

    @property
    def objective(self) -> Objective:
        """How the backbone reads text: masked, causal or seq2seq."""
        return objective_of(self.config)

    def forward(self, batch: Mapping[str, Tensor]) -> TaskOutput:
        """Run a batch of `isogloss.data.features.collate`; the loss is in single precision."""
        return _FORWARD[self.kind](self, batch)

    def run(self, batch: Mapping[str, Tensor], **more: Any) -> Any:
        """The transformers model's own output for the batch's rows."""
        return self.model(**{name: batch[name] for name in self._inputs if name in batch}, **more)


def _accepted_inputs(model: Any) -> tuple[str, ...]:
    """DistilBERT takes no token types, and XLM-R's table of them has one entry."""
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    types = ("token_type_ids",) if takes_types and getattr(model.config, "type_vocab_size", 0) > 1 else ()
    return ("input_ids", "attention_mask", *types)


def objective_of(config: Any) -> Objective:
    """How models of this configuration read text.

    Raises:
        ModelError: an architecture that is not in our table.
    """
    return _OBJECTIVES[family_of(config.model_type).kind]


def longest_input(config: Any) -> int | None:
    """The most tokens a row may have, special ones included; None where nothing bounds it."""
    family = family_of(config.model_type)
    if family.length_key is None:
        return None
    positions = int(getattr(config, family.length_key))
    return positions - (config.pad_token_id or 0) - 1 if family.positions_from_pad else positions


# Running


def _mean_loss(scores: Float[Tensor, "... classes"], targets: Int[Tensor, ...]) -> Float[Tensor, ""]:
    """Cross-entropy over the targets that count; 0, with a gradient of 0, when none does."""
    counted = targets != IGNORED
    chosen = scores[counted].float()
    losses = nn.functional.cross_entropy(chosen, targets[counted], reduction="sum")
    return losses / counted.sum().clamp(min=1)


def _label(model: TaskModel, batch: Mapping[str, Tensor]) -> TaskOutput:
    logits = _row_scores(model, batch)
    return TaskOutput(_if_gold(logits, batch), {"labels": logits})


def _row_scores(model: TaskModel, batch: Mapping[str, Tensor]) -> Float[Tensor, "rows classes"]:
    if model.head is None:
        return model.run(batch).logits
    return model.head(model.run(batch).last_hidden_state, batch["attention_mask"])


def _if_gold(logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor | None:
    return _mean_loss(logits, batch["labels"]) if "labels" in batch else None


def _choice(model: TaskModel, batch: Mapping[str, Tensor]) -> TaskOutput:
    logits = by_group(_row_scores(model, batch).squeeze(-1), batch["group"])
    return TaskOutput(_if_gold(logits, batch), {"choices": logits})


def _tags(model: TaskModel, batch: Mapping[str, Tensor]) -> TaskOutput:
    logits = model.run(batch).logits
    return TaskOutput(_if_gold(logits, batch), {"tags": logits})


def _tokens(model: TaskModel, batch: Mapping[str, Tensor]) -> TaskOutput:
    """With labels, the vocabulary is scored only where there is one; elsewhere that is most of the work."""
    if "labels" not in batch:
        return TaskOutput(None, {"tokens": model.run(batch).logits})
    aligned = aligned_labels(batch["labels"], model.objective)
    places = aligned != IGNORED
    if model.objective == "seq2seq":
        logits = model.run(batch, labels=batch["labels"]).logits[places]
    else:
        with _reading_only(model.backbone, places):
            logits = model.run(batch).logits[0]
    return TaskOutput(_mean_loss(logits, aligned[places]), {"tokens": logits})


def aligned_labels(labels: Int[Tensor, "rows length"], objective: Objective) -> Int[Tensor, "rows length"]:
    """Labels at the positions that answer for them: in a causal model, one before their own."""
    if objective != "causal":
        return labels
    return nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)


@contextlib.contextmanager
def _reading_only(backbone: Any, places: Bool[Tensor, "rows length"]) -> Iterator[None]:
    """Hand the head above the backbone the hidden states of some places alone, as one row."""

    def gather(module: nn.Module, inputs: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[places][None]
        return output

    hook = backbone.register_forward_hook(gather)
    try:
        yield
    finally:
        hook.remove()


def _tree(model: TaskModel, batch: Mapping[str, Tensor]) -> TaskOutput:
    assert model.head is not None
    hidden = model.run(batch).last_hidden_state
    words = batch["words"]
    states = hidden.flatten(0, 1)[words.clamp(min=0)]
    arcs, relations = model.head(states, (words >= 0).long())
    logits = {"arcs": arcs, "relations": relations}
    if "heads" not in batch:
        return TaskOutput(None, logits)
    heads = batch["heads"].clamp(min=0)
    on_gold = relations.gather(2, heads[..., None, None].expand(-1, -1, 1, relations.shape[-1])).squeeze(2)
    return TaskOutput(_mean_loss(arcs, batch["heads"]) + _mean_loss(on_gold, batch["relations"]), logits)


def _span(model: TaskModel, batch: Mapping[str, Tensor]) -> TaskOutput:
    """Only tokens of the context can begin or end an answer, and the first of the row, which means none."""
    output = model.run(batch)
    logits = {"start": output.start_logits, "end": output.end_logits}
    if "start_positions" not in batch:
        return TaskOutput(None, logits)
    masked = {name: only_answers(scores, batch["context"]) for name, scores in logits.items()}
    losses = [_mean_loss(masked[name], batch[f"{name}_positions"]) for name in ("start", "end")]
    return TaskOutput((losses[0] + losses[1]) / 2, logits)


def only_answers(scores: Float[Tensor, "rows length"], context: Tensor) -> Float[Tensor, "rows length"]:
    """Scores with the lowest finite value where no answer can begin or end."""
    allowed = context.clone()
    allowed[:, 0] = True
    return scores.float().masked_fill(~allowed, torch.finfo(torch.float32).min)


_FORWARD: dict[Kind, Callable[[TaskModel, Mapping[str, Tensor]], TaskOutput]] = {
    "label": _label,
    "choice": _choice,
    "gap": _tokens,
    "tags": _tags,
    "tree": _tree,
    "span": _span,
    "text": _tokens,
}


# Building


def build_task_model(
    kind: Kind,
    source: str | Path | nn.Module,
    *,
    labels: Sequence[str] = (),
    pooling: Pooling = "first",
    seed: int = 0,
) -> TaskModel:
    """A model for a kind of task on a pretrained backbone.

    A head the source already has is kept when it is of the kind asked for and its labels are the same (their
    order is then the source's); otherwise a fresh one is drawn from `seed`.

    Args:
        source: a folder, a Hub id, or a transformers model in memory, which is copied.
        labels: the labels (label), tags (tags) or relations (tree), by number.
        pooling: label only: "first" is the architecture's stock classifier (the first token's state; the last
            token's in decoders), "mean" the mean of all states. Choice always takes the mean.

    Raises:
        ModelError: labels missing or given twice, no such model, or no such head for it.
    """
    _check_labels(kind, labels)
    if kind in ("text", "gap"):
        return TaskModel(_language_model(source), None, kind=kind)
    if kind in _STOCK and not _needs_own_head(kind, source, pooling):
        model = _stock_model(_STOCK[kind], source, labels, seed)
        if pooling == "mean":
            model.config.classifier_pooling = "mean"
        return TaskModel(model, None, kind=kind, labels=_labels_of(model, labels), pooling=pooling)
    backbone = _bare_backbone(source)
    with seeded(derive(seed, "head", kind)):
        head = _new_head(kind, backbone.config.hidden_size, len(labels)).to(_first_weight(backbone))
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


def _new_head(kind: Kind, hidden: int, labels: int) -> nn.Module:
    if kind == "tree":
        return BiaffineParser(hidden, labels)
    return MeanClassifier(hidden, labels if kind == "label" else 1)


def _language_model(source: str | Path | nn.Module) -> Any:
    objective = objective_of(_config(source))
    if not isinstance(source, nn.Module):
        return load_model(source, objective)
    whole = _transformers_model(source)
    if whole.get_output_embeddings() is not None or anatomy(whole).lm_bias is not None:
        return copy.deepcopy(whole)
    raise ModelError(
        f"a {type(whole).__name__}, which has no language-model head",
        wanted=f"a {objective} language model",
        fix="load the checkpoint with its language-model head",
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


# Saving


def save_task_model(model: TaskModel, tokenizer: Any, folder: Path) -> None:
    """Write model, head and tokenizer; the folder appears whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    from safetensors.torch import save_file

    facts = {
        "kind": model.kind,
        "labels": list(model.labels),
        "pooling": model.pooling,
        "own_head": model.head is not None,
    }
    with quiet(), whole_folder(folder) as unfinished:
        model.model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        write_json(unfinished / HEAD_FACTS, facts)
        if model.head is not None:
            weights = {name: tensor.contiguous() for name, tensor in model.head.state_dict().items()}
            save_file(weights, unfinished / HEAD_WEIGHTS)


def load_task_model(folder: str | Path) -> tuple[TaskModel, Any]:
    """A saved model, in evaluation mode, and its tokenizer.

    Raises:
        ModelError: no such folder, or one that was not written by `save_task_model`.
        CheckpointError: a file is missing or damaged.
    """
    folder = Path(folder)
    facts = _head_facts(folder)
    kind: Kind = facts["kind"]
    if facts["own_head"]:
        model, head = _saved_backbone(folder), None
        head = _saved_head(folder, _new_head(kind, model.config.hidden_size, len(facts["labels"])))
    else:
        model, head = load_model(folder, _auto_of(kind, folder)), None
    task = TaskModel(model, head, kind=kind, labels=facts["labels"], pooling=facts["pooling"])
    return task.eval(), load_tokenizer(folder)


def _head_facts(folder: Path) -> dict[str, Any]:
    if not (folder / HEAD_FACTS).is_file():
        raise ModelError(
            f"no {HEAD_FACTS}: not a folder that isogloss saved for a task",
            wanted="model/ of a run folder",
            fix="for a pretrained backbone, fine-tune it first",
            where=str(folder),
        )
    if (folder / MANIFEST).exists():
        check_folder(folder)
    facts: dict[str, Any] = json.loads((folder / HEAD_FACTS).read_text(encoding="utf-8"))
    return facts


def _auto_of(kind: Kind, folder: Path) -> Auto:
    return _STOCK[kind] if kind in _STOCK else objective_of(load_config(folder))


def _saved_backbone(folder: Path) -> Any:
    if objective_of(load_config(folder)) != "seq2seq":
        return load_model(folder, "base")
    from transformers import AutoModelForTextEncoding

    with quiet():
        return AutoModelForTextEncoding.from_pretrained(str(folder), dtype=torch.float32).eval()


def _saved_head(folder: Path, head: nn.Module) -> nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        head.load_state_dict(load_file(folder / HEAD_WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{HEAD_WEIGHTS} cannot be read: {str(error).splitlines()[0]}",
            fix="copy the folder again from where it was saved",
            where=str(folder),
        ) from error
    return head
