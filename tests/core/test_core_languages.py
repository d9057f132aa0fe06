from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import LanguageError
from isogloss.core.languages import Language, language, languages

SPELLINGS_OF = {
    "sw-Latn": ["swh_Latn", "swh", "swa", "sw", "sw-Latn", "Swahili", "SWAHILI", " sw_latn "],
    "zh-Hans": ["zh", "zho_Hans", "zho", "cmn", "cmn_Hans", "Chinese", "zh-CN", "chi"],
    "zh-Hant": ["zho_Hant", "cmn_Hant", "zh-TW", "Traditional Chinese"],
    "ar-Arab": ["ar", "arb", "ara", "arb_Arab", "Arabic"],
    "ay-Latn": ["aym", "ayr", "ayr_Latn", "ay"],
    "fa-Arab": ["fa", "fas", "pes_Arab", "Persian", "Farsi"],
    "grc-Grek": ["grc", "Ancient_Greek", "ancient greek"],
    "hch-Latn": ["hch", "Wixarika"],
    "nb-Latn": ["no", "nb", "nob_Latn", "Norwegian"],
    "tl-Latn": ["tl", "tgl_Latn", "fil", "Tagalog"],
    "sr-Cyrl": ["sr", "srp", "Serbian"],
    "sr-Latn": ["sr-Latn", "srp_Latn"],
}
OF_THE_SHARED_DATA = (
    "aym gn hch nah quy cni kab bam fo mt wo hau ibo kin swa wol yor zul qu uk bm ara cmn deu eng fao fin "
    "fra hin ita jpn kor por rus spa swh tha tur vie arb_Arab zho_Hans et it hi fa Bambara Faroese Maltese"
).split()
XTREME_R = (
    "af ar az bg bn de el en es et eu fa fi fr gu he hi ht hu id it ja jv ka kk ko lt ml mr ms my nl pa pl "
    "pt qu ro ru sw ta te th tl tr uk ur vi wo yo zh"
).split()


@pytest.mark.parametrize(("tag", "spellings"), SPELLINGS_OF.items())
def test_every_outside_spelling_means_one_tag(tag, spellings):
    assert {language(spelling).tag for spelling in spellings} == {tag}


def test_every_spelling_of_every_row_leads_back_to_it():
    for row in languages():
        for spelling in row.every_spelling():
            for form in (spelling, spelling.upper(), spelling.lower(), spelling.replace("-", "_")):
                assert language(form) is row


def test_no_spelling_means_two_rows():
    owners = {}
    for row in languages():
        for spelling in row.every_spelling():
            owners.setdefault(spelling.casefold().replace("_", "-").replace(" ", "-"), set()).add(row.tag)
    assert {spelling: tags for spelling, tags in owners.items() if len(tags) > 1} == {}


def test_the_table_holds_flores_200_xtreme_r_and_the_packs():
    assert sum(row.flores is not None for row in languages()) == 204
    assert len({language(code) for code in XTREME_R}) == len(XTREME_R) == 50
    assert all(language(code) for code in OF_THE_SHARED_DATA)


def test_tags_are_a_code_and_a_script_and_are_sorted():
    for row in languages():
        assert row.tag == f"{row.short}-{row.script}"
        assert len(row.script) == 4
        assert row.script.istitle()
        assert row.flores is None or row.flores.endswith(f"_{row.script}")
    assert [row.short for row in languages()] == sorted(row.short for row in languages())


def test_a_language_is_written_in_each_outside_system():
    swahili = language("Swahili")
    forms = {"tag": "sw-Latn", "short": "sw", "iso639-3": "swh", "flores": "swh_Latn", "name": "Swahili"}
    assert {system: swahili.to(system) for system in forms} == forms
    assert language("orv").to("ud") == "Old East Slavic"


def test_a_system_without_a_spelling_says_so():
    with pytest.raises(LanguageError, match="Wixarika") as caught:
        language("hch").to("flores")
    assert "iso639-3" in caught.value.fix
    with pytest.raises(LanguageError, match="unknown spelling system 'iso'"):
        language("sw").to("iso")


def test_a_valid_tag_outside_the_table_is_accepted_with_its_script():
    cornish = language("cor_latn")
    assert (cornish.tag, cornish.iso639_3, cornish.flores) == ("kw-Latn", "cor", None)
    assert language("swa-Arab").tag == "sw-Arab"
    assert language("swa-Arab").iso639_3 == "swh"


@pytest.mark.parametrize(
    "wrong", ["kw", "", "  ", "xx-Latn", "sw-Xxxx", "en-US", "qqqq-Latn", "swahilli", "日本"]
)
def test_an_unknown_spelling_names_the_way_out(wrong):
    with pytest.raises(LanguageError) as caught:
        language(wrong)
    assert repr(wrong) in caught.value.got
    assert "kw-Latn" in caught.value.fix


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(LanguageError, match=r"did you mean 'Swahili' \(sw-Latn\)\?"):
        language("Swahilli")


@given(st.text(max_size=12))
def test_any_text_is_a_language_or_a_language_error(text):
    with contextlib.suppress(LanguageError):
        assert isinstance(language(text), Language)


def test_reading_the_table_imports_no_langcodes():
    code = (
        "import sys; from isogloss.core.languages import language; language('swh'); "
        "assert not any(name.startswith(('langcodes', 'language_data')) for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("spelling", ["eng-x-2", "en-Latn-x-2", "EN_x_2", "English (2)", "eng_Latn-x-2"])
def test_every_spelling_of_an_original_with_a_number_is_its_clone(spelling):
    clone = language(spelling)
    assert (clone.tag, clone.name, clone.number) == ("en-Latn-x-2", "English (2)", 2)
    assert (clone.original, clone.script) == ("en-Latn", "Latn")
    assert all(language(clone.to(system)) == clone for system in ("tag", "short", "iso639-3", "name"))
    assert all(language(form) == clone for form in clone.every_spelling())


def test_an_original_is_its_own_first_clone():
    swahili = language("swh")
    assert swahili.original == swahili.tag
    assert swahili.number == 1
    assert language("swh-x-1") is swahili
    assert language("zh-Hant-x-11").tag == "zh-Hant-x-11"


@pytest.mark.parametrize("spelling", ["eng-x-0", "eng-x-2-x-3", "xx-x-2", "eng-x-", "-x-2", "eng-x-b"])
def test_what_is_no_clone_of_a_language_is_refused(spelling):
    with pytest.raises(LanguageError):
        language(spelling)


def test_outside_systems_know_no_clones():
    with pytest.raises(LanguageError, match="no spelling in 'flores'"):
        language("eng-x-2").to("flores")
