"""A backbone with what each kind of task needs on top, and how each turns a batch into a loss and logits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from isogloss.data.encode import Objective
from isogloss.data.features import IGNORED
from isogloss.data.prompts import Prompt
from isogloss.data.records import Kind
from isogloss.losses.combine import mean_over
from isogloss.losses.logits import cross_entropy
from isogloss.models.backbone import quiet
from isogloss.models.entries import entry_scores, reading_only
from isogloss.models.families import family_of
from isogloss.models.heads import by_group, last_state
from isogloss.models.quick_activation import quick_activation
from isogloss.models.quick_attention import quick_attention
from isogloss.models.vocabulary_loss import has_loss_alone, vocabulary_loss

Pooling: TypeAlias = Literal["first", "mean"]

_OBJECTIVES: dict[str, Objective] = {"encoder": "masked", "decoder": "causal", "encoder-decoder": "seq2seq"}


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """What a model says about a batch.

    Attributes:
        loss: the mean loss, or None when the batch has no gold.
        logits: by name, with these shapes.
            label: labels (rows, classes). choice: choices (examples, choices).
            a batch with entries (see `collate`): labels or choices, of the classes that pieces speak for.
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
        pooling: how a text becomes one vector, for label and choice with a head.
        prompt: for label and choice without a head, how the language model is asked; None with one.
    """

    def __init__(
        self,
        model: nn.Module,
        head: nn.Module | None,
        *,
        kind: Kind,
        labels: Sequence[str] = (),
        pooling: Pooling = "first",
        prompt: Prompt | None = None,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.head = head
        self.kind: Kind = kind
        self.labels = tuple(labels)
        self.pooling: Pooling = pooling
        self.prompt = prompt
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

    def forward(self, batch: Mapping[str, Tensor], *, head: bool = True, scores: bool = True) -> TaskOutput:
        """Run a batch of `isogloss.data.features.collate`; the loss is in single precision.

        Args:
            head: False runs the backbone alone, for whoever records its inner states: no loss, no logits.
            scores: False for the loss alone: over running text it is then found without ever holding the
                scores of all places, where the architecture's head is known to allow it. Rows must be padded
                at their end.
        """
        with quick_attention(self.model), quick_activation(self.model):
            if not scores and self.kind == "text" and has_loss_alone(self.config):
                return TaskOutput(_text_loss(self, batch), {})
            if head:
                assert self.prompt is None or "entries" in batch, "encoded without the model's prompt"
                run = _classes if "entries" in batch else _FORWARD[self.kind]
                return run(self, batch)
            self.backbone(**self.inputs_of(batch))
            return TaskOutput(None, {})

    def run(self, batch: Mapping[str, Tensor], **more: Any) -> Any:
        """The transformers model's own output for the batch's rows."""
        return self.model(**self.inputs_of(batch), **more)

    def inputs_of(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """What of a batch the transformers model takes."""
        inputs: dict[str, Any] = {name: batch[name] for name in self._inputs if name in batch}
        # A decoder's keys and values would be kept for a next token that nobody asks for.
        return inputs | ({"use_cache": False} if self.objective == "causal" else {})


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
    return mean_over(cross_entropy(scores, targets), targets != IGNORED)


def _label(model: TaskModel, batch: Mapping[str, Tensor]) -> TaskOutput:
    logits = _row_scores(model, batch)
    return TaskOutput(_if_gold(logits, batch), {"labels": logits})


def _row_scores(model: TaskModel, batch: Mapping[str, Tensor]) -> Float[Tensor, "rows classes"]:
    if model.head is not None:
        return model.head(model.run(batch).last_hidden_state, batch["attention_mask"])
    if model.objective != "causal":
        return model.run(batch).logits
    # The stock classifier takes the last token that is not its configuration's padding: where the tokenizer
    # pads with another, that is padding, and where the end of text pads, an end of text is passed by.
    states = model.backbone(**model.inputs_of(batch)).last_hidden_state
    return model.model.score(last_state(states, batch["attention_mask"]))


def _if_gold(logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor | None:
    return _mean_loss(logits, batch["labels"]) if "labels" in batch else None


def _choice(model: TaskModel, batch: Mapping[str, Tensor]) -> TaskOutput:
    logits = by_group(_row_scores(model, batch).squeeze(-1).float(), batch["group"])
    return TaskOutput(_if_gold(logits, batch), {"choices": logits})


def _classes(model: TaskModel, batch: Mapping[str, Tensor]) -> TaskOutput:
    """Each class by the pieces that speak for it, of whichever kind the examples are."""
    scores = entry_scores(model.model, model.inputs_of(batch), batch)
    return TaskOutput(_if_gold(scores, batch), {"labels" if model.kind == "label" else "choices": scores})


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
        with reading_only(model.backbone, places):
            logits = model.run(batch).logits[0]
    return TaskOutput(_mean_loss(logits, aligned[places]), {"tokens": logits})


def _text_loss(model: TaskModel, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """The loss that `_tokens` finds, without the scores."""
    targets, inputs = aligned_labels(batch["labels"], model.objective), model.inputs_of(batch)
    if model.objective == "causal":
        # Padding stands at the end of a row, and nothing looks ahead. Without a mask attention is faster, and
        # GPT-2 would warn of it.
        del inputs["attention_mask"]
        with nullcontext() if torch.compiler.is_compiling() else quiet():
            hidden = model.backbone(**inputs).last_hidden_state
        return vocabulary_loss(model.model, hidden.flatten(0, 1), targets.flatten())
    places = targets != IGNORED
    hidden = model.backbone(**inputs).last_hidden_state[places]
    return vocabulary_loss(model.model, hidden, targets[places])


def aligned_labels(labels: Int[Tensor, "rows length"], objective: Objective) -> Int[Tensor, "rows length"]:
    """Labels at the positions that answer for them: in a causal model, one before their own."""
    if objective != "causal":
        return labels
    return nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)


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
    return scores.float().masked_fill(~may_answer(context), torch.finfo(torch.float32).min)


def may_answer(context: Tensor) -> Bool[Tensor, "rows length"]:
    """True where an answer may begin or end: in the context, and at the row's first token, for none."""
    allowed = context.clone()
    allowed[:, 0] = True
    return allowed


_FORWARD: dict[Kind, Callable[[TaskModel, Mapping[str, Tensor]], TaskOutput]] = {
    "label": _label,
    "choice": _choice,
    "gap": _tokens,
    "tags": _tags,
    "tree": _tree,
    "span": _span,
    "text": _tokens,
}
