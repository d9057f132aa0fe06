"""Recipes: frozen records read from YAML, with errors that point at the line.

A recipe file becomes a `Document` (values and the line each stands on), overrides are laid over it, and
`validate` turns it into a frozen pydantic record. Unknown keys are refused with the nearest known one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from isogloss.core.errors import IsoglossError, RecipeError, did_you_mean, nearest

KeyPath: TypeAlias = tuple[str | int, ...]
Details: TypeAlias = Any  # one of pydantic's error dictionaries


class Record(BaseModel):
    """Base of everything a recipe holds: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


RecordType = TypeVar("RecordType", bound=Record)


class Refused(ValueError):
    """What a validator raises to keep the three parts of an error of ours.

    pydantic collects ValueErrors and no others.
    """

    def __init__(self, error: IsoglossError, *, key: str = "") -> None:
        """Args:
        error: what is wrong.
        key: dotted, of the part of the value that it is about; "" for the value itself.
        """
        self.error, self.path = error, tuple(filter(None, key.split(".")))
        super().__init__(" ".join(filter(None, (error.got, error.fix))))


@dataclass(frozen=True)
class Document:
    """A recipe as written.

    Attributes:
        values: the YAML mapping as plain Python.
        origins: for each key path, where it came from: `recipe.yaml:7` or `--set phase1.steps=10`.
        source: the file's path, or a name for text that has none.
    """

    values: dict[str, Any]
    origins: dict[KeyPath, str] = field(default_factory=dict)
    source: str = "recipe"

    def where(self, path: KeyPath) -> str:
        """The origin of the longest known beginning of a key path, with the dotted path."""
        known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in self.origins), ())
        origin = self.origins.get(known, self.source)
        return f"{origin}  {dotted(path)}" if path else origin


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of plain scalars: `no` is Norwegian, not false, and `1e-4` is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith((":bool", ":timestamp", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$"),
    list("-+0123456789."),
)


def read_document(path: Path) -> Document:
    """Read a recipe file.

    Raises:
        RecipeError: no such file, not UTF-8, not YAML, a key given twice, or not a mapping at the top.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(
            f"cannot read the recipe: {error.strerror}",
            fix=f"{_nearest_file(path)}`isogloss recipes` lists the ones that come with isogloss",
            where=str(path),
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"byte {error.start} is not UTF-8", fix="save the recipe as UTF-8", where=str(path)
        ) from error
    return parse_document(text, source=str(path))


def _nearest_file(path: Path) -> str:
    names = [entry.name for entry in path.parent.glob("*.y*ml")]
    close = nearest(path.name, names)
    return f"did you mean {str(path.with_name(close))!r}? " if close else ""


def parse_document(text: str, *, source: str = "recipe") -> Document:
    """`read_document` for text already in hand; `source` names it in errors."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"not YAML: {error.problem}", where=f"{source}{line}") from error
    if not isinstance(node, yaml.MappingNode):
        raise RecipeError(
            "the recipe is empty" if node is None else "the recipe is not a mapping of keys to values",
            wanted="`key: value` lines, the first of them `method: …`",
            fix="`isogloss recipes show tiny/pretrain` prints an example",
            where=source,
        )
    origins = {path: f"{source}:{line}" for path, line in _key_lines(node, (), source)}
    loader = _Loader("")
    values: dict[str, Any] = loader.construct_document(node)
    return Document(values, origins, source)


def _key_lines(node: yaml.Node, path: KeyPath, source: str) -> Iterator[tuple[KeyPath, int]]:
    """Each key path below a node with its 1-based line; a key given twice is an error."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise RecipeError(
                    f"the key {key.value!r} is given twice", fix="keep one", where=f"{source}:{line}"
                )
            seen.add(key.value)
            yield (*path, key.value), line
            yield from _key_lines(value, (*path, key.value), source)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line + 1
            yield from _key_lines(item, (*path, index), source)


def override(document: Document, assignments: Iterable[str]) -> Document:
    """Lay `--set` assignments (`phase1.steps=10`, values in YAML) over a document.

    Raises:
        RecipeError: no `=`, or a path that runs through something that is not a mapping or list.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not all(name.strip().split(".")):
            raise RecipeError(
                f"--set {assignment}", wanted="--set dotted.key=value", fix="for example --set seed=1"
            )
        origin = f"--set {assignment}"
        value = _value(text, assignment)
        document = lay_over(document, key_path(name), value, origins={(): origin})
    return document


def key_path(dotted_key: str) -> KeyPath:
    """`phase1.steps` as `("phase1", "steps")`; a part in digits is a place in a list."""
    return tuple(int(part) if part.isdigit() else part for part in dotted_key.strip().split("."))


def lay_over(
    document: Document, path: KeyPath, value: Any, *, origins: Mapping[KeyPath, str] | None = None
) -> Document:
    """A document with another value at a key path; mappings that lead there are made where there are none.

    Args:
        path: at least one key.
        value: plain Python, as YAML gives it.
        origins: where the value and the parts of it came from, by their paths inside it; () is the value's.

    Raises:
        RecipeError: the path runs through an entry that a list does not have.
    """
    origins = origins or {}
    values = json.loads(json.dumps(document.values))
    origin = origins.get((), document.source)
    _assign(values, path, json.loads(json.dumps(value)), origin)
    kept = {known: place for known, place in document.origins.items() if known[: len(path)] != path}
    for depth in range(1, len(path)):
        kept.setdefault(path[:depth], origin)
    kept |= {(*path, *inner): place for inner, place in origins.items()}
    return Document(values, kept, document.source)


def part(document: Document, path: KeyPath) -> Document:
    """The mapping at a key path as a document of its own, which knows the lines it stands on."""
    values: Any = document.values
    for key in path:
        values = values[key]
    return Document(values, origins_below(document, path), document.source)


def origins_below(document: Document, path: KeyPath) -> dict[KeyPath, str]:
    """The origins of a value and its parts, by their paths inside it; () is the value's own."""
    depth = len(path)
    return {known[depth:]: origin for known, origin in document.origins.items() if known[:depth] == path}


def _value(text: str, assignment: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"--set {assignment}: the value is not YAML",
            wanted="a number, a word, or a list such as [1, 2]",
            fix="close its brackets and quotes; put the whole argument in quotes for the shell",
        ) from error


def _assign(values: Any, keys: KeyPath, value: Any, origin: str) -> None:
    for depth, key in enumerate(keys[:-1]):
        if isinstance(values, list):
            _check_index(values, key, keys[: depth + 1], origin)
            values = values[int(key)]
        else:
            if not isinstance(values.get(key), dict | list):
                values[key] = {}
            values = values[key]
    if isinstance(values, list):
        _check_index(values, keys[-1], keys, origin)
    values[keys[-1]] = value


def _check_index(values: list[Any], key: str | int, path: KeyPath, origin: str) -> None:
    if not isinstance(key, int) or key >= len(values):
        raise RecipeError(
            f"{dotted(path)} is not an entry of the list, which has {len(values)}",
            wanted=f"a number from 0 to {len(values) - 1}",
            where=origin,
        )


def validate(document: Document, schema: type[RecordType]) -> RecordType:
    """The document as a frozen record.

    Raises:
        RecipeError: every key that is unknown, missing or of the wrong type, each with its line.
    """
    try:
        return schema.model_validate(document.values)
    except ValidationError as error:
        problems = [_problem(document, schema, details) for details in error.errors()]
        merged = _merged(problems)
        raise several(merged) from None


def several(problems: Sequence[RecipeError]) -> RecipeError:
    """One error that tells of one problem or more."""
    return problems[0] if len(problems) == 1 else _Several(problems)


def problems_of(error: RecipeError) -> Sequence[RecipeError]:
    """The problems that one error tells of."""
    return error.problems if isinstance(error, _Several) else [error]


def _merged(problems: Sequence[RecipeError]) -> list[RecipeError]:
    """A value that fits no member of a union is one problem, though pydantic tells one for each member."""
    merged: dict[tuple[str, str | None], RecipeError] = {}
    for problem in problems:
        key = problem.got, problem.where
        if key in merged and merged[key].wanted != problem.wanted:
            before = merged[key]
            wanted = f"{before.wanted}; or {problem.wanted}"
            merged[key] = RecipeError(before.got, wanted=wanted, fix=before.fix, where=before.where)
        merged.setdefault(key, problem)
    return list(merged.values())


class _Several(RecipeError):
    """Problems of one recipe, told one after another."""

    def __init__(self, problems: Sequence[RecipeError]) -> None:
        self.problems = problems
        first = problems[0]
        super().__init__(first.got, wanted=first.wanted, fix=first.fix, where=first.where)

    def message(self) -> str:
        return "\n".join(problem.message() for problem in self.problems)


def _problem(document: Document, schema: type[Record], details: Details) -> RecipeError:
    """One pydantic error in our three parts."""
    path = _document_path(document, details)
    where = document.where(path)
    kind, given = details["type"], details["input"]
    if kind == "extra_forbidden":
        known = _known_keys(schema, details["loc"][:-1])
        return RecipeError(f"unknown key {path[-1]!r}", fix=did_you_mean(str(path[-1]), known), where=where)
    if kind == "missing":
        return RecipeError(f"the key {path[-1]!r} is missing", wanted=f"{path[-1]}: …", where=where)
    if kind == "value_error":
        return _refusal(document, path, details["ctx"]["error"], given)
    return RecipeError(
        f"{_shown(given)} is not allowed here",
        wanted=_wanted(details),
        fix=_nearest_choice(details),
        where=where,
    )


def _refusal(document: Document, path: KeyPath, error: ValueError, given: Any) -> RecipeError:
    """What one of our own validators said: of a value, or of several keys that do not go together."""
    if isinstance(error, Refused):
        told = error.error
        return RecipeError(
            told.got, wanted=told.wanted, fix=told.fix, where=document.where((*path, *error.path))
        )
    if not isinstance(given, dict):
        return RecipeError(
            f"{_shown(given)} is not allowed here", wanted=str(error), where=document.where(path)
        )
    named = re.match(r"[\w.]+(?=(?:, [\w.]+)*: )", str(error))
    keys = tuple(named[0].split(".")) if named else ()
    return RecipeError(str(error), where=document.where((*path, *keys)))


_WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "dict_type": "`key: value` pairs",
    "model_type": "`key: value` pairs",
    "tuple_type": "a list",
    "list_type": "a list",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length}, not {actual_length}",
    "too_long": "at most {max_length}, not {actual_length}",
    "literal_error": "one of {expected}",
    "union_tag_invalid": "{discriminator}: one of {expected_tags}",
    "union_tag_not_found": "the key {discriminator}, which says what it is",
}
"""What pydantic wants, in a recipe's words."""


def _wanted(details: Details) -> str:
    told = _WANTED.get(details["type"])
    return told.format(**details.get("ctx", {})) if told else _lower_first(str(details["msg"]))


def _nearest_choice(details: Details) -> str:
    """The nearest of the names that a value could have been."""
    context, given = details.get("ctx", {}), details["input"]
    if details["type"] == "union_tag_invalid":
        given = context["tag"]
    names = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags") or ""))
    close = nearest(str(given), names)
    return f"did you mean {close!r}?" if close else ""


def _document_path(document: Document, details: Details) -> KeyPath:
    """pydantic's location without the names of union members, which no recipe holds."""
    path: KeyPath = ()
    value: Any = document.values
    for part in details["loc"]:
        if isinstance(value, dict) and part in value:
            path, value = (*path, part), value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            path, value = (*path, part), value[part]
    return (*path, details["loc"][-1]) if details["type"] == "missing" else path


def _known_keys(schema: type[Record], location: KeyPath) -> list[str]:
    """The keys of the record at a location, or [] where the way leads through something unusual."""
    current: list[type[Record]] = [schema]
    for part in location:
        fields = [model.model_fields[part] for model in current if part in model.model_fields]
        if fields:
            current = [found for f in fields for found in _records_in(f.annotation)]
        else:
            current = [model for model in current if _answers_to(model, part)] or current
    return sorted({name for model in current for name in model.model_fields})


def _answers_to(model: type[Record], tag: str | int) -> bool:
    """Whether pydantic names this member of a union by the tag: its class name or its `method`."""
    method = model.model_fields.get("method")
    return model.__name__ == tag or (method is not None and method.default == tag)


def _records_in(annotation: Any) -> list[type[Record]]:
    """Every record class that an annotation mentions: itself, in a union, a list or a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return [annotation]
    return [found for part in get_args(annotation) for found in _records_in(part)]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def dotted(path: KeyPath) -> str:
    """`("phase1", "steps")` as `phase1.steps`."""
    return ".".join(str(part) for part in path)


def to_yaml(record: Record) -> str:
    """A record with every default written out; reading it back gives an equal record."""
    text: str = yaml.safe_dump(record.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def recipe_hash(record: Record) -> str:
    """The identity of an experiment: a hash of the resolved recipe, 16 hex digits."""
    canonical = json.dumps(record.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
