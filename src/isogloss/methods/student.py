"""The student at its start: what is kept of a teacher, by the rules of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from safetensors.torch import load_file, save_file
from torch import Tensor

from isogloss.compress.feedforward import keep_units, most_important, unit_importance, with_units
from isogloss.compress.heads import important_heads, keep_heads, with_heads
from isogloss.compress.layers import keep_layers, layer_map, layered_config
from isogloss.compress.shape import narrow_config
from isogloss.compress.vocabulary import keep_rows
from isogloss.compress.width import narrow
from isogloss.core.config import Record
from isogloss.core.files import whole_folder
from isogloss.core.processes import main_first
from isogloss.core.run import Run
from isogloss.core.seeds import derive
from isogloss.data.batches import TextObjective
from isogloss.methods.calibration import calibration_batches
from isogloss.methods.inventory import note_model
from isogloss.methods.text import Texts
from isogloss.models.backbone import empty_model, load_config, load_model, load_tokenizer, quiet, seeded
from isogloss.models.origin import Origin
from isogloss.models.tasks import objective_of
from isogloss.vocab.alphabet import Alphabet
from isogloss.vocab.certificate import certify
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.rules import Rule, rule_of
from isogloss.vocab.trim import trim_vocabulary
from isogloss.vocab.trimmed import identical_shares, load_trimmed, save_trimmed

_BASIS = "basis.safetensors"


class VocabularyRule(Record):
    """Which pieces the student keeps; at most one of the first three.

    Attributes:
        min_probability: keep a piece whose unigram probability in any of the corpora is at least this; None
            is 1e-6 where no other rule is given.
        size: entries at most, the pieces most probable in any of the corpora.
        coverage: of each corpus, the fewest pieces that make up this share.
        alphabet: the letters that stay: of the corpora's scripts, only those seen, or the whole alphabet.
        keep: prompts, verbalisers and other texts whose pieces all stay.
        min_identical: stop if a smaller share of some language's `dev` sentences is cut as before.
        trim: False keeps the whole vocabulary.
    """

    min_probability: float | None = Field(default=None, ge=0, lt=1)
    size: int | None = Field(default=None, ge=1)
    coverage: float | None = Field(default=None, gt=0, le=1)
    alphabet: Alphabet = "scripts"
    keep: tuple[str, ...] = ()
    min_identical: float = Field(default=0.0, ge=0, le=1)
    trim: bool = True

    @model_validator(mode="after")
    def _one_rule(self) -> VocabularyRule:
        if sum(number is not None for number in (self.min_probability, self.size, self.coverage)) > 1:
            raise ValueError("min_probability, size, coverage: one of them at most")
        return self

    def rule(self) -> Rule:
        """The rule that is given, or the published one."""
        return rule_of(min_probability=self.min_probability, size=self.size, coverage=self.coverage)


class LayerRule(Record):
    """Which layers the student keeps.

    Attributes:
        keep: `every-2nd` (and `every-3rd`, ...; the last layer always stays), `last-of-4-blocks`, `bottom-3`,
            `top-3`, or a list counted from 0. See `isogloss.compress.layers.layer_map`.
    """

    keep: str | tuple[int, ...] = "every-2nd"


class StudentRule(Record):
    """What the student is made of.

    Attributes:
        vocabulary: which pieces stay.
        layers: which layers stay.
        width: size of the hidden states: their principal directions on the corpora; None keeps the width.
        heads: attention heads per layer, those that the teacher's loss depends on most; None keeps them all.
            In a narrower student whose heads together must be as wide as it is, all become smaller then.
        feedforward: feed-forward units per layer, the most active ones; None keeps them all.
        start: `copied` from the teacher, or a model of that shape with `random` weights: the student to
            compare with that was trained from scratch.
    """

    vocabulary: VocabularyRule = VocabularyRule()
    layers: LayerRule = LayerRule()
    width: int | None = Field(default=None, ge=1)
    heads: int | None = Field(default=None, ge=1)
    feedforward: int | None = Field(default=None, ge=1)
    start: Literal["copied", "random"] = "copied"

    @property
    def calibrated(self) -> bool:
        """Whether text must be read to see what of the teacher stays."""
        sizes = (self.width, self.heads, self.feedforward)
        return self.start == "copied" and any(size is not None for size in sizes)


def student_config(rule: StudentRule, config: Any) -> Any:
    """The student's configuration from its teacher's, with the teacher's vocabulary; needs no weights.

    Raises:
        ModelError: the teacher cannot be cut down like this.
    """
    if rule.width is not None:
        config = narrow_config(config, width=rule.width, heads=rule.heads)
    elif rule.heads is not None:
        config = with_heads(config, rule.heads)
    if rule.feedforward is not None:
        config = with_units(config, rule.feedforward)
    return layered_config(config, layer_map(config.num_hidden_layers, rule.layers.keep), dropout=0.0)


@dataclass(frozen=True)
class Pair:
    """A teacher and the student made of it.

    Attributes:
        teacher: as it was found, with its whole vocabulary; None when it has taught and was let go.
        student: a transformers model of its own.
        tokenizer: the student's.
        origin: how the student belongs to the teacher.
    """

    teacher: Any
    student: Any
    tokenizer: Any
    origin: Origin


def make_student(
    rule: StudentRule, teacher_name: str, texts: Texts, dev: Texts, run: Run, *, seed: int = 0
) -> Pair:
    """A student of some of a teacher's layers and vocabulary, copied bit for bit, and narrower where asked.

    What heads, units and directions matter is seen on the whole teacher, before layers and vocabulary go.
    The student's dropout is 0, as published: attention maps could not be compared otherwise.

    Args:
        teacher_name: folder or Hub id.
        texts: what the vocabulary is trimmed to and the sizes are chosen on, by language.
        dev: held-out text for the certificate.
        seed: of random weights, and of the order of the texts.

    Raises:
        ModelError: the teacher cannot be cut down like this; before anything is read or counted.
    """
    tokenizer = load_tokenizer(teacher_name)
    teacher = load_model(teacher_name, objective_of(load_config(teacher_name)))
    note_model(run, "teacher", teacher, tokenizer)
    vocabulary = fingerprint(tokenizer)
    layers = layer_map(teacher.config.num_hidden_layers, rule.layers.keep)
    config = student_config(rule, teacher.config)
    kept = basis = None
    if rule.start == "random":
        with seeded(derive(seed, "student")):
            student = empty_model(config, objective_of(config)).eval()
    elif rule.calibrated:
        student, basis = _calibrated(rule, teacher, tokenizer, texts, run, seed=seed)
    else:
        student = keep_layers(teacher, layers, dropout=0.0)
    if rule.vocabulary.trim:
        tokenizer, kept = _trimmed(rule.vocabulary, texts, dev, tokenizer, run)
        student = keep_rows(student, kept)
    note_model(run, "student", student, tokenizer)
    return Pair(teacher, student, tokenizer, Origin(layers, kept, vocabulary, basis))


def _calibrated(
    rule: StudentRule, teacher: Any, tokenizer: Any, texts: Texts, run: Run, *, seed: int
) -> tuple[Any, Tensor | None]:
    """A student of fewer sizes with the teacher's vocabulary; made once, found again on resuming."""
    folder, objective = run.folder / "start", cast(TextObjective, objective_of(teacher.config))
    with main_first():
        if not folder.exists():
            batches = calibration_batches(
                texts, tokenizer, teacher.config, run, objective=objective, seed=seed
            )
            student, basis = _cut(rule, teacher, batches)
            with quiet(), whole_folder(folder) as unfinished:
                student.save_pretrained(unfinished)
                save_file({} if basis is None else {"basis": basis.contiguous()}, unfinished / _BASIS)
    return load_model(folder, objective), load_file(folder / _BASIS).get("basis")


def _cut(
    rule: StudentRule, teacher: Any, batches: Sequence[Mapping[str, Tensor]]
) -> tuple[Any, Tensor | None]:
    """Heads and width, then units, then layers; all chosen by what the whole teacher does."""
    student, basis = teacher, None
    if rule.width is not None:
        narrowed = narrow(teacher, batches, width=rule.width, heads=rule.heads)
        student, basis = narrowed.model, narrowed.basis
    elif rule.heads is not None:
        student = keep_heads(teacher, important_heads(teacher, batches, rule.heads))
    if rule.feedforward is not None:
        student = keep_units(student, most_important(unit_importance(teacher, batches), rule.feedforward))
    layers = layer_map(teacher.config.num_hidden_layers, rule.layers.keep)
    return keep_layers(student, layers, dropout=0.0), basis


def _trimmed(
    rule: VocabularyRule, texts: Texts, dev: Texts, tokenizer: Any, run: Run
) -> tuple[Any, npt.NDArray[np.int64]]:
    """A tokenizer of the pieces the corpora use, and their ids; counted once, found again on resuming."""
    folder = run.folder / "vocabulary"
    with main_first():
        if not folder.exists():
            _trim(rule, texts, dev, tokenizer, folder)
    trimmed = load_trimmed(folder)
    run.rewind("trim", -1)
    for tag, lost in trimmed.lost.items():
        run.log("probability_lost", lost, phase="trim", step=0, language=tag)
    for tag, share in identical_shares(folder).items():
        run.log("identical", share, phase="trim", step=0, language=tag)
    return load_tokenizer(folder), trimmed.kept


def _trim(rule: VocabularyRule, texts: Texts, dev: Texts, tokenizer: Any, folder: Path) -> None:
    """Write the trimmed vocabulary, with a certificate on the held-out text."""
    trimmed = trim_vocabulary(tokenizer, texts, rule=rule.rule(), alphabet=rule.alphabet, keep=rule.keep)
    certificate = certify(tokenizer, trimmed, dev)
    certificate.require(rule.min_identical)
    save_trimmed(folder, trimmed, tokenizer, certificate)
