"""The audit's page, from a run folder alone."""

from __future__ import annotations

import copy
import json

import pytest
import run_folders
from test_report_page import EVIL, checked

from isogloss.core.errors import CheckpointError
from isogloss.core.files import write_json
from isogloss.core.run import open_run, read_run
from isogloss.methods.audit import AuditRecipe
from isogloss.methods.audit_advice import LIMITS, advise, weak
from isogloss.report.audit import FILE, audited
from isogloss.report.audit_plots import layer_map, measure_dots, parity_dots
from isogloss.report.card import card
from isogloss.report.console import print_run
from isogloss.report.headline import deed
from isogloss.report.notes import notes
from isogloss.report.page import render
from isogloss.report.tables import score_tables

TAGS = run_folders.LANGUAGES
OTHERS = TAGS[1:]
RECIPE = AuditRecipe.model_validate(
    {"method": "audit", "model": "runs/base/model", "aligned": {tag: "miniature/test" for tag in TAGS}}
)


def spread(*values, width=0.05, tags=OTHERS):
    return {tag: [value, value - width, value + width] for tag, value in zip(tags, values, strict=True)}


def bare(*values, tags=TAGS):
    return {tag: [value, None, None] for tag, value in zip(tags, values, strict=True)}


MEASURES = {
    "unknown_rate": bare(0, 0, 0, 0.002, 0, 0.004),
    "tokens_per_word": bare(1.2, 1.4, 1.5, 1.9, 2.1, 2.9),
    "premium": spread(1.1, 1.15, 1.3, 1.25, 2.2),
    "bits_per_byte": spread(1.1, 1.0, 1.2, 0.8, 1.4, 2.1, tags=TAGS),
    "parity": spread(0.97, 0.93, 0.88, 0.82, 0.46),
    "retrieval": spread(0.93, 0.91, 0.7, 0.55, 0.08),
    "cosine": spread(0.6, 0.6, 0.5, 0.4, 0.1),
    "cka": bare(0.8, 0.8, 0.6, 0.6, 0.2, tags=OTHERS),
    "gradient": spread(0.4, 0.4, 0.2, 0.2, 0.1),
    "score": spread(0.8, 0.78, 0.76, 0.6, 0.74, 0.3, tags=TAGS),
    "behind": spread(0.02, 0.04, 0.2, 0.06, 0.5),
}
LAYERS = {tag: [[value * part, None, None] for part in (0.4, 1.0, 0.7)]
          for tag, (value, *_) in MEASURES["retrieval"].items()}  # fmt: skip


def facts(**changes):
    found = {
        "model": {
            "source": "runs/base/model", "objective": "masked", "family": "modernbert",
            "language_model": True, "scored": "every token is hidden once", "hidden": 64, "layers": 2,
            "heads": 2, "vocabulary": 900,
            "max_length": 64, "parameters": 200_000,
        },
        "source": "en-Latn",
        "languages": list(TAGS),
        "read": {
            "lines": dict.fromkeys(TAGS, 200), "sentences": dict.fromkeys(TAGS, 200), "aligned": 200,
            "aligned_languages": list(TAGS), "stand_ins": ["sw-Latn"], "embedded": False,
        },
        "measures": copy.deepcopy(MEASURES),
        "layers": {"states": 3, "candidates": 200, "best": 1, "retrieval": copy.deepcopy(LAYERS)},
        "vocabulary": {
            "rows": 900, "kept": 400, "expected": 500, "tokens": dict.fromkeys(TAGS, 40_000),
            "parameters": {"now": 200_000, "kept": 168_000, "expected": 174_400},
            "bytes": {"now": 800_000, "kept": 672_000, "expected": 697_600},
        },
        "task": {"task": "topic", "metric": "accuracy", "tuned": None},
        "skipped": {},
    } | changes  # fmt: skip
    found["limits"] = {name: LIMITS[name].to_json() for name in found["measures"] if name in LIMITS}
    found["weak"] = weak(found["measures"], source=found["source"])
    found["advice"] = [one.to_json() for one in advise(found, RECIPE.model_dump(mode="json"))]
    return found


def audit(folder, **changes):
    with open_run(folder, RECIPE):
        write_json(folder / FILE, facts(**changes))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return audit(tmp_path_factory.mktemp("audited") / "run")


@pytest.fixture(scope="module")
def found(folder):
    return audited(read_run(folder))


def page_of(folder, tmp_path):
    text, checker = checked(render([folder], tmp_path / "report.html"))
    return text, " ".join(" ".join(checker.text).split())


def test_other_runs_have_no_audit(tmp_path):
    folder = run_folders.bare(tmp_path / "run")
    assert audited(read_run(folder)) is None
    assert "What to try" not in page_of(folder, tmp_path)[0]


def test_the_headline_says_who_is_weak_by_what_the_weakest_first(found, folder, tmp_path):
    assert found.headline == (
        "Weak in two of six languages: Swahili (cost in tokens, prediction, "
        "distance from the source, task scores); Russian (task scores)."
    )
    head, _, _ = page_of(folder, tmp_path)[0].partition("</header>")
    assert found.headline in head


def test_a_language_that_only_the_task_was_tested_in_is_in_the_headline(tmp_path):
    measures = {
        "score": spread(0.8, 0.3, tags=("en-Latn", "hi-Deva")),
        "behind": {"hi-Deva": [0.5, 0.4, 0.6]},
    }
    found = audited(read_run(audit(tmp_path / "run", measures=measures)))
    assert found.headline == "Weak in one of seven languages: Hindi (task scores)."


def test_the_page_is_whole_and_shows_what_was_found(folder, tmp_path):
    text, words = page_of(folder, tmp_path)
    for wanted in (
        "What to try",
        "1. Another vocabulary",
        "2. More data",
        "3. Level",
        "tokens for the same sentences, of the source's: Swahili 2.20",
        "weak 2.20",
        "2.15 to 2.25",
        "weak above 1.50, a rule of thumb",
        "200 sentences that say the same in six languages were compared with English.",
        "Swahili stood in with these sentences alone",
        "A word in many pieces is told from its own other pieces",
        "240,000 tokens were counted",
        "isogloss level runs/base/model --task topic",
        "method: pretrain",
        "finds its translation among 200",
        "cost and prediction of the same sentences",
    ):
        assert wanted in words, wanted
    assert "None" not in text
    assert "Not measured" not in words


def test_bits_of_a_language_with_unknown_tokens_are_left_out_with_the_reason(tmp_path):
    measures = copy.deepcopy(MEASURES) | {"unknown_rate": bare(0, 0, 0, 0.4, 0, 0)}
    folder = audit(tmp_path / "run", measures=measures)
    found = audited(read_run(folder))
    russian = next(row for row in found.rows if row.name == "Russian")
    cells = {column.key: cell.score for column, cell in zip(found.columns, russian.cells, strict=True)}
    assert cells["bits_per_byte"] is cells["parity"] is None
    assert cells["retrieval"] is not None
    assert "Bits of Russian are left out" in page_of(folder, tmp_path)[1]


def test_weak_numbers_are_marked_by_a_word_and_not_by_colour_alone(folder, tmp_path):
    text, _ = page_of(folder, tmp_path)
    assert text.count('<td class="bad"><span class="verdict">weak</span>') == 5


def test_the_source_stands_first_then_the_weakest(found):
    assert [row.name for row in found.rows][:3] == ["English", "Swahili", "Russian"]
    assert found.rows[0].is_source
    assert [row.weak for row in found.rows][:3] == [0, 4, 1]


def test_the_map_has_the_best_language_on_top_and_tells_all_in_words(found):
    assert found.layers.names == ("French", "German", "Russian", "Turkish", "Swahili")
    drawn = layer_map(found.layers, name="a")
    assert "Best on average: 1." in drawn.description
    assert "French: 37%, 93%, 65%" in drawn.description


def test_dots_tell_weak_from_not_by_shape_and_in_words(found):
    drawn = parity_dots(found, name="b")
    assert "Swahili: 2.20 and 0.46" in drawn.description
    assert "var(--bad)" in drawn.svg
    assert "weak (square)" in {key.label for key in drawn.legend}
    behind = measure_dots(found, "behind", name="c")
    assert "Swahili: 50.0, weak" in behind.description
    assert behind.description.endswith("French: 2.0.")


def test_a_model_of_many_layers_is_drawn_without_numbers_in_its_cells(tmp_path):
    layers = {tag: [[0.5, None, None]] * 25 for tag in OTHERS}
    changed = {"states": 25, "candidates": 99, "best": 12, "retrieval": layers}
    found = audited(read_run(audit(tmp_path / "run", layers=changed)))
    assert ">50<" not in layer_map(found.layers, name="a").svg


def test_what_is_weak_without_a_remedy_is_not_called_nothing(tmp_path):
    """Prediction alone, where sentences lie near their translations."""
    measures = {"parity": spread(0.97, 0.93, 0.88, 0.82, 0.46), "retrieval": spread(0.9, 0.9, 0.9, 0.9, 0.9)}
    folder = audit(tmp_path / "run", measures=measures, vocabulary=None)
    words = page_of(folder, tmp_path)[1]
    assert "Weak in one of six languages: Swahili (prediction)." in words
    assert "What is weak here calls for nothing by itself." in words


def test_where_nothing_is_weak_the_page_says_so_and_advises_nothing(tmp_path):
    measures = {name: {"fr-Latn": values["fr-Latn"]} for name, values in MEASURES.items()}
    folder = audit(tmp_path / "run", measures=measures, vocabulary=None)
    _, words = page_of(folder, tmp_path)
    assert "Weak in none of six languages." in words
    assert "nothing to advise" in words


def test_what_was_not_measured_is_told_with_its_reason(tmp_path):
    measures = {name: MEASURES[name] for name in ("unknown_rate", "tokens_per_word")}
    skipped = {"bits": "no head", "alignment": "no sentences"}
    folder = audit(tmp_path / "run", measures=measures, layers=None, vocabulary=None, skipped=skipped)
    _, words = page_of(folder, tmp_path)
    assert "bits per byte and information parity: no head" in words
    assert "Pictures of it" not in words
    print_run(folder)
    card(read_run(folder))


def test_without_any_measure_that_has_a_limit_nothing_is_called_weak(tmp_path):
    folder = audit(tmp_path / "run", measures={"cka": MEASURES["cka"]}, layers=None, vocabulary=None)
    assert "nothing is called weak" in audited(read_run(folder)).headline


def test_many_languages_are_counted_and_not_named(tmp_path):
    tags = ("fi", "et", "hu", "pl", "cs", "sk", "ro", "is")
    tags = tuple(f"{tag}-Latn" for tag in tags)
    measures = {"premium": spread(*[3.0] * 8, tags=tags)}
    folder = audit(tmp_path / "run", languages=["en-Latn", *tags], measures=measures, layers=None)
    assert "eight languages (cost in tokens)" in audited(read_run(folder)).headline


def test_the_embedded_world_is_said_to_be_that(tmp_path):
    read = facts()["read"] | {"embedded": True}
    _, words = page_of(audit(tmp_path / "run", read=read), tmp_path)
    assert "What was read is the embedded world" in words


def test_its_numbers_are_no_score_tables_and_no_reason_for_notes(folder):
    run = read_run(folder)
    assert score_tables(run) == ()
    assert notes(run) == ()
    assert deed(run) == "Audit of base in six languages."


def test_the_card_and_the_terminal_have_it_in_short(folder, found, capsys):
    text = card(read_run(folder))
    assert "## Audit" in text
    assert "2.20 (weak)" in text
    print_run(folder)
    printed = capsys.readouterr().out
    assert "2.20*" in printed
    assert "1. Another vocabulary" in printed
    assert "(its recipe is on the page)" in printed
    assert "unk %" in printed


def test_nothing_from_the_file_becomes_markup(tmp_path):
    changed = facts()
    changed["advice"][0] |= {"title": EVIL, "means": EVIL, "evidence": [EVIL], "command": EVIL}
    text = json.dumps(changed).replace("ru-Cyrl", json.dumps(EVIL)[1:-1])
    folder = audit(tmp_path / "run")
    (folder / FILE).write_text(text, encoding="utf-8")
    page, _ = checked(render([folder], tmp_path / "report.html"))
    assert "<script" not in page
    print_run(folder)


def test_a_damaged_file_is_said_to_be_damaged(tmp_path):
    folder = audit(tmp_path / "run")
    (folder / FILE).write_text('{"model": ', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"audit\.json"):
        render([folder], tmp_path / "report.html")
