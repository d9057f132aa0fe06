"""Which evaluation was the best, and whether it is time to stop."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from isogloss.core.errors import RecipeError
from isogloss.core.spread import fair, worst_mean

SUMMARIES = "macro, fair, worst, worst-K (such as worst-3)"
"""What may be selected by, besides a language: one number for all languages."""

_WORST = re.compile(r"worst(?:-([1-9][0-9]*))?")


def is_summary(select: str) -> bool:
    """Whether `select` stands for all languages, and names none."""
    return select in ("macro", "fair") or worst_count(select) is not None


def worst_count(select: str) -> int | None:
    """K of worst-K, 1 for worst; None for anything else."""
    found = _WORST.fullmatch(select)
    return int(found[1] or 1) if found else None


def score(scores: Mapping[str, float], *, select: str, higher_is_better: bool = True) -> float:
    """One number for an evaluation; higher is always better, NaN counts as the worst.

    Args:
        scores: a number per language.
        select: "macro" for the mean; "worst" for the worst language, "worst-3" for the mean of the three
            worst; "fair" for the mean of the worse of two languages, over all pairs (`core.spread.fair`);
            else a language of `scores`.
        higher_is_better: False for losses and perplexities, which are negated.

    Raises:
        RecipeError: `scores` is empty, lacks the language or has fewer than K languages.
    """
    if not scores:
        raise RecipeError(
            "the evaluation gave no number for any language",
            fix="check that the evaluation's languages have data",
        )
    oriented = {name: value if higher_is_better else -value for name, value in scores.items()}
    if is_summary(select):
        value = _summary(list(oriented.values()), select)
    elif select in oriented:
        value = oriented[select]
    else:
        raise RecipeError(
            f"select: {select} is not evaluated",
            wanted=f"{SUMMARIES}, last or one of {', '.join(sorted(oriented))}",
            fix="evaluate that language too, or select another",
        )
    return -math.inf if math.isnan(value) else value


def _summary(values: list[float], select: str) -> float:
    """Over all languages; NaN when any language is NaN."""
    if any(map(math.isnan, values)):
        return math.nan
    if select == "macro":
        return math.fsum(values) / len(values)
    if select == "fair":
        return float(fair(np.array(values)))
    count = worst_count(select)
    assert count is not None
    check_worst(select, len(values))
    return float(worst_mean(np.array(values), count))


def check_worst(select: str, languages: int, *, path: str = "") -> None:
    """Refuse worst-K of fewer than K languages.

    Raises:
        RecipeError: there are fewer; `path` is where the recipe says so.
    """
    count = worst_count(select)
    if count is not None and count > languages:
        raise RecipeError(
            f"{path}select: {select}, of {languages} evaluated languages",
            wanted=f"at most worst-{languages}",
            fix="evaluate more languages, or select fewer",
        )


def is_better(new: float, best: float | None) -> bool:
    """Whether a score beats the best so far (None: there is none yet); a tie keeps the earlier one."""
    return best is None or new > best
