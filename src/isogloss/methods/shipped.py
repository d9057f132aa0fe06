"""The recipes that come with isogloss."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from isogloss.core.errors import RecipeError, did_you_mean


def shipped_recipes() -> dict[str, str]:
    """Name and first comment line of each shipped recipe, sorted by name."""
    return {name: _about(file) for name, file in sorted(_files().items())}


def recipe_text(name: str) -> str:
    """A shipped recipe as it stands.

    Raises:
        RecipeError: no recipe of that name.
    """
    files = _files()
    if name not in files:
        raise RecipeError(
            f"no shipped recipe is called {name!r}",
            wanted="a name that `isogloss recipes` lists, or the path of a .yaml file",
            fix=did_you_mean(name, files),
        )
    return files[name].read_text(encoding="utf-8")


def is_file_name(recipe: str) -> bool:
    """Whether a recipe argument means a file rather than a shipped name."""
    return recipe.endswith((".yaml", ".yml")) or Path(recipe).is_file()


def _files() -> dict[str, Traversable]:
    root = resources.files("isogloss").joinpath("recipes")
    return {
        f"{folder.name}/{file.name.removesuffix('.yaml')}": file
        for folder in root.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    }


def _about(file: Traversable) -> str:
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip()
