"""The example in each loss's description runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import isogloss.losses

MODULES = [module.name for module in pkgutil.iter_modules(isogloss.losses.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_example_says_what_happens(name):
    outcome = doctest.testmod(importlib.import_module(f"isogloss.losses.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
