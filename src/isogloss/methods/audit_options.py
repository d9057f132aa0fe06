"""An audit as the command line asks for it: options in, the recipe out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isogloss.core.config import KeyPath
from isogloss.methods.audit import AuditRecipe
from isogloss.methods.options import files_of, recipe_of

_PLACES: dict[str, KeyPath] = {
    "MODEL": ("model",),
    "--text": ("text",),
    "--aligned": ("aligned",),
    "--source": ("source",),
    "--task": ("task",),
    "--test": ("test",),
    "--tuned": ("tuned",),
    "--prompt": ("prompt",),
    "--format": ("format",),
    "--sentences": ("sentences",),
}
"""Where in a recipe each option belongs; a mistake there is told by the option's name."""


def audit_recipe(
    model: str,
    *,
    text: Iterable[str] = (),
    aligned: Iterable[str] = (),
    source: str | None = None,
    task: str | None = None,
    test: Iterable[str] = (),
    tuned: str | None = None,
    prompt: str | None = None,
    format: str | None = None,
    sentences: int | None = None,
    overrides: Iterable[str] = (),
) -> AuditRecipe:
    """The recipe of an audit; what is None stays as the recipe has it by default.

    Args:
        model, source, task, tuned, prompt, format, sentences: as in `AuditRecipe`.
        text, aligned, test: `LANGUAGE=FILE` each; a language may come again.
        overrides: `key=value` assignments, the key dotted, laid over the rest.

    Raises:
        RecipeError: an option or assignment is not of its form, or the recipe cannot be.
    """
    files = files_of({"--text": text, "--aligned": aligned, "--test": test})
    given: dict[str, Any] = {
        "MODEL": model,
        **{option: found or None for option, found in files.items()},
        "--source": source,
        "--task": task,
        "--tuned": tuned,
        "--prompt": prompt,
        "--format": format,
        "--sentences": sentences,
    }
    return recipe_of(
        AuditRecipe,
        given,
        _PLACES,
        usual={"method": "audit"},
        overrides=overrides,
        command="isogloss audit",
    )
