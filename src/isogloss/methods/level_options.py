"""A levelling as the command line asks for it: options in, the recipe out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isogloss.core.config import KeyPath
from isogloss.methods.level import LevelRecipe
from isogloss.methods.options import files_of, recipe_of

_PLACES: dict[str, KeyPath] = {
    "MODEL": ("model",),
    "--task": ("task",),
    "--unlabelled": ("unlabelled",),
    "--train": ("train",),
    "--test": ("test",),
    "--dev": ("dev",),
    "--source": ("source",),
    "--prompt": ("prompt",),
    "--format": ("format",),
    "--selector": ("selection", "selector"),
    "--aim": ("distillation", "aim"),
    "--steps": ("training", "steps"),
}
"""Where in a recipe each option belongs; a mistake there is told by the option's name."""


def level_recipe(
    model: str,
    *,
    task: str,
    unlabelled: Iterable[str],
    train: Iterable[str] = (),
    test: Iterable[str] = (),
    dev: Iterable[str] = (),
    source: str | None = None,
    prompt: str | None = None,
    format: str | None = None,
    selector: str | None = None,
    aim: str | None = None,
    steps: int | None = None,
    overrides: Iterable[str] = (),
) -> LevelRecipe:
    """The recipe of a levelling; what is None stays as the recipe has it by default.

    Args:
        model, task, source, prompt, format, steps: as in `LevelRecipe`.
        unlabelled, train, test, dev: `LANGUAGE=FILE` each; a language may come again.
        selector: of `TeacherRule`.
        aim: of `SelfDistillation`.
        overrides: `key=value` assignments, the key dotted, laid over the rest.

    Raises:
        RecipeError: an option or assignment is not of its form, or the recipe cannot be.
    """
    given: dict[str, Any] = {
        "MODEL": model,
        "--task": task,
        **files_of({"--unlabelled": unlabelled, "--train": train, "--test": test, "--dev": dev}),
        "--source": source,
        "--prompt": prompt,
        "--format": format,
        "--selector": selector,
        "--aim": aim,
        "--steps": steps,
    }
    return recipe_of(
        LevelRecipe,
        given,
        _PLACES,
        usual={"method": "level", "training": _usual_training()},
        overrides=overrides,
        command="isogloss level",
    )


def _usual_training() -> dict[str, Any]:
    """The whole default, for one value of it changed must not lose the others."""
    usual: dict[str, Any] = LevelRecipe.model_fields["training"].default.model_dump(exclude_unset=True)
    return usual
