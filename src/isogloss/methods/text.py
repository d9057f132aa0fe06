"""Running text as training batches and as held-out loss: what pretraining and distillation share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from isogloss.core.by_language import tokenizer_of
from isogloss.core.files import remove_leftovers
from isogloss.core.processes import main_first, process_count
from isogloss.core.run import Run
from isogloss.data.batches import Ids, Layout, WholeFileBatches
from isogloss.data.corpora import HUB, Corpus
from isogloss.data.pieces import padding_id
from isogloss.data.tokens import TokenFile, token_file
from isogloss.methods.sources import MiniatureText
from isogloss.training.plan import TrainingPlan
from isogloss.training.update import Step
from isogloss.vocab.fingerprint import fingerprint

Texts = Mapping[str, Corpus | MiniatureText]
_FOLDER = "tokens"


def tokenised(texts: Texts, tokenizer: Any, run: Run) -> dict[str, TokenFile]:
    """Each corpus as a token file in the run folder; made once, found again on resuming.

    The folders of runs beside this one are looked into first: seeds and baselines of one experiment read the
    same text with the same tokenizer. The run keeps what it finds there for itself.

    Raises:
        ModelError: the model has tokenizers by language, and none for one of these.
    """
    own = {tag: tokenizer_of(tokenizer, tag) for tag in texts}
    keys = {one: fingerprint(one) for one in own.values()}
    cache = run.folder / _FOLDER
    with main_first():
        if run.writes:  # what another process finds there may be in the making: the main one goes ahead
            remove_leftovers(cache)
        return {
            tag: token_file(
                corpus,
                own[tag],
                cache=cache,
                others=_others(run, corpus),
                corpus_key=corpus.fingerprint(),
                tokenizer_key=keys[own[tag]],
                separator=separator_of(own[tag]),
            )
            for tag, corpus in texts.items()
        }


def _others(run: Run, corpus: Corpus | MiniatureText) -> list[Path]:
    """Token files of other runs; none for a Hub dataset, whose fingerprint is its name, whatever it holds."""
    if isinstance(corpus, Corpus) and any(source.startswith(HUB) for source in corpus.sources):
        return []
    return sorted(run.folder.parent.glob(f"*/{_FOLDER}"))


def steps_of(
    files: Mapping[str, TokenFile], plan: TrainingPlan, *, layout: Layout, texts: Mapping[str, str]
) -> int:
    """Optimiser steps of a training, as `LanguageModelBatches` makes it.

    Args:
        files: a language's text.
        layout: of the sequences.
        texts: the language whose text a language reads, for those that read another's; it counts once.
    """
    sequences = sum(layout.sequences(files[tag]) for tag in {texts.get(tag, tag) for tag in files})
    return plan.total_steps(math.ceil(sequences / plan.batch_size), processes=process_count())


def draws_of(plan: TrainingPlan) -> int:
    """Sequences of an optimiser step, over all processes."""
    return plan.batch_size * plan.accumulate * process_count()


def separator_of(tokenizer: Any) -> int:
    """The id put between documents: the tokenizer's own separator or end of text, else its padding."""
    for found in (tokenizer.sep_token_id, tokenizer.eos_token_id):
        if found is not None:
            return int(found)
    return padding_id(tokenizer)


def held_out(
    files: Mapping[str, TokenFile],
    tokenizer: Any,
    *,
    languages: Sequence[str] | None = None,
    places: Mapping[str, Ids] | None = None,
    **settings: Any,
) -> dict[str, WholeFileBatches]:
    """Whole held-out files as batches, by language, always with the same masks.

    Args:
        languages: those of training, whose numbers batches carry; None numbers those of `files`.
        places: as for `LanguageModelBatches`.
        settings: of `WholeFileBatches`.
    """
    numbers = tuple(files if languages is None else languages)
    return {
        tag: WholeFileBatches(
            file,
            tokenizer_of(tokenizer, tag),
            language=numbers.index(tag),
            places=(places or {}).get(tag),
            **settings,
        )
        for tag, file in files.items()
    }


def held_out_loss(
    batches: Mapping[str, WholeFileBatches], *, step: Step
) -> Callable[[nn.Module], dict[str, float]]:
    """A measure of a model: its mean loss on held-out batches, by language.

    Args:
        step: that of training: its "loss" is averaged by its "weight".
    """

    def measure(model: nn.Module) -> dict[str, float]:
        return {tag: mean_loss(model, every(one), step) for tag, one in batches.items()}

    return measure


def every(batches: WholeFileBatches) -> Iterator[Mapping[str, Tensor]]:
    """Batches one after another."""
    return (batches[index] for index in range(len(batches)))


def mean_loss(model: nn.Module, batches: Iterable[Mapping[str, Tensor]], step: Step) -> float:
    """The mean of a step's "loss" over batches, each by its "weight"."""
    device = next(model.parameters()).device
    total, weight = [], []
    for batch in batches:
        losses = step(model, {name: tensor.to(device) for name, tensor in batch.items()})
        weight.append(float(losses["weight"]))
        total.append(float(losses["loss"]) * weight[-1])
    return math.fsum(total) / max(1.0, math.fsum(weight))
