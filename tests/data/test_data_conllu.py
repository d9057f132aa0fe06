from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import DataError
from isogloss.data.records import TagsExample, TreeExample
from isogloss.data.tasks import read
from isogloss.data.tasks.conllu import UPOS, sentences, trees

AU_MARCHE = """\
# newdoc id = d1
# sent_id = fr-1
# text = On va au marché
1\tOn\tsoi\tPRON\t_\tPerson=3\t2\tnsubj\t_\t_
2\tva\taller\tVERB\t_\t_\t0\troot\t_\t_
3-4\tau\t_\t_\t_\t_\t_\t_\t_\t_
3\tà\tà\tADP\t_\t_\t5\tcase\t_\t_
4\tle\tle\tDET\t_\t_\t5\tdet\t_\t_
4.1\tgrand\t_\tADJ\t_\t_\t_\t_\t5:amod\t_
5\tmarché\tmarché\tNOUN\t_\t_\t2\tobl:arg\t_\tSpaceAfter=No

"""


def block(heads, upos=None, forms=None):
    """A sentence of these heads, as CoNLL-U."""
    upos, forms = upos or ["NOUN"] * len(heads), forms or [f"w{i}" for i in range(1, len(heads) + 1)]
    rows = [
        f"{i}\t{form}\t_\t{tag}\t_\t_\t{head}\t{'root' if head == 0 else 'dep'}\t_\t_\n"
        for i, (head, tag, form) in enumerate(zip(heads, upos, forms, strict=True), start=1)
    ]
    return "# sent_id = s1\n" + "".join(rows) + "\n"


def file(folder, content):
    path = folder / "a.conllu"
    path.write_bytes(content.encode())
    return path


def test_a_sentence_keeps_comments_ranges_and_empty_nodes(tmp_path):
    (sentence,) = sentences(file(tmp_path, AU_MARCHE))
    assert sentence.id == "fr-1"
    assert sentence.comment("text") == "On va au marché"
    assert sentence.comment("newdoc id") == "d1"
    assert sentence.comment("missing") is None
    assert [row.form for row in sentence.words] == ["On", "va", "à", "le", "marché"]
    assert [(row.id, row.form) for row in sentence.ranges] == [("3-4", "au")]
    assert [row.id for row in sentence.empty_nodes] == ["4.1"]
    assert str(sentence) == AU_MARCHE


def test_a_sentence_becomes_a_tree_and_tags(tmp_path):
    path = file(tmp_path, AU_MARCHE)
    assert read("parsing", path, language="fra") == [
        TreeExample(
            id="fr-1",
            language="fr-Latn",
            words=("On", "va", "à", "le", "marché"),
            tags=("PRON", "VERB", "ADP", "DET", "NOUN"),
            heads=(2, 0, 5, 5, 2),
            relations=("nsubj", "root", "case", "det", "obl:arg"),
            ranges=((3, 4, "au"),),
        )
    ]
    assert read("pos", path, language="French") == [
        TagsExample(
            "fr-1", "fr-Latn", ("On", "va", "à", "le", "marché"), ("PRON", "VERB", "ADP", "DET", "NOUN")
        )
    ]


def test_a_packed_file_under_another_name_is_known_by_its_columns(tmp_path):
    path = tmp_path / "wo.txt.gz"
    path.write_bytes(gzip.compress(AU_MARCHE.encode()))
    assert read("pos", path, language="wo")[0].tags[0] == "PRON"


def test_sentences_without_an_id_are_numbered_and_doubled_ids_made_unique(tmp_path):
    anonymous = block([0]).replace("# sent_id = s1\n", "")
    assert [t.id for t in trees(file(tmp_path, anonymous * 2), language="en")] == ["1", "2"]
    assert [t.id for t in read("parsing", file(tmp_path, block([0]) * 2), language="en")] == ["s1", "s1#2"]


def test_withheld_forms_and_spaces_in_words_are_read_as_they_stand(tmp_path):
    (tree,) = trees(file(tmp_path, block([0, 1], forms=["_", "thành phố"])), language="vi")
    assert tree.words == ("_", "thành phố")


def test_a_file_without_parts_of_speech_has_no_gold_tags(tmp_path):
    path = file(tmp_path, block([0, 1], upos=["_", "_"]))
    assert read("pos", path, language="en")[0].tags is None
    assert read("parsing", path, language="en")[0].tags == ("_", "_")


def replaced(old, new):
    return AU_MARCHE.replace(old, new)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (block([0, 3, 2]), 3, "the heads form a cycle: 2 -> 3 -> 2"),
        (block([0, 2]), 3, "the heads form a cycle: 2 -> 2"),
        (block([0, 1, 5, 3, 4]), 4, "the heads form a cycle: 3 -> 5 -> 4 -> 3"),
        (block([2, 1]), 2, "no root"),
        (block([0, 1, 0]), 4, "2 roots, words 1, 3"),
        (block([0, 7]), 3, "head 7 is out of range"),
        (block([0, "-1"]), 3, "head '-1' is not a number"),
        (block([0, "_"]), 3, "head '_' is not a number"),
        (block([0, "²"]), 3, "head '²' is not a number"),
        (block([0, 1], upos=["NOUN", "NN"]), 3, "unknown part of speech 'NN'"),
        (replaced("2\tva", "3\tva"), 5, "word id 3"),
        (replaced("3-4", "4-3"), 6, "multiword token 4-3"),
        (replaced("3-4", "3-9"), 6, "multiword token 3-9"),
    ],
)
def test_a_faulty_tree_names_file_line_and_sentence(tmp_path, content, line, message):
    path = file(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read("parsing", path, language="fr")
    assert caught.value.where == f"{path}:{line}"
    assert caught.value.got.startswith(message)
    assert caught.value.got.endswith(("(sent_id s1)", "(sent_id fr-1)"))


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (replaced("\tva\t", " va "), 5, "8 columns"),
        ("just text\n", 1, "1 columns"),
        (replaced("4.1", "4.x"), 9, r"id '4\.x'"),
        ("# sent_id = s1\n\n", 1, "a sentence without words"),
    ],
)
def test_a_line_that_is_not_conllu_names_its_place(tmp_path, content, line, message):
    path = file(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        list(sentences(path))
    assert caught.value.where == f"{path}:{line}"


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_an_error(tmp_path, content):
    with pytest.raises(DataError, match="no parsing examples in this file"):
        read("parsing", file(tmp_path, content), language="fr")


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n#\ufeff"), min_size=1, max_size=4)
COMMENT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\ufeff"), max_size=8).map(
    lambda t: "#" + t
)


@st.composite
def sources(draw):
    """A file of random trees with comments, a range, an empty node, blank lines and either line end."""
    newline, text = draw(st.sampled_from(["\n", "\r\n"])), draw(st.sampled_from(["", "\ufeff", "\n"]))
    heads = draw(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=4))
    for sentence in heads:
        lines = draw(st.lists(COMMENT, max_size=3))
        for i, head in enumerate(sentence, start=1):
            if draw(st.booleans()) and i % 2 and i < len(sentence):
                lines.append(f"{i}-{i + 1}\t{draw(CELL)}" + "\t_" * 8)
            head = 0 if i == 1 else 1 + head % (i - 1)
            cells = [draw(CELL) for _ in range(2)]
            lines.append(
                "\t".join([str(i), *cells, draw(st.sampled_from(UPOS)), "_", "_", str(head), "d", "_", "_"])
            )
            if draw(st.booleans()):
                lines.append(f"{i}.1\t{draw(CELL)}" + "\t_" * 8)
        text += newline.join(lines) + newline * draw(st.integers(2, 4))
    return text if draw(st.booleans()) else text.rstrip("\r\n")


@given(sources())
def test_sentences_joined_are_the_file_to_the_byte(tmp_path_factory, text):
    path = file(tmp_path_factory.getbasetemp(), text)
    found = list(sentences(path))
    assert "".join(map(str, found)).encode() == path.read_bytes()
    for sentence in found:
        tree = sentence.tree_example("fr-Latn", id="x")
        assert tree.heads.count(0) == 1
        assert len(tree.words) == len(tree.heads) == len(tree.tags) == len(tree.relations)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=7))
def test_a_tree_is_accepted_exactly_when_every_word_reaches_one_root(tmp_path_factory, heads):
    heads = [head % (len(heads) + 1) for head in heads]

    def reaches(word):
        for _ in heads:
            word = heads[word - 1] if word else 0
        return word == 0

    good = heads.count(0) == 1 and all(reaches(word) for word in range(1, len(heads) + 1))
    path = file(tmp_path_factory.getbasetemp(), block(heads))
    try:
        accepted = bool(list(trees(path, language="en")))
    except DataError:
        accepted = False
    assert accepted == good
