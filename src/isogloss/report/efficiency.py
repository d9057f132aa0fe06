"""Token efficiency of the languages in some runs, by laws fitted to the monolingual ones among them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isogloss.analysis.efficiency import CurveFit, Efficiency, by_size
from isogloss.analysis.scaling import PARAMETERS, ScalingLaw, fit
from isogloss.core.errors import DataError
from isogloss.core.languages import original_of
from isogloss.report.measurements import in_order, language_name
from isogloss.report.mixing import MixedRun, Setting, is_monolingual
from isogloss.report.numbers import count

_DRAWS = 500
_SAME_PIECES = 1.002
"""By what factor bytes per token may differ through rounding, where text was cut into the same pieces."""
_ERRS = 0.1
"""How far a law may be off a number of tokens that it was fitted without, before it is to be doubted."""


@dataclass(frozen=True)
class Law:
    """The scaling law of one language at one shape of model, and the runs it was fitted to.

    `tokens` and `perplexities` are (runs,); `bytes_per_token` is that of their test text, None where it is
    not known. `protocol`: by which windows perplexity was measured.
    """

    model: str
    language: str
    fit: CurveFit[ScalingLaw]
    tokens: tuple[float, ...]
    perplexities: tuple[float, ...]
    bytes_per_token: float | None
    protocol: str


@dataclass(frozen=True)
class Efficiencies:
    """What could be worked out, and what could not.

    Attributes:
        laws: one for each language and shape of model with monolingual runs enough.
        found: by setting's name and language.
        missing: sentences on what was not to be had, and on what lies outside the fitted range.
    """

    laws: tuple[Law, ...]
    found: Mapping[tuple[str, str], Efficiency]
    missing: tuple[str, ...]


def efficiencies(settings: Sequence[Setting]) -> Efficiencies:
    """Laws from the monolingual runs, and with them TEff of every language of the others."""
    laws: dict[tuple[str, str], Law] = {}
    missing: list[str] = []
    mixed = [one for one in settings if not is_monolingual(one.first)]
    for model, language in in_order(
        (one.first.model, original_of(tag)) for one in mixed for tag in one.first.languages
    ):
        runs = [run for one in settings for run in one.runs if _teaches(run, model, language)]
        law, why = _law(model, language, runs)
        if law:
            laws[model, language] = law
            why = _doubt(law)
        missing += [why] if why else []
    found: dict[tuple[str, str], Efficiency] = {}
    outside: list[str] = []
    for one in mixed:
        for tag in one.first.languages:
            if law := laws.get((one.first.model, original_of(tag))):
                told, why = _efficiency(law, one, tag)
                if told:
                    found[one.name, tag] = told
                missing += [why] if why else []
                outside += [f"{one.name}, {language_name(tag)}"] if told and told.extrapolated else []
    if outside:
        missing.append(
            "Outside the range of tokens that the law was fitted to, and to be doubted: "
            f"{'; '.join(outside)}."
        )
    return Efficiencies(tuple(laws.values()), found, tuple(in_order(missing)))


def _teaches(run: MixedRun, model: str, language: str) -> bool:
    """Whether it is a monolingual run of a language, or of a clone of it, with a perplexity."""
    return (
        is_monolingual(run)
        and run.model == model
        and original_of(run.languages[0]) == language
        and (run.languages[0] in run.perplexity)
    )


def _law(model: str, language: str, runs: Sequence[MixedRun]) -> tuple[Law | None, str]:
    name = language_name(language)
    sizes = len(by_size([run.total for run in runs]))
    if sizes < PARAMETERS:
        return None, (
            f"TEff in {name} needs monolingual runs of {name} with the same architecture and scores on "
            f"`test` text, at {PARAMETERS} or more numbers of tokens; among these runs there are "
            f"{sizes or 'none'}."
        )
    tokens = tuple(run.total for run in runs)
    perplexities = tuple(run.perplexity[run.languages[0]] for run in runs)
    pieces = [p for run in runs if (p := run.bytes_per_token.get(run.languages[0]))]
    if pieces and max(pieces) > _SAME_PIECES * min(pieces):
        return None, (
            f"The monolingual runs of {name} cut its test text into different pieces, so their perplexities "
            "do not compare: train them with one `tokenizer`."
        )
    protocols = {run.protocols.get(run.languages[0], "") for run in runs}
    if len(protocols) > 1:
        return None, (
            f"The monolingual runs of {name} measure perplexity by other windows ({_told(protocols)}), so it "
            "does not compare: give them one `perplexity`."
        )
    try:
        found = fit(tokens, perplexities, draws=_DRAWS)
        bytes_each = pieces[0] if pieces else None
        return Law(model, language, found, tokens, perplexities, bytes_each, protocols.pop()), ""
    except DataError as error:
        return None, f"There is no scaling law of {name}: {error.got}."


def _told(protocols: Iterable[str]) -> str:
    return "; ".join(sorted(one or "document by document" for one in protocols))


def _doubt(law: Law) -> str:
    """Where the law does not foretell a size that lies between others; at the ends any law is far off."""
    between = law.fit.left_out[1:-1]
    if not (np.abs(between) > _ERRS).any():
        return ""
    worst = 1 + int(np.nanargmax(np.abs(between)))
    off, tokens = law.fit.left_out[worst], law.fit.sizes[worst]
    return (
        f"The scaling law of {language_name(law.language)} is off by {100 * off:+.0f} % at {count(tokens)} "
        "tokens when fitted without them, and its TEff is to be doubted: perplexity may drop at once there. "
        "`isogloss.analysis.interpolation` reads tokens off between the runs instead."
    )


def _efficiency(law: Law, setting: Setting, language: str) -> tuple[Efficiency | None, str]:
    seen = setting.values(lambda run: run.perplexity.get(language))
    if not seen:
        return None, ""
    pieces = setting.mean(lambda run: run.bytes_per_token.get(language))
    if law.bytes_per_token and abs(math.log(pieces / law.bytes_per_token)) > math.log(_SAME_PIECES):
        return None, (
            f"No TEff for {language_name(language)} in {setting.name}: a token of its test text has "
            f"{pieces:.4g} bytes there and {law.bytes_per_token:.4g} in the monolingual runs, so their "
            "perplexities do not compare. Train the monolingual runs with the `tokenizer` of the mixed ones, "
            "and test them on the same text."
        )
    if (protocol := setting.first.protocols.get(language, "")) != law.protocol:
        return None, (
            f"No TEff for {language_name(language)} in {setting.name}: its perplexity and that of the "
            f"monolingual runs are of other windows ({_told({protocol, law.protocol})}), and do not compare."
        )
    try:
        return law.fit.efficiency(seen, setting.mean(lambda run: run.tokens.get(language, math.nan))), ""
    except DataError as error:
        return None, f"No TEff for {language_name(language)} in {setting.name}: {error.got}."
