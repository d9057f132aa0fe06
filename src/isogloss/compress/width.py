"""A narrower model: its hidden states turned into their principal directions, and the small ones left out.

Every matrix that reads the residual stream or writes to it is multiplied by one orthonormal basis B [large,
small], so that the narrow stream is B' times the wide one and the result is an ordinary transformers model.
The idea is SliceGPT's (Ashkboos et al. 2024, arXiv 2401.15024), with three differences. One basis serves all
layers, for theirs needs a matrix in every residual connection, which no transformers class has. LayerNorm
stays LayerNorm: B keeps the direction of ones, so taking the mean out commutes with it. And tied embeddings
stay tied.

What is exact at full width, and what is not:

- Norms in front of a block (ModernBERT, GPT-2, Llama): their weights move into the matrices behind them.
  Nothing but rounding changes. At a smaller width each coordinate of a norm gets the scale that fits the
  calibration text best by least squares.
- Norms on the stream itself (every norm of BERT's kind, ModernBERT's embedding norm, the last norm of a
  model whose output layer is its embedding table): a scale per coordinate does not commute with a rotation.
  Scale and shift in the new coordinates are refitted by least squares.
- The transform of a masked model's head has an elementwise function between its matrices, through which no
  rotation passes: it is fitted on the calibration text, by L-BFGS on the error of the scores.
- Heads whose sizes must add up to the width: see `isogloss.compress.attention`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from isogloss.compress.attention import AttentionCut, attention_cuts
from isogloss.compress.basis import basis_of, state_moment
from isogloss.compress.feedforward import units_of
from isogloss.compress.heads import (
    important_heads,
    own_head_size,
    with_heads,
)
from isogloss.compress.norms import NormFit
from isogloss.compress.observe import Batch, Reader, observe
from isogloss.compress.transform import fit_transform
from isogloss.core.errors import ModelError
from isogloss.models.anatomy import Anatomy, anatomy
from isogloss.models.families import family_of
from isogloss.models.matrices import (
    LayerMatrices,
    Matrix,
    Weights,
    head_size,
    inside,
    layer_matrices,
)
from isogloss.models.rebuild import rebuild


@dataclass(frozen=True)
class Stream:
    """Where the residual stream begins and ends in a family. Paths start at the base model.

    Attributes:
        tables: embeddings whose rows are added up to make it.
        table_norm: the norm that it then passes; None where it passes none.
        behind: norms stand on the stream, behind each block, instead of in front of the blocks.
        transform: matrix and norm of the head before the output layer, from the whole model; None where the
            output layer reads the last norm.
        activation: config key of the function between these two, or (if there is none) the function's name.
    """

    tables: tuple[str, ...]
    table_norm: str | None
    behind: bool
    transform: tuple[str, str] | None = None
    activation: str = ""


_BERT_TABLES = tuple(f"embeddings.{kind}_embeddings" for kind in ("word", "position", "token_type"))
_STREAMS: dict[str, Stream] = {
    "bert": Stream(
        _BERT_TABLES,
        "embeddings.LayerNorm",
        behind=True,
        transform=("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
        activation="hidden_act",
    ),
    "roberta": Stream(
        _BERT_TABLES,
        "embeddings.LayerNorm",
        behind=True,
        transform=("lm_head.dense", "lm_head.layer_norm"),
        activation="gelu",
    ),
    "modernbert": Stream(
        ("embeddings.tok_embeddings",),
        "embeddings.norm",
        behind=False,
        transform=("head.dense", "head.norm"),
        activation="classifier_activation",
    ),
    "gpt2": Stream(("wte", "wpe"), None, behind=False),
    "llama": Stream(("embed_tokens",), None, behind=False),
}
# Gemma multiplies its embeddings by the root of its width, and its norms by one more than their weights.
_HEAD_TOKENS = 4096
_ROWS = 1 << 15
_RIDGE = 1e-3
"""Of the mean variance of a direction of the vocabulary: the weakest ones would need huge features."""
_MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "modernbert", "gpt2", "llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True)
class Narrowed:
    """A narrower model and how it belongs to the one it was made of.

    Attributes:
        model: a transformers model.
        basis: orthonormal columns; the narrow model's hidden states are as near as may be to the wide one's
            times this.
    """

    model: Any
    basis: Float[Tensor, "large small"]


def narrow_config(config: Any, *, width: int, heads: int | None = None) -> Any:
    """The configuration of the narrower model; no weights are needed, so it serves planning.

    Args:
        width: size of the hidden states.
        heads: heads per layer. None is the present number; where heads together must be as wide as the model
            each then becomes smaller, or, if they cannot share the width out evenly, as many are kept as fill
            it.

    Raises:
        ModelError: a family we cannot make narrower, or sizes that do not fit together.
    """
    _refuse_unknown(config)
    there, size = int(config.hidden_size), head_size(config)
    if not 0 < width <= there:
        raise ModelError(
            f"width {width} for a model that is {there} wide",
            wanted=f"a number from 1 to {there}",
            fix="lower student.width, or leave it out to keep the width",
        )
    new = copy.deepcopy(config)
    setattr(new, family_of(config.model_type).feedforward_key, units_of(config))
    if own_head_size(config):
        new.head_dim = size  # Qwen 2 would take width / heads
        _check_heads(config, width, heads or config.num_attention_heads)
        new.hidden_size = width
        return new if heads is None else with_heads(new, heads)
    if heads is None:
        heads = int(config.num_attention_heads)
        if width % (_least_size(config) * heads) and width % size == 0:
            heads = width // size
    _check_heads(config, width, heads)
    new.hidden_size, new.num_attention_heads = width, heads
    return new


def _least_size(config: Any) -> int:
    """Where heads make up the width, of what their size is a multiple: rotary positions turn pairs."""
    rotary = family_of(config.model_type).positions == "rotary"
    return 2 if rotary and not own_head_size(config) else 1


def _check_heads(config: Any, width: int, heads: int) -> None:
    there, size, own = int(config.num_attention_heads), head_size(config), own_head_size(config)
    unit = _least_size(config) * heads
    if 0 < heads <= there and width % unit == 0 and (own or width <= heads * size):
        return
    raise ModelError(
        f"width {width} with {heads} heads, of a model with {there} heads of size {size}",
        wanted=f"a width that is a multiple of {unit}" + ("" if own else f", at most {heads * size}"),
        fix="choose student.width and student.heads together"
        + ("" if own else f", for instance width {max(1, there // 2) * size}"),
    )


def _refuse_unknown(config: Any) -> None:
    if config.model_type not in _MODEL_TYPES:
        raise ModelError(
            f"a narrower {config.model_type} model",
            wanted=f"one of: {', '.join(_MODEL_TYPES)}",
            fix="leave out student.width; fewer layers and a smaller vocabulary work for every model",
        )


def narrow(
    model: Any,
    batches: Iterable[Batch],
    *,
    width: int,
    heads: int | None = None,
    basis: Float[Tensor, "large small"] | None = None,
) -> Narrowed:
    """A narrower model that does on calibration text as nearly as may be what the given one does.

    Args:
        model: a transformers model, bare or with a language-model head; it is left as it was.
        batches: calibration text: `input_ids`, `attention_mask`, and `labels` where heads are left out.
        width: size of the hidden states.
        heads: heads per layer; see `narrow_config`.
        basis: another basis than the principal directions; where a LayerNorm is on or beside the stream, one
            made by `basis_of` with `ones`.

    Raises:
        ModelError: a family we cannot make narrower, sizes that do not fit, or a head of another kind.
        DataError: no batch.
    """
    config = narrow_config(model.config, width=width, heads=heads)
    batches, parts = list(batches), anatomy(model)
    _refuse_strangers(parts)
    if basis is None:
        layer_norm = isinstance(_norms(parts)[-1][1], nn.LayerNorm)
        basis = basis_of(state_moment(model, batches), width, ones=layer_norm)
    kept = None
    if config.num_attention_heads < model.config.num_attention_heads:
        kept = important_heads(model, batches, config.num_attention_heads)
    narrower = _Narrowing(parts, basis.double().to(model.device), config, batches, kept).model()
    return Narrowed(narrower, basis.float())


def _norms(parts: Anatomy) -> list[tuple[str, nn.Module]]:
    """Every norm on or beside the stream, by its path from the whole model, in the order they are passed."""
    stream, names = _STREAMS[parts.family.name], layer_matrices(parts.family.name)
    paths = [f"{parts.prefix}{stream.table_norm}"] if stream.table_norm else []
    paths += [inside(parts, layer, name) for layer in range(len(parts.layers)) for name in names.norms]
    paths += [f"{parts.prefix}{parts.family.final_norm}"] if parts.family.final_norm else []
    found = [(path, parts.model.get_submodule(path)) for path in paths]
    return [(path, norm) for path, norm in found if not isinstance(norm, nn.Identity)]


class _Samples:
    """What the head's transform reads and makes, for some thousand tokens spread evenly over the text."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        tokens = sum(int((batch["attention_mask"] != 0).sum()) for batch in batches)
        self._every = -(-tokens // _HEAD_TOKENS)
        self._states: list[Tensor] = []
        self._features: list[Tensor] = []

    def read_states(self, states: Tensor) -> None:
        """Before the transform (before the last norm, where there is one in front of it)."""
        self._states.append(states[:: self._every].double())

    def read_features(self, features: Tensor) -> None:
        """Behind it."""
        self._features.append(features[:: self._every].double())

    def together(self) -> tuple[Float[Tensor, "tokens large"], Float[Tensor, "tokens large"]]:
        """States and features of the same tokens."""
        return torch.cat(self._states), torch.cat(self._features)


class _Narrowing:
    """One model being made narrower: what was seen of it, and the weights so far.

    Every step takes tensors [outputs, inputs] in double precision, and leaves them so; `model` casts them.
    """

    def __init__(
        self, parts: Anatomy, basis: Tensor, config: Any, batches: Sequence[Batch], kept: Tensor | None
    ) -> None:
        self.parts, self.basis, self.config, self.batches = parts, basis, config, batches
        self.stream: Stream = _STREAMS[parts.family.name]
        self.names: LayerMatrices = layer_matrices(parts.family.name)
        self.weights = Weights(parts)
        self.tied = parts.lm_head is not None and parts.lm_head.weight is parts.embedding.weight
        self.final = f"{parts.prefix}{parts.family.final_norm}"
        self.fits = {path: self._fit(path, norm) for path, norm in _norms(parts)}
        self.kept = kept

    def model(self) -> Any:
        """The narrower model."""
        cuts = attention_cuts(self.parts, self.config, self.batches, self.kept)
        last = _Samples(self.batches)
        self._observe(last)
        self._tables()
        for layer in range(len(self.parts.layers)):
            self._attention(layer, cuts[layer] if cuts else None)
            self._feedforward(layer)
        self._head(last)
        for path, fit in self.fits.items():
            self._norm(path, fit)
        return self._rebuilt()

    def _fit(self, path: str, norm: nn.Module) -> NormFit:
        """The narrow norm to be found. On the stream it keeps its weight; else its reader takes that."""
        table = path == f"{self.parts.prefix}{self.stream.table_norm}"
        on_stream = self.stream.behind or table or (path == self.final and self._read_by_table())
        into = self._table_map() if table else self.basis
        return NormFit(norm, self.basis, into=into, with_weight=on_stream)

    def _read_by_table(self) -> bool:
        """Whether nothing of ours reads the last norm: the output layer is the embedding table, or absent."""
        return self.parts.lm_head is None or (self.stream.transform is None and self.tied)

    def _table_map(self) -> Tensor:
        """What the tables are multiplied by: the norm's weight is put in, for behind it nothing could."""
        if self.stream.table_norm is None:
            return self.basis
        weight = _double(self.parts.base.get_submodule(self.stream.table_norm).weight)
        # Of mean 1, so that the table keeps its size and epsilon its share.
        scaled = (weight / weight.abs().mean())[:, None] * self.basis
        return scaled - scaled.mean(dim=0)

    def _observe(self, last: _Samples) -> None:
        """One pass over the text for all norms and for the head."""
        inputs: dict[nn.Module, Reader] = {norm: self.fits[path].read for path, norm in _norms(self.parts)}
        outputs: dict[nn.Module, Reader] = {}
        if self._has_transform():
            assert self.stream.transform is not None
            dense, norm = map(self.parts.model.get_submodule, self.stream.transform)
            if self.parts.final_norm is None:
                inputs[dense] = last.read_states
            else:
                fit = self.fits[self.final].read
                inputs[self.parts.final_norm] = _both(fit, last.read_states)
            outputs[norm] = last.read_features
        observe(self.parts.model, self.batches, inputs=inputs, outputs=outputs)

    def _has_transform(self) -> bool:
        return self.stream.transform is not None and self.parts.lm_head is not None

    def _tables(self) -> None:
        for table in self.stream.tables:
            name = f"{self.parts.prefix}{table}.weight"
            self._set(name, self.weights.tensors[name] @ self._table_map().to(self.parts.embedding.weight))

    def _set(self, name: str, value: Tensor) -> None:
        """Put a tensor under every name it has."""
        model = self.parts.model
        old = model.get_parameter(name)
        for other, parameter in model.named_parameters(remove_duplicate=False):
            if parameter is old:
                self.weights.tensors[other] = value

    def _attention(self, layer: int, cut: AttentionCut | None) -> None:
        names = self.names
        norm = None if self.stream.behind else inside(self.parts, layer, names.norms[0])
        blocks = {"query": names.query, "key": names.key, "value": names.value}
        narrow = {
            kind: self._reading(layer, block, norm, cut and getattr(cut, kind))
            for kind, block in blocks.items()
        }
        for path in dict.fromkeys(block.path for block in blocks.values()):
            together = [narrow[kind] for kind, block in blocks.items() if block.path == path]
            self.weights.write(inside(self.parts, layer, path), *together)
        self._write(inside(self.parts, layer, names.output), cut and cut.output)

    def _feedforward(self, layer: int) -> None:
        norm = None if self.stream.behind else inside(self.parts, layer, self.names.norms[1])
        for path in dict.fromkeys(block.path for block in self.names.units):
            together = [self._reading(layer, block, norm) for block in self.names.units if block.path == path]
            self.weights.write(inside(self.parts, layer, path), *together)
        self._write(inside(self.parts, layer, self.names.down))

    def _reading(self, layer: int, block: Any, norm: str | None, after: Tensor | None = None) -> Matrix:
        """A matrix that reads the stream through a norm (None: directly)."""
        matrix = self._matrix(inside(self.parts, layer, block.path), block.number, block.of)
        return self._read_through(matrix, norm, after)

    def _matrix(self, path: str, number: int = 0, of: int = 1) -> Matrix:
        weight, bias = self.weights.read(path, number, of)
        return Matrix(weight.double(), None if bias is None else bias.double())

    def _read_through(self, matrix: Matrix, norm: str | None, after: Tensor | None = None) -> Matrix:
        weight, bias = matrix
        fit = None if norm is None else self.fits.get(norm)
        if fit is not None:
            if bias is not None and fit.bias is not None:
                bias = bias + weight @ fit.bias
            elif fit.bias is not None:
                fit.carry_bias()
            weight = weight * fit.weight
        weight = weight @ self.basis
        if after is not None:
            weight, bias = after @ weight, None if bias is None else after @ bias
        return Matrix(weight, bias)

    def _write(self, path: str, before: Tensor | None = None) -> None:
        """A matrix that writes to the stream."""
        weight, bias = self._matrix(path)
        weight = weight if before is None else weight @ before
        self.weights.write(path, Matrix(self.basis.T @ weight, None if bias is None else self.basis.T @ bias))

    def _norm(self, path: str, fit: NormFit) -> None:
        scale, shift = fit.fitted()
        self.weights.tensors[f"{path}.weight"] = scale
        if shift is not None:
            self.weights.tensors[f"{path}.bias"] = shift

    def _head(self, last: _Samples) -> None:
        if self.parts.lm_head is None:
            return
        if self._has_transform():
            self._transform(last)
        elif not self.tied:
            path = self._path_of(self.parts.lm_head)
            self.weights.write(path, self._read_through(self._matrix(path), self.final))

    def _transform(self, last: _Samples) -> None:
        assert self.stream.transform is not None
        dense, norm = self.stream.transform
        module: Any = self.parts.model.get_submodule(norm)
        states, features = last.together()
        final = self.fits.get(self.final)
        wanted, gram = self._output_layer(features)
        fitted = fit_transform(
            states @ self.basis if final is None else final.apply(states),
            features @ wanted.T,
            activation=self._activation(),
            bias=self.weights.read(dense).bias is not None,
            shift=module.bias is not None,
            eps=module.eps,
            gram=gram,
        )
        self.weights.write(dense, fitted.dense)
        self.weights.tensors[f"{norm}.weight"] = fitted.scale
        if fitted.shift is not None:
            self.weights.tensors[f"{norm}.bias"] = fitted.shift

    def _output_layer(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Make the output layer.

        Returns:
            What it wants of the wide features [small, large], and the second moment of its rows.
        """
        decoder: Any = self.parts.lm_head
        if self.tied:
            narrow = self.weights.tensors[f"{self.parts.prefix}{self.stream.tables[0]}.weight"]
            gram = _covariance(narrow, narrow)
            ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
            wanted = torch.linalg.solve(gram + ridge, _covariance(narrow, decoder.weight))
            return wanted, gram
        wanted = basis_of(features.T @ features, self.basis.shape[1], ones=False).T
        narrow = decoder.weight.detach() @ wanted.T.to(decoder.weight)
        self._set(f"{self._path_of(decoder)}.weight", narrow)
        return wanted, _covariance(narrow, narrow)

    def _activation(self) -> Callable[[Tensor], Tensor]:
        from transformers.activations import ACT2FN

        name = getattr(self.parts.config, self.stream.activation, None) or self.stream.activation
        return ACT2FN[name]

    def _path_of(self, module: Any) -> str:
        return next(path for path, found in self.parts.model.named_modules() if found is module)

    def _rebuilt(self) -> Any:
        tensors = self.weights.tensors
        dtypes = {name: tensor.dtype for name, tensor in self.parts.model.state_dict().items()}
        return rebuild(
            self.parts.model, self.config, lambda name: tensors[name].to(dtypes[name]).contiguous()
        )


def _double(tensor: Any) -> Tensor:
    return tensor.detach().double()


def _both(first: Reader, second: Reader) -> Reader:
    def read(states: Tensor) -> None:
        first(states)
        second(states)

    return read


def _covariance(left: Tensor, right: Tensor) -> Float[Tensor, "left right"]:
    """Of the columns over all rows of a vocabulary, in double precision without a copy of the tables in it.

    Without the means, since what is the same for every entry of the vocabulary changes no probability.
    """
    one, other = left.detach(), right.detach()
    pieces = zip(one.split(_ROWS), other.split(_ROWS), strict=True)
    product = torch.stack([a.double().T @ b.double() for a, b in pieces]).sum(dim=0) / len(one)
    return product - torch.outer(one.mean(dim=0).double(), other.mean(dim=0).double())


def _refuse_strangers(parts: Anatomy) -> None:
    """Heads for tasks and poolers are as wide as the model too, and in none of our tables."""
    ours = [path for path, module in parts.model.named_modules() if module is parts.lm_head]
    if parts.lm_head is not None:
        ours += _STREAMS[parts.family.name].transform or ()
    for name, parameter in parts.model.named_parameters():
        known = parameter is parts.lm_bias or any(name.startswith(f"{path}.") for path in ours)
        if parts.place(name).part == "head" and not known:
            raise ModelError(
                f"a {type(parts.model).__name__} to be made narrower, with {name} in it",
                wanted="a bare model, or one with a language-model head",
                fix="make the model narrower before it gets another head",
            )
