"""From measured numbers to advice: which numbers are weak, what that means, and what to try.

Pure functions over the facts of audit.json. Limits are a table, rules are a table, and each piece of advice
names the numbers it rests on. Where nothing is weak, nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from isogloss.core.errors import LanguageError
from isogloss.core.languages import language
from isogloss.models.architecture import FamilyName

Facts: TypeAlias = Mapping[str, Any]
Triples: TypeAlias = Mapping[str, Sequence[float | None]]
Recipe: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Limit:
    """Where a number begins to be weak.

    Attributes:
        side: the weak side.
        bound: a language is weak when its whole interval lies beyond it; without an interval, the number.
        why: where the bound comes from.
    """

    side: Literal["above", "below"]
    bound: float
    why: str

    def beyond(self, triple: Sequence[float | None]) -> bool:
        """Whether a number with its interval (value, low, high) is weak; chance alone is not enough."""
        value, low, high = triple
        nearest = (low if self.side == "above" else high) if low is not None else value
        if nearest is None or math.isnan(nearest):
            return False
        return nearest > self.bound if self.side == "above" else nearest < self.bound

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        return asdict(self)


LIMITS: dict[str, Limit] = {
    "unknown_rate": Limit(
        "above", 0.01, "a rule of thumb: one token in a hundred says nothing of what stood there"
    ),
    "premium": Limit(
        "above",
        1.5,
        "a rule of thumb: half as many tokens again for the same sentences, so a third less fits",
    ),
    "parity": Limit("below", 0.8, "a rule of thumb: a quarter more bits for the same sentences"),
    "retrieval": Limit("below", 0.5, "a rule of thumb: a sentence finds its translation less often than not"),
    "gradient": Limit(
        "below", 0.0, "gradients that point against each other conflict (Yu et al., 2020, 2001.06782)"
    ),
    "behind": Limit("above", 0.05, "a rule of thumb: five points behind the source"),
}
"""By measure. Numbers that are not here are compared by nobody: bits per byte, because a byte is a letter in
one script and a third of one in another; fertility, because words differ."""

WORTH_TRIMMING = 0.2
"""A rule of thumb: the share of the parameters that trimming must save, rows still unseen left in."""


ENOUGH_TOKENS = 30_000
"""A rule of thumb: tokens of each language to count before anything is said of rows that nobody uses. From so
many, Chao's estimate came to 57 to 72 % of the rows that English, Swahili and Hindi use in millions
(docs/log.md)."""


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Attributes:
        rule: its name in `RULES`.
        title: what to try, in a few words.
        languages: whom it is for, tags; empty where it is for the model.
        means: what was found, and what that means.
        evidence: the numbers, one line each.
        remedy: what to try, and why that may help.
        command: to type, with FILE where a file of the reader's belongs; None where there is no such.
        recipe: to save as `try.yaml` first; None where the command needs none.
    """

    rule: str
    title: str
    languages: tuple[str, ...]
    means: str
    evidence: tuple[str, ...]
    remedy: str
    command: str | None = None
    recipe: Recipe | None = None

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        return {**asdict(self), "languages": list(self.languages), "evidence": list(self.evidence)}


def weak(measures: Mapping[str, Triples], *, source: str) -> dict[str, list[str]]:
    """By measure that has a limit, the languages beyond it.

    To say that a token is unknown takes few bits, so a language with too many of them would seem well known:
    of such a one, and where the source is one of all, parity says nothing.
    """
    found = {
        name: [tag for tag, triple in measures[name].items() if limit.beyond(triple)]
        for name, limit in LIMITS.items()
        if name in measures
    }
    unknown = set(found.get("unknown_rate", ()))
    if "parity" in found:
        found["parity"] = [tag for tag in found["parity"] if not {tag, source} & unknown]
    return found


def advise(facts: Facts, recipe: Mapping[str, Any]) -> list[Advice]:
    """What the rules have to say, in their order; [] where nothing is weak.

    Args:
        facts: `measures` and `model`, and `vocabulary` and `task` where they were measured, as in audit.json.
        recipe: of the audit, resolved: what was read cannot be learnt from.
    """
    found = weak(facts["measures"], source=facts["source"])
    case = _Case(facts, recipe, {name: set(tags) for name, tags in found.items()})
    return [advice for rule in RULES.values() if (advice := rule(case)) is not None]


@dataclass(frozen=True)
class _Case:
    """What a rule looks at: numbers, and which languages are weak by which."""

    facts: Facts
    recipe: Mapping[str, Any]
    weak: Mapping[str, set[str]]

    @property
    def measures(self) -> Mapping[str, Triples]:
        return self.facts["measures"]

    @property
    def source(self) -> str:
        return str(self.facts["source"])

    def measured(self, name: str) -> bool:
        return bool(self.measures.get(name))

    def weak_in(self, name: str) -> set[str]:
        return set(self.weak.get(name, ()))

    def in_order(self, tags: Iterable[str]) -> tuple[str, ...]:
        """With those that only the task was tested in last."""
        chosen = set(tags)
        every = dict.fromkeys([*self.facts["languages"], *self.measures.get("score", {})])
        return tuple(tag for tag in every if tag in chosen)

    def line(self, name: str, tags: Sequence[str]) -> str:
        """One measure of some languages in words, the weakest first; of many the first few and the last."""
        label, shown = _SHOWN[name]
        sign = -1 if LIMITS[name].side == "above" else 1
        values = {tag: triple[0] or 0.0 for tag, triple in self.measures[name].items() if tag in tags}
        ordered = sorted(values, key=lambda tag: sign * values[tag])
        told = [f"{_name(tag)} {shown(values[tag])}" for tag in ordered]
        if len(told) > _NAMED + 1:
            told[_NAMED:] = [f"{len(told) - _NAMED} more up to {told[-1]}"]
        return f"{label}: {', '.join(told)}"

    def shared_pieces(self) -> tuple[str, ...]:
        """A word on retrieval that no layer improves."""
        layers = self.facts.get("layers") or {}
        if layers.get("best") != 0:
            return ()
        return (
            "best before any layer, at the embeddings: found by pieces that languages share, such as names",
        )

    def pretraining(self, tags: Sequence[str], **more: Any) -> Recipe:
        """A recipe of pretraining in these languages, FILE for files of the reader's."""
        corpora = {tag: [f"FILE.{tag}.txt"] for tag in tags}
        return {"method": "pretrain", **more, "corpora": corpora}


def _vocabulary(case: _Case) -> Advice | None:
    """Another vocabulary, where one costs a language too much."""
    names = ("unknown_rate", "premium")
    tags = case.in_order(set().union(*(case.weak_in(name) for name in names)))
    if not tags:
        return None
    evidence = [case.line(name, case.in_order(case.weak_in(name))) for name in names if case.weak_in(name)]
    return Advice(
        "vocabulary",
        "another vocabulary",
        tags,
        f"The vocabulary cuts {_names(tags)} into too many pieces or does not know their letters: less text "
        "fits in a row, the same sentence costs more, and what is unknown is lost.",
        tuple(evidence),
        "Train a vocabulary on text with the same share of each language, and a model with it; what the old "
        "model knows goes over only through its text, by distillation or by training again.",
        **_new_model(case),
    )


def _new_model(case: _Case) -> dict[str, Any]:
    """Of all languages, the weak and the others: it begins anew."""
    model = case.facts["model"]
    known = model["family"] in get_args(FamilyName)
    if not known or model["objective"] == "seq2seq" or model.get("tokenizers", 1) > 1:
        return {}
    longest = min(model["max_length"] or 512, 512)
    sizes = {key: model[key] for key in ("hidden", "layers", "heads")}
    recipe = case.pretraining(
        [case.source, *(tag for tag in case.facts["languages"] if tag != case.source)],
        architecture={"family": model["family"], **sizes, "max_length": longest},
        vocabulary={"kind": "unigram", "size": model["vocabulary"]},
        objective=model["objective"],
        length=min(longest, 128),
        mixture={"kind": "tempered", "alpha": 0.3},
    )
    return {"command": "isogloss run try.yaml", "recipe": recipe}


def _data(case: _Case) -> Advice | None:
    """More text, where a language is told badly and stands apart."""
    both = case.measured("parity") and case.measured("retrieval")
    parity, retrieval = case.weak_in("parity"), case.weak_in("retrieval")
    tags = case.in_order(parity & retrieval if both else parity | retrieval)
    if not tags:
        return None
    names = [name for name in ("parity", "retrieval", "behind") if case.weak_in(name) & set(tags)]
    return Advice(
        "data",
        "more data",
        tags,
        _knows_little(case, tags),
        (*(case.line(name, tags) for name in names), *case.shared_pieces()),
        f"Go on pretraining on a mixture of these languages with {_name(case.source)}, small ones raised. "
        "Levelling and distillation share out what a model knows, and add nothing to it.",
        **_more_text(case, tags),
    )


def _knows_little(case: _Case, tags: Sequence[str]) -> str:
    bits = f"it takes more bits to tell the same sentences than in {_name(case.source)}"
    apart = "their sentences do not lie near their translations"
    if not case.measured("parity"):
        return (
            f"The model may know little of {_names(tags)}: {apart}. How well it tells them was not measured, "
            "which would say more."
        )
    known = f"The model knows little of {_names(tags)}: {bits}"
    return f"{known}, and {apart}." if case.measured("retrieval") else f"{known}."


def _more_text(case: _Case, tags: Sequence[str]) -> dict[str, Any]:
    model = case.facts["model"]
    if model["objective"] == "seq2seq":
        return {}
    recipe = case.pretraining(
        [case.source, *(tag for tag in tags if tag != case.source)],
        model=model["source"] if model["language_model"] else "FOLDER of the model it was tuned from",
        objective=model["objective"],
        mixture={"kind": "tempered", "alpha": 0.3},
        length=min(model["max_length"] or 128, 128),
        training={"steps": 10_000, "learning_rate": 1e-4},
    )
    return {"command": "isogloss run try.yaml", "recipe": recipe}


def _apart(case: _Case) -> Advice | None:
    """A language that is told well and yet stands apart from the source."""
    if not (case.measured("parity") and case.measured("retrieval")):
        return None
    unknown = case.weak_in("unknown_rate")
    tags = case.in_order(case.weak_in("retrieval") - case.weak_in("parity") - unknown)
    if not tags or case.source in unknown:
        return None
    return Advice(
        "apart",
        "join what stands apart",
        tags,
        f"The model tells {_names(tags)} nearly as well as {_name(case.source)}, but their sentences do not "
        f"lie near their translations: what it learns in {_name(case.source)} will hardly reach them.",
        (case.line("retrieval", tags), *case.shared_pieces(), case.line("parity", tags)),
        "More text of each by itself need not join them. Give the task's labels in these languages too, or "
        "level the task on items that stand in all of them, and look at the gains and harms it reports.",
        command=_level_command(case, tags),
    )


def _level(case: _Case) -> Advice | None:
    """Levelling, where a language does the task worse than the source."""
    tags = case.in_order(case.weak_in("behind"))
    if not tags:
        return None
    compared = set(tags) & set(case.measures.get("retrieval", ()))
    near = case.in_order(compared - case.weak_in("retrieval"))
    aligned = (
        f" {_names(near)} lie near it in the model, which knows more than it shows there." if near else ""
    )
    return Advice(
        "level",
        "level",
        tags,
        f"{_names(tags)} do the task worse than {_name(case.source)}.{aligned}",
        tuple(case.line(name, tags) for name in ("behind", *(["retrieval"] if compared else []))),
        "Let the languages that do it well teach the others, on items without labels that stand in all of "
        "them. It has helped languages that stand apart too, and it tells which it harmed.",
        command=_level_command(case, tags),
    )


def _level_command(case: _Case, tags: Sequence[str]) -> str | None:
    """Of the task that was scored, or of one to be named."""
    task = case.facts.get("task") or {}
    model = task.get("tuned") or case.facts["model"]["source"]
    given = [case.source, *(tag for tag in tags if tag != case.source)]
    files = " ".join(f"--unlabelled {tag}=FILE" for tag in given)
    options = f"--task {task.get('task', 'TASK')} --source {case.source} {files} --train {case.source}=FILE"
    if case.recipe.get("prompt") is not None:
        options += " --prompt PROMPT"
    if model == case.facts["model"]["source"] and not task:
        model = "TASK_MODEL"
    return f"isogloss level {model} {options}"


def _conflict(case: _Case) -> Advice | None:
    """A delta of its own, where a language's gradient points against the source's."""
    tags = case.in_order(case.weak_in("gradient"))
    if not tags:
        return None
    return Advice(
        "conflict",
        "a delta for each language",
        tags,
        f"What would make the model better in {_names(tags)} makes it worse in {_name(case.source)}: "
        "trained together, they take from each other.",
        (case.line("gradient", tags),),
        "Go on from the model sparsely, a language at a time: few entries move, and can be taken off again. "
        "`finetune: {deltas: …}` then learns a task beside them and tests each language in its own.",
        **_delta(case, tags),
    )


def _delta(case: _Case, tags: Sequence[str]) -> dict[str, Any]:
    model = case.facts["model"]
    if model["objective"] == "seq2seq" or not model["language_model"]:
        return {}
    recipe = case.pretraining(
        tags[:1],
        model=model["source"],
        objective=model["objective"],
        sparse={"density": 0.043},
        length=min(model["max_length"] or 128, 128),
        training={"steps": 10_000, "learning_rate": 5e-5},
    )
    return {"command": "isogloss run try.yaml", "recipe": recipe}


def _trim(case: _Case) -> Advice | None:
    """Trimming, where much of the model is rows that these languages do not use."""
    found = case.facts.get("vocabulary")
    if not found or found["expected"] is None or min(found["tokens"].values()) < ENOUGH_TOKENS:
        return None
    saved = 1 - found["parameters"]["expected"] / found["parameters"]["now"]
    if saved < WORTH_TRIMMING:
        return None
    tags = tuple(case.facts["languages"])
    megabytes = {name: number / 1e6 for name, number in found["bytes"].items()}
    counted = sum(found["tokens"].values())
    return Advice(
        "trim",
        "trim or distil",
        (),
        f"Most of what these {len(tags)} languages do not use of the vocabulary could go, and nothing else "
        "would change.",
        (
            f"rows used in {counted:,} tokens: {found['kept']:,} of {found['rows']:,}; with those still "
            f"unseen, by Chao's estimate, which is a lower bound, {found['expected']:,}",
            f"in float32: {megabytes['now']:.1f} MB now, {megabytes['expected']:.1f} MB with these rows, "
            f"up to {megabytes['now'] - megabytes['expected']:.1f} MB less",
        ),
        "Count on as much text as there is, for rare pieces; the certificate says what changed on text that "
        "was not counted. For a smaller model still, `distil` takes layers and width too.",
        command=_trim_command(case, tags),
    )


def _trim_command(case: _Case, tags: Sequence[str]) -> str:
    text = case.recipe.get("text") or {}
    counted = " ".join(f"--corpus {tag}=FILE" for tag in tags)
    unseen = " ".join(f"--held-out {tag}={next(iter(text.get(tag, ())), 'FILE')}" for tag in tags)
    return f"isogloss trim {case.facts['model']['source']} {counted} {unseen} --out trimmed"


RULES: dict[str, Callable[[_Case], Advice | None]] = {
    "vocabulary": _vocabulary,
    "data": _data,
    "apart": _apart,
    "level": _level,
    "conflict": _conflict,
    "trim": _trim,
}
"""In the order in which advice is given: what stands in the way of everything else first."""


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} points"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


_SHOWN: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "unknown_rate": ("unknown tokens", _percent),
    "premium": ("tokens for the same sentences, of the source's", _two),
    "parity": ("bits of the source over bits of the language, same sentences", _two),
    "retrieval": ("sentences that find their translation, both ways", _percent),
    "behind": ("behind the source", _points),
    "gradient": ("cosine of gradients with the source", _two),
}


_NAMED = 6  # languages that a sentence has room for


def _name(tag: str) -> str:
    try:
        return language(tag).name
    except LanguageError:  # a language made here, such as a clone
        return tag


def _names(tags: Sequence[str]) -> str:
    names = [_name(tag) for tag in tags]
    if len(names) > _NAMED + 1:
        names[_NAMED:] = [f"{len(names) - _NAMED} other languages"]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
