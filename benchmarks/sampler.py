"""The mixture sampler against a plain one: which sequence of which language comes next.

The plain sampler is what one writes first: `random.choices` for the language, and a shuffled list of each
language's sequences, shuffled again when it is used up. It has to be replayed from the beginning to resume,
and holds every list in memory; the rows of one draw and of resuming show that.

What it costs in training is `share_of_step`: drawing and cutting a batch of a small GPT's text, under a
schedule that changes at every step, over an optimiser step on it; processor time of one thread for both, so
other work on the machine does not count. "Drawn and cut" is all that the feed's thread does for a batch; the
plain side draws from lists and cuts the same text with slices of a list.

    python benchmarks/sampler.py
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from harness import Contest, compare
from transformers import PreTrainedTokenizerFast

from isogloss.data.batches import LanguageModelBatches
from isogloss.data.miniature import sentences
from isogloss.data.mixture import Mixture
from isogloss.data.order import shuffled
from isogloss.data.schedule import Glide, timeline_of
from isogloss.data.tokens import TokenFile, token_file
from isogloss.methods.pretrain import language_model_step
from isogloss.models.architecture import Architecture, new_model
from isogloss.models.backbone import load_tokenizer
from isogloss.models.tasks import TaskModel
from isogloss.vocab.train import train_vocabulary

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


ROWS, LENGTH, STEPS = 16, 128, 1000
SMALL_GPT = Architecture(family="gpt2", hidden=256, layers=4, heads=4, max_length=LENGTH)
NAMES = ("en-Latn", "de-Latn")


def text(folder: Path) -> tuple[dict[str, TokenFile], PreTrainedTokenizerFast]:
    """Two languages of the embedded world, tokenised."""
    told = {name: list(sentences(name, "train", 4000)) for name in NAMES}
    train_vocabulary(told, kind="unigram", size=4000, objective="causal").save(folder / "tokenizer")
    tokenizer = load_tokenizer(folder / "tokenizer")
    files = {
        name: token_file(
            lines,
            tokenizer,
            cache=folder,
            corpus_key=name,
            tokenizer_key="",
            separator=tokenizer.eos_token_id,
        )
        for name, lines in told.items()
    }
    return files, tokenizer


def gliding(files: dict[str, TokenFile], tokenizer: PreTrainedTokenizerFast) -> LanguageModelBatches:
    """Batches under a schedule whose shares change with every step."""
    ends = {
        "start": dict(zip(NAMES, (0.9, 0.1), strict=True)),
        "end": dict(zip(NAMES, (0.1, 0.9), strict=True)),
    }
    shares = timeline_of(Glide(kind="linear", **ends), dict.fromkeys(NAMES, 1), steps=STEPS)
    mixture = Mixture(shares.scaled(ROWS), seed=0)
    return LanguageModelBatches(files, mixture, tokenizer, length=LENGTH, batch_size=ROWS, objective="causal")


def plain_batches(files: dict[str, TokenFile]) -> Iterator[dict[str, torch.Tensor]]:
    """The same at fixed shares: text as lists, a shuffled list of places for each language."""
    source, lists = random.Random(0), [file.ids[1:].tolist() for file in files.values()]
    orders: list[list[int]] = [[] for _ in lists]
    while True:
        rows, languages = [], source.choices(range(len(lists)), (0.5, 0.5), k=ROWS)
        for language in languages:
            if not orders[language]:
                orders[language] = list(range(0, len(lists[language]) - LENGTH, LENGTH - 1))
                source.shuffle(orders[language])
            start = orders[language].pop()
            rows.append(lists[language][start : start + LENGTH])
        ids = torch.tensor(rows)
        attended = torch.ones_like(ids)
        yield {
            "input_ids": ids,
            "labels": ids,
            "attention_mask": attended,
            "language": torch.tensor(languages),
        }


def step_of(tokenizer: PreTrainedTokenizerFast) -> Callable[[dict[str, torch.Tensor]], None]:
    """An optimiser step of a small GPT."""
    plain_model = new_model(SMALL_GPT, tokenizer=tokenizer, auto="causal", seed=0)
    model = TaskModel(plain_model, None, kind="text").train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    losses = language_model_step("causal")

    def step(batch: dict[str, torch.Tensor]) -> None:
        optimiser.zero_grad()
        losses(model, batch)["loss"].backward()
        optimiser.step()

    return step


def shares_of_a_step(batches: LanguageModelBatches, step: Callable[..., None]) -> dict[str, float]:
    """Median milliseconds to draw and cut a batch and to learn from it, in turns, and their ratio."""
    torch.set_num_threads(1)
    making, learning = [], []
    for index in range(16):
        began = time.process_time()
        batch = batches[index]
        made = time.process_time()
        step(batch)
        making.append(made - began)
        learning.append(time.process_time() - made)
    batch_ms, step_ms = (1e3 * statistics.median(seconds[4:]) for seconds in (making, learning))
    return {"batch_ms": batch_ms, "step_ms": step_ms, "share_of_step": batch_ms / step_ms}


def main() -> None:
    """Print the table and keep it."""
    assert ours(1000, 320) == ours_at_once(1000, 320)
    with tempfile.TemporaryDirectory() as folder:
        files, tokenizer = text(Path(folder))
        batches, plain_stream = gliding(files, tokenizer), plain_batches(files)
        found = shares_of_a_step(batches, step_of(tokenizer))
        print(
            f"a batch of {ROWS} x {LENGTH} drawn and cut: {found['batch_ms']:.3f} ms, "
            f"{found['share_of_step']:.2%} of a step of {found['step_ms']:.1f} ms"
        )
        compare(
            "sampler",
            [
                Contest(
                    f"{DRAWS:,} draws, batches of {BATCH}", lambda: ours(0, DRAWS), lambda: plain(0, DRAWS)
                ),
                Contest(f"{DRAWS:,} draws at once", lambda: ours_at_once(0, DRAWS), lambda: plain(0, DRAWS)),
                Contest("one draw", lambda: ours(0, 1), lambda: plain(0, 1)),
                Contest(
                    f"one batch after {RESUME_AT:,} draws",
                    lambda: ours(RESUME_AT, BATCH),
                    lambda: plain(RESUME_AT, BATCH),
                ),
                Contest(
                    "100 batches drawn and cut",
                    lambda: [batches[index] for index in range(100)],
                    lambda: [next(plain_stream) for _ in range(100)],
                ),
            ],
            rounds=3,
            facts={
                "languages": LANGUAGES,
                "sequences_per_language": SEQUENCES,
                "draws": DRAWS,
                "batch": BATCH,
                "resume_at": RESUME_AT,
                "rows": ROWS,
                "length": LENGTH,
                **found,
            },
        )


if __name__ == "__main__":
    main()
