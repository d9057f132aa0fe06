"""`isogloss audit` of `mini` in twenty languages, on SIB-200 sentences and held-out text.

python benchmarks/audit_mini.py           # half an hour on two cores; writes docs/results/audit.md

The task's scores are those of `mini` after English topics (benchmarks/levelling.py), which is tuned first
where it is not yet.
"""

from __future__ import annotations

from pathlib import Path

from harness import machine
from levelling import BASES, FOLDERS, SHARED, files, tuned

from isogloss.core.config import Document
from isogloss.core.files import write_text
from isogloss.core.run import read_run
from isogloss.methods.table import resolve, run_recipe
from isogloss.report.audit import Audit, audited
from isogloss.report.card import audit_section

RESULT = Path(__file__).resolve().parent.parent / "docs" / "results" / "audit.md"
OUT = Path("runs/audit")
TEXTS = dict(zip("deu eng spa fin fra hin rus swh tur vie yor zho".split(),
                 "de en es fi fr hi ru sw tr vi yo zh".split(), strict=True))  # fmt: skip
ABOUT = """# An audit of `mini` in twenty languages

`mini` is a ModernBERT of 10.2M parameters and 24,000 pieces that saw 27 million tokens of twelve languages.
Wolof it saw in translations alone; Arabic, Bambara, Faroese, Hausa, Igbo, Kinyarwanda and Maltese never.
Aligned: the 204 test sentences of SIB-200 in each of twenty languages, 200 of them drawn. Text: the held-out
files of the twelve languages, 10,000 lines at most; the other eight are read in their aligned sentences
alone. Task: SIB-200 topics, by `mini` after 701 English items (benchmarks/levelling.py, seed 0).

    python benchmarks/audit_mini.py

What it says, one seed of everything:

- **Prediction knows what the model has read.** Parity is 0.32 to 0.37 in four languages never seen, 0.60 in
  Wolof, which stood in translations alone, 0.61 to 0.77 in seven of the others, and 0.93 to 1.00 in French,
  Swahili and Vietnamese. The audit was told none of this. Bits of Bambara, Hausa, Maltese and Chinese are
  left out: more than one token in a hundred is unknown there.
- **Nothing is aligned**, not even French (38 % of 200 sentences find their translation). The best state is
  the embeddings: the layers add nothing, so what is found is shared pieces. Gradients of two languages have
  next to nothing in common (0.12 for French, 0.00 to 0.08 for the others).
- **It advises levelling alone for no language**: for all nineteen it names it last, after another vocabulary
  for ten, more data for twelve, and joining what is known but stands apart for three. Levelling `mini`
  nevertheless closed a quarter of the gap (levelling.md), at scores of 20 to 30 %: the limit of retrieval is
  a careful one.
- **Trimming has nothing to gain**: in twenty languages at least 21,564 of 24,000 rows are used.
- Chinese has 1.4 % unknown tokens in its text and a premium of 0.96: letters are missing, not pieces.
"""


def main() -> None:
    aligned = files("test")
    recipe = {
        "method": "audit",
        "model": str(BASES["weak"]),
        "tuned": str(tuned("weak", 0) / "model"),
        "source": "eng",
        "text": {tag: str(SHARED / "data" / "text" / f"{code}.test.txt.gz") for tag, code in TEXTS.items()},
        "aligned": {tag: aligned[tag] for tag in FOLDERS},
        "task": "topic",
        "test": aligned,
        "name": "mini",
    }
    folder = run_recipe(resolve(Document(recipe, source="audit_mini.py")), out=OUT)
    found = audited(read_run(folder))
    assert found is not None
    parts = [ABOUT, *best_states(found), *audit_section(found)[1:], _measured()]
    write_text(RESULT, "\n\n".join(part.rstrip() for part in parts if part) + "\n")
    print(folder / "report.html")


def best_states(found: Audit) -> list[str]:
    """Retrieval by state, averaged over the languages."""
    assert found.layers is not None
    shares = found.layers.shares
    means = [sum(own[state] for own in shares) / len(shares) for state in range(len(shares[0]))]
    told = ", ".join(f"{100 * mean:.1f}" for mean in means)
    return [f"Retrieval over the states, from the embeddings up, mean of the languages: {told} %."]


def _measured() -> str:
    facts = machine()
    return f"Measured on {facts['cores']} cores of {facts['processor']}, torch {facts['torch']}."


if __name__ == "__main__":
    main()
