"""The commands. Each calls one library function of `isogloss.methods` or `isogloss.report`, and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from isogloss.cli.audit import audit
from isogloss.cli.delta import delta_app
from isogloss.cli.level import level
from isogloss.cli.measure import bench, budget, budget_check
from isogloss.cli.options import Out, Set
from isogloss.cli.sweep import sweep

if TYPE_CHECKING:
    from isogloss.vocab.alphabet import Alphabet

COMMANDS = (
    "demo",
    "recipes",
    "plan",
    "run",
    "sweep",
    "audit",
    "level",
    "trim",
    "budget",
    "budget-check",
    "delta",
    "evaluate",
    "bench",
    "report",
    "figures",
)
"""In the order that one meets them."""


class _InOrder(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=COMMANDS.index)


app = typer.Typer(
    cls=_InOrder,
    help="Make one multilingual language model fair, small and cheap in the languages you care about.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
recipes_app = typer.Typer(
    help="List the recipes that come with isogloss, or print one.", invoke_without_command=True
)
app.add_typer(recipes_app, name="recipes")
app.add_typer(delta_app, name="delta")
app.command()(level)
app.command()(sweep)
app.command()(audit)
app.command()(bench)
app.command()(budget)
app.command("budget-check")(budget_check)

Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A YAML file, or the name of a shipped recipe such as tiny/pretrain."
    ),
]


def _print_version(asked: bool) -> None:
    if asked:
        from isogloss import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    pass


@app.command()
def demo(out: Out = Path("runs")) -> None:
    """The whole journey on embedded data: three minutes, a report."""
    _run("tiny/demo", [], out)


@app.command()
def run(
    recipe: Recipe,
    set_: Set = None,
    out: Out = Path("runs"),
    name: Annotated[
        str | None, typer.Option(help="Of a new run folder, after the date; default: the recipe's.")
    ] = None,
) -> None:
    """Run a recipe, or go on where it was stopped.

    A finished one costs nothing.
    """
    _run(recipe, set_ or [], out, name)


@app.command()
def plan(
    recipe: Recipe,
    set_: Set = None,
    out: Out = Path("runs"),
    count: Annotated[
        bool, typer.Option("--count", help="Count the corpora, to know the size of a trimmed vocabulary.")
    ] = False,
) -> None:
    """Print what a recipe or a sweep would cost.

    Parameters, steps, memory and disk; nothing is run.
    """
    from isogloss.cli.show import print_missing, print_plans
    from isogloss.cli.show_sweep import print_sweep_plan
    from isogloss.methods.planning import plan as plan_recipe
    from isogloss.methods.sweep_file import expand, is_sweep
    from isogloss.methods.table import load_recipe, recipe_document

    if is_sweep(document := recipe_document(recipe)) and not set_:
        print_sweep_plan(expand(document), out)
        return
    loaded = load_recipe(recipe, overrides=set_ or [])
    print_plans(plan_recipe(loaded, out=out, count=count))
    print_missing(loaded)


@app.command()
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model folder that a run left; for lm, cloze and --prompt, any."
        ),
    ],
    task: Annotated[str, typer.Option("--task", help="The task's name, such as ner, parsing or lm.")],
    data: Annotated[
        list[str], typer.Option("--data", metavar="LANGUAGE=FILE", help="A test file; may be repeated.")
    ],
    format_: Annotated[
        str | None, typer.Option("--format", help="The file format, if its name does not tell.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Examples per file at most.")] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Ask a pretrained language model: nli, paraphrase, topic, copa, or a YAML file of your own."
        ),
    ] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Also write the scores to this file.")] = None,
) -> None:
    """Score a model on test files, language by language."""
    from isogloss.cli.show import print_evaluation
    from isogloss.core.files import write_json
    from isogloss.methods.scoring import evaluate_files

    found = evaluate_files(model, task=task, data=data, format=format_, limit=limit, prompt=prompt)
    print_evaluation(found, f"{task}: {model}")
    if json_:
        write_json(json_, {"model": model, "task": task, "scores": found.scores})


@app.command()
def trim(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder or a Hub id.")],
    corpus: Annotated[
        list[str],
        typer.Option("--corpus", metavar="LANGUAGE=FILE", help="Text to count; may be repeated."),
    ],
    held_out: Annotated[
        list[str],
        typer.Option("--held-out", metavar="LANGUAGE=FILE", help="Other text to compare; may be repeated."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    min_probability: Annotated[
        float | None, typer.Option(help="Keep pieces as probable as this in any language (default 1e-6).")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Keep this many pieces at most.")] = None,
    coverage: Annotated[
        float | None, typer.Option(help="Keep the fewest pieces that make up this share of each language.")
    ] = None,
    min_identical: Annotated[
        float | None,
        typer.Option(help="Save nothing if a smaller share of some language's sentences is cut as before."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A prompt or verbaliser whose pieces stay; may be repeated.", metavar="TEXT"),
    ] = None,
    alphabet: Annotated[
        str, typer.Option(help="The letters that stay: scripts (of the languages), seen, or whole.")
    ] = "scripts",
) -> None:
    """Cut a model's vocabulary down to some languages.

    Measures what that changes on text not counted, and writes it beside the model as a certificate.
    """
    from isogloss.cli.show import print_trimming
    from isogloss.methods.pairs import files_by_language
    from isogloss.methods.trim import trim_model
    from isogloss.vocab.rules import rule_of

    found = trim_model(
        model,
        corpora=files_by_language(corpus, option="--corpus"),
        held_out=files_by_language(held_out, option="--held-out"),
        out=out,
        rule=rule_of(min_probability=min_probability, size=size, coverage=coverage),
        alphabet=cast("Alphabet", alphabet),
        keep=keep or [],
        min_identical=min_identical,
    )
    print_trimming(found)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or more run folders.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page to write; default: report.html in the first folder."),
    ] = None,
) -> None:
    """Write one self-contained HTML page from run folders."""
    from isogloss.report.page import render

    typer.echo(render(runs, out or runs[0] / "report.html"))


@app.command()
def figures(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of pretrainings.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write them to.")] = Path("figures"),
) -> None:
    """Draw what pretrainings on mixtures show together.

    SVG files, with their numbers in CSV.
    """
    from isogloss.report.figures import write_figures

    paths, missing = write_figures(runs, out)
    for line in (*paths, *missing):
        typer.echo(line)


@recipes_app.callback()
def recipes(context: typer.Context) -> None:
    """List the shipped recipes."""
    if context.invoked_subcommand is None:
        from isogloss.methods.shipped import shipped_recipes

        for name, about in shipped_recipes().items():
            typer.echo(f"{name:24} {about}")


@recipes_app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A name from the list.")]) -> None:
    """Print a shipped recipe."""
    from isogloss.methods.shipped import recipe_text

    typer.echo(recipe_text(name), nl=False)


def _run(recipe: str, overrides: list[str], out: Path, name: str | None = None) -> None:
    from isogloss.cli.show_run import carry_out
    from isogloss.methods.table import load_recipe

    carry_out(load_recipe(recipe, overrides=overrides), out, name=name)
