"""AdamW for a sparsely tuned model."""

from __future__ import annotations

import torch
from torch import nn

from isogloss.sparse.tuned import SparselyTuned
from isogloss.training.optimiser import adamw_over, two_groups, undecayed
from isogloss.training.plan import TrainingPlan


def sparse_adamw(model: nn.Module, plan: TrainingPlan) -> torch.optim.AdamW:
    """AdamW over the entries alone, each decayed or not as the tensor it belongs to would be.

    Its moments are as long as the entries are many. Decay and momentum cannot reach any other entry, for the
    optimiser does not know of them.
    """
    assert isinstance(model, SparselyTuned), type(model)
    free = undecayed(model.tensors(), model.model, decay_embeddings=plan.decay_embeddings)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    return adamw_over(two_groups(trained, free, plan.weight_decay), plan)
