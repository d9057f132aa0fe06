"""Sizes and times from the command line."""

from __future__ import annotations

import pytest

from isogloss.core.errors import UserError
from isogloss.core.files import cache_folder
from isogloss.core.quantities import bytes_of, seconds_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [("60MB", 60_000_000), ("1.5 GB", 1_500_000_000), ("2kb", 2000), ("1MiB", 1 << 20), ("7B", 7)],
)
def test_a_size_is_read_in_powers_of_a_thousand_unless_it_says_otherwise(text, expected):
    assert bytes_of(text, option="--disk") == expected


@pytest.mark.parametrize(("text", "expected"), [("10ms", 0.01), ("0.2 s", 0.2), ("5us", 5e-6)])
def test_a_time_is_read_with_its_unit(text, expected):
    assert seconds_of(text, option="--latency") == pytest.approx(expected)


@pytest.mark.parametrize("text", ["60", "MB", "", "-1MB", "0MB", "ten MB", "60ms", "1e3MB"])
def test_anything_else_is_a_mistake_that_names_its_option(text):
    with pytest.raises(UserError, match="--disk") as refused:
        bytes_of(text, option="--disk")
    assert "60MB" in refused.value.fix


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "isogloss"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().name == "isogloss"
