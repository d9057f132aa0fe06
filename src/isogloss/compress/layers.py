"""A shallower model made of chosen layers of a deeper one (BiStil, Ansell et al. 2023, arXiv 2306.01709)."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import torch

from isogloss.core.errors import ModelError
from isogloss.models.anatomy import Anatomy, anatomy
from isogloss.models.families import family_of
from isogloss.models.rebuild import rebuild

KeepRule: TypeAlias = "str | Sequence[int]"
FirstNorm: TypeAlias = Literal["copy", "fold"]


def layer_map(teacher_layers: int, keep: KeepRule) -> tuple[int, ...]:
    """Which teacher layer each student layer comes from, counted from 0.

    Args:
        teacher_layers: number of layers of the teacher.
        keep: one of

            - `every-2nd`, `every-3rd`, ..., `every-kth`: student layer i is teacher layer (i + 1) k - 1, as
              BiStil's regular initialisation with layer reduction factor k. Where k does not divide, no
              student layer would stand for the layers after the last multiple of k; the teacher's last layer
              is then kept too, so every student ends where its teacher ends and no gap is wider than k. Of 5
              layers, `every-2nd` keeps 1, 3 and 4.
            - `last-of-N-blocks`: the layers in N contiguous blocks as even as can be, of each its last: layer
              floor((i + 1) layers / N) - 1. Exactly N layers, the teacher's last among them; the same as
              `every-kth` where N k is the number of layers.
            - `bottom-N`, `top-N`: the first or last N layers.
            - the layers themselves in rising order.

    Raises:
        ModelError: the rule is unknown or does not fit this number of layers.
    """
    if not isinstance(keep, str):
        return _checked(teacher_layers, tuple(keep))
    for pattern, rule in _RULES.items():
        if match := re.fullmatch(pattern, keep):
            if 0 < (number := int(match[1])) <= teacher_layers:
                return rule(teacher_layers, number)
    raise ModelError(
        f"keep: {keep!r} for a model of {teacher_layers} layers",
        wanted=f"{_RULES_IN_WORDS}, with a number from 1 to {teacher_layers}; or a list",
        fix=f"for half of the layers: every-2nd or last-of-{max(1, teacher_layers // 2)}-blocks; "
        f"for the first and the last: [0, {teacher_layers - 1}]",
    )


def _every(layers: int, step: int) -> tuple[int, ...]:
    regular = tuple(range(step - 1, layers, step))
    return regular if regular[-1] == layers - 1 else (*regular, layers - 1)


def _last_of_blocks(layers: int, blocks: int) -> tuple[int, ...]:
    return tuple((block + 1) * layers // blocks - 1 for block in range(blocks))


_RULES: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    r"every-(\d+)(?:st|nd|rd|th)": _every,
    r"last-of-(\d+)-blocks": _last_of_blocks,
    r"bottom-(\d+)": lambda layers, number: tuple(range(number)),
    r"top-(\d+)": lambda layers, number: tuple(range(layers - number, layers)),
}
_RULES_IN_WORDS = "every-2nd, every-3rd, ..., last-of-N-blocks, bottom-N or top-N"


def _checked(teacher_layers: int, layers: tuple[int, ...]) -> tuple[int, ...]:
    rising = all(a < b for a, b in itertools.pairwise(layers))
    if layers and rising and layers[0] >= 0 and layers[-1] < teacher_layers:
        return layers
    raise ModelError(
        f"layers to keep: {list(layers)}",
        wanted=f"at least one, rising, each from 0 to {teacher_layers - 1}",
        fix="list the teacher's layers in their order, none twice",
    )


def layered_config(
    config: Any,
    layers: Sequence[int],
    *,
    decoder_layers: Sequence[int] | None = None,
    dropout: float | None = None,
) -> Any:
    """The configuration of the shallower model; no weights are needed, so it serves planning."""
    facts = family_of(config.model_type)
    new = copy.deepcopy(config)
    new.num_hidden_layers = len(layers)
    for key in facts.per_layer_keys:
        if getattr(config, key, None) is not None:
            setattr(new, key, [getattr(config, key)[layer] for layer in layers])
    if decoder_layers is not None:
        new.num_decoder_layers = len(decoder_layers)
    if dropout is not None:
        for key in facts.dropout_keys:
            setattr(new, key, dropout)
    return new


def keep_layers(
    model: Any,
    layers: Sequence[int],
    *,
    decoder_layers: Sequence[int] | None = None,
    first_norm: FirstNorm = "fold",
    dropout: float | None = None,
) -> Any:
    """A new model whose layer i is an exact copy of the given model's layer `layers[i]`.

    Everything outside the layers (embeddings, final norm, head) is copied too. The result is an ordinary
    transformers model; the given one is unchanged.

    Args:
        model: a transformers model with or without a head.
        layers: layers to keep, from 0, rising; of the encoder, in an encoder-decoder.
        decoder_layers: the same for the decoder of an encoder-decoder; None keeps all of it. A decoder deeper
            than its encoder generates without a cache.
        first_norm: what to do about the norm that layer 0 of a ModernBERT does not have, when it comes from a
            later layer. `fold` moves it into the projection behind it, which is then no longer bit-equal to
            the teacher's (everything else is); `copy` leaves it out. No other family is concerned. See
            `_fold_norm` for what it is worth.
        dropout: probability for every dropout inside the base model; None keeps the teacher's. BiStil trains
            its students with 0, and attention maps cannot be compared otherwise.

    Raises:
        ModelError: layers out of range or order, or a model whose layers depend on their number.
    """
    parts = anatomy(model)
    layers = _checked(len(parts.layers), tuple(layers))
    if decoder_layers is not None:
        decoder_layers = _checked(len(parts.stack(decoder=True)[1]), tuple(decoder_layers))
    _refuse_numbered_layers(model.config)
    config = layered_config(model.config, layers, decoder_layers=decoder_layers, dropout=dropout)
    tensors = model.state_dict()
    new = rebuild(model, config, lambda name: tensors[_teacher_name(parts, name, layers, decoder_layers)])
    _mend_cache(new)
    if first_norm == "fold" and parts.family.not_in_first and layers[0] > 0:
        _fold_norm(new, model, layers[0])
    return new


def _mend_cache(model: Any) -> None:
    """transformers 5 makes a cache entry per encoder layer; a deeper decoder runs out of them."""
    parts = anatomy(model)
    if parts.decoder_layers is not None and len(parts.decoder_layers) > len(parts.layers):
        model.config.use_cache = False
        if getattr(model, "generation_config", None) is not None:
            model.generation_config.use_cache = False


def _refuse_numbered_layers(config: Any) -> None:
    if getattr(config, "scale_attn_by_inverse_layer_idx", False):
        raise ModelError(
            "a GPT-2 with scale_attn_by_inverse_layer_idx: a layer would attend differently in another place",
            wanted="layers that do not depend on their number",
            fix="use another checkpoint",
        )


def _teacher_name(
    parts: Anatomy, name: str, layers: Sequence[int], decoder_layers: Sequence[int] | None
) -> str:
    """The teacher's name for a student's tensor.

    T5 keeps the relative position bias that all layers use in layer 0, so the student's layer 0 takes it from
    the teacher's layer 0 wherever the rest of it comes from.
    """
    for decoder, kept in ((False, layers), (True, decoder_layers)):
        if kept is None:
            continue
        path = parts.stack(decoder=decoder)[0] + "."
        if name.startswith(path):
            index, _, inner = name.removeprefix(path).partition(".")
            shared = any(inner.startswith(only + ".") for only in parts.family.first_only)
            return f"{path}{0 if shared else kept[int(index)]}.{inner}"
    return name


@torch.no_grad()
def _fold_norm(student: Any, teacher: Any, layer: int) -> None:
    """Move the attention norm that a ModernBERT student's layer 0 lost into the projection behind it.

    Layer 0 of a ModernBERT reads the embedding output e through an identity; every other layer normalises
    first. Copied from layer j > 0, the projection W meets unnormalised input. The norm
    LN(e) w = (e - mean e) / std(e) * w is linear but for the per-token std(e), so replacing that by its mean
    s over the vocabulary leaves W' = W diag(w) (I - 11'/d) / s. Layer 0 then equals the teacher's as nearly
    as a weight change can make it.

    Measured on a six-layer encoder of 10M parameters cut to layers 1, 3, 5 (held-out text in four languages,
    lengths to 64; the teacher's masked-LM loss is 4.32). Plain copy against fold, hidden-state loss 6.84
    against 5.64 and masked-LM loss 9.31 against 8.23 at the start; after 60 steps of phase 1 (two seeds)
    1.49, 1.48 against 1.28, 1.28 and 6.05, 6.06 against 5.69, 5.67. Scaling the columns by the ratio of the
    two norms' weights instead gives 1.29, 1.29 and 5.69, 5.67.
    """
    base: Any = anatomy(student).base
    norm: Any = anatomy(teacher).layers[layer].get_submodule("attn_norm")
    projection = base.layers[0].attn.Wqkv
    embedded = base.embeddings.norm(base.embeddings.tok_embeddings.weight)
    scale = (embedded.var(dim=-1, unbiased=False) + norm.eps).sqrt().mean()
    if norm.bias is not None and projection.bias is not None:
        projection.bias += projection.weight @ norm.bias
    folded = projection.weight * norm.weight
    projection.weight.copy_((folded - folded.mean(dim=1, keepdim=True)) / scale)
