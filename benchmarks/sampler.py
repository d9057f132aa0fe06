"""The mixture sampler against a plain one: which sequence of which language comes next.

The plain sampler is what one writes first: `random.choices` for the language, and a shuffled list of each
language's sequences, shuffled again when it is used up. It has to be replayed from the beginning to resume,
and holds every list in memory; the last two rows show that.

    python benchmarks/sampler.py
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from harness import Contest, compare

from isogloss.data.mixture import Mixture
from isogloss.data.order import shuffled

LANGUAGES, SEQUENCES, DRAWS, BATCH = 12, 200_000, 200_000, 32
RESUME_AT = 2_000_000
SHARES = {f"language-{n}": 1.0 / (n + 1) for n in range(LANGUAGES)}


def ours(start: int, count: int) -> list[tuple[int, int]]:
    """(language, sequence) of `count` draws from `start` on, a batch at a time, from nothing."""
    mixture = Mixture(SHARES, seed=0)
    drawn: list[tuple[int, int]] = []
    for first in range(start, start + count, BATCH):
        languages, positions = mixture.draws(first, first + BATCH)
        sequences = shuffled(0, "order", positions, size=SEQUENCES, lane=languages)
        drawn += zip(languages.tolist(), sequences.tolist(), strict=True)
    return drawn


def ours_at_once(start: int, count: int) -> list[tuple[int, int]]:
    """The same draws, asked for in one stretch."""
    languages, positions = Mixture(SHARES, seed=0).draws(start, start + count)
    sequences = shuffled(0, "order", positions, size=SEQUENCES, lane=languages)
    return list(zip(languages.tolist(), sequences.tolist(), strict=True))


def plain(start: int, count: int) -> list[tuple[int, int]]:
    """As many draws of the plain sampler, replayed from the beginning."""
    stream = _plain_stream(random.Random(0))
    for _ in range(start):
        next(stream)
    return [next(stream) for _ in range(count)]


def _plain_stream(source: random.Random) -> Iterator[tuple[int, int]]:
    languages, weights = list(range(LANGUAGES)), list(SHARES.values())
    orders: list[list[int]] = [[] for _ in languages]
    while True:
        language = source.choices(languages, weights)[0]
        if not orders[language]:
            orders[language] = list(range(SEQUENCES))
            source.shuffle(orders[language])
        yield language, orders[language].pop()


def main() -> None:
    """Print the table and keep it."""
    assert ours(1000, 320) == ours_at_once(1000, 320)
    compare(
        "sampler",
        [
            Contest(f"{DRAWS:,} draws, batches of {BATCH}", lambda: ours(0, DRAWS), lambda: plain(0, DRAWS)),
            Contest(f"{DRAWS:,} draws at once", lambda: ours_at_once(0, DRAWS), lambda: plain(0, DRAWS)),
            Contest("one draw", lambda: ours(0, 1), lambda: plain(0, 1)),
            Contest(
                f"one batch after {RESUME_AT:,} draws",
                lambda: ours(RESUME_AT, BATCH),
                lambda: plain(RESUME_AT, BATCH),
            ),
        ],
        rounds=5,
        facts={
            "languages": LANGUAGES,
            "sequences_per_language": SEQUENCES,
            "draws": DRAWS,
            "batch": BATCH,
            "resume_at": RESUME_AT,
        },
    )


if __name__ == "__main__":
    main()
