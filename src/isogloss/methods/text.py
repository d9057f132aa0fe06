"""Running text as training batches and as held-out loss: what pretraining and distillation share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from isogloss.core.by_language import tokenizer_of
from isogloss.core.processes import main_first, process_count
from isogloss.core.run import Run
from isogloss.data.batches import Ids, TextObjective, WholeFileBatches
from isogloss.data.corpora import HUB, Corpus
from isogloss.data.masking import Masking
from isogloss.data.mixture import MixtureSpec
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
    with main_first():
        return {
            tag: token_file(
                corpus,
                own[tag],
                cache=run.folder / _FOLDER,
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


def mixture_shares(
    spec: MixtureSpec, files: Mapping[str, TokenFile], plan: TrainingPlan, *, length: int
) -> dict[str, float]:
    """Each language's share of the sequences of a training."""
    processes = process_count()
    sequences = sum(file.count for file in set(files.values())) // length
    steps = plan.total_steps(max(1, sequences // plan.batch_size), processes=processes)
    budget = steps * processes * plan.accumulate * plan.batch_size * length
    return spec.resolve({tag: file.count for tag, file in files.items()}, budget=budget)


def separator_of(tokenizer: Any) -> int:
    """The id put between documents: the tokenizer's own separator or end of text, else its padding."""
    for found in (tokenizer.sep_token_id, tokenizer.eos_token_id):
        if found is not None:
            return int(found)
    return padding_id(tokenizer)


def held_out_loss(
    files: Mapping[str, TokenFile],
    tokenizer: Any,
    *,
    step: Step,
    length: int,
    batch_size: int,
    seed: int,
    objective: TextObjective = "masked",
    masking: Masking | None = None,
    languages: Sequence[str] | None = None,
    places: Mapping[str, Ids] | None = None,
) -> Callable[[nn.Module], dict[str, float]]:
    """A measure of a model: its mean loss on whole held-out files, by language, always with the same masks.

    Args:
        step: that of training: its "loss" is averaged by its "weight".
        languages: those of training, whose numbers batches carry; None numbers those of `files`.
        places: as for `LanguageModelBatches`.
    """
    numbers = tuple(files if languages is None else languages)
    batches = {
        tag: WholeFileBatches(
            file,
            tokenizer,
            length=length,
            batch_size=batch_size,
            seed=seed,
            objective=objective,
            masking=masking,
            language=numbers.index(tag),
            places=(places or {}).get(tag),
        )
        for tag, file in files.items()
    }

    def measure(model: nn.Module) -> dict[str, float]:
        return {tag: _mean(model, one, step) for tag, one in batches.items()}

    return measure


def _mean(model: nn.Module, batches: WholeFileBatches, step: Step) -> float:
    device = next(model.parameters()).device
    total, weight = [], []
    for index in range(len(batches)):
        batch = {name: tensor.to(device) for name, tensor in batches[index].items()}
        losses = step(model, batch)
        weight.append(float(losses["weight"]))
        total.append(float(losses["loss"]) * weight[-1])
    return math.fsum(total) / max(1.0, math.fsum(weight))
