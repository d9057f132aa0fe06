"""Which entries of a model to tune: exactly k of them, those that moved most (LT-SFT).

Ansell et al. 2022, arXiv 2110.07560, section 3: fine-tune everything, rank the entries of the parameters by
|theta - theta_0|, keep the k largest.

The k-th largest of N movements is found by counting. The bits of a float32 that is not negative, read as an
integer, are in the order of the floats, so a histogram of their upper halves names the 2^16 values among
which the k-th lies, and a second one, of the lower halves of those, names it. Parameters pass by in chunks,
three times in all, and nothing as long as the parameters is ever made. Sorting or `kthvalue` would need the
movements in one piece and the latter an index to each as well: three extra copies, and no less time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int32, Integer
from torch import Tensor

from isogloss.core.errors import RecipeError, UserError

_CHUNK = 1 << 18  # entries at a time: small enough for the processor's cache, large enough to be quick
_HALF = 16
_BINS = 1 << _HALF
_INFINITY = 0x7F80  # upper half of the bits of infinity; NaNs lie above


def select(
    now: Mapping[str, Tensor],
    start: Mapping[str, Tensor],
    entries: int | Mapping[str, int],
    *,
    groups: Mapping[str, str] | None = None,
) -> dict[str, Integer[Tensor, " entries"]]:
    """The entries with the largest |now - start|, in float32.

    Of entries that moved equally far, those that come first are taken: by the order of names in `now`, then
    by their place in the tensor. So entries that did not move are taken where too few did.

    Args:
        now: tensors by name, of any floating type.
        start: what they began as, under the same names, in the same shapes.
        entries: how many in all, from 0 to as many as there are; or how many by group.
        groups: the group of each name; None for one group of all.

    Returns:
        For each name of `now`, flat positions in rising order, on the CPU: 32-bit where the tensor has fewer
        than 2^31 entries. Their number is what was asked for, exactly.

    Raises:
        RecipeError: more entries asked for than there are, or fewer than none.
        UserError: a movement is NaN or infinite.
    """
    found: dict[str, Tensor] = {}
    for names, wanted in _each_group(now, entries, groups):
        pairs = [(now[name], start[name]) for name in names]
        size = sum(tensor.numel() for tensor, _ in pairs)
        if not 0 <= wanted <= size:
            raise RecipeError(
                f"{wanted:,} entries to select of {size:,}",
                wanted=f"a number from 0 to {size:,}",
                fix="lower the density",
            )
        cut = _cut(pairs, wanted)
        found |= zip(names, _above(pairs, cut), strict=True)
    return {name: found[name] for name in now}


def shares(sizes: Mapping[str, int], entries: int) -> dict[str, int]:
    """Entries for each group, in proportion to its size, `entries` in all (largest remainders).

    Args:
        sizes: of the groups.
        entries: from 0 to the sum of sizes.
    """
    total = sum(sizes.values())
    assert 0 <= entries <= total, (entries, total)
    whole = {name: entries * size // max(1, total) for name, size in sizes.items()}
    rest = sorted(sizes, key=lambda name: -(entries * sizes[name] % max(1, total)))
    for name in rest[: entries - sum(whole.values())]:
        whole[name] += 1
    return whole


def count(density: float, size: int) -> int:
    """Entries at a density: rounded down, as the authors' code does, but at least 1."""
    return max(1, int(density * size))


def checksum(found: Mapping[str, Integer[Tensor, ...]]) -> str:
    """SHA-256 of a selection: equal for the same entries of the same names, in any order of these."""
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name} {len(found[name])}\n".encode())
        digest.update(found[name].long().cpu().numpy().data)
    return digest.hexdigest()


def _each_group(
    now: Mapping[str, Tensor], entries: int | Mapping[str, int], groups: Mapping[str, str] | None
) -> Iterator[tuple[list[str], int]]:
    if groups is None:
        assert isinstance(entries, int), "entries by group, and no groups"
        yield list(now), entries
        return
    assert not isinstance(entries, int), "groups, and no entries for each"
    for group in dict.fromkeys(groups[name] for name in now):
        yield [name for name in now if groups[name] == group], entries[group]


_Pairs = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class _Cut:
    """Taken are all movements whose bits are above `bits`, and the first `ties` of those that equal them."""

    bits: int
    ties: int


def _cut(pairs: _Pairs, wanted: int) -> _Cut:
    if wanted == 0:
        return _Cut(torch.iinfo(torch.int32).max, 0)
    upper = torch.zeros(_BINS, dtype=torch.int64)
    for bits in _movements(pairs):
        upper += torch.bincount(bits >> _HALF, minlength=_BINS).cpu()
    _refuse_endless(upper)
    high, wanted = _bin_of(upper, wanted)
    lower = torch.zeros(_BINS, dtype=torch.int64)
    for bits in _movements(pairs):
        inside = bits[(bits >> _HALF) == high] & (_BINS - 1)
        lower += torch.bincount(inside, minlength=_BINS).cpu()
    low, ties = _bin_of(lower, wanted)
    return _Cut((high << _HALF) | low, ties)


def _bin_of(counts: Integer[Tensor, " bins"], wanted: int) -> tuple[int, int]:
    """The bin that holds the wanted-th from above, and the wanted-how-manieth it is in that bin."""
    from_above = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(from_above, wanted))
    before = int(from_above[place - 1]) if place else 0
    return len(counts) - 1 - place, wanted - before


def _refuse_endless(upper: Integer[Tensor, " bins"]) -> None:
    if endless := int(upper[_INFINITY:].sum()):
        raise UserError(
            f"{endless:,} entries of the model became NaN or infinite, so nobody can say which moved most",
            fix="lower learning_rate, lengthen warmup, lower clip, or set precision: fp32",
        )


def _above(pairs: _Pairs, cut: _Cut) -> Iterator[Integer[Tensor, " entries"]]:
    ties = cut.ties
    for now, start in pairs:
        whole = torch.int32 if now.numel() < 2**31 else torch.int64
        parts, offset = [torch.empty(0, dtype=whole)], 0
        for bits in _movements([(now, start)]):
            taken = bits > cut.bits
            if ties:
                equal = (bits == cut.bits).nonzero().squeeze(-1)[:ties]
                taken[equal] = True
                ties -= len(equal)
            parts.append((taken.nonzero().squeeze(-1) + offset).to(whole).cpu())
            offset += len(bits)
        yield torch.cat(parts)


def _movements(pairs: _Pairs) -> Iterator[Int32[Tensor, " chunk"]]:
    """Bits of |now - start| in float32, a chunk at a time, in order."""
    for now, start in pairs:
        assert now.shape == start.shape, (now.shape, start.shape)
        flat = now.detach().reshape(-1), start.detach().reshape(-1)
        for here, there in zip(flat[0].split(_CHUNK), flat[1].split(_CHUNK), strict=True):
            yield _movement(here, there).view(torch.int32)


def _movement(here: Tensor, there: Tensor) -> Tensor:
    return (here.float() - there.to(here.device).float()).abs_()
