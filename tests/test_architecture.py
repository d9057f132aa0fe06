"""The page that lists the modules is held to the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def modules():
    """Each module below its floor, packages under their own name; the embedded world counts as one."""
    source = ROOT / "src" / "isogloss"
    for path in source.glob("*/**/*.py"):
        floor, *inner = path.relative_to(source).with_suffix("").parts
        if "miniature" in inner:
            inner = ["miniature"]
        inner = [part for part in inner if part != "__init__"]
        if inner and inner != ["encoding"]:
            yield floor, ".".join(inner)


def test_the_architecture_page_lists_every_module_and_no_other():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Modules")[2]
    floors = re.findall(r"\*\*(\w+)\*\*\n(.*?)(?=\n\*\*|\Z)", text, flags=re.DOTALL)
    listed = [
        (floor, name) for floor, rows in floors for name in re.findall(r"^\| `([\w.]+)` \|", rows, re.M)
    ]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(modules())


def test_every_module_named_on_the_architecture_page_exists():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?!tests/)\w+/[\w/]+(?:\.py)?)`", text):
        place = ROOT / "src" / "isogloss" / path.removesuffix(".py")
        assert place.is_dir() or place.with_suffix(".py").is_file(), path
