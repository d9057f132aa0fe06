"""Zero-shot transfer on Universal Dependencies with a small real model, and an English-German student of it.

    python benchmarks/transfer.py

Needs the shared data and model beside the project's root. Runs `recipes/transfer.yaml` (about an hour on two
CPU cores; resumable) and writes what it found to docs/results/transfer.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness import machine

from isogloss.core.run import read_run
from isogloss.methods.table import load_recipe, run_recipe
from isogloss.report.card import score_sections, size_section
from isogloss.report.page import stage_folders
from isogloss.report.tables import score_tables, size_table

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared"
RESULT = HERE.parent / "docs" / "results" / "transfer.md"
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
    RESULT.write_text("\n\n".join([PREFACE.strip(), *sections(folder), about()]) + "\n", encoding="utf-8")
    print(f"wrote {RESULT.name}; report: {folder / 'report.html'}")


def sections(folder: Path) -> list[str]:
    """Each stage's tables."""
    parts = []
    for stage in stage_folders(folder):
        run = read_run(stage)
        body = [*score_sections(score_tables(run)), *size_section(size_table(run))]
        parts += [f"## Stage {stage.name}", *(part.replace("## ", "### ", 1) for part in body)]
    return parts


def about() -> str:
    """The machine it was measured on."""
    facts = machine()
    return f"Measured on {facts['cores']} cores of {facts['processor']}, torch {facts['torch']}, seed 0."


if __name__ == "__main__":
    main()
