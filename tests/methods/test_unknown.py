"""A vocabulary that does not know a text says so before its bits flatter anybody."""

from __future__ import annotations

import warnings

import pytest

from isogloss.core.errors import IsoglossWarning
from isogloss.methods.unknown import warn_of_unknown_text
from tiny_models import tiny_tokenizer
from tiny_runs import PRETRAIN, ran, tiny

KNOWN = ["the teacher reads the book"] * 3


def test_text_of_unknown_letters_is_warned_of_by_its_language():
    tokenizer = tiny_tokenizer("wordpiece")
    texts = {"en-Latn": KNOWN, "zh-Hans": ["\u8001\u5e08\u8bfb\u4e66"] * 3}
    with pytest.warns(IsoglossWarning, match=r"text of Chinese \(75\.0%\)"):
        warn_of_unknown_text(tokenizer, texts)


@pytest.mark.parametrize("style", ["wordpiece", "bytes"])
def test_text_that_is_known_or_empty_is_not_spoken_of(style):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unknown_text(tiny_tokenizer(style), {"en-Latn": KNOWN, "fr-Latn": []})


@pytest.mark.parametrize("perplexity", [None, {}], ids=["document by document", "as a whole"])
def test_a_run_warns_of_test_text_that_its_vocabulary_does_not_know(perplexity, tmp_path):
    (tmp_path / "zh.txt").write_text("\u8001\u5e08 \u8bfb\u4e66\n" * 4, encoding="utf-8")
    test = {"eng": "miniature/test:4", "zho": str(tmp_path / "zh.txt")}
    with pytest.warns(IsoglossWarning, match="text of Chinese"):
        ran(tiny(PRETRAIN, test=test, perplexity=perplexity), tmp_path / "runs")
