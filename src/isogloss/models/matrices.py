"""The matrices inside a layer, alike for every family: what cuts heads, units or width needs to know.

A matrix is written [outputs, inputs] here, whichever way a module keeps it (GPT-2's keep theirs transposed).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from isogloss.core.errors import ModelError
from isogloss.models.anatomy import Anatomy


class Block(NamedTuple):
    """A matrix inside a layer: a module of its own, or one of several equal blocks of a module's outputs.

    Attributes:
        path: the module, from the layer.
        number: which block, from 0.
        of: how many blocks of equal size the module's outputs are.
    """

    path: str
    number: int = 0
    of: int = 1


@dataclass(frozen=True)
class LayerMatrices:
    """Names of the matrices in one layer, and of the norms beside them.

    Attributes:
        query, key, value: into the heads.
        output: out of the heads; its inputs are the heads' values one after another.
        units: into the feed-forward units; two where they are gated.
        down: out of the units.
        norms: the norm of attention and the norm of the feed-forward block: in front of each, or (BERT's
            kind) behind the sum of each with what went around it.
    """

    query: Block
    key: Block
    value: Block
    output: str
    units: tuple[Block, ...]
    down: str
    norms: tuple[str, str]


_BERT = LayerMatrices(
    query=Block("attention.self.query"),
    key=Block("attention.self.key"),
    value=Block("attention.self.value"),
    output="attention.output.dense",
    units=(Block("intermediate.dense"),),
    down="output.dense",
    norms=("attention.output.LayerNorm", "output.LayerNorm"),
)
_LLAMA = LayerMatrices(
    query=Block("self_attn.q_proj"),
    key=Block("self_attn.k_proj"),
    value=Block("self_attn.v_proj"),
    output="self_attn.o_proj",
    units=(Block("mlp.gate_proj"), Block("mlp.up_proj")),
    down="mlp.down_proj",
    norms=("input_layernorm", "post_attention_layernorm"),
)
_MATRICES: dict[str, LayerMatrices] = {
    "bert": _BERT,
    "roberta": _BERT,
    "deberta-v2": replace(
        _BERT,
        query=Block("attention.self.query_proj"),
        key=Block("attention.self.key_proj"),
        value=Block("attention.self.value_proj"),
    ),
    "distilbert": LayerMatrices(
        query=Block("attention.q_lin"),
        key=Block("attention.k_lin"),
        value=Block("attention.v_lin"),
        output="attention.out_lin",
        units=(Block("ffn.lin1"),),
        down="ffn.lin2",
        norms=("sa_layer_norm", "output_layer_norm"),
    ),
    "modernbert": LayerMatrices(
        query=Block("attn.Wqkv", 0, 3),
        key=Block("attn.Wqkv", 1, 3),
        value=Block("attn.Wqkv", 2, 3),
        output="attn.Wo",
        units=(Block("mlp.Wi", 0, 2), Block("mlp.Wi", 1, 2)),
        down="mlp.Wo",
        norms=("attn_norm", "mlp_norm"),
    ),
    "gpt2": LayerMatrices(
        query=Block("attn.c_attn", 0, 3),
        key=Block("attn.c_attn", 1, 3),
        value=Block("attn.c_attn", 2, 3),
        output="attn.c_proj",
        units=(Block("mlp.c_fc"),),
        down="mlp.c_proj",
        norms=("ln_1", "ln_2"),
    ),
    "llama": _LLAMA,
    "gemma2": _LLAMA,
}


def layer_matrices(family: str) -> LayerMatrices:
    """The names for a family, by our name for it.

    Raises:
        ModelError: not known for this family.
    """
    if family not in _MATRICES:
        raise ModelError(
            f"heads, units or width of a {family} model",
            wanted=f"one of the families {', '.join(_MATRICES)}",
            fix="leave them as they are and choose layers and vocabulary alone",
        )
    return _MATRICES[family]


class Blocks(NamedTuple):
    """How a tensor that holds several matrices comes apart.

    Attributes:
        of: how many equal blocks.
        axis: along which.
    """

    of: int
    axis: int


def fused(parts: Anatomy) -> dict[str, Blocks]:
    """Parameters that hold several matrices, by name, such as query, key and value in one; often none."""
    known = _MATRICES.get(parts.family.name)
    blocks = (known.query, known.key, known.value, *known.units) if known else ()
    several = {block.path: block.of for block in blocks if block.of > 1}
    found = {}
    for layer in range(len(parts.layers)):
        for path, of in several.items():
            axis = int(_is_transposed(module_inside(parts, layer, path)))
            found[f"{inside(parts, layer, path)}.weight"] = Blocks(of, axis)
            found[f"{inside(parts, layer, path)}.bias"] = Blocks(of, 0)
    return found


class Matrix(NamedTuple):
    """A linear map.

    Attributes:
        weight: the matrix.
        bias: one number per output, or None.
    """

    weight: Float[Tensor, "outputs inputs"]
    bias: Float[Tensor, " outputs"] | None


class Weights:
    """A model's tensors by name, to be changed without touching the model; matrices as [outputs, inputs].

    Attributes:
        tensors: every saved tensor under every name it has; what `rebuild` fills a new model from.
    """

    def __init__(self, parts: Anatomy) -> None:
        self._parts = parts
        self.tensors: dict[str, Tensor] = dict(parts.model.state_dict())

    def read(self, path: str, number: int = 0, of: int = 1) -> Matrix:
        """A linear module by its path from the whole model, or a block of its outputs."""
        weight = self.tensors[f"{path}.weight"]
        weight = weight.T if self._transposed(path) else weight
        bias = self.tensors.get(f"{path}.bias")
        return Matrix(weight.chunk(of)[number], None if bias is None else bias.chunk(of)[number])

    def write(self, path: str, *blocks: Matrix) -> None:
        """The blocks of a linear module's outputs, in their order."""
        weight = torch.cat([block.weight for block in blocks])
        weight = weight.T if self._transposed(path) else weight
        self.tensors[f"{path}.weight"] = weight.contiguous()
        biases = [block.bias for block in blocks if block.bias is not None]
        if biases:
            self.tensors[f"{path}.bias"] = torch.cat(biases)

    def _transposed(self, path: str) -> bool:
        return _is_transposed(self._parts.model.get_submodule(path))


def _is_transposed(module: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


def inside(parts: Anatomy, layer: int, path: str) -> str:
    """The path from the whole model to a module inside a layer."""
    return f"{parts.stack()[0]}.{layer}.{path}"


def module_inside(parts: Anatomy, layer: int, path: str) -> nn.Module:
    """A module inside a layer."""
    return parts.layers[layer].get_submodule(path)


def head_size(config: Any) -> int:
    """Numbers of one head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def key_heads(config: Any) -> int:
    """Heads of keys and values; fewer than of queries where several of these share one."""
    return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
