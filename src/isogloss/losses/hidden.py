"""How far a student's hidden states are from its teacher's, on real tokens only.

BiStil's phase 1 (Ansell et al. 2023, arXiv 2306.01709), after TinyBERT (Jiao et al. 2020, arXiv 1909.10351,
eq. 8): the mean over matched layers of MSE(H_student, H_teacher). The authors' code lets padding into the
mean in phase 2; here it never counts. The other form is DistilBERT's (Sanh et al. 2019, arXiv 1910.01108):
1 - cos, which leaves the length of a state free.

TinyBERT learns a projection from a narrow student's space to its teacher's. Here a projection is given and
goes the other way: a narrow student is made by projecting its teacher onto a basis, so its states are
compared with the teacher's in that basis, and nothing has to be learnt and thrown away.

Example:
    >>> import torch
    >>> student, teacher = torch.zeros(1, 2, 4), torch.ones(1, 2, 4)
    >>> real = torch.tensor([[True, False]])
    >>> hidden_loss([student], [teacher], real).tolist()
    [1.0]
    >>> hidden_loss([teacher], [-teacher], real, form="cosine").tolist()
    [2.0]
    >>> hidden_loss([torch.zeros(1, 2, 1)], [teacher], real, basis=torch.full((4, 1), 0.5)).tolist()
    [4.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from isogloss.losses.combine import mean_over

Form: TypeAlias = Literal["mse", "cosine"]


def hidden_mse(
    student: Float[Tensor, "batch length hidden"],
    teacher: Float[Tensor, "batch length hidden"],
    real: Bool[Tensor, "batch length"],
) -> Float[Tensor, "batch length"]:
    """Squared error of each token, mean over the hidden dimensions, in float32; 0 at padding.

    Args:
        student: hidden states of one layer; gradients flow here.
        teacher: those of the layer it is compared with; detach or compute them without gradients.
        real: True at tokens that count.

    Returns:
        One number per token, at least 0.
    """
    # Masked before squaring: whatever lies at padding, inf and NaN included, has no part in the gradient.
    gap = torch.where(real[..., None], student.float() - teacher.float(), 0.0)
    return gap.square().mean(dim=-1)


def hidden_cosine(
    student: Float[Tensor, "batch length hidden"],
    teacher: Float[Tensor, "batch length hidden"],
    real: Bool[Tensor, "batch length"],
) -> Float[Tensor, "batch length"]:
    """1 - cos between the two states of each token, in float32; 0 at padding.

    Arguments as in `hidden_mse`.

    Returns:
        One number per token in [0, 2] (up to rounding); 1 where either state is all 0.
    """
    # Equal constants at padding have cosine 1, and no gradient comes back through what replaced them.
    ours = torch.where(real[..., None], student.float(), 1.0)
    theirs = torch.where(real[..., None], teacher.float(), 1.0)
    return torch.where(real, 1 - functional.cosine_similarity(ours, theirs, dim=-1), 0.0)


_FORMS = {"mse": hidden_mse, "cosine": hidden_cosine}


def hidden_loss(
    student: Sequence[Float[Tensor, "batch length hidden"]],
    teacher: Sequence[Float[Tensor, "batch length large"]],
    real: Bool[Tensor, "batch length"],
    *,
    form: Form = "mse",
    basis: Float[Tensor, "large hidden"] | None = None,
) -> Float[Tensor, " pairs"]:
    """The distance of each matched pair of layers, mean over all real tokens.

    Args:
        student: hidden states of each layer; gradients flow here.
        teacher: those of the layers they are compared with; detach or compute them without gradients.
        real: True at tokens that count.
        form: "mse" or "cosine", see `hidden_mse` and `hidden_cosine`.
        basis: what the teacher's states are multiplied by to lie in the student's space, one for all layers;
            None when the two are equally wide.

    Returns:
        One number per pair; all 0 when the batch has no real token. Their mean is the paper's term.
    """
    measure = _FORMS[form]
    targets = teacher if basis is None else [_project(states, basis) for states in teacher]
    pairs = zip(student, targets, strict=True)
    return torch.stack([mean_over(measure(ours, theirs, real), real) for ours, theirs in pairs])


def _project(
    states: Float[Tensor, "batch length large"], basis: Float[Tensor, "large small"]
) -> Float[Tensor, "batch length small"]:
    with torch.autocast(states.device.type, enabled=False):
        return states.float() @ basis.float()
