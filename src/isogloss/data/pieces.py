"""Text to token ids through any fast tokenizer, special tokens apart.

Rows are put together here rather than by the tokenizer, so that windows, words and character offsets stay
known for every kind of vocabulary: Unigram with Metaspace, WordPiece, byte-level BPE with or without a CLS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isogloss.core.errors import DataError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Affix = tuple[tuple[int, ...], tuple[int, ...]]
"""Special tokens that stand together, and their token types."""

_BARE_SPACES = ("▁", "Ġ")


@dataclass(frozen=True, slots=True)
class Pieces:
    """The tokens of one text, without special ones; `offsets` are half-open character ranges in it."""

    ids: list[int]
    offsets: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Word:
    """The tokens of one word; `first` is the position among them of the first that carries a character."""

    ids: list[int]
    first: int


@dataclass(frozen=True, slots=True)
class Window:
    """Words `first` to `last` (exclusive) fit one row, and those from `own_first` to `own_last` are its own.

    The others are there as context; every word is owned by exactly one window.
    """

    first: int
    last: int
    own_first: int
    own_last: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What a tokenizer puts before, between and after one sequence or two."""

    single: tuple[Affix, ...]
    pair: tuple[Affix, ...]
    second_type: int
    filler: int

    def room(self, max_length: int, *, parts: int = 1) -> int:
        """How many tokens of content fit a row of `max_length`.

        Raises:
            DataError: fewer than two per part.
        """
        room = max_length - sum(len(ids) for ids, _ in self._affixes(parts))
        if room < 2 * parts:
            raise DataError(
                f"max_length {max_length} leaves room for {room} tokens beside the special ones",
                wanted=f"room for at least {2 * parts}",
                fix="raise max_length",
            )
        return room

    def wrap(self, *parts: Sequence[int]) -> tuple[list[int], list[int]]:
        """One or two sequences as a row of ids and their token types; never empty."""
        affixes = self._affixes(len(parts))
        ids, types = list(affixes[0][0]), list(affixes[0][1])
        for index, (part, (after, after_types)) in enumerate(zip(parts, affixes[1:], strict=True)):
            ids += [*part, *after]
            types += [self.second_type * index] * len(part) + list(after_types)
        return (ids, types) if ids else ([self.filler], [0])

    def offset(self, *before: Sequence[int]) -> int:
        """Where the next part begins in a row of two (after one part) or of one (after none)."""
        affixes = self.pair if before else self.single
        return len(affixes[0][0]) + sum(
            len(part) + len(affix[0]) for part, affix in zip(before, affixes[1:], strict=False)
        )

    def _affixes(self, parts: int) -> tuple[Affix, ...]:
        return self.single if parts == 1 else self.pair


def frame_of(tokenizer: PreTrainedTokenizerFast) -> Frame:
    """Read a tokenizer's special tokens off what it does to "a" and to "a", "b".

    Raises:
        ModelError: the tokenizer is not a fast one.
    """
    _require_fast(tokenizer)
    pair, types = _probe(tokenizer, "a", "b")
    return Frame(
        single=_probe(tokenizer, "a")[0],
        pair=pair,
        second_type=types[1],
        filler=filler_id(tokenizer),
    )


def _probe(tokenizer: PreTrainedTokenizerFast, *texts: str) -> tuple[tuple[Affix, ...], list[int]]:
    row = tokenizer(*texts, truncation=False, padding=False, return_token_type_ids=True)
    sequences, ids, types = row.sequence_ids(0), row["input_ids"], row["token_type_ids"]
    edges: list[list[int]] = [[] for _ in range(len(texts) + 1)]
    content = [0] * len(texts)
    seen = 0
    for position, sequence in enumerate(sequences):
        if sequence is None:
            edges[seen].append(position)
        else:
            seen, content[sequence] = sequence + 1, types[position]
    return tuple((tuple(ids[p] for p in edge), tuple(types[p] for p in edge)) for edge in edges), content


def filler_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that stands for a word without any: unknown, or else end of text, padding, or 0."""
    candidates = (tokenizer.unk_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, 0)
    return next(token for token in candidates if token is not None)


def start_token(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """What a causal model reads first, so that the first token of a text is scored as well; maybe nothing."""
    candidates = (tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.eos_token_id)
    return [token for token in candidates if token is not None][:1]


def padding_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The padding token; a tokenizer without one (GPT-2) pads with its end-of-text token."""
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(token for token in candidates if token is not None)


def pieces(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[Pieces]:
    """Tokenise texts, in order; nothing is cut and no special token added."""
    _require_fast(tokenizer)
    if not texts:
        return []
    rows = tokenizer(
        list(texts),
        add_special_tokens=False,
        truncation=False,
        padding=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    return [
        Pieces(ids, offsets) for ids, offsets in zip(rows["input_ids"], rows["offset_mapping"], strict=True)
    ]


def _require_fast(tokenizer: PreTrainedTokenizerFast) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{type(tokenizer).__name__} is a slow tokenizer, which cannot say where its tokens lie",
            wanted="a fast tokenizer (tokenizer.json)",
            fix="convert it once with AutoTokenizer.from_pretrained(...).save_pretrained(...)",
        )


def word_pieces(tokenizer: PreTrainedTokenizerFast, sentences: Sequence[Sequence[str]]) -> list[list[Word]]:
    """Tokenise sentences that are split into words; every word has at least one token.

    The words are joined by spaces and read back by offsets, which gives byte-level BPE the space it expects
    before each word and treats all vocabularies alike. A word that yields nothing (an empty form, a control
    character) is one unknown token.
    """
    lead = "" if _reads_words_alike(tokenizer) else " "
    texts = ["".join([lead, " ".join(words)]) for words in sentences]
    bare = bare_spaces(tokenizer)
    return [
        _fill(tokenizer, words, _split(row, words, start=len(lead)), bare)
        for words, row in zip(sentences, pieces(tokenizer, texts), strict=True)
    ]


def _reads_words_alike(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether the first word of a text is tokenised as it would be after a space."""
    one, two = pieces(tokenizer, ["a", "a a"])
    return two.ids == one.ids * 2


def bare_spaces(tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Tokens that are a space and nothing else: "▁" or "Ġ" alone."""
    vocabulary = tokenizer.get_vocab()
    return frozenset(vocabulary[token] for token in _BARE_SPACES if token in vocabulary)


def _split(row: Pieces, words: Sequence[str], *, start: int) -> list[list[int]]:
    """Share out a sentence's tokens; one that covers only the space goes to the word after it."""
    shares: list[list[int]] = [[] for _ in words]
    ends: list[int] = []
    for word in words:
        start += len(word)
        ends.append(start)
        start += 1
    current = 0
    for token, (begin, end) in zip(row.ids, row.offsets, strict=True):
        while current < len(words) - 1 and _past(begin, end, ends[current]):
            current += 1
        if words:
            shares[current].append(token)
    return shares


def _past(begin: int, end: int, word_end: int) -> bool:
    """A token lies past a word when it begins at the word's end or later; "Ġ" there covers the space."""
    return begin >= word_end and end > word_end


def _fill(
    tokenizer: PreTrainedTokenizerFast,
    words: Sequence[str],
    shares: list[list[int]],
    bare: frozenset[int],
) -> list[Word]:
    """Words left without a token are read alone (a neighbour's token may have swallowed them)."""
    filled = []
    for word, ids in zip(words, shares, strict=True):
        tokens = ids or pieces(tokenizer, [word])[0].ids or [filler_id(tokenizer)]
        first = next((i for i, token in enumerate(tokens) if token not in bare), 0)
        filled.append(Word(tokens, first))
    return filled


def cap_words(words: Sequence[Word], room: int) -> list[Word]:
    """Cut single words of more than half a row (a URL, a run of dashes); their first tokens stay."""
    most = max(1, room // 2)
    return [Word(word.ids[:most], min(word.first, most - 1)) for word in words]


def windows(lengths: Sequence[int], room: int) -> Iterator[Window]:
    """Cover words of the given lengths with windows of at most `room` tokens.

    Neighbouring windows share about a quarter of a row, and each word belongs to the one where it has
    more context. A sentence that fits is one window.

    Args:
        lengths: tokens per word, each at most half of `room` (see `cap_words`).
        room: tokens per row beside special ones, at least 2.
    """
    margin, first, owned = room // 8, 0, 0
    while True:
        last, used = first, 0
        while last < len(lengths) and used + lengths[last] <= room:
            used += lengths[last]
            last += 1
        own_last = last if last == len(lengths) else max(owned + 1, _step_back(lengths, last, margin))
        yield Window(first, last, owned, own_last)
        if last == len(lengths):
            return
        owned, first = own_last, _step_back(lengths, own_last, margin)


def _step_back(lengths: Sequence[int], word: int, tokens: int) -> int:
    """The earliest word from which at most `tokens` tokens lead up to `word`."""
    while word > 0 and lengths[word - 1] <= tokens:
        word -= 1
        tokens -= lengths[word]
    return word
