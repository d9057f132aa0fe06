"""Trim: a model with the vocabulary of a few languages, and a certificate of what that changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from isogloss.compress.vocabulary import keep_rows, largest_difference
from isogloss.core.errors import ModelError, UserError
from isogloss.core.files import whole_folder, write_json
from isogloss.data.prompts import pieces_of
from isogloss.methods.sources import corpora as read_corpora
from isogloss.models.backbone import load_config, load_tokenizer, quiet
from isogloss.models.saved import load_saved
from isogloss.models.tasks import HEAD_FACTS, HEAD_WEIGHTS, TaskModel, longest_input, saved_prompt
from isogloss.vocab.alphabet import Alphabet
from isogloss.vocab.certificate import Certificate, certify
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.rules import ByProbability, Rule
from isogloss.vocab.trim import TrimmedVocabulary, trim_vocabulary
from isogloss.vocab.trimmed import CERTIFICATE, write_trimmed

TOLERANCE = 1e-5
_TEXTS, _TOKENS = 4, 64


@dataclass(frozen=True)
class Trimming:
    """What `trim_model` did.

    Attributes:
        folder: the trimmed model.
        certificate: what changed for held-out text.
        lost: per language, the share of the tokens counted that are no longer in the vocabulary.
        unseen: per language, the share of further text like it that is of pieces it has not shown.
        parameters: of the full model and of the trimmed one.
        difference: the largest difference of the two models' scores on kept ids.
    """

    folder: Path
    certificate: Certificate
    lost: dict[str, float]
    unseen: dict[str, float]
    parameters: tuple[int, int]
    difference: float

    def to_json(self) -> dict[str, Any]:
        """The certificate file: the vocabulary's certificate, and the model's."""
        return {
            **self.certificate.to_json(),
            "calibration": {"probability_lost": self.lost, "unseen": self.unseen},
            "model": {
                "parameters": self.parameters[0],
                "parameters_kept": self.parameters[1],
                "largest_difference": self.difference,
            },
        }


def trim_model(
    source: str | Path,
    *,
    corpora: Mapping[str, tuple[str, ...]],
    held_out: Mapping[str, tuple[str, ...]],
    out: Path,
    rule: Rule = ByProbability(),  # noqa: B008, frozen
    alphabet: Alphabet = "scripts",
    keep: Iterable[str] = (),
    min_identical: float | None = None,
) -> Trimming:
    """Trim a model's vocabulary to some languages and save it with a certificate.

    Args:
        source: a folder or Hub id with any head transformers has for it, or the model folder of a run.
        corpora: places of text per language, to count.
        held_out: places of text per language, to compare both vocabularies on.
        out: the folder to write; replaced if it holds an earlier trimmed model, refused if it holds
            anything else. The model keeps the precision it was saved in.
        rule: which tokens are used enough.
        alphabet: which letters stay.
        keep: prompts and verbalisers, whose tokens stay; those that a task model was saved with do so anyway.
        min_identical: the share of each language's held-out sentences that must be cut as before, in
            [0, 1]; with fewer nothing is saved. None: any share will do.

    Raises:
        UserError: a corpus or the model cannot be read, the folder holds something else, or the certificate
            falls short of `min_identical`.
    """
    _check_out(out)
    stored = load_config(source)
    tokenizer = load_tokenizer(source)
    texts, unseen = read_corpora(dict(corpora)), read_corpora(dict(held_out))
    prompt = saved_prompt(source)
    asked = () if prompt is None else (text for tag in texts for text in pieces_of(prompt, tag))
    trimmed = trim_vocabulary(tokenizer, texts, rule=rule, alphabet=alphabet, keep=(*keep, *asked))
    certificate = certify(tokenizer, trimmed, unseen)
    if min_identical is not None:
        certificate.require(min_identical)
    full = _model(source, stored)
    model = keep_rows(full, trimmed.kept)
    some = islice((text for one in unseen.values() for text in one), _TEXTS)
    found = Trimming(
        folder=out,
        certificate=certificate,
        lost=trimmed.lost,
        unseen=trimmed.unseen,
        parameters=(full.num_parameters(), model.num_parameters()),
        difference=largest_difference(full, model, trimmed.kept, _rows(trimmed, some, stored)),
    )
    _check_scores(found.difference)
    _save(found, model.to(stored.dtype or model.dtype), trimmed, tokenizer, source)
    return found


def _check_out(out: Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / CERTIFICATE).exists()):
        raise UserError(
            "something that is not a trimmed model is here already",
            wanted="a new folder, or one that this command wrote",
            fix="give another folder with --out",
            where=str(out),
        )


def _model(source: str | Path, config: Any) -> Any:
    """With the head it was saved with, which of a task model of ours stands apart."""
    model = load_saved(source, config=config)
    return model.model if isinstance(model, TaskModel) else model


def _rows(trimmed: TrimmedVocabulary, texts: Iterable[str], config: Any) -> Iterator[list[int]]:
    """Texts in new ids, short enough for any model."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(trimmed.tokenizer_json)
    longest = min(_TOKENS, longest_input(config) or _TOKENS)
    for text in texts:
        if ids := tokenizer.encode(text).ids[:longest]:
            yield ids


def _check_scores(difference: float) -> None:
    if not difference <= TOLERANCE:
        raise ModelError(
            f"a trimmed model whose scores on the kept ids differ from the full model's by {difference:.1e}",
            wanted=f"at most {TOLERANCE:.0e}",
            fix="this architecture does more with its vocabulary than isogloss knows: keep it whole",
        )


def _save(
    found: Trimming, model: Any, trimmed: TrimmedVocabulary, tokenizer: Any, source: str | Path
) -> None:
    with quiet(), whole_folder(found.folder) as unfinished:
        model.save_pretrained(unfinished)
        write_trimmed(unfinished, trimmed, tokenizer)
        write_json(unfinished / CERTIFICATE, found.to_json())
        for name in (HEAD_FACTS, HEAD_WEIGHTS):
            if (Path(source) / name).exists():
                shutil.copyfile(Path(source) / name, unfinished / name)
        _check_tokenizer(unfinished, found.certificate)


def _check_tokenizer(folder: Path, certificate: Certificate) -> None:
    """What transformers loads must be what was certified: some classes rebuild parts of a tokenizer."""
    if fingerprint(load_tokenizer(folder)) != certificate.trimmed:
        raise ModelError(
            "a trimmed tokenizer that transformers changes while loading it",
            wanted="the tokenizer the certificate is for",
            fix="save the tokenizer of the model with save_pretrained first, and trim that folder",
        )
