"""How far languages are aligned inside a model, from the recipe to the run folder."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from transformers import AutoModelForMaskedLM

from every_family import small_model
from isogloss.core.errors import DataError
from isogloss.data.tokens import TokenFile
from isogloss.methods.aligned_rows import piece_counts, word2vec_rows
from isogloss.methods.aligned_text import AlignedText, aligned_text, pairs_of
from isogloss.methods.alignment import measured, ticks
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.tasks import TaskModel
from isogloss.report.measurements import measurements
from tiny_models import tiny_model, tiny_tokenizer
from tiny_runs import PRETRAIN, TINY, logged, ran, tiny

EN, CLONE, FR = "en-Latn", "en-Latn-x-2", "fr-Latn"
WORLD = {tag: ("miniature/test:12",) for tag in (EN, FR)}
CLONES = PRETRAIN | {
    "objective": "causal",
    "architecture": {"family": "gpt2", **TINY},
    "vocabulary": {"kind": "unigram", "size": 400},
    "corpora": {"eng": "miniature/train:150"},
    "clones": {"of": "eng", "count": 2, "anchors": 0.1},
    "mixture": {"kind": "fixed", "shares": {"eng": 0.6, "eng-x-2": 0.4}},
    "dev": {},
    "test": {},
    "alignment": {"text": {"eng": "miniature/test:12"}, "sequences": 8, "gradients": 3},
}


@pytest.fixture(scope="module")
def cloned(tmp_path_factory):
    return ran(tiny(CLONES), tmp_path_factory.mktemp("aligned-clones"))


@pytest.fixture(scope="module")
def bilingual(tmp_path_factory):
    alignment = {"text": {"eng": "miniature/test:6", "fra": "miniature/test:6"}, "gradients": 2, "sketch": 64}
    return ran(tiny(PRETRAIN, alignment=alignment), tmp_path_factory.mktemp("aligned-languages"))


def test_texts_of_the_embedded_world_say_the_same():
    text = aligned_text(WORLD, limit=5)
    assert text.languages == (EN, FR)
    assert len(text) == len(text.texts[EN]) == len(text.texts[FR]) == 5


def test_clones_read_the_text_of_their_original():
    text = aligned_text({EN: WORLD[EN]}, clones=[CLONE, "de-Latn-x-2"])
    assert text.languages == (EN, CLONE)
    assert text.texts[EN] == text.texts[CLONE]


def test_files_are_read_in_step_or_by_id(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nfour\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("un\ndeux\ntrois\nquatre\n", encoding="utf-8")
    lines = aligned_text({EN: (str(tmp_path / "a.txt"),), FR: (str(tmp_path / "b.txt"),)})
    assert lines.texts == {EN: ("one", "two", "four"), FR: ("un", "deux", "quatre")}
    (tmp_path / "a.tsv").write_text("index_id\ttext\n7\tseven\n8\teight\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(json.dumps({"index_id": "8", "text": "huit"}) + "\n", encoding="utf-8")
    tables = aligned_text({EN: (str(tmp_path / "a.tsv"),), FR: (str(tmp_path / "b.jsonl"),)})
    assert tables.texts == {EN: ("eight",), FR: ("huit",)}
    with pytest.raises(DataError, match="different kinds"):
        aligned_text({EN: (str(tmp_path / "a.tsv"),), FR: (str(tmp_path / "b.txt"),)})


def test_a_text_that_comes_twice_is_read_once(tmp_path):
    (tmp_path / "a.txt").write_text("yes\nno\nyes\nwell\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("oui\nnon\nsi\nnon\n", encoding="utf-8")
    text = aligned_text({EN: (str(tmp_path / "a.txt"),), FR: (str(tmp_path / "b.txt"),)})
    assert text.texts == {EN: ("yes", "no"), FR: ("oui", "non")}


def test_neighbours_make_longer_texts():
    one, three = (aligned_text(WORLD, limit=4, join=join) for join in (1, 3))
    assert three.texts[FR][0] == " ".join(one.texts[FR][:3])
    assert len(three) == len(three.texts[EN]) == 4
    last = aligned_text(WORLD, join=5).texts[EN]
    assert [text.count(".") + text.count("?") for text in last] == [5, 5, 2]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_files_without_text_are_refused(tmp_path, content):
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    with pytest.raises(DataError):
        aligned_text({EN: (str(tmp_path / "a.txt"),)})


def test_several_places_for_a_language_are_refused():
    with pytest.raises(DataError, match="2 places"):
        aligned_text({EN: ("a.txt", "b.txt")})


def test_pairs_are_those_of_the_first_language_or_all():
    assert pairs_of("abc", every=False) == [("a", "b"), ("a", "c")]
    assert pairs_of("abc", every=True) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs_of("a", every=True) == []


def test_every_measure_is_logged_with_both_languages(cloned):
    layers = [0, 1, 2]
    for metric in (
        "hidden_cosine",
        "hidden_cosine_centred",
        "hidden_cosine_floor",
        "hidden_cosine_chance",
        "cka",
    ):
        lines = logged(cloned, metric, split="aligned", language=EN, other=CLONE, model="model", step=6)
        assert [line["layer"] for line in lines] == layers
        assert all(-1.0001 <= line["value"] <= 1.0001 for line in lines)
    for language, other in ((EN, CLONE), (CLONE, EN)):
        for metric in ("retrieval_accuracy", "retrieval_mrr", "retrieval_accuracy_centred"):
            lines = logged(cloned, metric, language=language, other=other)
            assert [line["layer"] for line in lines] == layers
            assert all(line["low"] <= line["value"] <= line["high"] for line in lines)
    gradients = logged(cloned, "gradient_cosine", language=EN, other=CLONE)
    parts = [line["part"] for line in gradients if "part" in line]
    assert {"all", "attention", "feedforward", "norm", "embedding"} <= set(parts)
    assert [line["layer"] for line in gradients if "layer" in line] == [0, 1]


def test_the_report_reads_them_and_its_tables_of_scores_do_not(cloned):
    found = [m for m in measurements(cloned, split="aligned") if m.metric == "hidden_cosine"]
    assert [(m.language, m.other, m.layer) for m in found] == [(EN, CLONE, layer) for layer in range(3)]
    page = (cloned.folder / "report.html").read_text(encoding="utf-8")
    assert "hidden_cosine" not in page


def test_rows_are_compared_by_how_often_pieces_were_read(cloned):
    lines = logged(cloned, "embedding_cosine", part="input")
    edges = [line["frequency"] for line in lines if "frequency" in line]
    assert edges == sorted(edges)
    assert edges[0] >= 1.0
    assert sum("frequency" not in line for line in lines) == 1
    floors = [line.get("frequency") for line in logged(cloned, "embedding_cosine_floor", part="input")]
    assert floors[0] is None
    assert set(floors[1:]) <= set(edges), "a single piece has none"


def test_a_language_that_read_little_has_pieces_that_were_read_little(tmp_path):
    shares = {"kind": "fixed", "shares": {"eng": 0.8, "eng-x-2": 0.2}, "by": "sequences"}
    run = ran(tiny(CLONES | {"mixture": shares}), tmp_path)
    passes = {line["language"]: line["value"] for line in logged(run, "epochs")}
    assert 0 < passes[CLONE] < passes[EN] < 1
    [folder] = (run.folder / "tokens").iterdir()
    counts = piece_counts(TokenFile.open(folder), load_tokenizer(run.folder / "tokenizer"))
    most = max(counts.values())
    highest = max(line["frequency"] for line in logged(run, "embedding_cosine") if "frequency" in line)
    assert highest <= (passes[EN] + passes[CLONE]) / 2 * most < most


def test_anchors_have_no_part_in_the_comparison_of_rows(cloned):
    tokenizer = load_tokenizer(cloned.folder / "model")
    subject = TaskModel(load_model(cloned.folder / "model", "causal"), None, kind="text")
    text = aligned_text({EN: WORLD[EN]}, clones=[CLONE])
    first, second = (tokenizer.of(tag).get_vocab() for tag in (EN, CLONE))
    anchors = {piece: 5 for piece, index in first.items() if second.get(piece) == index}
    assert anchors
    found = measured(
        subject,
        tokenizer,
        text,
        pairs=[(EN, CLONE)],
        length=32,
        gradients=0,
        occurrences={EN: anchors, CLONE: anchors},
    )
    assert not [one for one in found if one.metric == "embedding_cosine"]


def test_the_word2vec_control_compares_the_same_rows(cloned):
    tokenizer = load_tokenizer(cloned.folder / "model")
    text = aligned_text({EN: WORLD[EN]}, clones=[CLONE])
    stream = [
        np.array(tokenizer.of(tag)(line)["input_ids"]) for tag in text.languages for line in text.texts[tag]
    ]
    found = list(word2vec_rows(stream, tokenizer, [(EN, CLONE)], hidden=8))
    overall = {
        one.part: one.value.value for one in found if one.metric == "embedding_cosine" and not one.frequency
    }
    assert overall.keys() == {"input", "output"}
    assert abs(overall["input"]) < 0.5


def test_a_model_that_knows_no_difference_between_clones_is_aligned_in_all():
    """One tokenizer for both: the clone is the original."""
    tokenizer = tiny_tokenizer("unigram")
    subject = TaskModel(tiny_model("xlm-roberta", AutoModelForMaskedLM, tokenizer), None, kind="text")
    text = aligned_text({EN: WORLD[EN]}, clones=[CLONE])
    found = list(measured(subject, tokenizer, text, pairs=[(EN, CLONE)], length=32, gradients=2))
    whole = ("hidden_cosine", "hidden_cosine_centred", "cka", "gradient_cosine", "retrieval_accuracy")
    assert {one.metric for one in found} >= set(whole)
    for one in found:
        if one.metric in whole:
            assert one.value.value == pytest.approx(1.0, abs=1e-3), one
        if one.metric == "hidden_cosine_chance":
            assert one.value.value < 0.999


def test_real_languages_are_matched_and_sketched(bilingual):
    cosine = {line["layer"]: line["value"] for line in logged(bilingual, "hidden_cosine", other=FR)}
    floor = {line["layer"]: line["value"] for line in logged(bilingual, "hidden_cosine_floor", other=FR)}
    assert all(cosine[layer] > floor[layer] for layer in cosine), "the best matching is better than any"
    assert logged(bilingual, "gradient_cosine", part="all", language=EN, other=FR)
    assert not logged(bilingual, "embedding_cosine"), "one vocabulary: they share every row"


def test_texts_without_a_token_in_a_language_are_left_out():
    tokenizer = tiny_tokenizer("unigram")
    subject = TaskModel(tiny_model("xlm-roberta", AutoModelForMaskedLM, tokenizer), None, kind="text")
    text = AlignedText((EN, FR), {EN: ("The cow", "The house"), FR: (" ", "La maison")})
    found = list(measured(subject, tokenizer, text, pairs=[(EN, FR)], length=16, gradients=1))
    assert not any(math.isnan(one.value.value) for one in found if one.metric == "hidden_cosine")
    assert not [one for one in found if one.metric == "cka"], "too few texts"


@pytest.mark.parametrize("family", ["bert", "mt5", "llama"])
def test_every_kind_of_model_is_measured(family):
    style = {"bert": "wordpiece", "mt5": "t5", "llama": "bytes"}[family]
    tokenizer = tiny_tokenizer(style)
    model = small_model(family, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    text = aligned_text(WORLD, limit=4)
    subject = TaskModel(model, None, kind="text")
    found = {
        one.metric for one in measured(subject, tokenizer, text, pairs=[(EN, FR)], length=24, gradients=2)
    }
    assert {"hidden_cosine", "cka", "retrieval_mrr", "gradient_cosine"} <= found


@pytest.mark.parametrize("every", [False, True], ids=["with the first", "all pairs"])
def test_several_pairs_together_are_measured_as_each_alone(every):
    tokenizer = tiny_tokenizer("wordpiece")
    model = small_model("bert", vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    subject = TaskModel(model, None, kind="text")
    text = aligned_text(WORLD | {"sw-Latn": ("miniature/test:12",)}, limit=7)
    pairs = pairs_of(text.languages, every=every)
    ticked = []
    settings = {"length": 24, "gradients": 2}
    together = [*measured(subject, tokenizer, text, pairs=pairs, **settings, tick=lambda: ticked.append(1))]
    assert 0 < len(ticked) <= ticks(text, gradients=2)
    for pair in pairs:
        two = replace(text, languages=pair, texts={tag: text.texts[tag] for tag in pair})
        alone = list(measured(subject, tokenizer, two, pairs=[pair], **settings))
        own = [one for one in together if set(one.languages) == set(pair)]
        assert [replace(one, value=None) for one in own] == [replace(one, value=None) for one in alone]
        np.testing.assert_allclose([o.value for o in own], [o.value for o in alone], rtol=1e-4, atol=1e-5)


def test_pieces_are_counted_where_they_stand(cloned):
    tokenizer = load_tokenizer(cloned.folder / "tokenizer")
    [folder] = (cloned.folder / "tokens").iterdir()
    file = TokenFile.open(folder)
    counts = piece_counts(file, tokenizer)
    assert sum(counts.values()) == file.count + 1
    assert counts[tokenizer.convert_ids_to_tokens(int(file.ids[5]))] == (file.ids == file.ids[5]).sum()


def test_files_out_of_step_stop_a_run_before_it_trains(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("un\n", encoding="utf-8")
    text = {"eng": str(tmp_path / "a.txt"), "fra": str(tmp_path / "b.txt")}
    with pytest.raises(DataError, match="lines in"):
        ran(tiny(PRETRAIN, alignment={"text": text}), tmp_path / "runs")
    [folder] = (tmp_path / "runs").iterdir()
    assert not (folder / "checkpoints").exists()
    with pytest.raises(DataError, match=r"alignment\.text"):
        missing = text | {"eng": str(tmp_path / "none.txt")}
        ran(tiny(PRETRAIN, alignment={"text": missing}), tmp_path / "runs")


@pytest.mark.parametrize("across", ["disjoint", "anchored"])
def test_identical_pieces_of_two_vocabularies_are_compared_where_they_have_rows_of_their_own(
    across, tmp_path
):
    recipe = tiny(
        PRETRAIN,
        vocabulary={"kind": "unigram", "size": 300, "across": across},
        alignment={"text": {"eng": "miniature/test:6", "fra": "miniature/test:6"}, "gradients": 1},
    )
    run = ran(recipe, tmp_path)
    assert bool(logged(run, "embedding_cosine", part="input", other=FR)) == (across == "disjoint")
    assert logged(run, "hidden_cosine", other=FR)
    assert logged(run, "gradient_cosine", part="all")
