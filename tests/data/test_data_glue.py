"""The layouts of GLUE, as published and as its tables are exported."""

from __future__ import annotations

import json

import pytest

from isogloss.core.errors import DataError
from isogloss.core.files import write_text
from isogloss.data.tasks import read

MNLI = ["index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"]
MNLI += ["sentence1_parse", "sentence2_parse", "sentence1", "sentence2", "label1", "gold_label"]
PARSED = ["( a )", "( b )", "(A)", "(B)"]
QQP = ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"]

PUBLISHED = {
    "cola": (
        "classify",
        [["gj04", "0", "*", 'They "drank the pub.'], ["gj04", "1", "", "They drank."]],
        {"columns": {"label": 2, "text": 4}},
        [('They "drank the pub.', None, "0"), ("They drank.", None, "1")],
    ),
    "sst2": ("classify", [["sentence", "label"], ["a dull film ", "0"]], {}, [("a dull film ", None, "0")]),
    "mrpc": (
        "paraphrase",
        [["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"], ["1", "7", "8", 'He said " yes "', "Yes."]],
        {},
        [('He said " yes "', "Yes.", "1")],
    ),
    "qqp": ("paraphrase", [QQP, ["3", "5", "6", "Why?", "How so?", "0"]], {}, [("Why?", "How so?", "0")]),
    "mnli": (
        "nli",
        [MNLI, ["0", "7", "7n", "fiction", *PARSED, "A cat.", "A dog.", "neutral", "contradiction"]],
        {},
        [("A cat.", "A dog.", "contradiction")],
    ),
    "qnli": (
        "classify-pairs",
        [["index", "question", "sentence", "label"], ["0", "Who?", "He did.", "not_entailment"]],
        {},
        [("Who?", "He did.", "not_entailment")],
    ),
    "rte": (
        "classify-pairs",
        [["index", "sentence1", "sentence2", "label"], ["0", "A.", "B.", "entailment"]],
        {},
        [("A.", "B.", "entailment")],
    ),
}
TWO = ["entailment", "not_entailment"]
EXPORTED = {
    "cola": ("classify", {"sentence": "S", "label": 1, "idx": 4}, {}, ("S", None, "1")),
    "mrpc": ("paraphrase", {"sentence1": "A", "sentence2": "B", "label": 0, "idx": 4}, {}, ("A", "B", "0")),
    "mnli": (
        "nli",
        {"premise": "A", "hypothesis": "B", "label": 2, "idx": 4},
        {"names": ["entailment", "neutral", "contradiction"]},
        ("A", "B", "contradiction"),
    ),
    "qnli": (
        "classify-pairs",
        {"question": "A", "sentence": "B", "label": 1, "idx": 4},
        {"names": TWO},
        ("A", "B", "not_entailment"),
    ),
    "unlabelled": (
        "classify-pairs",
        {"sentence1": "A", "sentence2": "B", "label": -1, "idx": 4},
        {"names": TWO},
        ("A", "B", None),
    ),
}


def written(folder, name, content):
    write_text(folder / name, content)
    return folder / name


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tables_of_glue_are_read(tmp_path, name):
    task, rows, options, wanted = PUBLISHED[name]
    path = written(tmp_path, f"{name}.tsv", "".join("\t".join(row) + "\n" for row in rows))
    found = read(task, path, language="eng", **options)
    assert [(one.text, one.pair, one.label) for one in found] == wanted


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_lines_of_glue_are_read_with_labels_by_name(tmp_path, name):
    task, row, options, wanted = EXPORTED[name]
    [found] = read(task, written(tmp_path, "a.jsonl", json.dumps(row) + "\n"), language="eng", **options)
    assert (found.id, found.text, found.pair, found.label) == ("4", *wanted)


def test_numbers_that_no_name_stands_for_and_columns_that_are_not_there_are_refused(tmp_path):
    path = written(tmp_path, "a.tsv", "sentence1\tsentence2\tlabel\nA\tB\t2\n")
    with pytest.raises(DataError, match="a number from 0 to 1"):
        read("classify-pairs", path, language="eng", names=TWO)
    path = written(tmp_path, "b.tsv", "A\tB\n")
    with pytest.raises(DataError, match="no column '4'"):
        read("classify", path, language="eng", columns={"text": 4, "label": 2})


def test_one_sentence_is_no_pair(tmp_path):
    path = written(tmp_path, "a.tsv", "sentence\tlabel\nA\t1\n")
    with pytest.raises(DataError, match="no column 'hypothesis'"):
        read("classify-pairs", path, language="eng")
