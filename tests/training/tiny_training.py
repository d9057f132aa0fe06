"""A tiny language model with dropout and tied embeddings, batches by number, and a run around them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from isogloss.core.config import Record
from isogloss.core.run import Run, open_run
from isogloss.core.seeds import generator
from isogloss.training.plan import TrainingPlan

WORDS, WIDTH = 50, 16
LANGUAGES = ("en-Latn", "de-Latn", "sw-Latn")


class TinyRecipe(Record):
    method: str = "tiny"


class TinyModel(nn.Module):
    """Embedding, one transformer layer with dropout, and the embedding again as output."""

    def __init__(self, *, dropout: float = 0.1, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(WORDS, WIDTH)
            self.layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, dropout=dropout, batch_first=True)
            self.output = nn.Linear(WIDTH, WORDS)
            self.unused = nn.Linear(WIDTH, WIDTH)
        self.output.weight = self.embedding.weight
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self.calls += self.training
        hidden = self.layer(self.embedding(input_ids), src_key_padding_mask=attention_mask == 0)
        return self.output(hidden)


class TinyBatches:
    """Sequences of uneven lengths; batch i is a function of i alone."""

    languages = LANGUAGES

    def __init__(self, *, passes: int = 8, rows: int = 3) -> None:
        self._passes, self._rows = passes, rows

    def __len__(self) -> int:
        return self._passes

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        random = generator(0, "tiny batch", index)
        lengths = random.integers(2, 9, self._rows)
        ids = torch.from_numpy(random.integers(0, WORDS, (self._rows, int(lengths.max()))))
        mask = torch.arange(ids.shape[1])[None] < torch.from_numpy(lengths)[:, None]
        return {
            "input_ids": ids,
            "attention_mask": mask.long(),
            "language": torch.from_numpy(random.integers(0, len(LANGUAGES), self._rows)),
            "labels": ids.roll(1, 1).masked_fill(~mask, -100),
        }


def tiny_step(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    logits = model(batch["input_ids"], batch["attention_mask"]).float()
    loss = functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
    return {"loss": loss, "weight": (batch["labels"] >= 0).sum(), "largest_logit": logits.detach().max()}


def tiny_evaluate(model: nn.Module) -> dict[str, float]:
    """A made-up score per language that depends on all weights and goes up and down."""
    total = sum(parameter.double().sin().sum().item() for parameter in model.parameters())
    return {name: (total * (place + 3)) % 1.0 for place, name in enumerate(LANGUAGES)}


def tiny_plan(**changes: object) -> TrainingPlan:
    return TrainingPlan.model_validate({"steps": 6, "learning_rate": 1e-2, "log_every": 2, **changes})


@contextlib.contextmanager
def tiny_run(folder: Path) -> Iterator[Run]:
    with open_run(folder, TinyRecipe()) as run:
        yield run


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same_bits(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def measurements(run: Run) -> list[dict]:
    """The lines of metrics.jsonl, without what depends on the clock."""
    path = run.folder / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {key: item for key, item in line.items() if key != "time"}
        for line in lines
        if line["metric"] != "tokens_per_second"
    ]
