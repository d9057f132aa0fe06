from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import DataError, LanguageError
from isogloss.data.parallel import aligned, from_lines, from_moses, from_tables


def write(folder, name, *lines):
    path = folder / name
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def test_files_in_step_are_aligned_by_line(tmp_path):
    english = write(tmp_path, "en.txt", "one", "two")
    swahili = write(tmp_path, "sw.txt.gz", "moja", "mbili")
    text = from_lines({"eng_Latn": english, "Swahili": swahili})
    assert text.languages == ("en-Latn", "sw-Latn")
    assert text.ids == ("1", "2")
    assert list(text) == [("one", "moja"), ("two", "mbili")]
    assert text.texts("swh") == ("moja", "mbili")
    assert text.pairs("sw", "en") == [("moja", "one"), ("mbili", "two")]
    assert len(text) == 2


def test_an_ids_file_names_the_lines(tmp_path):
    english = write(tmp_path, "en.txt", "one", "two")
    ids = write(tmp_path, "ids.txt", "MAT.1.1", "MAT.1.2")
    assert from_lines({"en": english}, ids=ids).ids == ("MAT.1.1", "MAT.1.2")
    write(tmp_path, "ids.txt", "MAT.1.1", "MAT.1.1")
    with pytest.raises(DataError, match=r"ids.txt:2\n  id 'MAT.1.1' stands on line 1 already"):
        from_lines({"en": english}, ids=ids)
    write(tmp_path, "ids.txt", "MAT.1.1")
    with pytest.raises(DataError, match=r"1 lines in .*ids.txt but 2 lines in .*en.txt"):
        from_lines({"en": english}, ids=ids)


def test_files_out_of_step_are_refused_with_both_counts(tmp_path):
    english = write(tmp_path, "en.txt", "one", "two")
    swahili = write(tmp_path, "sw.txt", "moja", "mbili", "tatu")
    with pytest.raises(DataError, match=r"3 lines in .*sw.txt but 2 lines in .*en.txt"):
        from_lines({"en": english, "sw": swahili})


def test_empty_sides_are_kept_counted_and_filtered(tmp_path):
    english = write(tmp_path, "en.txt", "one", "", "three")
    swahili = write(tmp_path, "sw.txt", "moja", "mbili", " ")
    text = from_lines({"en": english, "sw": swahili})
    assert len(text) == 3
    assert text.empty_sides() == {"en-Latn": 1, "sw-Latn": 1}
    assert text.without_empty().ids == ("1",)
    assert text.report() == "3 rows in en-Latn, sw-Latn; 1 empty in en-Latn; 1 empty in sw-Latn"


@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl", "tsv.gz"])
def test_tables_are_joined_by_their_id_and_tell_what_was_dropped(tmp_path, ending):
    def table(name, rows):
        if ending == "jsonl":
            lines = [f'{{"index_id": {key}, "text": "{text}"}}' for key, text in rows]
        else:
            comma = "," if ending == "csv" else "\t"
            lines = [f"index_id{comma}category{comma}text", *(f"{k}{comma}x{comma}{t}" for k, t in rows)]
        return write(tmp_path, f"{name}.{ending}", *lines)

    text = from_tables(
        {
            "en": table("en", [(7, "seven"), (8, "eight"), (9, "nine")]),
            "sw": table("sw", [(9, "tisa"), (7, "saba")]),
        }
    )
    assert text.ids == ("7", "9")
    assert text.rows == (("seven", "saba"), ("nine", "tisa"))
    assert text.dropped == {"en-Latn": ("8",)}
    assert "1 of en-Latn dropped" in text.report()


def test_tables_name_a_missing_column_and_a_doubled_id(tmp_path):
    path = write(tmp_path, "a.tsv", "index_id\ttexte", "1\tun")
    with pytest.raises(DataError, match=r"a.tsv:2\n  no column 'text'\n.*index_id, texte\n.*'texte'\?"):
        from_tables({"fr": path})
    assert from_tables({"fr": path}, text_column="texte").rows == (("un",),)
    path = write(tmp_path, "a.tsv", "index_id\ttext", "1\tun", "1\tdeux")
    with pytest.raises(DataError, match=r"a.tsv:3\n  id '1' stands on line 2 already"):
        from_tables({"fr": path})


def test_moses_files_are_found_by_their_language_codes(tmp_path):
    write(tmp_path, "train.en", "one")
    write(tmp_path, "train.swa.txt.gz", "moja")
    write(tmp_path, "train.log", "no language: not read")
    write(tmp_path, "train.fr.bak", "no ending of ours: not read")
    text = from_moses(tmp_path / "train")
    assert text.languages == ("en-Latn", "sw-Latn")
    assert text.rows == (("one", "moja"),)
    assert from_moses(tmp_path / "train", ["swh", "en"]).rows == (("moja", "one"),)
    with pytest.raises(DataError, match=r"files for en-Latn, sw-Latn\n  wanted: en-Latn, fr-Latn"):
        from_moses(tmp_path / "train", ["en", "fr"])
    with pytest.raises(DataError, match="files for no language"):
        from_moses(tmp_path / "valid")
    with pytest.raises(DataError, match="no such folder"):
        from_moses(tmp_path / "nowhere" / "train")
    write(tmp_path, "train.eng.gz", "one")
    with pytest.raises(DataError, match="two files for en-Latn"):
        from_moses(tmp_path / "train")


def test_alignment_refuses_what_cannot_be_aligned():
    with pytest.raises(DataError, match="no id is in all of en-Latn, sw-Latn"):
        aligned({"en": {"1": "one"}, "sw": {"2": "mbili"}})
    with pytest.raises(DataError, match="different languages"):
        aligned({"sw": {"1": "a"}, "swh": {"1": "b"}})
    with pytest.raises(DataError, match="different languages"):
        aligned({})
    with pytest.raises(LanguageError, match="no fr-Latn in this text"):
        aligned({"en": {"1": "one"}}).texts("fr")


@given(st.dictionaries(st.sampled_from(["en", "sw", "tr", "fo"]), st.sets(st.integers(0, 9)), min_size=1))
def test_what_is_kept_and_what_is_dropped_make_up_each_side(keys):
    sides = {name: {str(key): f"{name}{key}" for key in ids} for name, ids in keys.items()}
    shared = set.intersection(*keys.values())
    if not shared:
        with pytest.raises(DataError):
            aligned(sides)
        return
    text = aligned(sides)
    assert set(text.ids) == {str(key) for key in shared}
    for tag, name in zip(text.languages, keys, strict=True):
        assert set(text.ids) | set(text.dropped.get(tag, ())) == set(sides[name])
        assert text.texts(tag) == tuple(f"{name}{key}" for key in text.ids)


def test_files_without_a_line_are_told_to_have_no_text(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("")
    with pytest.raises(DataError, match="no text in any of en-Latn, fr-Latn"):
        from_lines({"eng": tmp_path / "a.txt", "fra": tmp_path / "b.txt"})
