"""Zero-shot transfer on Universal Dependencies with a small real model, and an English-German student of it.

    python benchmarks/transfer.py

Needs the shared data and model beside the project's root. Runs `recipes/transfer.yaml` (about an hour on two
CPU cores; resumable) and writes what it found to docs/results/transfer.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from harness import machine

from isogloss.core.run import read_run
from isogloss.methods.table import load_recipe, run_recipe
from isogloss.report.card import score_sections, size_section
from isogloss.report.page import stage_folders
from isogloss.report.tables import ScoreTable, score_tables, size_table

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared"
RESULT = HERE.parent / "docs" / "results" / "transfer.md"
FIGURE = RESULT.with_suffix(".svg")
PREFACE = """# Zero-shot transfer on Universal Dependencies, and a student with half the layers

A small multilingual ModernBERT (6 layers, 256 wide, 10.2M parameters, 24,000 Unigram pieces, 27M tokens of
pretraining) is fine-tuned on UD English-EWT and tested on the PUD treebanks and on Faroese, Wolof and Yoruba,
which have no training data here; Faroese it never saw at all, Wolof only beside its translations. Then an
English-German student is extracted from it: vocabulary trimmed to the two corpora, layers 1, 3 and 5, general
distillation on hidden states and attention maps, and the same fine-tuning.

Parsing is scored as CoNLL 2018 does, on gold words, relation subtypes stripped, punctuation counted. The
intervals in the report are bootstraps over sentences; with one seed, they say nothing of training noise.

    python benchmarks/transfer.py
"""


def main() -> None:
    """Run the recipe from the project's root and write the result."""
    if not (SHARED / "models" / "mini").exists():
        print("the shared data and model are not beside the project; nothing to do")
        return
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs")
    folder = run_recipe(load_recipe(HERE / "recipes" / "transfer.yaml"), out=out)
    RESULT.write_text(
        "\n\n".join([PREFACE.strip(), *sections(folder), about(folder)]) + "\n", encoding="utf-8"
    )
    draw(folder)
    print(f"wrote {RESULT.name} and {FIGURE.name}; report: {folder / 'report.html'}")


def sections(folder: Path) -> list[str]:
    """Each stage's tables."""
    parts = []
    for stage in stage_folders(folder):
        run = read_run(stage)
        body = [*score_sections(score_tables(run)), *size_section(size_table(run))]
        parts += [f"## Stage {stage.name}", *(part.replace("## ", "### ", 1) for part in body)]
    return parts


def draw(folder: Path) -> None:
    """Accuracy by language after fine-tuning on English, and what the student keeps, as an SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "isogloss", "svg.fonttype": "none", "font.size": 9})
    figure, axes = pyplot.subplots(1, 2, figsize=(8.2, 3.1), width_ratios=[3, 2], layout="constrained")
    teacher = _table(folder / "stages" / "pos")
    pairs = [_table(folder / "stages" / f"student-{task}") for task in ("pos", "parsing")]
    _bars(axes[0], [row.name for row in teacher.rows], [[row.scores[0] for row in teacher.rows]], ["#2b66b1"])
    axes[0].set_title("part-of-speech accuracy, fine-tuned on English alone", loc="left", fontsize=9)
    names = [
        f"{row.name}, {task}" for table, task in zip(pairs, ("POS", "LAS"), strict=True) for row in table.rows
    ]
    columns = [[row.scores[side] for table in pairs for row in table.rows] for side in (0, 1)]
    _bars(axes[1], names, columns, ["#b5bfcd", "#2b66b1"])
    axes[1].set_title("teacher (grey) and student (blue)", loc="left", fontsize=9)
    figure.savefig(FIGURE, metadata={"Date": None}, facecolor="white")


def _table(stage: Path) -> ScoreTable:
    """The stage's first table: the metric that decides."""
    return score_tables(read_run(stage))[0]


def _bars(axes: Any, names: list[str], columns: list[list[Any]], colours: list[str]) -> None:
    height = 0.8 / len(columns)
    for number, (scores, colour) in enumerate(zip(columns, colours, strict=True)):
        places = [place + number * height for place in range(len(names))]
        values = [100 * score.value for score in scores]
        spread = [
            [100 * abs(score.value - end) for score, end in zip(scores, ends, strict=True)]
            for ends in ([s.low for s in scores], [s.high for s in scores])
        ]
        axes.barh(places, values, height=height, color=colour, xerr=spread, error_kw={"linewidth": 0.8})
        for place, value in zip(places, values, strict=True):
            axes.text(
                2, place, f"{value:.1f}", va="center", fontsize=7, color="black" if value < 12 else "white"
            )
    axes.set_yticks([place + height * (len(columns) - 1) / 2 for place in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.spines[["top", "right", "left"]].set_visible(False)


def about(folder: Path) -> str:
    """The machine it was measured on, and the commit."""
    facts, commit = machine(), read_run(folder).environment.get("git")
    return (
        f"Measured on {facts['cores']} cores of {facts['processor']}, torch {facts['torch']}, seed 0, "
        f"isogloss at {commit or 'an unknown commit'}."
    )


if __name__ == "__main__":
    main()
