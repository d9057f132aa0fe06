"""Several deltas in one, and where they meet.

theta_0 + phi_language + phi_task (Ansell et al. 2022, section 3.2). Sparse deltas interfere little because
few of their entries coincide; `meetings` says how few.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isogloss.core.errors import ModelError
from isogloss.sparse.delta import Change, Delta, check_fits


@dataclass(frozen=True)
class Meeting:
    """What two deltas have in common.

    Attributes:
        first, second: which two, counted from 0.
        entries: entries that both change.
        share: of the smaller delta's entries, from 0 to 1.
        agree: of the common entries, how many they move the same way, from 0 to 1; NaN without any.
        cosine: between the two as vectors over the whole model; NaN if one is zero throughout.
        by_name: common entries by tensor, where there are any.
    """

    first: int
    second: int
    entries: int
    share: float
    agree: float
    cosine: float
    by_name: Mapping[str, int]


def add(deltas: Sequence[Delta]) -> Delta:
    """One delta that does what all do together; the order does not matter but for the facts in `about`.

    Args:
        deltas: one at least, of one base and vocabulary; an unknown one fits any.

    Raises:
        ModelError: they were learnt on different models or vocabularies, a tensor has different shapes, or
            two replace the same tensor by different ones.
    """
    assert deltas, "nothing to add"
    base = next((delta.base for delta in deltas if delta.base), None)
    vocabulary = next((delta.vocabulary for delta in deltas if delta.vocabulary), None)
    for delta in deltas:
        check_fits(delta, base=base, vocabulary=vocabulary)
    names = dict.fromkeys(name for delta in deltas for name in delta.changes)
    changes = {
        name: _sum(name, [delta.changes[name] for delta in deltas if name in delta.changes]) for name in names
    }
    about = {key: value for delta in reversed(deltas) for key, value in delta.about.items()}
    return Delta(changes, _dense(deltas), base, vocabulary, about)


def meetings(deltas: Sequence[Delta]) -> list[Meeting]:
    """Where each two of several deltas meet."""
    return [
        _meeting(first, second, deltas[first], deltas[second])
        for first, second in itertools.combinations(range(len(deltas)), 2)
    ]


def _sum(name: str, changes: Sequence[Change]) -> Change:
    if len({change.shape for change in changes}) > 1:
        raise ModelError(
            f"deltas of different shapes of {name}: {', '.join(str(list(c.shape)) for c in changes)}",
            wanted="deltas of one model",
            fix="carry them onto one model first: `isogloss delta carry`",
        )
    if len(changes) == 1:
        return changes[0]
    indices, places = torch.cat([change.indices.long() for change in changes]).unique(return_inverse=True)
    # In float64, so that the sum of up to thousands is the same in any order once it is rounded.
    total = torch.zeros(len(indices), dtype=torch.float64)
    total.index_add_(0, places, torch.cat([change.values for change in changes]).double())
    return Change(changes[0].shape, indices.to(changes[0].indices.dtype), total.float())


def _dense(deltas: Sequence[Delta]) -> dict[str, Tensor]:
    dense: dict[str, Tensor] = {}
    for delta in deltas:
        for name, value in delta.dense.items():
            if name in dense and not torch.equal(dense[name], value):
                raise ModelError(
                    f"two deltas replace {name}, and not by the same",
                    wanted="a head from one of them at most: heads do not add up",
                    fix="leave out the heads of all but one (`--heads-of`, `Delta.without_dense`)",
                )
            dense[name] = value
    return dense


def _meeting(first: int, second: int, one: Delta, other: Delta) -> Meeting:
    by_name: dict[str, int] = {}
    agree, dot = 0, 0.0
    for name, left, right in _common(one, other):
        by_name[name] = len(left)
        agree += int((left.sign() == right.sign()).sum())
        dot += float(left.double() @ right.double())
    entries = sum(by_name.values())
    norms = _norm(one) * _norm(other)
    return Meeting(
        first,
        second,
        entries,
        share=entries / max(1, min(one.entries, other.entries)),
        agree=agree / entries if entries else float("nan"),
        cosine=dot / norms if norms else float("nan"),
        by_name=by_name,
    )


def _common(one: Delta, other: Delta) -> Iterator[tuple[str, Tensor, Tensor]]:
    """For each tensor in which two deltas meet: its name and both sets of values there."""
    for name in one.changes.keys() & other.changes.keys():
        left, right = one.changes[name], other.changes[name]
        here = torch.isin(left.indices.long(), right.indices.long(), assume_unique=True)
        if here.any():
            there = torch.isin(right.indices.long(), left.indices.long(), assume_unique=True)
            yield name, left.values[here], right.values[there]


def _norm(delta: Delta) -> float:
    return sum(float(change.values.double().square().sum()) for change in delta.changes.values()) ** 0.5
