"""Pipeline: several methods in one recipe, each building on the models the earlier ones left."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from isogloss.core.config import Record
from isogloss.core.errors import RecipeError, did_you_mean
from isogloss.core.run import Run, open_run
from isogloss.methods.check import check
from isogloss.methods.records import STAGE
from isogloss.methods.stages import STAGES, StageRecipe


class PipelineRecipe(Record):
    """Run stages in their order.

    A stage is a recipe. Where it names a model, `stage:NAME` means the model that the earlier stage NAME
    left, and `stage:NAME/FILE` another file of its run, such as `stage:NAME/deltas/ner.safetensors`; each
    stage has a run folder of its own under `stages/`.
    """

    method: Literal["pipeline"] = "pipeline"
    stages: dict[str, StageRecipe] = Field(min_length=1)
    name: str | None = None

    @model_validator(mode="after")
    def _references_point_back(self) -> PipelineRecipe:
        earlier: list[str] = []
        for name, stage in self.stages.items():
            for reference in _references(stage.model_dump()):
                if reference not in earlier:
                    raise ValueError(
                        f"stages.{name}: {STAGE}{reference} to name an earlier stage; "
                        + (did_you_mean(reference, earlier) if earlier else "there is none before it")
                    )
            earlier.append(name)
        return self


def pipeline(recipe: PipelineRecipe, run: Run) -> None:
    """Run each stage in its own run folder; one that is finished costs nothing.

    A stage's run is known by the recipe as written, `stage:NAME` in it, so that the whole folder can move.
    """
    for name, stage in recipe.stages.items():
        with open_run(run.folder / "stages" / name, stage) as inner:
            if not inner.finished:
                resolved = resolve_stage(stage, run.folder)
                check(resolved)
                STAGES[stage.method].carry_out(resolved, inner)


def resolve_stage(stage: Any, folder: Path) -> Any:
    """The stage with every `stage:NAME` turned into the folder of that stage's model."""
    return type(stage).model_validate(_replaced(stage.model_dump(), folder))


def _replaced(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, folder) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_replaced(item, folder) for item in value]
    if isinstance(value, str) and value.startswith(STAGE):
        name, _, file = value.removeprefix(STAGE).partition("/")
        return str(folder / "stages" / name / (file or "model"))
    return value


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [name for item in value for name in _references(item)]
    return (
        [value.removeprefix(STAGE).partition("/")[0]]
        if isinstance(value, str) and value.startswith(STAGE)
        else []
    )


def refuse_stage_outside(recipe: Record) -> None:
    """`stage:NAME` in a recipe that is no pipeline names nothing.

    Raises:
        RecipeError: there is one.
    """
    for reference in _references(recipe.model_dump()):
        raise RecipeError(
            f"{STAGE}{reference} in a recipe that is not a pipeline",
            wanted="a folder or a Hub id",
            fix="give the model folder of an earlier run: runs/NAME/model",
        )
