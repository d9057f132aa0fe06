"""The levelling page, from run folders alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import run_folders
from test_report_page import EVIL, checked

from isogloss.core.errors import CheckpointError
from isogloss.core.run import read_run
from isogloss.report.card import card
from isogloss.report.console import print_run
from isogloss.report.headline import deed
from isogloss.report.levelling import levelling
from isogloss.report.levelling_plots import agreement_map, change_dots, judge_dots
from isogloss.report.notes import notes
from isogloss.report.page import render
from isogloss.report.tables import score_tables

REASON = "the teacher en-Latn fell from 0.900 to 0.770 in accuracy on dev"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_folders.level(tmp_path_factory.mktemp("levelled") / "run")


@pytest.fixture(scope="module")
def found(folder):
    return levelling(read_run(folder))


def page_of(folder, tmp_path):
    text, checker = checked(render([folder], tmp_path / "report.html"))
    return text, " ".join(" ".join(checker.text).split())


def test_other_runs_have_no_levelling(tmp_path):
    folder = run_folders.bare(tmp_path / "run")
    assert levelling(read_run(folder)) is None
    assert "What levelling did" not in page_of(folder, tmp_path)[0]


def test_a_language_is_gained_or_harmed_where_its_interval_excludes_zero(found):
    assert [one.name for one in found.gained] == ["Swahili"]
    assert [one.name for one in found.harmed] == ["French"]
    assert found.effects[0].name == "Swahili"
    assert found.effects[-1].name == "French"
    assert {one.name: one.role for one in found.effects}["French"] == "teaches"


def test_harm_stands_at_the_top_of_the_page(folder, tmp_path):
    assert [note.title for note in notes(read_run(folder))] == ["Levelling did harm."]
    text, _ = page_of(folder, tmp_path)
    head, _, _ = text.partition("</header>")
    assert "French (−5.0, teaches): loss of topic accuracy beyond chance." in head


def test_the_page_says_who_taught_whom_who_gained_and_what_changed(folder, tmp_path):
    text, words = page_of(folder, tmp_path)
    for wanted in (
        "English, French and German taught Russian, Turkish and Swahili on 400 unlabelled items",
        "Of 80 steps the weights of step 60 were kept; the guards refused none.",
        "Beyond chance, Swahili gained, and French was harmed.",
        "On 97% of 200 resampled sets of items the same languages would teach.",
        "gained +10.0",
        "harmed −5.0",
        "12 / 7",
        "mean of the worst three",
        "may not hold the number measured",
        "Dashed: step 60",
        "From wrong to right",
        "From right to wrong",
        "Mwalimu hakumpa Amina kitabu cha zamani.",
    ):
        assert wanted in words, wanted
    assert "agreement with the vote</title>" in text
    assert "agreement with the vote on dev" not in text  # it stands in its own place, not among the scores


def test_a_smaller_gap_is_good_and_a_lower_mean_is_not(found):
    tones = {row.label: row.tone for row in found.spread}
    assert tones["best − worst"] == "good"
    assert tones["source − mean of others"] == "good"
    assert tones["mean over languages"] == "bad"
    assert tones["mean of the worst three"] == "bad"


def test_the_threshold_stands_on_the_scale_of_the_scores(found, tmp_path):
    assert found.threshold == pytest.approx(sum(one.score.value for one in found.teachers) / 6)
    facts = run_folders.level_facts()
    facts["selection"] |= {"normalisation": "softmax"}
    folder = run_folders.level(tmp_path / "run")
    (folder / "levelling.json").write_text(json.dumps(facts), encoding="utf-8")
    limit = levelling(read_run(folder)).threshold
    scores = [one.score.value for one in found.teachers]
    assert min(scores) < limit < max(scores)
    facts["selection"] |= {"selector": "list"}
    (folder / "levelling.json").write_text(json.dumps(facts), encoding="utf-8")
    assert levelling(read_run(folder)).threshold is None


def test_curves_begin_where_the_model_stood(found):
    assert {drawn.metric for drawn in found.watched} == {"agreement", "entropy"}
    for drawn in found.watched:
        assert all(series.steps == (0, 20, 40, 60, 80) for series in drawn.series)


def test_one_evaluation_is_a_curve_from_the_start(tmp_path):
    folder = run_folders.level(tmp_path / "run", evaluations=1)
    for drawn in levelling(read_run(folder)).watched:
        assert all(series.steps == (0, 20) for series in drawn.series)


def test_the_languages_of_the_maps_are_teachers_first(found):
    before, after = found.agreement
    assert before.names == ("English", "French", "German", "Russian", "Turkish", "Swahili")
    assert before.codes == ("en", "fr", "de", "ru", "tr", "sw")
    assert all(before.shares[place][place] == 1.0 for place in range(6))
    assert before.lowest == after.lowest == pytest.approx(0.51)
    assert before.shares[0][1] == pytest.approx(0.5 + 0.01 * (5 + 4))  # the file's order is another


def test_figures_tell_in_words_what_they_show(found):
    changes = change_dots(found, name="a")
    assert "French: −5.0 (−8.0 to −2.0), harmed" in changes.description
    assert "var(--bad)" in changes.svg
    assert "var(--good)" in changes.svg
    assert "Threshold 0.650" in judge_dots(found, name="b").description
    assert "English: 100%, " in agreement_map(found.agreement[0], name="c").description


def test_what_was_put_back_has_neither_gains_nor_harms(tmp_path):
    folder = run_folders.level(tmp_path / "run", put_back=REASON, refused=REASON, kept_step=0)
    found = levelling(read_run(folder))
    assert (found.effects, found.changed, found.kept_step, len(found.agreement)) == ((), (), None, 1)
    text, words = page_of(folder, tmp_path)
    assert "the model from before was put back: the teacher English fell from 0.900 to 0.770" in words
    assert "The model from before was put back." in text.partition("</header>")[0]
    assert "Gains and harms" not in words
    print_run(folder)
    assert "put back" in card(read_run(folder))


def test_a_training_that_was_stopped_says_why(tmp_path):
    folder = run_folders.level(tmp_path / "run", refused=REASON)
    _, words = page_of(folder, tmp_path)
    assert (
        "The guards refused what came of 80 steps, and the weights of step 60 stayed: the teacher English"
        in words
    )


def test_without_test_sets_the_page_shows_what_there_is(tmp_path):
    folder = run_folders.level(tmp_path / "run", tested=False)
    run = read_run(folder)
    assert score_tables(run) == ()
    assert notes(run) == ()
    _, words = page_of(folder, tmp_path)
    assert "There was no test set" in words
    assert "Who taught whom" in words
    assert "Who agrees with whom" in words
    assert "Gains and harms" not in words
    print_run(folder)
    card(run)


def test_baselines_are_called_what_they_are(tmp_path):
    folder = run_folders.level(tmp_path / "run")
    for aim, said in (("self", "nobody taught another"), ("pairs", "drawn to each teacher")):
        facts = run_folders.level_facts() | {"aim": aim}
        (folder / "levelling.json").write_text(json.dumps(facts), encoding="utf-8")
        assert said in levelling(read_run(folder)).sentences[0]


def test_the_card_and_the_terminal_have_it_in_short(folder, capsys):
    text = card(read_run(folder))
    assert "| French (teaches) | 74.2 | 69.2 | −5.0 (−8.0 to −2.0) | harmed |" in text
    assert "**Levelling did harm.**" in text
    print_run(folder)
    printed = capsys.readouterr().out
    assert "gains and harms, topic accuracy" in printed
    assert "French (teaches)" in printed
    assert "harmed" in printed


def test_nothing_from_the_file_becomes_markup(tmp_path):
    folder = run_folders.level(tmp_path / "run", refused=EVIL)
    facts = json.loads((folder / "levelling.json").read_text(encoding="utf-8"))
    text = json.dumps(facts).replace("ru-Cyrl", json.dumps(EVIL)[1:-1])
    facts = json.loads(text) | {"task": EVIL}
    facts["changed"][0] |= {"input": EVIL, "predicted": EVIL, "before": EVIL, "language": EVIL}
    (folder / "levelling.json").write_text(json.dumps(facts), encoding="utf-8")
    page, _ = checked(render([folder], tmp_path / "report.html"))
    assert "<script" not in page
    print_run(folder)


def test_a_damaged_file_is_said_to_be_damaged(tmp_path):
    folder = run_folders.level(tmp_path / "run")
    (folder / "levelling.json").write_text('{"task": ', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"levelling\.json"):
        render([folder], tmp_path / "report.html")


def test_self_training_is_not_called_levelling(tmp_path):
    run = read_run(run_folders.level(tmp_path / "run"))
    assert deed(run) == "Levelling of topics on topic, 6 languages."
    recipe = run.recipe | {"distillation": {"aim": "self"}}
    assert deed(replace(run, recipe=recipe)) == "Self-training of topics on topic, 6 languages."
