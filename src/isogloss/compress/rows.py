"""Training on the vocabulary rows that the data uses, and putting the others back afterwards.

Of a vocabulary of 250,000 a task in one language uses a tenth or less. The rest takes part in nothing, yet
has gradients and optimiser moments. So the model is trained with the rows in use alone; batches keep the
tokenizer's ids, which are renumbered on the way in.

What differs from training with all rows:

- Without a head over the vocabulary (label, choice, tags, tree, span): nothing but the order of sums in the
  gradient's norm, as long as embeddings are not decayed. A row that is never read has no gradient, and
  AdamW leaves it as it was.
- With `decay_embeddings`, rows that are never read would shrink; here they do not.
- With such a head (text, gap, a prompt), scores are over the rows in use: the loss is smaller, and rows that
  never occur are not pushed away from every target. Random replacements of masked tokens are drawn from rows
  in use, for the others are not there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from isogloss.compress.vocabulary import keep_rows
from isogloss.models.anatomy import anatomy
from isogloss.models.families import family_of
from isogloss.models.portions import portions
from isogloss.models.rebuild import rebuild
from isogloss.models.renumber import renumbered
from isogloss.models.tasks import TaskModel, TaskOutput
from isogloss.sparse.delta import Change, Delta, fingerprint

Ids = npt.NDArray[np.int64]


def rows_to_keep(config: Any, tokenizer: Any, used: Iterable[Iterable[int]]) -> Ids:
    """The ids that data uses and those a model cannot do without, rising.

    Args:
        config: the model's transformers configuration.
        used: the ids of all training and development data, in any portions; those of no row are left out.
    """
    found = {*tokenizer.all_special_ids, *_special_ids(config)}
    if family_of(config.model_type).positions_from_pad:
        found.update(range(config.pad_token_id))  # from which positions are counted: it keeps its number
    found.update(*used)
    return np.array(sorted(number for number in found if 0 <= number < config.vocab_size), dtype=np.int64)


def _special_ids(config: Any) -> Iterator[int]:
    for key, value in config.to_dict().items():
        if key.endswith("_token_id") and value is not None:
            yield from value if isinstance(value, list) else [value]


class FewerRows:
    """A task model with some rows of its vocabulary, from when this is made until `put_back`.

    The model still takes the tokenizer's ids. Its embedding, output layer and configuration are smaller, and
    so is whatever is made of its parameters.

    Attributes:
        kept: the ids whose rows it has.
    """

    def __init__(
        self,
        model: TaskModel,
        kept: Ids,
        *,
        stand_ins: Ids | None = None,
        full_scores: bool = True,
    ) -> None:
        """Put all other rows aside; the model is changed in place, its weights in new tensors.

        Args:
            kept: rising, of `rows_to_keep`.
            stand_ins: ids among `kept` that take the place of others in a batch, in turn by their number;
                None where none is to be met: one that is met is then an IndexError.
            full_scores: in evaluation mode give a score for every id, the lowest there is for rows that are
                not here, as `evaluate.predict` needs of models of kind text.

        Raises:
            ModelError: an id that the vocabulary does not have.
        """
        full = model.model
        self.kept = kept
        self._model, self._base = model, fingerprint(portions(full).base)
        self._config, self._generation = full.config, getattr(full, "generation_config", None)
        tensors = full.state_dict()
        self._tables: dict[str, Tensor] = {name: tensors[name] for name in anatomy(full).vocabulary_tensors()}
        self._new_id = _new_ids(kept, stand_ins, rows=full.config.vocab_size)
        model.model = keep_rows(full, kept)
        self._hooks = [model.register_forward_pre_hook(self._renumber)]
        if full_scores and model.kind == "text":
            self._hooks.append(model.register_forward_hook(self._widen))

    def put_back(self) -> None:
        """Give the model all rows again: those it had as they are now, the others to the bit as they were."""
        small = self._model.model
        trained = small.state_dict()

        def source(name: str) -> Tensor:
            return self._whole(name, trained[name]) if name in self._tables else trained[name]

        self._model.model = rebuild(small, copy.deepcopy(self._config), source)
        if self._generation is not None:
            self._model.model.generation_config = self._generation
        for hook in self._hooks:
            hook.remove()

    def lift(self, delta: Delta) -> Delta:
        """A delta learnt on the rows here as one of the whole model; to be called before `put_back`."""
        tables = self._tables_by_portion()
        changes = {
            name: _lifted(change, self.kept, rows=len(self._tables[tables[name]]))
            if name in tables
            else change
            for name, change in delta.changes.items()
        }
        dense = {
            name: self._whole(tables[name], value) if name in tables else value
            for name, value in delta.dense.items()
        }
        return replace(delta, changes=changes, dense=dense, base=self._base)

    def _whole(self, name: str, rows: Tensor) -> Tensor:
        """A table as it was set aside, with these rows for those that were kept."""
        whole = self._tables[name].detach().to(rows, copy=True)
        whole[torch.from_numpy(self.kept).to(rows.device)] = rows.detach()
        return whole

    def _tables_by_portion(self) -> dict[str, str]:
        """The tables that were set aside, by the names of `portions`."""
        own = dict(self._model.model.named_parameters(remove_duplicate=False))
        name_of = {id(own[name]): name for name in self._tables}
        parts = portions(self._model)
        return {name: name_of[id(tensor)] for name, tensor in parts.all.items() if id(tensor) in name_of}

    def _renumber(self, model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Mapping[str, Tensor]]:
        (batch,) = inputs
        self._new_id = new = self._new_id.to(batch["input_ids"].device)
        return (renumbered(batch, new, kind=self._model.kind),)

    def _widen(self, model: nn.Module, inputs: Any, output: TaskOutput) -> TaskOutput:
        if model.training or "tokens" not in output.logits:
            return output
        few = output.logits["tokens"]
        lowest = torch.finfo(few.dtype).min
        many = few.new_full((*few.shape[:-1], self._config.vocab_size), lowest)
        many[..., torch.from_numpy(self.kept).to(few.device)] = few
        return replace(output, logits={**output.logits, "tokens": many})


def _new_ids(kept: Ids, stand_ins: Ids | None, *, rows: int) -> Tensor:
    new = np.full(rows, len(kept), dtype=np.int64)  # of no row
    new[kept] = np.arange(len(kept))
    if stand_ins is not None:
        others = np.flatnonzero(new == len(kept))
        new[others] = new[stand_ins[others % len(stand_ins)]]
    return torch.from_numpy(new)


def _lifted(change: Change, kept: Ids, *, rows: int) -> Change:
    width = torch.Size(change.shape[1:]).numel()
    flat = change.indices.long()
    places = torch.from_numpy(kept)[flat // width] * width + flat % width
    whole = torch.int32 if rows * width < 2**31 else torch.int64
    return Change((rows, *change.shape[1:]), places.to(whole), change.values)
