"""The table of methods, and the three things one does with a recipe: load it, plan it, run it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from isogloss.core.config import Document, override, parse_document, read_document, validate
from isogloss.core.errors import RecipeError, did_you_mean
from isogloss.core.processes import is_main
from isogloss.core.run import find_run, open_run, read_status
from isogloss.methods.check import check
from isogloss.methods.pipeline import PipelineRecipe, pipeline, refuse_stage_outside
from isogloss.methods.shipped import is_file_name, recipe_text
from isogloss.methods.stages import STAGES, Method
from isogloss.report.card import write_card
from isogloss.report.page import render, stage_folders

METHODS: dict[str, Method] = {**STAGES, "pipeline": Method(PipelineRecipe, pipeline)}


def load_recipe(recipe: str | Path, *, overrides: Iterable[str] = ()) -> Any:
    """A recipe as a frozen record.

    Args:
        recipe: a YAML file, or the name of a shipped recipe such as "tiny/pretrain".
        overrides: `key=value` assignments, the key dotted.

    Raises:
        RecipeError: no such recipe, or something in it is wrong; the message has the line.
    """
    return resolve(override(recipe_document(str(recipe)), overrides))


def recipe_document(recipe: str) -> Document:
    """A file or a shipped recipe as written; see `load_recipe`."""
    if is_file_name(recipe):
        return read_document(Path(recipe))
    return parse_document(recipe_text(recipe), source=recipe)


def resolve(document: Document) -> Any:
    """The record that a document's `method` asks for."""
    method = document.values.get("method")
    if method is None:
        raise RecipeError(
            "the key 'method' is missing",
            wanted=f"method: one of {', '.join(METHODS)}",
            fix="`isogloss sweep` carries out a sweep" if "grid" in document.values else "",
            where=document.source,
        )
    if method not in METHODS:
        raise RecipeError(
            f"unknown method {method!r}",
            wanted=f"one of {', '.join(METHODS)}",
            fix=did_you_mean(str(method), METHODS),
            where=document.where(("method",)),
        )
    recipe = validate(document, METHODS[method].recipe)
    if method != "pipeline":
        refuse_stage_outside(recipe)
    return recipe


def run_recipe(recipe: Any, *, out: Path = Path("runs"), name: str | None = None) -> Path:
    """Carry a recipe out and write its report; the run folder.

    The folder is found again by the recipe: finished, it costs nothing; stopped, it goes on.

    Args:
        name: of a new folder, after the date; None takes the recipe's, or the method's.

    Raises:
        IsoglossError: whatever is wrong with the recipe's files and models; what can be known beforehand is
            said before anything runs.
    """
    folder = find_run(out, recipe, name=name or recipe.name or recipe.method)
    page = folder / "report.html"
    if read_status(folder).get("state") != "finished":
        check(recipe)
        with open_run(folder, recipe) as run:
            METHODS[recipe.method].carry_out(recipe, run)
    elif page.exists():
        return folder
    if is_main():
        _report(folder, page)
    return folder


def _report(folder: Path, page: Path) -> None:
    for part in stage_folders(folder) or [folder]:
        write_card(part)
    render([folder], page)  # last: where it is, all is
