"""A model with chosen rows of its vocabulary: the weights' half of vocabulary trimming.

The tokenizer's half is `isogloss.vocab`. After Abdaoui et al. 2020 (arXiv 2010.05609) and BiStil (Ansell et
al. 2023): rows of the embedding and of the output layer are sliced, nothing else changes, so on the kept ids
the trimmed model gives the scores of the full one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from isogloss.core.errors import ModelError
from isogloss.models.anatomy import anatomy
from isogloss.models.rebuild import rebuild


def keep_rows(model: Any, kept: npt.NDArray[np.int64]) -> Any:
    """A new model whose vocabulary row i is the given model's row `kept[i]`; that one is unchanged.

    Args:
        model: a transformers model with or without a head.
        kept: old ids in the order of their new ones, none twice; the special ids of the configuration
            (padding, bos, eos, decoder start, ...) among them.

    Raises:
        ModelError: an id out of range or twice, or a special id that is not kept.
    """
    parts = anatomy(model)
    rows = parts.embedding.num_embeddings
    new_id = _new_ids(kept, rows)
    config = copy.deepcopy(model.config)
    config.vocab_size = len(kept)
    _move_special_ids(config, new_id, rows=rows, must_keep=True)
    shift = _move_positions(config, model.config) if parts.family.positions_from_pad else 0

    tensors, sliced = model.state_dict(), parts.vocabulary_tensors()
    positions = f"{parts.prefix}embeddings.position_embeddings.weight"
    index = torch.from_numpy(np.ascontiguousarray(kept))

    def source(name: str) -> torch.Tensor:
        tensor: torch.Tensor = tensors[name]
        if name in sliced:
            return tensor[index.to(tensor.device)]
        return _shifted(tensor, shift) if shift and name == positions else tensor

    new = rebuild(model, config, source)
    if getattr(new, "generation_config", None) is not None:
        _move_special_ids(new.generation_config, new_id, rows=rows, must_keep=False)
    return new


def _new_ids(kept: npt.NDArray[np.int64], rows: int) -> dict[int, int]:
    wrong = [int(row) for row in kept if not 0 <= row < rows][:1]
    new_id = {int(old): new for new, old in enumerate(kept)}
    if wrong or kept.ndim != 1 or len(new_id) != len(kept) or not len(kept):
        raise ModelError(
            f"rows to keep with the id {wrong[0]}"
            if wrong
            else f"{kept.shape} rows to keep, {len(new_id)} of them different",
            wanted=f"at least one id, none twice, each from 0 to {rows - 1}",
            fix="give the old ids that the trimmed tokenizer keeps, in their new order",
        )
    return new_id


def _move_special_ids(settings: Any, new_id: Mapping[int, int], *, rows: int, must_keep: bool) -> None:
    """Renumber every `..._token_id` in place; those that point outside the old vocabulary become None."""
    for key, value in list(settings.to_dict().items()):
        if not key.endswith("_token_id") or value is None:
            continue
        inside = [old for old in (value if isinstance(value, list) else [value]) if 0 <= old < rows]
        moved = [new_id[old] for old in inside if old in new_id]
        if inside and not moved and must_keep:
            raise ModelError(
                f"rows to keep without {key} {value}",
                wanted="every special id of the model's configuration among them",
                fix="add the tokenizer's special tokens to the ids to keep",
            )
        setattr(settings, key, (moved if isinstance(value, list) else moved[0]) if moved else None)
    for key in ("suppress_tokens", "begin_suppress_tokens"):
        if getattr(settings, key, None):
            setattr(settings, key, [new_id[old] for old in getattr(settings, key) if old in new_id])


def _move_positions(config: Any, old: Any) -> int:
    """RoBERTa counts positions from the padding id: the table moves with it, by the number returned."""
    shift: int = config.pad_token_id - old.pad_token_id
    config.max_position_embeddings += shift
    return shift


def _shifted(table: torch.Tensor, shift: int) -> torch.Tensor:
    """The table with `shift` unused rows more (or, when negative, fewer) before the rows in use."""
    if shift < 0:
        return table[-shift:]
    return torch.cat([table.new_zeros(shift, table.shape[1]), table])


@torch.no_grad()
def largest_difference(
    full: Any, trimmed: Any, kept: npt.NDArray[np.int64], rows: Iterable[Sequence[int]]
) -> float:
    """How far a trimmed model's scores on the kept ids are from the full model's.

    Args:
        full: a transformers model.
        trimmed: what `keep_rows` made of it.
        kept: the old id of each new one.
        rows: texts in new ids, each of one token or more.

    Returns:
        The largest absolute difference of any score, divided by the largest score where that is above 1.
        Scores are logits; for a model without a head, hidden states. 0 for no rows.
    """
    index = torch.from_numpy(np.ascontiguousarray(kept))
    largest = 0.0
    for row in rows:
        new = torch.tensor([row], device=trimmed.device)
        found, wanted = _scores(trimmed, new), _scores(full, index[new.cpu()].to(full.device))
        if wanted.shape != found.shape:
            wanted = wanted[..., index.to(wanted.device)]
        scale = max(1.0, float(wanted.abs().max()))
        largest = max(largest, float((found - wanted).abs().max()) / scale)
    return largest


def _scores(model: Any, ids: torch.Tensor) -> torch.Tensor:
    inputs = {"decoder_input_ids": ids} if anatomy(model).decoder_layers is not None else {}
    found: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids), **inputs)[0]
    return found
