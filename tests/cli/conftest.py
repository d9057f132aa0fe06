"""A shell in an empty folder, and two small models to talk about."""

from __future__ import annotations

import pytest
from command_line import Shell

from tiny_runs import FINETUNE, PRETRAIN, ran, tiny


@pytest.fixture
def shell(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    """The model folder of a pretraining of a few steps."""
    recipe = tiny(PRETRAIN, training__steps=2, dev={}, test={})
    return ran(recipe, tmp_path_factory.mktemp("backbone")).folder / "model"


@pytest.fixture(scope="session")
def topics(backbone, tmp_path_factory):
    """The model folder of a topic classifier."""
    recipe = tiny(
        FINETUNE, without=("dev", "test"), model=str(backbone), task="topic", train__eng="miniature/train:60"
    )
    return ran(recipe, tmp_path_factory.mktemp("topics")).folder / "model"
