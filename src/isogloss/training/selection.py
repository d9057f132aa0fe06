"""Which evaluation was the best, and whether it is time to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping

from isogloss.core.errors import RecipeError


def score(scores: Mapping[str, float], *, select: str, higher_is_better: bool = True) -> float:
    """One number for an evaluation; higher is always better, NaN counts as the worst.

    Args:
        scores: a number per language.
        select: "macro" for the mean, "worst" for the worst language, else a language of `scores`.
        higher_is_better: False for losses and perplexities, which are negated.

    Raises:
        RecipeError: `scores` is empty or lacks the language.
    """
    if not scores:
        raise RecipeError(
            "the evaluation gave no number for any language",
            fix="check that the evaluation's languages have data",
        )
    oriented = {name: value if higher_is_better else -value for name, value in scores.items()}
    if select == "macro":
        value = math.fsum(oriented.values()) / len(oriented)
    elif select == "worst":
        value = min(-math.inf if math.isnan(v) else v for v in oriented.values())
    elif select in oriented:
        value = oriented[select]
    else:
        raise RecipeError(
            f"select: {select} is not evaluated",
            wanted=f"macro, worst, last or one of {', '.join(sorted(oriented))}",
            fix="evaluate that language too, or select another",
        )
    return -math.inf if math.isnan(value) else value


def is_better(new: float, best: float | None) -> bool:
    """Whether a score beats the best so far (None: there is none yet); a tie keeps the earlier one."""
    return best is None or new > best
