"""Batches of running text: fixed-length sequences cut from token files, mixed over languages.

Sequences of a file follow each other without a gap. For masked models one is `prefix content suffix`, as the
tokenizer frames a text; documents inside it are joined by the separator. For causal models one is content
alone and begins with the last token of the one before, so every token is predicted exactly once per epoch.
The last sequence of a file is padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.core.by_language import tokenizer_of
from isogloss.core.errors import RecipeError
from isogloss.data.features import IGNORED
from isogloss.data.masking import Masker, Masking
from isogloss.data.mixture import Mixture
from isogloss.data.order import shuffled
from isogloss.data.pieces import frame_of, padding_id
from isogloss.data.tokens import TokenFile

if TYPE_CHECKING:
    from torch import Tensor

TextObjective: TypeAlias = Literal["masked", "causal"]
"""What is learnt from running text."""

Ids: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """How sequences are cut from a stream of tokens.

    Attributes:
        length: tokens of a row, special ones included.
        prefix: ids before the content; empty for causal models.
        suffix: ids after it.
        stride: tokens of the stream by which a sequence moves on from the one before.
        first: where in the stream sequence 0 begins.
        padding: id that fills the last sequence.
    """

    length: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    stride: int
    first: int
    padding: int

    @property
    def room(self) -> int:
        """Tokens of content in a full row."""
        return self.length - len(self.prefix) - len(self.suffix)

    def sequences(self, file: TokenFile) -> int:
        """How many sequences one pass over a file takes."""
        return -(-file.count // self.stride)

    def tokens(self, file: TokenFile) -> int:
        """Tokens of all rows of one pass over a file: its own, and what each row has beside its stride."""
        return file.count + self.sequences(file) * (self.length - self.stride)

    def cut(self, file: TokenFile, sequence: int) -> list[int]:
        """The ids of one sequence, without padding."""
        start = self.first + sequence * self.stride
        return [*self.prefix, *file.ids[start : start + self.room].tolist(), *self.suffix]


def layout_for(tokenizer: Any, *, length: int, objective: TextObjective) -> Layout:
    """The layout of a tokenizer's sequences.

    Args:
        tokenizer: a transformers tokenizer of the fast kind.
        length: tokens of a row, special ones included.
        objective: `masked` frames the content as the tokenizer frames a text, `causal` does not.

    Raises:
        RecipeError: `length` leaves no room for content.
    """
    prefix, suffix = ((), ()) if objective == "causal" else [a[0] for a in frame_of(tokenizer).single]
    room = length - len(prefix) - len(suffix)
    causal = int(objective == "causal")
    if room < 1 + causal:
        raise RecipeError(
            f"sequences of {length} tokens",
            wanted=f"at least {length - room + 1 + causal} for a {objective} model with this tokenizer",
            fix="raise the sequence length",
        )
    return Layout(
        length=length,
        prefix=tuple(prefix),
        suffix=tuple(suffix),
        stride=room - causal,
        first=1 - causal,
        padding=padding_id(tokenizer),
    )


class LanguageModelBatches:
    """Endless training batches over several languages.

    A batch holds `input_ids`, `attention_mask`, `labels` (-100: not to be guessed; causal labels are not
    shifted, transformers models do that), each (batch_size, length), and `language`, an index into
    `languages` for each row, (batch_size,). Each text's sequences come in a new order in each epoch.
    """

    def __init__(
        self,
        files: Mapping[str, TokenFile],
        mixture: Mixture,
        tokenizer: Any,
        *,
        length: int,
        batch_size: int,
        objective: TextObjective = "masked",
        masking: Masking | None = None,
        monolingual: bool = False,
        hide: bool = True,
        places: Mapping[str, Ids] | None = None,
    ) -> None:
        """Put the parts together; nothing is read yet.

        Args:
            files: a token file for each language of the mixture, made with this tokenizer.
            mixture: draws the language of each sequence, or of each batch where `monolingual`; its seed is
                that of the order and the masks.
            tokenizer: a transformers tokenizer of the fast kind, or one for each language.
            length: tokens of a row, special ones included.
            batch_size: rows.
            objective: `masked` or `causal`.
            masking: for `masked`; None: BERT's.
            monolingual: every batch is of one language.
            hide: False leaves masked models' text as it is, for a model that reads and guesses nothing.
            places: by language, the id that the model has for each id of its file (`data.clones`); languages
                without are read as they are. Masks and what they put in are drawn before, so they stay inside
                the language.

        Raises:
            RecipeError: the length leaves no room, or a language has no file.
            ModelError: masked, but the tokenizer has no mask token.
        """
        if missing := [language for language in mixture.names if language not in files]:
            raise RecipeError(
                f"no tokens for {', '.join(missing)}",
                wanted="a corpus for every language of the mixture",
                fix="add the corpus, or take the language out of the mixture",
            )
        self.languages = mixture.names
        self.layout = layout_for(tokenizer, length=length, objective=objective)
        self._files = [files[language] for language in mixture.names]
        self._sequences = np.array([self.layout.sequences(file) for file in self._files], dtype=np.int64)
        self._places = {mixture.names.index(language): ids for language, ids in (places or {}).items()}
        self._mixture, self._batch_size, self._monolingual = mixture, batch_size, monolingual
        self._maskers = (
            _maskers(tokenizer, mixture.names, masking, seed=mixture.seed)
            if hide and objective == "masked"
            else {}
        )

    def __len__(self) -> int:
        """Batches that hold as many sequences as one pass over all texts."""
        texts = np.unique(self._mixture.texts)
        return -(-int(self._sequences[texts].sum()) // self._batch_size)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        languages, sequences = self._plan(index)
        rows = [
            self.layout.cut(self._files[language], sequence)
            for language, sequence in zip(languages.tolist(), sequences.tolist(), strict=True)
        ]
        draws = index * self._batch_size + np.arange(self._batch_size)
        return _tensors(
            rows, languages, draws, layout=self.layout, maskers=self._maskers, places=self._places
        )

    def tokens_in_a_pass(self) -> dict[str, int]:
        """What `attention_mask` counts in one pass over each language's file, by language."""
        files = zip(self.languages, self._files, strict=True)
        return {language: self.layout.tokens(file) for language, file in files}

    def _plan(self, index: int) -> tuple[Ids, Ids]:
        """Language and sequence number of each row of a batch; both (batch_size,)."""
        size = self._batch_size
        if self._monolingual:
            language, place = self._mixture.draws(index, index + 1)
            languages, positions = np.repeat(language, size), place * size + np.arange(size)
        else:
            languages, positions = self._mixture.draws(index * size, (index + 1) * size)
        texts = self._mixture.texts[languages]
        sequences = shuffled(
            self._mixture.seed, "sequences", positions, size=self._sequences[texts], lane=texts
        )
        return languages, sequences


class WholeFileBatches:
    """One language's file from its beginning, for evaluation; batches are those of training.

    Every token is in exactly one batch, and the masks are the same in each pass. The last batch may have
    fewer rows.
    """

    def __init__(
        self,
        file: TokenFile,
        tokenizer: Any,
        *,
        length: int,
        batch_size: int,
        seed: int,
        objective: TextObjective = "masked",
        masking: Masking | None = None,
        language: int = 0,
        most: int | None = None,
        places: Ids | None = None,
    ) -> None:
        """Put the parts together; arguments as for `LanguageModelBatches`.

        Args:
            language: the index that stands in every row's `language`.
            most: end after so many sequences; None: at the end of the file.
            places: the id that the model has for each id of the file; None: the same.
        """
        self.layout = layout_for(tokenizer, length=length, objective=objective)
        self._file, self.batch_size, self._language = file, batch_size, language
        whole = self.layout.sequences(file)
        self._sequences = whole if most is None else min(most, whole)
        masked = objective == "masked"
        self._maskers = {language: Masker(tokenizer, masking or Masking(), seed=seed)} if masked else {}
        self._places = {} if places is None else {language: places}

    def __len__(self) -> int:
        return -(-self._sequences // self.batch_size)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        first = index * self.batch_size
        sequences = np.arange(first, min(first + self.batch_size, self._sequences))
        rows = [self.layout.cut(self._file, sequence) for sequence in sequences.tolist()]
        languages = np.full(len(rows), self._language)
        return _tensors(
            rows, languages, sequences, layout=self.layout, maskers=self._maskers, places=self._places
        )


def _maskers(
    tokenizer: Any, languages: Sequence[str], masking: Masking | None, *, seed: int
) -> dict[int, Masker]:
    """For each language's number what hides its tokens, and puts in those of its own tokenizer alone."""
    own = {tag: tokenizer_of(tokenizer, tag) for tag in languages}
    made = {one: Masker(one, masking or Masking(), seed=seed) for one in own.values()}
    return {number: made[own[tag]] for number, tag in enumerate(languages)}


def _hidden(ids: Ids, languages: Ids, draws: Ids, maskers: Mapping[int, Masker]) -> tuple[Ids, Ids]:
    """Inputs and labels, each row by its language's masker."""
    inputs, labels = ids.copy(), np.full_like(ids, IGNORED)
    for masker in set(maskers.values()):
        rows = np.array([maskers[number] is masker for number in languages.tolist()])
        inputs[rows], labels[rows] = masker.apply(ids[rows], draws[rows])
    return inputs, labels


def _tensors(
    rows: list[list[int]],
    languages: Ids,
    draws: Ids,
    *,
    layout: Layout,
    maskers: Mapping[int, Masker],
    places: Mapping[int, Ids],
) -> dict[str, Tensor]:
    import torch

    ids = np.full((len(rows), layout.length), layout.padding, dtype=np.int64)
    attended = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        attended[place, : len(row)] = 1
    if maskers:
        ids, labels = _hidden(ids, languages, draws, maskers)
    else:
        labels = np.where(attended == 1, ids, IGNORED)
    for number, its in places.items():
        own = languages == number
        ids[own], labels[own] = its[ids[own]], _where_asked(labels[own], its)
    arrays = {"input_ids": ids, "attention_mask": attended, "labels": labels, "language": languages}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _where_asked(labels: Ids, places: Ids) -> Ids:
    asked = labels != IGNORED
    return np.where(asked, places[np.where(asked, labels, 0)], IGNORED)
