"""The learning rate's course: from a step to a factor on the highest rate.

Steps count from 0. With w warm-up steps, step i of them has the factor (i + 1) / w, so that no update is
thrown away on a rate of zero and the last of them has the full rate. After that a course runs from 1 at step
w towards `final`, which it would reach one step after the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from isogloss.training.plan import TrainingPlan

Schedule: TypeAlias = Callable[[int], float]


def schedule(plan: TrainingPlan, total: int) -> Schedule:
    """The plan's course over `total` steps."""
    warm = plan.warmup_steps(total)
    courses: dict[str, Schedule] = {
        "constant": constant,
        "linear": lambda step: linear(step, start=warm, total=total, final=plan.final),
        "cosine": lambda step: cosine(step, start=warm, total=total, final=plan.final),
        "wsd": lambda step: linear(step, start=_fall(plan, warm, total), total=total, final=plan.final),
    }
    course = courses[plan.schedule]
    return lambda step: warmup(step, steps=warm) if step < warm else course(step)


def warmup(step: int, *, steps: int) -> float:
    """Linear from 1/steps to 1 in `steps` steps; 1 from then on."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


def constant(step: int) -> float:
    """1 throughout."""
    return 1.0


def linear(step: int, *, start: int, total: int, final: float) -> float:
    """1 until `start`, then a straight line towards `final` at `total`.

    With a late `start` this is warmup-stable-decay (Hu et al. 2024, MiniCPM, section 4), with the linear fall
    of Hägele et al. (2024).
    """
    return 1.0 - (1.0 - final) * _progress(step, start, total)


def cosine(step: int, *, start: int, total: int, final: float) -> float:
    """1 until `start`, then half a cosine towards `final` at `total` (Loshchilov and Hutter 2017, eq. 5)."""
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * _progress(step, start, total)))


def _fall(plan: TrainingPlan, warm: int, total: int) -> int:
    return max(warm, total - round(plan.decay * total))


def _progress(step: int, start: int, total: int) -> float:
    return min(1.0, max(0.0, (step - start) / (total - start))) if total > start else 0.0
