from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
import run_folders

from isogloss.core.errors import CheckpointError
from isogloss.core.run import read_run
from isogloss.report.card import card, write_card
from isogloss.report.console import print_run, score_grid
from isogloss.report.headline import sentence
from isogloss.report.notes import notes
from isogloss.report.page import render, stage_folders
from isogloss.report.plots import score_bars
from isogloss.report.tables import score_tables

VOID = {"meta", "br", "img", "hr", "input", "link"}
EVIL = "<script>alert(1)</script>\"'&"


class Checker(HTMLParser):
    """Every element closed in order, every id used once, every reference inside the page."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.references, self.tags, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._facts(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self._facts(dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def _facts(self, attrs):
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.references += [
            v for k, v in attrs.items() if k in ("href", "src", "xlink:href", "action", "data")
        ]
        self.references += re.findall(r"url\(([^)]*)\)", " ".join(v or "" for v in attrs.values()))


def checked(path):
    text = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids))
    assert all(ref.startswith("#") and ref[1:] in checker.ids for ref in checker.references)
    assert "script" not in checker.tags
    assert "@import" not in text
    return text, checker


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {
        "finetune": run_folders.finetune(root / "finetune"),
        "distil": run_folders.distil(root / "distil"),
        "pipeline": run_folders.pipeline(root / "pipeline"),
        "failed": run_folders.failed(root / "failed", f"loss is nan {EVIL}"),
        "bare": run_folders.bare(root / "bare"),
    }


@pytest.mark.parametrize("name", ["finetune", "distil", "pipeline", "failed", "bare"])
def test_the_page_is_whole_and_self_contained(folders, tmp_path, name):
    out = render([folders[name]], tmp_path / "report.html")
    text, _ = checked(out)
    assert text.lstrip().startswith("<!doctype html>")
    assert f"<h1>{name}</h1>" in text
    assert "None" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)


def test_the_same_folders_give_the_same_page(folders, tmp_path):
    one, two = (render([folders["distil"]], tmp_path / name) for name in ("one.html", "two.html"))
    assert one.read_bytes() == two.read_bytes()


def test_the_page_holds_scores_disparity_sizes_curves_samples_and_recipe(folders, tmp_path):
    text, checker = checked(render([folders["distil"]], tmp_path / "report.html"))
    words = " ".join(" ".join(checker.text).split())
    for wanted in (
        "82.7",
        "80.6 to 84.8",
        "best − worst",
        "source − mean of others",
        "33.0%",
        "training loss, phase1",
        "share of tokens, phase2, in percent",
        "Mwalimu hakumpa Amina kitabu cha zamani.",
        "method: distil",
        "torch",
    ):
        assert wanted in words, wanted
    assert 'lang="sw-Latn"' in text


def test_right_to_left_text_finds_its_own_direction(folders, tmp_path):
    text, _ = checked(render([folders["finetune"]], tmp_path / "report.html"))
    assert re.search(r'<p lang="ar-Arab">.*?<bdi dir="auto">لم تعطِ', text, re.DOTALL)


def test_nothing_from_a_run_becomes_markup(tmp_path):
    folder = run_folders.finetune(
        tmp_path / "run", run_folders.FINETUNE.model_copy(update={"model": EVIL, "steps": 50})
    )
    line = {"model": EVIL, "task": EVIL, "language": EVIL, "id": EVIL, "input": {EVIL: EVIL}, "gold": EVIL}
    with (folder / "samples.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({**line, "predicted": EVIL}) + "\n")
        stream.write(json.dumps({**line, "input": [EVIL], "gold": [EVIL], "predicted": ["x"]}) + "\n")
    facts = {"phase": EVIL, "step": 1, "split": "test", "metric": EVIL, "value": 0.5, "task": EVIL}
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        for model in (EVIL, "$x$"):
            stream.write(json.dumps({**facts, "language": EVIL, "model": model}) + "\n")
        stream.write(json.dumps({**facts, "metric": "share", "language": EVIL}) + "\n")
        stream.writelines(
            json.dumps({**facts, "split": "train", "step": step, "metric": EVIL}) + "\n" for step in (1, 2)
        )
    (folder / "sizes.json").write_text(json.dumps({EVIL: {"parameters": 3}}), encoding="utf-8")
    text, _ = checked(render([folder], tmp_path / "report.html"))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<script" not in re.sub(r"`{3,}.*?`{3,}", "", card(read_run(folder)), flags=re.DOTALL)
    print_run(folder)


def test_a_pipeline_is_shown_with_its_stages_in_order(folders, tmp_path):
    assert [folder.name for folder in stage_folders(folders["pipeline"])] == [
        "pretrain",
        "finetune",
        "distil",
    ]
    text, checker = checked(render([folders["pipeline"]], tmp_path / "report.html"))
    assert "A pipeline of three stages: pretrain, finetune and distil." in text
    assert checker.tags.count("article") == 4
    assert "Side by side" in text


def test_several_runs_stand_side_by_side(folders, tmp_path):
    text, checker = checked(render([folders["finetune"], folders["distil"]], tmp_path / "report.html"))
    assert "Two runs, side by side." in text
    assert checker.tags.count("article") == 2
    assert "Overall numbers are over the two languages that every column has." in text


def test_runs_of_the_same_name_stay_apart(folders, tmp_path):
    other = run_folders.finetune(tmp_path / "finetune")
    text, _ = checked(render([folders["finetune"], other], tmp_path / "report.html"))
    assert "finetune (2)" in text


def test_a_failed_run_says_why_at_the_top(folders, tmp_path):
    text, _ = checked(render([folders["failed"]], tmp_path / "report.html"))
    head, _, _ = text.partition("</header>")
    assert "This run failed." in head
    assert "ValueError: loss is nan &lt;script&gt;" in head


def test_notes_tell_of_what_is_unfinished_odd_or_off(tmp_path):
    folder = run_folders.bare(tmp_path / "run")
    lines = [
        {"phase": "p", "step": 1, "split": "train", "metric": "loss", "value": float("nan")},
        {"phase": "p", "step": 1, "metric": "requested_share", "language": "sw-Latn", "value": 0.5},
        {"phase": "p", "step": 1, "metric": "share", "language": "sw-Latn", "value": 0.3},
        {"phase": "p", "step": 1, "split": "dev", "metric": "accuracy", "language": "sw-Latn", "value": 0.3},
    ]
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    (folder / "status.json").write_text('{"state": "running"}', encoding="utf-8")
    assert [note.title for note in notes(read_run(folder))] == [
        "This run has not finished.",
        "No test results.",
        "Some measurements are not finite.",
        "The mixture of p is not the one asked for.",
    ]
    checked(render([folder], tmp_path / "report.html"))


@pytest.mark.parametrize(("sequences", "told"), [(100, False), (10_000, True)])
def test_a_share_that_the_draw_alone_accounts_for_is_no_note(sequences, told, tmp_path):
    """Three hundredths off: with 100 draws less than the standard error of one half."""
    folder = run_folders.bare(tmp_path / "run")
    lines = [
        {"phase": "p", "step": 1, "metric": metric, "language": tag, "value": value * times}
        for metric, times, values in (
            ("requested_share", 1, (0.5, 0.5)),
            ("share", 1, (0.53, 0.47)),
            ("tokens", 128 * sequences, (0.53, 0.47)),
        )
        for tag, value in zip(("en-Latn", "sw-Latn"), values, strict=True)
    ]
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    assert any("not the one asked for" in note.title for note in notes(read_run(folder))) == told


def test_an_empty_folder_and_no_folder_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"recipe\.yaml"):
        render([tmp_path], tmp_path / "report.html")
    with pytest.raises(CheckpointError, match="no run folder"):
        render([], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_page_that_fails_leaves_the_old_one(folders, tmp_path):
    out = render([folders["bare"]], tmp_path / "report.html")
    before = out.read_bytes()
    with pytest.raises(CheckpointError):
        render([folders["bare"], tmp_path], out)
    assert out.read_bytes() == before


def test_figures_take_the_pages_colours_and_keep_their_text(folders):
    (table, *_) = score_tables(read_run(folders["distil"]))
    drawing = score_bars(table, name="here")
    assert "var(--s1)" in drawing.svg
    assert "currentColor" in drawing.svg
    assert not re.search("#0[0-2]01", drawing.svg)
    assert "DejaVu" not in drawing.svg
    assert "<style" not in drawing.svg
    assert ">Swahili</text>" in drawing.svg
    assert '<title id="here-title">NLI accuracy by language</title>' in drawing.svg
    assert "Swahili: 43.8, 47.1" in drawing.description
    assert [key.label for key in drawing.legend] == ["teacher", "student"]


def test_the_sentence_says_what_was_done_and_what_came_of_it(folders):
    assert sentence(read_run(folders["distil"])) == (
        "Distillation of 2026-11-20-finetune into a student for English and Swahili with 33% of its"
        " parameters. Over two languages, mean NLI accuracy went from 64.2 (teacher) to 64.9 (student), and"
        " the gap between best and worst went from 40.8 to 35.6."
    )
    assert sentence(read_run(folders["bare"])) == "Fine-tuning of a model."


def test_the_card_lies_in_the_run_folder_with_languages_scores_and_recipe(folders):
    path = write_card(folders["distil"])
    text = path.read_text(encoding="utf-8")
    assert path == folders["distil"] / "card.md"
    assert text.startswith("---\nlanguage:\n- en\n- sw\n")
    assert "| Swahili | 43.8 | 47.1 | +3.3 |" in text
    assert "```yaml\nmethod: distil\n" in text
    write_card(folders["bare"], folders["bare"] / "elsewhere.md")


def test_the_terminal_shows_the_table_with_its_disparity(folders, capsys):
    print_run(folders["distil"])
    printed = capsys.readouterr().out
    assert "English (source)" in printed
    assert "best − worst" in printed
    assert "1.39 M" in printed


def test_a_name_in_brackets_is_no_markup_in_the_terminal(folders, capsys):
    from dataclasses import replace

    from rich.console import Console

    (table, *_) = score_tables(read_run(folders["distil"]))
    Console(width=120).print(score_grid(replace(table, columns=("[red]x", "y"))))
    assert "[red]x" in capsys.readouterr().out
