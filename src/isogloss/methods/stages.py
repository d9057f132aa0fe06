"""The methods that stand alone or as a stage of a pipeline: a recipe record, and the function it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from isogloss.core.config import Record
from isogloss.core.run import Run
from isogloss.methods.audit import AuditRecipe, audit
from isogloss.methods.distil import DistilRecipe, distil
from isogloss.methods.finetune import FinetuneRecipe, finetune
from isogloss.methods.level import LevelRecipe, level
from isogloss.methods.pretrain import pretrain
from isogloss.methods.pretrain_recipe import PretrainRecipe


@dataclass(frozen=True)
class Method:
    """A recipe record and the function that carries it out in an open run."""

    recipe: type[Record]
    carry_out: Callable[[Any, Run], None]


STAGES: dict[str, Method] = {
    "pretrain": Method(PretrainRecipe, pretrain),
    "finetune": Method(FinetuneRecipe, finetune),
    "distil": Method(DistilRecipe, distil),
    "level": Method(LevelRecipe, level),
    "audit": Method(AuditRecipe, audit),
}
"""By the recipe's `method`."""

StageRecipe: TypeAlias = Annotated[
    PretrainRecipe | FinetuneRecipe | DistilRecipe | LevelRecipe | AuditRecipe, Field(discriminator="method")
]
"""The records of `STAGES` as a recipe field."""
