"""One tiny pretrained model for all tests of methods."""

from __future__ import annotations

from pathlib import Path

import pytest

from isogloss.core.run import RunRecord
from tiny_runs import PRETRAIN, TOPICS, ran, tiny


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> RunRecord:
    """A finished pretraining of a two-layer ModernBERT on English and French."""
    return ran(tiny(PRETRAIN), tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="session")
def model(pretrained) -> Path:
    """Its model."""
    return pretrained.folder / "model"


@pytest.fixture(scope="session")
def topics(model, tmp_path_factory) -> Path:
    """That model, fine-tuned on English topics for a moment."""
    return ran(tiny(TOPICS, model=str(model)), tmp_path_factory.mktemp("topics")).folder / "model"
