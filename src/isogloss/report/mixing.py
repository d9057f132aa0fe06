"""Pretrained mixtures as their figures need them: who had how much, and what came of it; seeds together.

Read from run folders alone. Runs that differ in nothing but seed and name are one *setting*.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isogloss.core.run import RunRecord
from isogloss.report.measurements import Measurement, in_order, measurements, numbered
from isogloss.report.tables import score_tables

PHASE = "pretrain"
_NOT_SETTINGS = ("seed", "name", "as_name")
_NAME = re.compile(r"^\d{4}-\d\d-\d\d-|-seed-\d+(?=(-\d+)?$)")


@dataclass(frozen=True)
class Transfer:
    """Test scores of a task that a pretrained model was fine-tuned on.

    Attributes:
        source: the language of the labels; None where there are several.
        scores: by language, as fractions.
    """

    task: str
    metric: str
    source: str | None
    scores: Mapping[str, float]


@dataclass(frozen=True)
class MixedRun:
    """One pretraining on one language or several.

    Attributes:
        name: of its folder, or of its pipeline's.
        stage: what its pipeline calls it; "" for a run of its own.
        setting: the same for runs that differ in seed and name only.
        model: the same for models of one shape, whatever their vocabulary.
        shape: what to call that; two shapes may be called the same.
        tokens: that each language had, by the ledger.
        perplexity: on test text, by language; of a masked model that of its masked tokens, where it has one.
        bytes_per_token: of that text, by language, where its bits per byte are known: the same where it was
            cut into the same pieces.
        protocols: by which windows that was measured, in words; "" for text scored document by document.
        aligned: measurements on texts that say the same in each language.
        anchors: of clones, the share of the pieces that they have in common; of vocabularies that were
            joined, the share of the text that such pieces make up. None where nothing says so.
        cloned: whether it has clones.
        asked: the share of each language that the mixture aimed at, in the end where it changes.
        schedule: how its shares change while it learns; "" where they stay.
        transfers: of models fine-tuned from it.
    """

    name: str
    stage: str
    setting: str
    model: str
    shape: str
    tokens: Mapping[str, float]
    perplexity: Mapping[str, float]
    bytes_per_token: Mapping[str, float]
    protocols: Mapping[str, str]
    aligned: tuple[Measurement, ...]
    anchors: float | None
    cloned: bool
    asked: Mapping[str, float]
    schedule: str
    transfers: tuple[Transfer, ...]

    @property
    def total(self) -> float:
        """Tokens of all languages."""
        return sum(self.tokens.values())

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that had a token."""
        return tuple(tag for tag, count in self.tokens.items() if count > 0)

    @property
    def mixture(self) -> str:
        """Its shares in percent, or how they change: "90/10", "stages 0.1_0.9"."""
        asked = self.asked or {tag: self.share(tag) for tag in self.tokens}
        return self.schedule or "/".join(f"{100 * share:.3g}" for share in asked.values())

    def share(self, language: str) -> float:
        """Of all tokens."""
        return self.tokens.get(language, 0.0) / self.total


@dataclass(frozen=True)
class Setting:
    """The runs of one setting, at least one; they differ in their seeds."""

    name: str
    runs: tuple[MixedRun, ...]

    @property
    def first(self) -> MixedRun:
        """A run of it, for what all have in common."""
        return self.runs[0]

    def values(self, value: Callable[[MixedRun], float | None]) -> list[float]:
        """A number of each run, where it has one."""
        found = [value(run) for run in self.runs]
        return [one for one in found if one is not None and math.isfinite(one)]

    def mean(self, value: Callable[[MixedRun], float | None]) -> float:
        """The mean of a number over the runs that have it; NaN where none has."""
        found = self.values(value)
        return sum(found) / len(found) if found else math.nan


def mixed_runs(runs: Sequence[RunRecord]) -> tuple[MixedRun, ...]:
    """The finished pretrainings among some runs; a fine-tuning is told of by the model it began with.

    Args:
        runs: stages of pipelines among them, each as a run of its own.
    """
    tuned = [(_beginning(run), found) for run in runs for found in _transfers(run)]
    result = []
    for run in runs:
        if _is_pretraining(run) and run.status.get("state") == "finished" and (tokens := _tokens(run)):
            own = tuple(found for folder, found in tuned if folder == run.folder.resolve())
            result.append(_mixed(run, tokens, own))
    return tuple(result)


def unfinished(runs: Sequence[RunRecord]) -> list[str]:
    """Names of the pretrainings that `mixed_runs` leaves out: half of their tokens would count as all."""
    begun = [run for run in runs if _is_pretraining(run) and run.status.get("state") != "finished"]
    return [" ".join(filter(None, _names(run))) for run in begun]


def settings(runs: Iterable[MixedRun]) -> tuple[Setting, ...]:
    """Runs by setting, in order, each setting under a name of its own."""
    grouped: dict[str, list[MixedRun]] = {}
    for run in runs:
        grouped.setdefault(run.setting, []).append(run)
    names = _own_names([found[0] for found in grouped.values()])
    return tuple(Setting(name, tuple(found)) for name, found in zip(names, grouped.values(), strict=True))


def _own_names(runs: Sequence[MixedRun]) -> list[str]:
    """As short as tells them apart: without date and seed, with the stage, in full, numbered."""
    brief = [_NAME.sub("", run.name) for run in runs]
    staged = [" ".join(filter(None, (name, run.stage))) for name, run in zip(brief, runs, strict=True)]
    full = [" ".join(filter(None, (run.name, run.stage))) for run in runs]
    names = brief
    for longer in (staged, full):
        names = [more if names.count(name) > 1 else name for name, more in zip(names, longer, strict=True)]
    return numbered(names)


def model_names(found: Sequence[Setting]) -> dict[str, str]:
    """What to call each shape of model among some settings; "" where all have the same."""
    shapes = {one.first.model: one.first.shape for one in found}
    if len(shapes) < 2:
        return dict.fromkeys(shapes, "")
    return dict(zip(shapes, numbered(list(shapes.values())), strict=True))


def is_monolingual(run: MixedRun) -> bool:
    """Whether it learnt from one language alone."""
    return len(run.languages) == 1


def _mixed(run: RunRecord, tokens: Mapping[str, float], transfers: tuple[Transfer, ...]) -> MixedRun:
    recipe = run.recipe
    name, stage = _names(run)
    tested = [
        found
        for metric in ("perplexity", "masked_perplexity")
        for found in measurements(run, split="test", metric=metric, per_language=True)
    ]
    return MixedRun(
        name=name,
        stage=stage,
        setting=_digest({key: value for key, value in recipe.items() if key not in _NOT_SETTINGS}),
        model=_digest(recipe.get("architecture") or recipe.get("model")),
        shape=_shape(recipe),
        tokens=tokens,
        perplexity=(perplexity := {str(line.language): line.value for line in tested}),
        bytes_per_token=_bytes_per_token(run, perplexity),
        protocols={str(line.get("language")): _protocol(line) for line in _test_lines(run)},
        aligned=tuple(measurements(run, split="aligned", per_language=True)),
        anchors=_anchors(run),
        cloned=bool(recipe.get("clones")),
        asked=_asked(run),
        schedule=_schedule(recipe.get("schedule")),
        transfers=transfers,
    )


def _bytes_per_token(run: RunRecord, perplexity: Mapping[str, float]) -> dict[str, float]:
    """As measured, or from bits per token and bits per byte of the same text."""
    told = {
        str(line["language"]): float(line["bytes_per_token"])
        for line in _test_lines(run)
        if line.get("bytes_per_token")
    }
    bits = measurements(run, split="test", metric="bits_per_byte", per_language=True)
    per_byte = {str(line.language): line.value for line in bits if line.value > 0}
    both = perplexity.keys() & per_byte.keys()
    return {tag: math.log2(perplexity[tag]) / per_byte[tag] for tag in both} | told


def _test_lines(run: RunRecord) -> list[dict[str, Any]]:
    """The lines of perplexities, whole."""
    return [
        line
        for line in run.metrics
        if isinstance(line, dict)
        and line.get("metric") in ("perplexity", "masked_perplexity")
        and line.get("split") == "test"
    ]


def _protocol(line: Mapping[str, Any]) -> str:
    if "window" not in line:
        return ""
    first = " and all of the first" if line.get("first") else ""
    return f"{line.get('scored')} tokens of windows of {line['window']}{first}"


def _tokens(run: RunRecord) -> dict[str, float]:
    """Tokens of each language at the end of training."""
    lines = [m for m in measurements(run, metric="tokens", per_language=True) if m.phase == PHASE]
    return {str(line.language): line.value for line in lines}


def _asked(run: RunRecord) -> dict[str, float]:
    lines = [
        m for m in measurements(run, metric="requested_share", per_language=True) if m.phase == "pretrain"
    ]
    return {str(line.language): line.value for line in lines}


def _schedule(given: Any) -> str:
    """A schedule in a few words, such as "stages 0.1_0.9"."""
    if not isinstance(given, dict):
        return ""
    told = [given.get(key) for key in ("kind", "stages", "signal")]
    return " ".join(one for one in told if isinstance(one, str)) or "changing shares"


def _anchors(run: RunRecord) -> float | None:
    """Of clones as the recipe asks, else as measured."""
    clones = run.recipe.get("clones")
    if isinstance(clones, dict) and isinstance(share := clones.get("anchors"), int | float):
        return float(share)
    lines = measurements(run, metric="anchored_share", per_language=True)
    return sum(line.value for line in lines) / len(lines) if lines else None


def _transfers(run: RunRecord) -> list[Transfer]:
    if run.recipe.get("method") != "finetune":
        return []
    firsts = {table.task: table for table in reversed(score_tables(run)) if table.split == "test"}
    return [
        Transfer(
            table.task or "",
            table.metric,
            table.source,
            {row.language: row.scores[-1].value for row in table.rows if row.scores[-1]},
        )
        for table in firsts.values()
    ]


def _beginning(run: RunRecord) -> Path | None:
    """The run folder whose model this one began with; None where it was no run's."""
    model = run.recipe.get("model")
    if not isinstance(model, str):
        return None
    if model.startswith("stage:"):
        return (run.folder.parent / model.removeprefix("stage:")).resolve()
    return Path(model).resolve().parent


def _is_pretraining(run: RunRecord) -> bool:
    return run.recipe.get("method") == "pretrain"


def _names(run: RunRecord) -> tuple[str, str]:
    """Of its folder and "", or of its pipeline's folder and what that calls it."""
    folder = run.folder.resolve()
    return (folder.parent.parent.name, folder.name) if folder.parent.name == "stages" else (folder.name, "")


def _shape(recipe: Mapping[str, Any]) -> str:
    sizes = recipe.get("architecture")
    if isinstance(sizes, dict):
        return f"{sizes.get('layers')} layers of {sizes.get('hidden')}"
    return Path(str(recipe.get("model"))).name


def _digest(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def pairs_of(run: MixedRun) -> list[tuple[str, str]]:
    """The pairs of languages that its alignment was measured for, each once."""
    found = in_order((str(line.language), line.other) for line in run.aligned if line.other)
    return [pair for place, pair in enumerate(found) if pair[::-1] not in found[:place]]
