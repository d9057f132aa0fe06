from __future__ import annotations

import gzip
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import DataError, LanguageError
from isogloss.data.records import (
    ChoiceExample,
    GapExample,
    LabelExample,
    SpanExample,
    TagsExample,
    TextExample,
)
from isogloss.data.rows import unquoted
from isogloss.data.tasks import FORMATS, TASKS, read
from isogloss.data.tasks.columns import bio2


def write(folder, name, content):
    path = folder / name
    raw = content.encode()
    packers = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
    path.write_bytes(packers.get(path.suffix, bytes)(raw))
    return path


def tsv(*rows, newline="\n"):
    return "".join("\t".join(row) + newline for row in rows)


# the table


def test_every_task_names_formats_that_exist_and_a_deciding_metric():
    labelled = ["nli", "paraphrase", "topic", "classify", "classify-pairs"]
    assert list(TASKS) == [*labelled, "copa", "cloze", "ner", "pos", "parsing", "qa", "lm"]
    for name, task in TASKS.items():
        assert task.name == name
        assert task.metrics
        assert set(task.formats) <= set(FORMATS)
    assert TASKS["parsing"].metrics == ("las", "uas")
    assert TASKS["nli"].labels == ("entailment", "neutral", "contradiction")


def test_unknown_tasks_formats_languages_options_and_files_say_what_to_do(tmp_path):
    path = write(tmp_path, "a.tsv", tsv(["a", "b", "neutral"]))
    with pytest.raises(DataError, match="did you mean 'parsing'"):
        read("parse", path, language="en")
    with pytest.raises(DataError, match="did you mean 'table'"):
        read("nli", path, language="en", format="tabel")
    with pytest.raises(DataError, match="unknown option for nli"):
        read("nli", path, language="en", spans="mend")
    with pytest.raises(LanguageError, match="did you mean 'Swahili'"):
        read("nli", path, language="swahilli")
    with pytest.raises(DataError, match=r"did you mean 'a\.tsv'"):
        read("nli", tmp_path / "a.tvs", language="en")


@pytest.mark.parametrize("task", TASKS)
def test_an_empty_file_is_an_error_for_every_task(tmp_path, task):
    content = '{"data": []}' if task == "qa" else ""
    with pytest.raises(DataError, match="empty"):
        read(task, write(tmp_path, "empty", content), language="en")


def test_limit_stops_reading_before_a_fault_further_on(tmp_path):
    path = write(tmp_path, "a.tsv", tsv(["a", "b", "neutral"], ["c", "d", "neutral"], ["broken"]))
    assert len(read("nli", path, language="en", limit=2)) == 2
    with pytest.raises(DataError, match="1 columns"):
        read("nli", path, language="en")


# labels


@pytest.mark.parametrize("ending", [".tsv", ".txt", ".tsv.gz", ".tsv.zst"])
def test_xnli_of_xtreme_has_no_header_and_rows_for_ids(tmp_path, ending):
    path = write(
        tmp_path,
        f"dev-de{ending}",
        tsv(["Er sagte: „Mama“", "Er rief an", "neutral"], ["a", "b", "entailment"]),
    )
    assert read("nli", path, language="de") == [
        LabelExample("1", "de-Latn", "Er sagte: „Mama“", "Er rief an", "neutral"),
        LabelExample("2", "de-Latn", "a", "b", "entailment"),
    ]


def test_a_test_file_without_labels_takes_them_from_a_file(tmp_path):
    path = write(tmp_path, "test-de.tsv", tsv(["a", "b"], ["c", "d"]))
    labels = write(tmp_path, "test.labels.txt.gz", "neutral\ncontradiction\n")
    assert [e.label for e in read("nli", path, language="de")] == [None, None]
    assert [e.label for e in read("nli", path, language="de", labels=labels)] == ["neutral", "contradiction"]
    assert [e.label for e in read("nli", path, language="de", labels=str(labels), limit=1)] == ["neutral"]
    short = write(tmp_path, "short.txt", "neutral\n")
    with pytest.raises(DataError, match=r"1 labels in .*short.txt but 2 rows"):
        read("nli", path, language="de", labels=short)
    wrong = write(tmp_path, "wrong.txt", "neutral\nmaybe\n")
    with pytest.raises(DataError, match=r"wrong.txt:2\n  unknown label 'maybe'"):
        read("nli", path, language="de", labels=wrong)
    long = write(tmp_path, "long.txt", "neutral\n" * 3)
    with pytest.raises(DataError, match=r"3 labels in .* but 2 rows"):
        read("nli", path, language="de", labels=long)


def test_pawsx_labels_are_digits_and_its_quoted_cells_are_opened(tmp_path):
    path = write(tmp_path, "dev-es.tsv", tsv(['"El ""T"" es"', '"raw speech"', "0"], ['"', 'a "b" c', "1"]))
    assert read("paraphrase", path, language="es") == [
        LabelExample("1", "es-Latn", 'El "T" es', '"raw speech"', "0"),
        LabelExample("2", "es-Latn", '"', 'a "b" c', "1"),
    ]


def test_sick_has_a_header_crlf_and_capitals(tmp_path):
    header = ["pair_ID", "sentence_A", "sentence_B", "relatedness_score", "entailment_judgment"]
    path = write(tmp_path, "test.txt", tsv(header, ["6", "A dog", "A cat", "3.3", "NEUTRAL"], newline="\r\n"))
    assert read("nli", path, language="en") == [LabelExample("6", "en-Latn", "A dog", "A cat", "neutral")]


def test_sib200_rows_are_found_by_their_index(tmp_path):
    path = write(
        tmp_path, "dev.tsv", tsv(["index_id", "category", "text"], ["548", "sports", '"He said ""yes""."'])
    )
    assert read("topic", path, language="eng_Latn") == [
        LabelExample("548", "en-Latn", 'He said "yes".', None, "sports")
    ]


def test_a_language_column_chooses_the_rows(tmp_path):
    header = ["id", "language", "premise", "hypothesis", "label"]
    rows = [["1", "aym", "p", "h", "neutral"], ["1", "quy", "q", "g", "neutral"]]
    path = write(tmp_path, "a.tsv", tsv(header, *rows))
    assert [e.text for e in read("nli", path, language="ayr_Latn")] == ["p"]
    with pytest.raises(DataError, match="only rows in aym, quy"):
        read("nli", path, language="gn")


def test_csv_cells_may_span_lines_and_jsonl_names_its_fields(tmp_path):
    path = write(tmp_path, "a.csv", '\ufefftext,label\r\n"one,\r\ntwo",a\r\nthree,b\r\n')
    assert [(e.text, e.label) for e in read("topic", path, language="en")] == [
        ("one,\r\ntwo", "a"),
        ("three", "b"),
    ]
    path = write(tmp_path, "a.jsonl", '{"sentence1": "a", "sentence2": "b", "label": 1, "id": 9}\n')
    assert read("paraphrase", path, language="en") == [LabelExample("9", "en-Latn", "a", "b", "1")]


def test_columns_with_other_names_can_be_named(tmp_path):
    path = write(tmp_path, "a.tsv", tsv(["Satz", "Thema"], ["Es regnet", "weather"]))
    columns = {"text": "Satz", "label": "Thema"}
    assert read("topic", path, language="de", columns=columns)[0].label == "weather"
    with pytest.raises(DataError, match="no column 'Stz'"):
        read("topic", path, language="de", columns={"text": "Stz"})


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (tsv(["a", "b", "neutral"], ["a", "b", "maybe"]), 2, "unknown label 'maybe'"),
        (tsv(["a", "b", "neutral"], ["a", "b"]), 2, "2 columns"),
        (tsv(["a", "b", "neutral", "more"]), 1, "4 columns and no header"),
        (tsv(["only"]), 1, "1 columns and no header"),
        (tsv(["id", "premise", "label"], ["1", "p", "neutral"]), 2, "no column 'hypothesis'"),
    ],
)
def test_a_faulty_table_names_the_line(tmp_path, content, line, message):
    path = write(tmp_path, "a.tsv", content)
    with pytest.raises(DataError, match=message) as caught:
        read("nli", path, language="en")
    assert caught.value.where == f"{path}:{line}"


def test_broken_csv_names_the_line(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label\n"a"b,c\n')
    with pytest.raises(DataError, match="not CSV") as caught:
        read("topic", path, language="en")
    assert caught.value.where == f"{path}:2"


def test_rows_with_empty_cells_are_kept_in_place(tmp_path):
    path = write(
        tmp_path, "a.tsv", tsv(["a", "b", "neutral"], ["", "", ""], [" ", "d", "-"], ["e", "f", "neutral"])
    )
    assert [(e.id, e.text, e.label) for e in read("nli", path, language="en")] == [
        ("1", "a", "neutral"),
        ("2", "", None),
        ("3", " ", None),
        ("4", "e", "neutral"),
    ]


@given(st.text(max_size=8))
def test_a_cell_that_a_csv_writer_quoted_for_its_quotation_marks_is_opened(text):
    if '"' in text:
        assert unquoted('"' + text.replace('"', '""') + '"') == text
    else:
        assert unquoted(text) == text
        assert unquoted(f'"{text}"') == f'"{text}"'


# choices and gaps


def copa(**changes):
    row = {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": 1, "idx": 7}
    return json.dumps({**row, **changes}) + "\r\n"


def test_xcopa_rows_are_choices(tmp_path):
    path = write(
        tmp_path, "val.et.jsonl.gz", copa() + copa(label=None, idx=8, choice3="c", question="effect")
    )
    assert read("copa", path, language="et") == [
        ChoiceExample("7", "et-Latn", "p", "cause", ("a", "b"), 1),
        ChoiceExample("8", "et-Latn", "p", "effect", ("a", "b", "c"), None),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (copa(label=2), "label 2"),
        (copa(label=True), "label True"),
        (copa(question="why"), "question 'why'"),
        (copa(choice2=None), "no column 'choice2'"),
        ("{", "not JSON"),
    ],
)
def test_a_faulty_choice_names_the_line(tmp_path, row, message):
    path = write(tmp_path, "a.jsonl", copa() + row)
    with pytest.raises(DataError, match=message) as caught:
        read("copa", path, language="et")
    assert caught.value.where == f"{path}:2"


GEO = ["Prompt", "Corresponding Questions", "Ans", "Candidate Ans", "Context"]


def test_geomlama_prompts_may_have_several_answers(tmp_path):
    rows = [
        ["Height is in <mask> here. ", "?", "feet, inch", "feet, inch, mile, inch", "unit"],
        ["", "", "", "", ""],
        ["Drive on the <mask>.", "?", "left", "left, right", "side"],
    ]
    path = write(tmp_path, "gd_prompt_en.tsv", tsv(GEO, *rows, newline="\r\n"))
    assert read("cloze", path, language="en") == [
        GapExample("1", "en-Latn", "Height is in <mask> here.", ("feet", "inch", "mile"), ("feet", "inch")),
        GapExample("2", "en-Latn", "Drive on the <mask>.", ("left", "right"), ("left",)),
    ]


def test_bare_prompts_have_no_gold(tmp_path):
    path = write(tmp_path, "gd_prompt_en_aug.tsv", "Drive on the <mask>.\r\nEat with <mask>.\r\n")
    assert [(e.id, e.prompt, e.candidates, e.answers) for e in read("cloze", path, language="en")] == [
        ("1", "Drive on the <mask>.", (), ()),
        ("2", "Eat with <mask>.", (), ()),
    ]


@pytest.mark.parametrize(
    ("header", "row", "line", "message"),
    [
        (GEO, ["no gap", "?", "a", "a, b", "c"], 2, "0 times <mask>"),
        (GEO, ["<mask> and <mask>", "?", "a", "a, b", "c"], 2, "2 times <mask>"),
        (GEO, ["a <mask>", "?", "x", "a, b", "c"], 2, "answer 'x'"),
        (GEO[:3], ["a <mask>", "?", "x"], 1, "no column 'Candidate Ans'"),
    ],
)
def test_a_faulty_prompt_names_the_line(tmp_path, header, row, line, message):
    path = write(tmp_path, "a.tsv", tsv(header, row))
    with pytest.raises(DataError, match=message) as caught:
        read("cloze", path, language="en")
    assert caught.value.where == f"{path}:{line}"


# tags


def test_columns_between_spaces_hold_words_and_entities(tmp_path):
    path = write(tmp_path, "dev.txt.gz", "Trump B-PER\naike O\n\n\n# O\n1 O\n")
    assert read("ner", path, language="hau") == [
        TagsExample("1", "ha-Latn", ("Trump", "aike"), ("B-PER", "O")),
        TagsExample("2", "ha-Latn", ("#", "1"), ("O", "O")),
    ]


def test_columns_between_tabs_may_hold_spaces_hashes_and_comments(tmp_path):
    path = write(tmp_path, "dev.tsv", "# a comment\nNew York\tI-LOC\n#\tO\n")
    assert read("ner", path, language="en") == [
        TagsExample("1", "en-Latn", ("New York", "#"), ("B-LOC", "O"))
    ]


def test_wikiann_prefixes_go_only_when_every_word_has_them(tmp_path):
    path = write(tmp_path, "dev.tsv", "de:Anton\tB-PER\nde::\tO\n")
    assert read("ner", path, language="de")[0].words == ("Anton", ":")
    path = write(tmp_path, "dev.tsv", "de:Anton\tB-PER\nund\tO\n")
    assert read("ner", path, language="de")[0].words == ("de:Anton", "und")


def test_numbered_columns_of_uner_keep_their_sent_id(tmp_path):
    content = (
        "# sent_id = n01-1\n# text = In Tampa\n1\tIn\tO\t-\t-\n2\tTampa\tB-LOC\t-\tann\n\n1\tGo\tO\t-\t-\n"
    )
    path = write(tmp_path, "test.iob2", content)
    assert read("ner", path, language="en") == [
        TagsExample("n01-1", "en-Latn", ("In", "Tampa"), ("O", "B-LOC")),
        TagsExample("2", "en-Latn", ("Go",), ("O",)),
    ]


def test_conll_2003_has_its_tag_last_and_documents_between(tmp_path):
    path = write(tmp_path, "eng.testa", "-DOCSTART- -X- -X- O\n\nEU NNP B-NP I-ORG\nrejects VBZ B-VP O\n")
    assert read("ner", path, language="en") == [
        TagsExample("1", "en-Latn", ("EU", "rejects"), ("B-ORG", "O"))
    ]


def test_words_alone_have_no_gold(tmp_path):
    path = write(tmp_path, "test.tsv", "Anton\nging\n")
    assert read("ner", path, language="de") == [TagsExample("1", "de-Latn", ("Anton", "ging"), None)]


def test_masakhapos_has_parts_of_speech(tmp_path):
    path = write(tmp_path, "dev.txt", "Rahotanni NOUN\nna AUX\n")
    assert read("pos", path, language="hau")[0].tags == ("NOUN", "AUX")
    path = write(tmp_path, "dev.txt", "Rahotanni NOUN\nna AUXX\n")
    with pytest.raises(DataError, match="unknown part of speech 'AUXX'") as caught:
        read("pos", path, language="hau")
    assert caught.value.where == f"{path}:2"


WITH_DATES = "Ann B-PER\nLee I-PER\nsaw O\nUN B-ORG\non O\nMay B-DATE\n1 I-DATE\n"


def test_entities_of_other_types_can_be_read_as_none(tmp_path):
    path = write(tmp_path, "swa.txt", WITH_DATES)
    (found,) = read("ner", path, language="swa", types=["PER", "ORG", "LOC"])
    assert found.tags == ("B-PER", "I-PER", "O", "B-ORG", "O", "O", "O")
    (found,) = read("ner", path, language="swa", types="DATE")
    assert found.tags == ("O", "O", "O", "O", "O", "B-DATE", "I-DATE")


def test_types_that_no_entity_of_the_file_has_are_told(tmp_path):
    path = write(tmp_path, "swa.txt", WITH_DATES)
    with pytest.raises(DataError, match="no entity of the types PERSON") as caught:
        read("ner", path, language="swa", types=["PERSON"])
    assert "DATE, ORG, PER" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [("a B_PER", "unknown tag 'B_PER'"), ("a", "1 columns"), ("a b O", "3 columns"), ("a  O", "3 columns")],
)
def test_faulty_columns_name_the_line(tmp_path, line, message):
    path = write(tmp_path, "dev.txt", f"Trump B-PER\n\n{line}\n")
    with pytest.raises(DataError, match=message) as caught:
        read("ner", path, language="hau")
    assert caught.value.where == f"{path}:3"


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("BIO2", "B-PER I-PER O B-LOC B-PER I-PER B-PER"),
        ("IOB1", "I-PER I-PER O I-LOC I-PER I-PER B-PER"),
        ("IOBES", "B-PER E-PER O S-LOC B-PER E-PER S-PER"),
        ("BILOU", "B-PER L-PER O U-LOC B-PER L-PER U-PER"),
    ],
)
def test_every_chunk_scheme_becomes_bio2(scheme, tags):
    assert bio2(tags.split()) == ("B-PER", "I-PER", "O", "B-LOC", "B-PER", "I-PER", "B-PER")


@given(st.lists(st.sampled_from(["O", *(f"{mark}-{kind}" for mark in "BIESLU" for kind in ("PER", "LOC"))])))
def test_bio2_is_valid_and_stays_as_it_is(tags):
    once = bio2(tags)
    assert bio2(once) == once
    for before, tag in zip(("O", *once), once, strict=False):
        if tag.startswith("I-"):
            assert before[2:] == tag[2:]


# spans


def squad(context, *answers, key="q1"):
    given = [{"answer_start": start, "text": text} for start, text in answers]
    question = {"id": key, "question": "Who?", "answers": given}
    return {"data": [{"paragraphs": [{"context": context, "qas": [question]}]}]}


def squad_file(folder, value):
    return write(folder, "xquad.json", json.dumps(value))


def test_squad_answers_are_pieces_of_their_context(tmp_path):
    path = squad_file(tmp_path, squad("\ufeffAnna met Bo.", (1, "Anna"), (10, "Bo")))
    assert read("qa", path, language="en") == [
        SpanExample("q1", "en-Latn", "Who?", "\ufeffAnna met Bo.", ((1, "Anna"), (10, "Bo")))
    ]


def test_blanked_answers_are_no_gold_and_repeated_ids_made_unique(tmp_path):
    value = squad("Anna met Bo.", (0, ""))
    value["data"] *= 2
    found = read("qa", squad_file(tmp_path, value), language="en")
    assert [(e.id, e.answers) for e in found] == [("q1", ()), ("q1#2", ())]


@pytest.mark.parametrize(
    ("start", "text", "message"),
    [
        (5, "Bo", "answer 'Bo' at 5: there stands 'me'"),
        (11, "Bo.", "outside the context"),
        (-1, "Bo", "outside the context"),
        (99, "Bo", "outside the context"),
    ],
)
def test_an_answer_outside_its_context_names_file_and_question(tmp_path, start, text, message):
    path = squad_file(tmp_path, squad("Anna met Bo.", (start, text)))
    with pytest.raises(DataError, match=message) as caught:
        read("qa", path, language="en")
    assert caught.value.where == f"{path} question q1"


def test_mending_moves_answers_to_the_nearest_place_and_tells(tmp_path):
    path = squad_file(tmp_path, squad("Bo, Bo and Bo", (5, "Bo"), (-1, "Anna")))
    with pytest.warns(UserWarning, match="1 answers moved, 1 answers left out: not in the context"):
        (example,) = read("qa", path, language="en", spans="mend")
    assert example.answers == ((4, "Bo"),)
    path = squad_file(tmp_path, squad("Bo", (0, "Anna")))
    with pytest.warns(UserWarning, match="1 questions left out"), pytest.raises(DataError, match="empty"):
        read("qa", path, language="en", spans="mend")
    with pytest.raises(DataError, match="'exact' or 'mend'"):
        read("qa", path, language="en", spans="fix")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no list 'data'"),
        ('{"data": [{}]}', "no list 'paragraphs'"),
        ('{"data": [{"paragraphs": [{"context": "c"}]}]}', "no list 'qas'"),
        ('{"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1"}]}]}]}', "no 'question'"),
        ('{"data": [{"paragraphs": [{"qas": [{"id": "1", "question": "q"}]}]}]}', "no 'context'"),
        (
            '{"data": [{"paragraphs": [{"context": "c", "qas": '
            '[{"id": 1, "question": "q", "answers": [{"text": "c"}]}]}]}]}',
            "a broken answer",
        ),
    ],
)
def test_json_of_another_shape_names_its_place(tmp_path, content, message):
    path = write(tmp_path, "a.json", content)
    with pytest.raises(DataError, match=message) as caught:
        read("qa", path, language="en")
    assert str(path) in caught.value.where


# text


def test_a_corpus_is_read_as_text_examples(tmp_path):
    path = write(tmp_path, "a.txt.zst", "moja\n\nmbili\n")
    assert read("lm", path, language="sw") == [
        TextExample("1", "sw-Latn", "moja"),
        TextExample("2", "sw-Latn", "mbili"),
    ]
    path = write(tmp_path, "a.jsonl", '{"body": "moja"}\n')
    assert read("lm", path, language="sw", column="body")[0].text == "moja"
