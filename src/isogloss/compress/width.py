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

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from isogloss.compress.attention import AttentionCut, attention_cuts
from isogloss.compress.basis import basis_of, state_moment
from isogloss.compress.heads import important_heads
from isogloss.compress.norms import NormFit
from isogloss.compress.observe import Batch, Reader, observe
from isogloss.compress.shape import narrow_config
from isogloss.compress.stream import STREAMS, Stream, norms_of, refuse_strangers
from isogloss.compress.transform import Samples, fit_transform
from isogloss.models.anatomy import Anatomy, anatomy
from isogloss.models.matrices import LayerMatrices, Matrix, Weights, inside, layer_matrices
from isogloss.models.rebuild import rebuild

_ROWS = 1 << 15
"""Of a vocabulary's table that are in double precision at a time."""
_RIDGE = 1e-3
"""Of the mean variance of a direction of the vocabulary: the weakest ones would need huge features."""


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
    refuse_strangers(parts)
    if basis is None:
        layer_norm = isinstance(norms_of(parts)[-1][1], nn.LayerNorm)
        basis = basis_of(state_moment(model, batches), width, ones=layer_norm)
    kept = None
    if config.num_attention_heads < model.config.num_attention_heads:
        kept = important_heads(model, batches, config.num_attention_heads)
    narrower = _Narrowing(parts, basis.double().to(model.device), config, batches, kept).model()
    return Narrowed(narrower, basis.float())


class _Narrowing:
    """One model being made narrower: what was seen of it, and the weights so far.

    Every step takes tensors [outputs, inputs] in double precision, and leaves them so; `model` casts them.
    """

    def __init__(
        self, parts: Anatomy, basis: Tensor, config: Any, batches: Sequence[Batch], kept: Tensor | None
    ) -> None:
        self.parts, self.basis, self.config, self.batches = parts, basis, config, batches
        self.stream: Stream = STREAMS[parts.family.name]
        self.names: LayerMatrices = layer_matrices(parts.family.name)
        self.weights = Weights(parts)
        self.tied = parts.lm_head is not None and parts.lm_head.weight is parts.embedding.weight
        self.final = f"{parts.prefix}{parts.family.final_norm}"
        self.fits = {path: self._fit(path, norm) for path, norm in norms_of(parts)}
        self.kept = kept

    def model(self) -> Any:
        """The narrower model."""
        cuts = attention_cuts(self.parts, self.config, self.batches, self.kept)
        last = Samples(self.batches)
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

    def _observe(self, last: Samples) -> None:
        """One pass over the text for all norms and for the head."""
        inputs: dict[nn.Module, Reader] = {norm: self.fits[path].read for path, norm in norms_of(self.parts)}
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

    def _head(self, last: Samples) -> None:
        if self.parts.lm_head is None:
            return
        if self._has_transform():
            self._transform(last)
        elif not self.tied:
            path = self._path_of(self.parts.lm_head)
            self.weights.write(path, self._read_through(self._matrix(path), self.final))

    def _transform(self, last: Samples) -> None:
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
