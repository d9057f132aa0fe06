"""Vocabularies of every kind, trained on twelve languages, trimmed for two and certified on held-out text.

    python benchmarks/certificates.py [LANGUAGE ...]

Each is trained on a slice of `../shared/data/text`, trimmed for the languages (Finnish and Swahili unless
others are named) by their whole training text, and compared with the whole vocabulary on that training text
and on the test text. The table goes to `docs/results/trimming.md`, the certificates beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from isogloss.core.files import write_json, write_text
from isogloss.data.corpora import Corpus
from isogloss.vocab.certificate import Certificate, certify
from isogloss.vocab.rules import ByProbability
from isogloss.vocab.train import train_vocabulary
from isogloss.vocab.trim import TrimmedVocabulary, trim_vocabulary

ROOT = Path(__file__).resolve().parent.parent
TEXT = ROOT.parent / "shared" / "data" / "text"
RESULTS = ROOT / "docs" / "results"
TRAINED_ON = ("en", "fr", "de", "es", "ru", "tr", "hi", "zh", "sw", "yo", "vi", "fi")
SIZE, SLICE = 32_000, 6_000
KINDS = ("unigram", "wordpiece", "bpe of characters", "bpe of bytes", "bpe of bytes, ignoring merges")

PREFACE = """the counted text is all of the training text, of which the first 10,000 lines are compared; the
held-out text is the test text. `unseen`: the share of further text like that counted which is
of pieces it has not shown, by Good and Turing. What the threshold took and this add up to about
what held-out text loses. At 1e-6 the threshold takes hundredths of a per cent of the tokens,
and so, at thirty tokens a sentence, about one sentence in a hundred: 99.9 % of sentences as
before would need a threshold a tenth as high and ten times the text."""


@dataclass(frozen=True)
class Slice:
    """The first pieces of a corpus, any number of times."""

    corpus: Corpus
    length: int

    def __iter__(self) -> Iterator[str]:
        return islice(iter(self.corpus), self.length)


def corpus(language: str, split: str) -> Corpus:
    """One language's text."""
    return Corpus(language, TEXT / f"{language}.{split}.txt.gz")


def vocabulary(kind: str) -> Any:
    """A tokenizer of one kind over all twelve languages."""
    texts = {tag: Slice(corpus(tag, "train"), SLICE) for tag in TRAINED_ON}
    if kind == "bpe of characters":
        return characters_bpe(texts)
    name = "bpe" if kind.startswith("bpe") else kind
    tokenizer = train_vocabulary(texts, kind=name, size=SIZE, coverage=0.9995).tokenizer()
    return ignoring_merges(tokenizer) if kind.endswith("ignoring merges") else tokenizer


def characters_bpe(texts: dict[str, Slice]) -> Any:
    """As Llama 2 and Gemma have it, but split into words: bytes for letters it does not know."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=specials, limit_alphabet=4000, show_progress=False
    )
    tokenizer.train_from_iterator((text for one in texts.values() for text in one), trainer)
    described = json.loads(tokenizer.to_str())
    described["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(described))
    tokenizer.add_special_tokens([AddedToken("<unk>", special=True, normalized=False)])
    return tokenizer


def ignoring_merges(tokenizer: Any) -> Any:
    """As Llama 3: words of the vocabulary are taken whole. A fifth of its merges is gone, so some only so."""
    from tokenizers import Tokenizer

    described = json.loads(tokenizer.to_str())
    model = described["model"]
    merges = model["merges"]
    model["merges"], model["ignore_merges"] = merges[: len(merges) * 4 // 5], True
    return Tokenizer.from_str(json.dumps(described))


def main(languages: list[str]) -> None:
    """Write the table and the certificates."""
    train, test = ({tag: corpus(tag, split) for tag in languages} for split in ("train", "test"))
    rows = []
    for kind in KINDS:
        full = vocabulary(kind)
        for minimum in (0.0, 1e-6):
            trimmed = trim_vocabulary(full, train, rule=ByProbability(minimum))
            found = certify(full, trimmed, test)
            counted = certify(full, trimmed, {tag: Slice(one, 10_000) for tag, one in train.items()})
            rows += [row(kind, trimmed, minimum, tag, counted, found) for tag in languages]
            print("\n".join(rows[-len(languages) :]), flush=True)
            name = f"{kind.replace(',', '').replace(' ', '-')}-{minimum:g}.json"
            write_json(RESULTS / "trimming" / name, found.to_json())
    write_text(RESULTS / "trimming.md", page(languages, rows))


def row(
    kind: str, trimmed: TrimmedVocabulary, minimum: float, tag: str, counted: Certificate, found: Certificate
) -> str:
    """One line of the table."""
    before, after = counted.languages[tag], found.languages[tag]
    return (
        f"| {kind} | {minimum:g} | {found.kept:,} of {found.entries:,} | {tag} "
        f"| {100 * before.share:.3f} % | {100 * after.share:.3f} % | {100 * trimmed.lost[tag]:.4f} % "
        f"| {100 * trimmed.unseen[tag]:.4f} % | {100 * after.lost:.4f} % "
        f"| {after.new_unknown} | "
        f"{after.before.tokens_per_word:.4f} → {after.after.tokens_per_word:.4f} |"
    )


def page(languages: list[str], rows: list[str]) -> str:
    """The table with its heading."""
    head = (
        "| vocabulary | least probability | kept | language | counted text cut as before | held-out "
        "sentences cut as before | tokens the threshold took | unseen | held-out tokens lost | new unknown "
        "| tokens per word |"
    )
    return "\n".join(
        [
            f"# Vocabularies trimmed for {' and '.join(languages)}",
            "",
            f"`python benchmarks/certificates.py {' '.join(languages)}`: {SIZE:,} entries trained on "
            f"{SLICE:,} lines in each of {', '.join(TRAINED_ON)}; {PREFACE}",
            "",
            head,
            "|---" * 11 + "|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1:] or ["fi", "sw"])
