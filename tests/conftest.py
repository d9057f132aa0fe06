"""What every test shares: shapes checked at run time, one hypothesis profile, no network."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings
from jaxtyping import install_import_hook

_SHAPED = ("losses", "sparse", "models", "compress", "training")
install_import_hook([f"isogloss.{package}" for package in _SHAPED], "beartype.beartype")
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("ci")
