"""Prompts: a task as a gap to fill, so that a language model does it with its own head.

A pattern makes a text with one gap of an example; a verbaliser says which word in the gap stands for which
label (Schick and Schütze 2021). Of a choice, the alternatives fill the gap themselves, for their words are
what tells them apart in any language, and verbalisers word the question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from isogloss.core.config import Record, Refused, parse_document, validate
from isogloss.core.errors import DataError, IsoglossError, LanguageError, RecipeError, did_you_mean
from isogloss.core.fields import EachOnce
from isogloss.core.languages import language as named
from isogloss.core.languages import original_of
from isogloss.data.records import GAP, ChoiceExample, GapExample, Kind, LabelExample

OTHER = "other"
"""Stands for every language that is not named."""

FIELDS: dict[Kind, tuple[str, ...]] = {"label": ("text", "pair"), "choice": ("premise", "question")}
"""What of an example a pattern may hold, by kind."""

_FIELD = re.compile(r"\{(\w*)\}")


def _tag(spelling: str) -> str:
    try:
        return spelling if spelling == OTHER else named(spelling).tag
    except LanguageError as error:
        raise Refused(error) from error


def _one_pattern(value: Any) -> Any:
    return {OTHER: value} if isinstance(value, str) else value


def _one_table(value: Any) -> Any:
    """Labels such as 0 and 1, which YAML reads as numbers, are text."""
    if not isinstance(value, Mapping) or not value:
        return value
    if not any(isinstance(words, Mapping) for words in value.values()):
        value = {OTHER: value}
    return {
        language: {_text(label): _text(word) for label, word in words.items()}
        if isinstance(words, Mapping)
        else words
        for language, words in value.items()
    }


def _text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _sound_pattern(pattern: str) -> str:
    if pattern.count(GAP) != 1:
        raise ValueError(f"exactly one {GAP}, which is where the answer stands")
    known = [field for fields in FIELDS.values() for field in fields]
    if strange := [name for name in _FIELD.findall(pattern) if name not in known]:
        raise Refused(
            RecipeError(
                f"the pattern has the field {{{strange[0]}}}",
                wanted=f"of {', '.join(f'{{{name}}}' for name in known)}",
                fix=did_you_mean(strange[0], known),
            )
        )
    return pattern


Language: TypeAlias = Annotated[str, AfterValidator(_tag)]
Pattern: TypeAlias = Annotated[str, AfterValidator(_sound_pattern)]
Words: TypeAlias = Annotated[dict[str, Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class Prompt(Record):
    """Patterns and verbalisers.

    Attributes:
        patterns: one for all languages, or {language: pattern}, where `other` is every language not named. A
            pattern has one `<mask>`, and of a label's example {text} and {pair}, of a choice's {premise} and
            {question}.
        verbalisers: {label: words} for all languages, or {language: {label: words}}. For choice, the words
            that {question} stands for, {cause: ..., effect: ...}; the alternatives are what fills the gap.
        score: of words of several pieces, the sum of the pieces' log-probabilities or their mean. With a
            causal model, pieces behind the gap count too.
    """

    patterns: Annotated[dict[Language, Pattern], BeforeValidator(_one_pattern), EachOnce, Field(min_length=1)]
    verbalisers: Annotated[dict[Language, Words], BeforeValidator(_one_table), EachOnce] = Field(
        default_factory=dict
    )
    score: Literal["sum", "mean"] = "sum"

    @model_validator(mode="after")
    def _labels_in_every_language(self) -> Prompt:
        for language, words in self.verbalisers.items():
            if missing := sorted({*self.labels} - {*words}):
                raise ValueError(f"verbalisers: none in {language} for {', '.join(missing)}")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """All that any language has words for, in the order met."""
        return tuple(dict.fromkeys(label for words in self.verbalisers.values() for label in words))

    def pattern(self, language: str) -> str:
        """The pattern for a language.

        Raises:
            DataError: there is none.
        """
        return str(_of(self.patterns, language, "pattern"))

    def words(self, language: str) -> Mapping[str, str]:
        """The words for each label in a language.

        Raises:
            DataError: there are none.
        """
        words: Mapping[str, str] = _of(self.verbalisers, language, "verbalisers")
        return words


def _of(table: Mapping[str, Any], language: str, what: str) -> Any:
    for key in (language, original_of(language), OTHER):
        if key in table:
            return table[key]
    raise DataError(
        f"the prompt has no {what} in {language}",
        wanted=f"one of its languages: {', '.join(table) or '(none)'}",
        fix=f"write one for {language}, or for all others under `{OTHER}`",
    )


def check_prompt(prompt: Prompt, kind: Kind, labels: Sequence[str]) -> None:
    """Refuse a prompt for another kind of task or other labels.

    Raises:
        RecipeError: the kind has no classes to tell by words, a field is not of its examples, or a label has
            no verbaliser.
    """
    if kind not in FIELDS:
        raise RecipeError(
            f"a prompt for a task of kind {kind!r}",
            wanted=f"a task of kind {' or '.join(FIELDS)}",
            fix="leave the prompt out",
        )
    for pattern in prompt.patterns.values():
        if strange := [name for name in _FIELD.findall(pattern) if name not in FIELDS[kind]]:
            raise RecipeError(
                f"the pattern {pattern!r} has the field {{{strange[0]}}}, which a {kind} example does not",
                wanted=f"of {', '.join(f'{{{name}}}' for name in FIELDS[kind])}",
            )
    if missing := [label for label in labels if label not in prompt.labels]:
        raise RecipeError(
            f"the label {missing[0]!r} has no verbaliser",
            wanted=f"words for each of: {', '.join(labels)}",
            fix=f"the prompt has words for: {', '.join(prompt.labels) or '(none)'}",
        )


def ask(example: LabelExample | ChoiceExample, prompt: Prompt, labels: Sequence[str]) -> GapExample:
    """An example as a gap: its candidates are the labels' words, in the labels' order, or the alternatives.

    Args:
        labels: for a label example; a choice's candidates are its own.

    Raises:
        DataError: nothing in the example's language, a label or question without words, a pattern with {pair}
            for an example without.
    """
    pattern = prompt.pattern(example.language)
    if isinstance(example, ChoiceExample):
        fields = {"premise": example.premise}
        if "{question}" in pattern:
            fields["question"] = _word(prompt, example.language, example.question)
        candidates = example.choices
        gold = example.answer
    else:
        fields = {"text": example.text} | ({} if example.pair is None else {"pair": example.pair})
        candidates = tuple(_word(prompt, example.language, label) for label in labels)
        gold = labels.index(example.label) if example.label in labels else None
    answers = () if gold is None else (candidates[gold],)
    return GapExample(
        example.id, example.language, _written(pattern, fields, example.id), candidates, answers
    )


def _word(prompt: Prompt, language: str, label: str) -> str:
    words = prompt.words(language)
    if label not in words:
        raise DataError(
            f"the prompt has no words in {language} for {label!r}",
            wanted=f"one of: {', '.join(words)}",
            fix="write them under `verbalisers`",
        )
    return words[label]


def _written(pattern: str, fields: Mapping[str, str], example: str) -> str:
    """In one go, so that braces in a text stay what they are."""
    missing = [name for name in _FIELD.findall(pattern) if name not in fields]
    if missing:
        raise DataError(
            f"example {example!r} has no {missing[0]}, which the pattern {pattern!r} asks for",
            fix="use a prompt for single texts, or check the file's columns",
        )
    return _FIELD.sub(lambda found: fields[found[1]], pattern)


def pieces_of(prompt: Prompt, language: str) -> tuple[str, ...]:
    """The texts of a prompt in a language, whose pieces its model has to know; () where it has none."""
    pattern = prompt.patterns.get(language, prompt.patterns.get(OTHER, ""))
    words = prompt.verbalisers.get(language, prompt.verbalisers.get(OTHER, {"": ""})).values()
    bare = _FIELD.sub("", pattern)
    return tuple(dict.fromkeys(text for word in words for text in (bare.replace(GAP, word), word) if text))


# Prompts by name


def shipped_prompts() -> dict[str, Traversable]:
    """The files of the prompts that come with isogloss, by name."""
    folder = resources.files("isogloss").joinpath("prompts")
    return {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}


def load_prompt(name: str) -> Prompt:
    """A prompt by the name of a shipped one, or from a YAML file of one's own.

    Raises:
        RecipeError: no such name or file, or something wrong in it, with its line.
    """
    if name.endswith((".yaml", ".yml")):
        try:
            text = Path(name).expanduser().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"cannot read the prompt: {error}", where=name) from error
        if not text.strip():
            raise RecipeError("the prompt is empty", wanted="`patterns:` and `verbalisers:`", where=name)
        return validate(parse_document(text, source=name), Prompt)
    shipped = shipped_prompts()
    if name not in shipped:
        raise RecipeError(
            f"no shipped prompt is called {name!r}",
            wanted=f"one of: {', '.join(sorted(shipped))}, or the path of a .yaml file",
            fix=did_you_mean(name, shipped),
        )
    return validate(parse_document(shipped[name].read_text(encoding="utf-8"), source=name), Prompt)


def _named(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return load_prompt(value)
    except IsoglossError as error:
        raise Refused(error) from error


PromptField: TypeAlias = Annotated[Prompt, BeforeValidator(_named)]
"""In a recipe: the name of a shipped prompt, a YAML file, or `patterns` and `verbalisers` in place."""
