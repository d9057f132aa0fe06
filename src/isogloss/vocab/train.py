"""New vocabularies over several languages, each with its share of the text. Equal input, equal vocabulary."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from isogloss.core.errors import DataError, RecipeError
from isogloss.vocab.folder import save_tokenizer
from isogloss.vocab.sample import Unit, plan_sampling, sampled
from isogloss.vocab.unigram import train_unigram

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VocabularyKind: TypeAlias = Literal["unigram", "wordpiece", "bpe"]
Objective: TypeAlias = Literal["masked", "causal"]
Normaliser: TypeAlias = Literal["nfc", "nfkc", "lowercase", "none"]

_COMPONENTS: dict[Normaliser, list[dict[str, Any]]] = {
    "nfc": [{"type": "NFC"}],
    "nfkc": [{"type": "NFKC"}],
    "lowercase": [{"type": "NFKC"}, {"type": "Lowercase"}],
    "none": [],
}
_ONE_SPACE = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
_METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_AS_IT_IS = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}
"""Adds nothing; transformers puts it where there is no post-processor, which would change fingerprints."""
_LEARN_FROM = 2
"""Occurrences a pair must have to be merged."""

_SENTENCEPIECE_STYLE = {
    "masked": {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "cls_token": "<s>",
        "sep_token": "</s>",
    },
    "causal": {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "</s>"},
}
_BERT_STYLE = {
    "masked": {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    "causal": {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "[SEP]", "bos_token": "[SEP]"},
}
_BYTE_STYLE = {
    "masked": _SENTENCEPIECE_STYLE["masked"],
    "causal": {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "</s>"},
}
_ROLES: dict[VocabularyKind, dict[str, dict[str, str]]] = {
    "unigram": _SENTENCEPIECE_STYLE,
    "wordpiece": _BERT_STYLE,
    "bpe": _BYTE_STYLE,
}


@dataclass(frozen=True)
class Vocabulary:
    """A trained vocabulary.

    Attributes:
        tokenizer_json: as the tokenizers library writes it.
        roles: the special token for each of transformers' roles.
        shares: the share of the training text each language had.
    """

    tokenizer_json: str
    roles: dict[str, str]
    shares: dict[str, float]

    def tokenizer(self) -> Tokenizer:
        """The tokenizer itself."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.tokenizer_json)

    def save(self, folder: Path, *, max_length: int | None = None) -> None:
        """Write the folder `AutoTokenizer` loads; `max_length` in tokens, None for no limit."""
        save_tokenizer(folder, self.tokenizer_json, roles=self.roles, max_length=max_length)


def train_vocabulary(
    corpora: Mapping[str, Iterable[str]],
    *,
    kind: VocabularyKind,
    size: int,
    objective: Objective = "masked",
    shares: Mapping[str, float] | None = None,
    budget: int | None = None,
    unit: Unit = "characters",
    normaliser: Normaliser = "nfkc",
    coverage: float = 1.0,
    seed: int = 0,
) -> Vocabulary:
    """Learn a vocabulary from several languages.

    Args:
        corpora: texts per language, readable more than once; they are streamed.
        kind: `unigram` (words begin with ▁), `wordpiece` (BERT's splitting, `##`) or `bpe` (bytes, GPT-2's
            splitting; nothing is ever unknown).
        size: entries, special tokens among them; small corpora may give fewer.
        objective: `masked` has pad, mask, cls, sep and unk, and frames a text as `cls text sep`; `causal` has
            eos and pad, and unk where something can be unknown, and adds nothing to a text.
        shares: of the training text; None: the same for every language.
        budget: text to learn from, in `unit`; a language too short for its share is read again. None: the
            most that reads no text twice.
        unit: `characters` or `bytes`.
        normaliser: Unicode form; `lowercase` is NFKC, then lower case.
        coverage: share of the letters of the text, in (0, 1], that must be in the vocabulary; the rarest
            beyond it become unknown. SentencePiece takes 0.9995. `bpe` knows every byte and does not ask.
        seed: chooses the texts of languages that are not read whole.

    Raises:
        RecipeError: size below what the alphabet needs, or shares that do not fit the corpora.
        DataError: a language has no text.
    """
    plan = plan_sampling(corpora, shares=shares, budget=budget, unit=unit)
    roles = _ROLES[kind][objective]
    described = _frame(kind, roles, objective=objective, normaliser=normaliser)
    texts = sampled(corpora, plan, seed=seed)
    described["model"] = _TRAINERS[kind](
        described, texts, size=size, coverage=coverage, specials=_specials(roles)
    )
    return Vocabulary(tokenizer_json=_rebuilt(described).to_str(), roles=dict(roles), shares=plan.realised())


def _specials(roles: Mapping[str, str]) -> list[str]:
    """Each special token once; they take the first ids."""
    return list(dict.fromkeys(roles.values()))


def _frame(
    kind: VocabularyKind, roles: Mapping[str, str], *, objective: Objective, normaliser: Normaliser
) -> dict[str, Any]:
    """tokenizer.json without its model."""
    spaces = [_ONE_SPACE] if kind == "unigram" else []
    splitting = {
        "unigram": (_METASPACE, _METASPACE),
        "wordpiece": ({"type": "BertPreTokenizer"}, {"type": "WordPiece", "prefix": "##", "cleanup": True}),
        "bpe": (_BYTE_LEVEL, _BYTE_LEVEL),
    }[kind]
    specials = _specials(roles)
    template = _template(roles, specials) if objective == "masked" else _AS_IT_IS
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(index, token) for index, token in enumerate(specials)],
        "normalizer": {"type": "Sequence", "normalizers": [*_COMPONENTS[normaliser], *spaces]},
        "pre_tokenizer": splitting[0],
        "post_processor": {"type": "Sequence", "processors": [_BYTE_LEVEL, template]}
        if kind == "bpe"
        else template,
        "decoder": splitting[1],
    }


def _added(index: int, token: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": index, "content": token, **flags, "special": True}


def _template(roles: Mapping[str, str], specials: list[str]) -> dict[str, Any]:
    """`cls A sep`, and `cls A sep B sep` with the second part of type 0: our encoders read no types."""
    cls, sep = roles["cls_token"], roles["sep_token"]

    def special(token: str) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": 0}}

    def sequence(name: str) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": 0}}

    single = [special(cls), sequence("A"), special(sep)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, sequence("B"), special(sep)],
        "special_tokens": {
            token: {"id": token, "ids": [specials.index(token)], "tokens": [token]} for token in (cls, sep)
        },
    }


def _rebuilt(described: Mapping[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(described))


def _empty(described: Mapping[str, Any], model: dict[str, Any]) -> Tokenizer:
    """The frame around a model that has learnt nothing yet."""
    return _rebuilt({**described, "added_tokens": [], "post_processor": None, "model": model})


def _unigram_model(
    described: Mapping[str, Any], texts: Iterator[str], *, size: int, coverage: float, specials: list[str]
) -> dict[str, Any]:
    normalise = _normalise(described)
    words: Counter[str] = Counter()
    for text in texts:
        words.update(normalise(text).split(" "))
    del words[""]
    words = _covered(words, coverage)
    pieces = train_unigram({f"▁{word}": count for word, count in words.items()}, size=size - len(specials))
    learnt = [(piece, score) for piece, score in pieces if piece not in specials]
    _require_room(len(specials) + len(learnt), size)
    vocabulary = [*((token, 0.0) for token in specials), *learnt]
    return {"type": "Unigram", "unk_id": specials.index("<unk>"), "vocab": vocabulary, "byte_fallback": False}


def _wordpiece_model(
    described: Mapping[str, Any], texts: Iterator[str], *, size: int, coverage: float, specials: list[str]
) -> dict[str, Any]:
    """BERT's vocabulary, learnt as BPE on `##` pieces.

    The library numbers the letters inside words in the order of a random hash map and breaks ties by these
    numbers. Given to it as special tokens they come first, sorted, and the result is always the same.
    """
    from tokenizers.trainers import WordPieceTrainer

    unknown = specials[1]
    empty = {"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##"}
    tokenizer = _empty(described, {**empty, "max_input_chars_per_word": 100, "vocab": {unknown: 0}})
    words = _covered(_split_words(tokenizer, texts), coverage)
    alphabet = sorted({letter for word in words for letter in word})
    inside = sorted({f"##{letter}" for word in words for letter in word[1:]})
    _require_room(len(specials) + len(alphabet) + len(inside), size)
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=_LEARN_FROM,
        special_tokens=[*specials, *inside],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    learnt: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return learnt


def _bpe_model(
    described: Mapping[str, Any], texts: Iterator[str], *, size: int, coverage: float, specials: list[str]
) -> dict[str, Any]:
    """Bytes; `coverage` has nothing to leave out."""
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    _require_room(len(specials) + 256, size)
    tokenizer = _empty(described, {"type": "BPE", "vocab": {}, "merges": []})
    trainer = BpeTrainer(
        vocab_size=size,
        min_frequency=_LEARN_FROM,
        special_tokens=specials,
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learnt: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return learnt


_TRAINERS: dict[VocabularyKind, Callable[..., dict[str, Any]]] = {
    "unigram": _unigram_model,
    "wordpiece": _wordpiece_model,
    "bpe": _bpe_model,
}


def _normalise(described: Mapping[str, Any]) -> Callable[[str], str]:
    blank = {"type": "WordLevel", "vocab": {"": 0}, "unk_token": ""}
    normaliser = _empty(described, blank).normalizer
    return lambda text: str(normaliser.normalize_str(text))


def _split_words(tokenizer: Tokenizer, texts: Iterator[str]) -> Counter[str]:
    words: Counter[str] = Counter()
    for text in texts:
        normalised = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalised))
    return words


def _repeated(words: Mapping[str, int]) -> Iterator[str]:
    """The words as text again, sorted, as often as they occurred, a thousand to a line."""
    for word, count in sorted(words.items()):
        for done in range(0, count, 1000):
            yield " ".join([word] * min(1000, count - done))


def _covered(words: Counter[str], coverage: float) -> Counter[str]:
    """The words without rare letters: the fewest letters that make up `coverage` of the text are kept."""
    letters: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            letters[letter] += count
    if not letters:
        raise DataError(
            "the corpora hold no word",
            wanted="text in every language of the vocabulary",
            fix="check the paths, the columns they are read from, and that the budget holds more than a word",
        )
    room = letters.total() * (1 - coverage)
    dropped: set[str] = set()
    for letter, count in sorted(letters.items(), key=lambda item: (item[1], item[0])):
        room -= count
        if room < 0:
            break
        dropped.add(letter)
    return Counter({word: count for word, count in words.items() if dropped.isdisjoint(word)})


def _require_room(needed: int, size: int) -> None:
    if needed > size:
        raise RecipeError(
            f"a vocabulary of {size:,} entries",
            wanted=f"at least {needed:,}: special tokens and every letter of the text have one each",
            fix="raise the size, or lower coverage (SentencePiece takes 0.9995) to leave rare letters out",
        )
