from __future__ import annotations

import gzip
import json
import tracemalloc

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import DataError
from isogloss.data.corpora import Corpus, parse_hub
from isogloss.data.lines import fingerprint, numbered_lines, unpacked, whole_text

TEXTS = ["Habari ya asubuhi", "Schönen Tag", "Добрый день"]


def pack(path, content):
    packers = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
    path.write_bytes(packers.get(path.suffix, bytes)(content))
    return path


def written(folder, name, texts=TEXTS):
    path = folder / name
    if ".jsonl" in name:
        content = "\n".join(json.dumps({"id": 1, "text": text}) for text in texts)
    else:
        content = "\n".join(texts)
    return pack(path, content.encode())


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["a.txt", "a.jsonl"])
def test_a_corpus_reads_the_same_text_from_every_kind_of_file(tmp_path, kind, packing):
    corpus = Corpus("swh_Latn", written(tmp_path, kind + packing))
    assert list(corpus) == TEXTS
    assert list(corpus) == TEXTS, "and once more"
    assert corpus.language == "sw-Latn"


def test_a_corpus_reads_a_parquet_column(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"body": [*TEXTS, None, " "], "n": [1, 2, 3, 4, 5]}), path)
    assert list(Corpus("sw", path, column="body")) == TEXTS
    with pytest.raises(DataError, match=r"of that name; there are: body, n\n.*call the column"):
        list(Corpus("sw", path))
    with pytest.raises(DataError, match="column 'n' holds a int"):
        list(Corpus("sw", path, column="n"))


def test_damaged_and_doubly_packed_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="not a readable parquet file"):
        list(Corpus("sw", tmp_path / "a.parquet"))
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match="parquet has its own compression inside"):
        list(Corpus("sw", tmp_path / "a.parquet.gz"))


def test_byte_order_mark_crlf_and_blank_lines_are_no_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\n\r\n \t\ntwo\u2028still two\rand still\nthree".encode())
    assert list(Corpus("en", path)) == ["one", "two\u2028still two\rand still", "three"]
    assert [place.rpartition(":")[2] for place, _ in Corpus("en", path).placed()] == ["1", "4", "5"]
    assert [example.id for example in Corpus("en", path).examples()] == ["1", "2", "3"]


def test_files_globs_and_folders_are_read_in_order(tmp_path):
    for name in ("b.txt", "a.txt.gz", "c.jsonl.zst", "readme.md"):
        written(tmp_path, name, [name])
    assert list(Corpus("en", tmp_path)) == ["a.txt.gz", "b.txt", "c.jsonl.zst"]
    assert list(Corpus("en", f"{tmp_path}/*.txt*")) == ["a.txt.gz", "b.txt"]
    assert list(Corpus("en", [tmp_path / "b.txt", f"{tmp_path}/a*"])) == ["b.txt", "a.txt.gz"]


def test_bad_utf8_names_the_line_and_the_byte(tmp_path):
    for name in ("a.txt", "a.txt.gz", "a.txt.zst"):
        path = pack(tmp_path / name, "eins\nzwölf\n".encode() + b"Stra\xdfe\n")
        with pytest.raises(DataError, match="byte 0xdf at byte 16 of the file") as caught:
            list(Corpus("de", path))
        assert caught.value.where == f"{path}:3"


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst", "a.jsonl"])
@pytest.mark.parametrize("content", [b"", b"\n \n\n"])
def test_an_empty_corpus_is_an_error_that_names_it(tmp_path, name, content):
    path = pack(tmp_path / name, content)
    with pytest.raises(DataError, match="an empty corpus") as caught:
        list(Corpus("sw", path))
    assert caught.value.where == str(path)


def test_a_missing_file_names_the_nearest_one_there(tmp_path):
    written(tmp_path, "swahili.txt")
    with pytest.raises(DataError, match=r"did you mean 'swahili\.txt'\?"):
        Corpus("sw", tmp_path / "swahilli.txt")
    with pytest.raises(DataError, match="does not exist either"):
        Corpus("sw", tmp_path / "nowhere" / "swahili.txt")
    with pytest.raises(DataError, match="no file matches this pattern"):
        Corpus("sw", f"{tmp_path}/*.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        Corpus("sw", tmp_path / "empty" / "a.txt")
    with pytest.raises(DataError, match="a folder without text files"):
        Corpus("sw", tmp_path / "empty")
    with pytest.raises(DataError, match="without sources"):
        Corpus("sw", [])


def test_jsonl_faults_name_their_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"\n')
    with pytest.raises(DataError, match="not JSON") as caught:
        list(Corpus("en", path))
    assert caught.value.where == f"{path}:2"
    path.write_text('{"text": "one"}\n{"txt": "two", "id": 3}\n')
    with pytest.raises(DataError, match=r"there are: txt, id\n  to do:  call the column") as caught:
        list(Corpus("en", path))
    assert caught.value.where == f"{path}:2"
    path.write_text('["one"]\n')
    with pytest.raises(DataError, match="a JSON list"):
        list(Corpus("en", path))
    path.write_text('{"text": 5}\n')
    with pytest.raises(DataError, match="holds a int"):
        list(Corpus("en", path))


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
def test_a_cut_off_archive_is_told_from_a_damaged_one(tmp_path, name):
    path = written(tmp_path, name, [str(n) for n in range(5000)])
    whole = path.read_bytes()
    for end in (len(whole) - 1, len(whole) // 2):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match="the file is cut off"):
            list(Corpus("en", path))
    path.write_bytes(b"plain text after all")
    with pytest.raises(DataError, match="damaged"):
        list(Corpus("en", path))


def test_archives_of_several_members_are_read_whole(tmp_path):
    halves = b"one\ntw", b"o\nthree"
    (tmp_path / "a.txt.gz").write_bytes(b"".join(map(gzip.compress, halves)))
    (tmp_path / "a.txt.zst").write_bytes(
        b"".join(zstandard.ZstdCompressor().compress(half) for half in halves)
    )
    for name in ("a.txt.gz", "a.txt.zst"):
        assert list(Corpus("en", tmp_path / name)) == ["one", "two", "three"]


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_lines_joined_exactly_are_the_file(tmp_path_factory, text):
    path = pack(tmp_path_factory.getbasetemp() / "joined.txt.zst", text.encode())
    lines = list(numbered_lines(path, exact=True))
    assert "".join(line for _, line in lines) == text
    assert [number for number, _ in lines] == list(range(1, len(lines) + 1))
    assert whole_text(path) == text.removeprefix("\ufeff")


def test_reading_takes_constant_memory(tmp_path):
    path = pack(tmp_path / "a.txt.gz", b"a line of text that is repeated\n" * 150_000)
    tracemalloc.start()
    assert sum(1 for _ in Corpus("en", path)) == 150_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6


def test_a_fingerprint_follows_content_and_order_not_names(tmp_path):
    first, second = written(tmp_path, "a.txt"), written(tmp_path, "b.txt", ["other"])
    copy = written(tmp_path, "copy.txt")
    assert fingerprint(first) == fingerprint(copy) != fingerprint(second)
    assert Corpus("sw", first).fingerprint() == Corpus("swh", copy).fingerprint()
    assert Corpus("sw", [first, second]).fingerprint() != Corpus("sw", [second, first]).fingerprint()
    assert Corpus("sw", first).fingerprint() != Corpus("sw", first, column="body").fingerprint()


def test_the_fingerprint_of_a_large_file_sees_its_size_and_its_ends(tmp_path):
    path = tmp_path / "large.txt"
    seen = set()
    for size, first, last in [(0, b"a", b"a"), (1, b"a", b"a"), (0, b"b", b"a"), (0, b"a", b"b")]:
        with path.open("wb") as stream:
            stream.write(first)
            stream.seek((65 << 20) + size)
            stream.write(last)
        seen.add(fingerprint(path))
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("spelling", "parts"),
    [
        ("hf://c4", ("c4", None, "train", "text")),
        ("hf://owner/name", ("owner/name", None, "train", "text")),
        ("hf://owner/name:test", ("owner/name", None, "test", "text")),
        ("hf://owner/name/sw:train:body", ("owner/name", "sw", "train", "body")),
    ],
)
def test_a_hub_dataset_is_spelt_in_one_word(spelling, parts):
    assert parse_hub(spelling) == parts


@pytest.mark.parametrize("wrong", ["hf://", "hf://a/b/c/d", "hf://a/b:c:d:e", "hf://a//b", "hf://a/b:"])
def test_another_hub_spelling_is_refused(wrong):
    with pytest.raises(DataError, match="not a Hub dataset's spelling"):
        list(Corpus("sw", wrong))


def test_hub_rows_are_streamed(monkeypatch):
    import datasets

    calls = []

    def load_dataset(*args, **kwargs):
        calls.append((args, kwargs))
        return iter([{"body": "one"}, {"body": None}, {"body": "two"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = Corpus("sw", "hf://owner/name/cfg:test", column="body")
    assert list(corpus) == ["one", "two"]
    assert calls == [(("owner/name", "cfg"), {"split": "test", "streaming": True})]
    with pytest.raises(DataError, match=r"there are: body\n.*hf://owner/name:train:COLUMN"):
        list(Corpus("sw", "hf://owner/name"))


def test_a_hub_dataset_without_a_network_says_what_to_do():
    with pytest.raises(DataError, match="could not be read from the Hub") as caught:
        list(Corpus("sw", "hf://owner/name"))
    assert "without a network" in caught.value.fix


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match="this is a folder"):
        list(unpacked(tmp_path))
