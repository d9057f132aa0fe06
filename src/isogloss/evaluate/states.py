"""Hidden states of texts, layer by layer, as arrays: token by token, or as the mean over each text.

States are numbered as in `models.outputs`: 0 is what enters the first layer, n what leaves layer n - 1,
before any final norm. Only a text's own tokens are handed out: special tokens and padding are read and left
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from isogloss.data.pieces import frame_of, pieces, start_token
from isogloss.models.anatomy import Anatomy, anatomy
from isogloss.models.modes import evaluating
from isogloss.models.outputs import recording
from isogloss.models.tasks import objective_of

States = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as a model reads it.

    Attributes:
        ids: the row, special tokens included.
        first: where the text's own tokens begin.
        count: how many there are; 0 for a text without any.
    """

    ids: tuple[int, ...]
    first: int
    count: int


def readings(texts: Sequence[str], tokenizer: Any, model: nn.Module, *, max_length: int) -> list[Reading]:
    """Texts as rows, framed as the model reads running text, cut at `max_length`.

    A causal model reads its start token first, as when it is scored; encoders read the tokenizer's own frame.

    Args:
        tokenizer: a transformers tokenizer of the fast kind.
        model: what will read them.
        max_length: tokens of a row, special ones included.

    Raises:
        ModelError: a slow tokenizer, or an architecture that is not in our table.
        DataError: `max_length` leaves no room for text.
    """
    causal = objective_of(anatomy(model).config) == "causal"
    frame = frame_of(tokenizer)
    start = start_token(tokenizer) if causal else frame.single[0][0]
    room = max_length - len(start) if causal else frame.room(max_length)
    rows = [one.ids[:room] for one in pieces(tokenizer, texts)]
    return [
        Reading(tuple([*start, *ids] if causal else frame.wrap(ids)[0]), len(start), len(ids)) for ids in rows
    ]


def hidden_states(
    model: nn.Module, rows: Sequence[Reading], *, padding: int, batch_tokens: int = 4096
) -> Iterator[States]:
    """The states of each row's own tokens, (states, tokens, hidden), one row after another in their order.

    Memory holds the states of one batch. The model is in evaluation mode while a batch runs.

    Args:
        model: a transformers model of any family, or a module that holds one; of an encoder-decoder the
            encoder is read.
        padding: the id to pad with.
        batch_tokens: tokens of a batch, padding included; one row at least.
    """
    for chosen, states in _batches(model, rows, padding, batch_tokens):
        for place, row in enumerate(chosen):
            yield states[:, place, row.first : row.first + row.count].float().cpu().numpy()


def sentence_states(
    model: nn.Module, rows: Sequence[Reading], *, padding: int, batch_tokens: int = 4096
) -> States:
    """The mean over each row's own tokens; (states, rows, hidden). Arguments as for `hidden_states`.

    A row without tokens of its own has zeros.
    """
    found = []
    for chosen, states in _batches(model, rows, padding, batch_tokens):
        places = torch.arange(states.shape[2], device=states.device)
        first = torch.tensor([row.first for row in chosen], device=states.device)[:, None]
        count = torch.tensor([row.count for row in chosen], device=states.device)[:, None]
        own = ((places >= first) & (places < first + count)).float()
        found.append((torch.einsum("srth,rt->srh", states.float(), own) / count.clamp(min=1)).cpu().numpy())
    return np.concatenate(found, axis=1)


def _batches(
    model: nn.Module, rows: Sequence[Reading], padding: int, batch_tokens: int
) -> Iterator[tuple[Sequence[Reading], Tensor]]:
    """Rows of a batch and its states, (states, rows, length, hidden)."""
    parts = anatomy(model)
    numbers = range(len(parts.layers) + 1)
    device = next(model.parameters()).device
    for chosen in _cut(rows, batch_tokens):
        batch = {name: tensor.to(device) for name, tensor in _padded(chosen, padding).items()}
        with evaluating(model), torch.inference_mode(), recording(model, hidden=numbers) as kept:
            _read(parts, batch)
        yield chosen, torch.stack([kept.hidden[number] for number in numbers])


def _cut(rows: Sequence[Reading], batch_tokens: int) -> Iterator[Sequence[Reading]]:
    """Neighbouring rows: sorting by length would part the languages of a text."""
    start, longest = 0, 0
    for place, row in enumerate(rows):
        longest = max(longest, len(row.ids))
        if place > start and longest * (place + 1 - start) > batch_tokens:
            yield rows[start:place]
            start, longest = place, len(row.ids)
    if start < len(rows):
        yield rows[start:]


def _padded(rows: Sequence[Reading], padding: int) -> Mapping[str, Tensor]:
    length = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), length), padding)
    attended = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = torch.tensor(row.ids)
        attended[place, : len(row.ids)] = 1
    return {"input_ids": ids, "attention_mask": attended}


def _read(parts: Anatomy, batch: Mapping[str, Tensor]) -> None:
    """The backbone, or the encoder of two stacks: the decoder has nothing to say to a text."""
    kind = parts.family.kind
    reader = parts.base.get_encoder() if kind == "encoder-decoder" else parts.base
    reader(**batch, **({"use_cache": False} if kind == "decoder" else {}))
