"""Counting the tokens of a corpus against a plain loop over `datasets.map`.

The plain way tokenises with `datasets.map` in batches, on all cores as the tokenizers library does it, and
adds the ids up in a Python loop. Both count the same tokens of the same lines held in memory; the first
contest is text with spaces, the second text without, where hardly a chunk comes twice.

    python benchmarks/trimming.py
"""

from __future__ import annotations

import tempfile
import tracemalloc
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from harness import Contest, compare

from isogloss.data.corpora import Corpus
from isogloss.data.miniature import sentences
from isogloss.vocab.count import count_tokens
from isogloss.vocab.train import train_vocabulary

TEXT = Path(__file__).resolve().parents[2] / "shared" / "data" / "text"
LINES, SIZE = 40_000, 16_000


def lines(language: str) -> list[str]:
    """Real text where it is beside the project, else sentences of the embedded world."""
    file = TEXT / f"{language}.train.txt.gz"
    if file.exists():
        return list(islice(Corpus(language, file), LINES))
    return list(sentences("en-Latn", "train", LINES))


def ours(tokenizer: Any, texts: list[str]) -> np.ndarray:
    """Counts by id."""
    return count_tokens(tokenizer, {"x": texts})["x"]


def plain(tokenizer: Any, texts: list[str], cache: str) -> np.ndarray:
    """The same counts."""
    rows = datasets.Dataset.from_dict({"text": texts})
    tokenised = rows.map(
        lambda batch: {
            "ids": [e.ids for e in tokenizer.encode_batch(batch["text"], add_special_tokens=False)]
        },
        batched=True,
        remove_columns=["text"],
        load_from_cache_file=False,
        cache_file_name=f"{cache}/tokens.arrow",
    )
    counts: Counter[int] = Counter()
    for row in tokenised:
        for index in row["ids"]:
            counts[index] += 1
    return np.array([counts[index] for index in range(tokenizer.get_vocab_size())])


def peak(tokenizer: Any, texts: list[str], times: int) -> float:
    """Megabytes Python and numpy hold at most while a corpus `times` as long is streamed."""

    class Repeated:
        def __iter__(self):  # noqa: ANN204
            for _ in range(times):
                yield from texts

    tracemalloc.start()
    count_tokens(tokenizer, {"x": Repeated()})
    most = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return round(most, 1)


def main() -> None:
    """Print the table and keep it."""
    datasets.disable_progress_bars()
    spaced, unspaced = lines("en"), lines("zh")[: LINES // 4]
    tokenizer = train_vocabulary(
        {"en": spaced[: LINES // 10], "zh": unspaced[: LINES // 10]},
        kind="unigram",
        size=SIZE,
        coverage=0.9995,
    ).tokenizer()
    with tempfile.TemporaryDirectory() as cache:
        for texts in (spaced[:500], unspaced[:500]):
            assert (ours(tokenizer, texts) == plain(tokenizer, texts, cache)).all()
        compare(
            "trimming",
            [
                Contest(
                    "text with spaces",
                    lambda: ours(tokenizer, spaced),
                    lambda: plain(tokenizer, spaced, cache),
                ),
                Contest(
                    "text without",
                    lambda: ours(tokenizer, unspaced),
                    lambda: plain(tokenizer, unspaced, cache),
                ),
            ],
            rounds=3,
            facts={
                "characters": {"with": sum(map(len, spaced)), "without": sum(map(len, unspaced))},
                "vocabulary": tokenizer.get_vocab_size(),
                "peak_megabytes_of_corpora_1_and_4_times_as_long": [
                    peak(tokenizer, spaced, n) for n in (1, 4)
                ],
            },
        )


if __name__ == "__main__":
    main()
