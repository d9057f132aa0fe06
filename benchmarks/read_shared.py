"""Reads every file of `../shared/data`, each with the reader meant for it, and prints what came out.

    python benchmarks/read_shared.py

A row per set: its kind, the folder that stands for its format, the number of files and of examples and the
seconds; before them what the readers warned of, and the parallel sets joined. Exit code 1 when one could not
be read.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from isogloss.core.errors import IsoglossError
from isogloss.core.languages import language
from isogloss.data.corpora import Corpus
from isogloss.data.lines import numbered_lines
from isogloss.data.parallel import ParallelText, from_lines, from_moses, from_tables
from isogloss.data.tasks import read
from isogloss.data.tasks.conllu import sentences

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
TASK_OF_FOLDER = {
    "nli": "nli", "paraphrase": "paraphrase", "topic": "topic", "copa": "copa", "cloze": "cloze",
    "ner": "ner", "pos": "pos", "ud": "parsing", "qa": "qa",
}  # fmt: skip
LANGUAGE_OF_PATH: dict[str, Callable[[Path], str]] = {
    "ud": lambda path: path.parent.name.partition("-")[0],
    "uner": lambda path: path.parent.name.removeprefix("UNER_").partition("-")[0],
    "geomlama": lambda path: path.name.split("_")[2].partition(".")[0],
    "xnli": lambda path: path.name.partition("-")[2].partition(".")[0],
    "pawsx": lambda path: path.name.partition("-")[2].partition(".")[0],
    "americasnli": lambda path: path.name.partition(".")[0],
    "tydiqa-goldp": lambda path: path.name.partition(".")[0],
    "xquad": lambda path: path.name.split(".")[1],
    "sick-en": lambda _: "en",
    "xglue-de": lambda _: "de",
    "cmrc2018": lambda _: "zh",
}


def main() -> int:
    if not DATA.is_dir():
        print(f"no shared data at {DATA}: nothing to read")
        return 0
    sets: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
    failures = 0
    for path in files_to_read():
        parts = path.relative_to(DATA).parts
        started = time.perf_counter()
        try:
            how, examples = noted(path, parts)
        except IsoglossError as error:
            failures += 1
            print(f"FAILED {error}")
            continue
        total = sets[how, "/".join(parts[:2]) if len(parts) > 2 else parts[0]]
        total[:] = [total[0] + 1, total[1] + examples, total[2] + time.perf_counter() - started]
    failures += whole_sets()
    print(f"\n{'kind':12} {'format':26} {'files':>5} {'examples':>9} {'seconds':>8}")
    for (kind, name), (files, examples, seconds) in sorted(sets.items()):
        print(f"{kind:12} {name:26} {files:5} {examples:9} {seconds:8.2f}")
    print(f"{sum(int(total[0]) for total in sets.values())} files read, {failures} failures")
    return 1 if failures else 0


def files_to_read() -> list[Path]:
    """Every file but the typology tables, the manifest and SIB-200's lists of labels."""
    found = sorted(path for path in DATA.rglob("*") if path.is_file())
    return [
        path
        for path in found
        if path.name not in ("MANIFEST.md", "labels.txt") and "typology" not in path.relative_to(DATA).parts
    ]


def noted(path: Path, parts: Sequence[str]) -> tuple[str, int]:
    """`read_one`, with the reader's warnings printed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read_one(path, parts)
    for warning in caught:
        print(warning.message)
    return found


def read_one(path: Path, parts: Sequence[str]) -> tuple[str, int]:
    """What the file was read as, and the number of examples."""
    folder = parts[0]
    if folder == "text":
        return "text", sum(1 for _ in Corpus(path.name[:2], path))
    if folder == "parallel" or path.name == "test.labels.txt.gz":
        return "lines", sum(1 for _ in numbered_lines(path))
    task, tag = TASK_OF_FOLDER[folder], language(_language(path, parts)).tag
    if folder == "ud":
        check_round_trip(path)
    labels = path.with_name("test.labels.txt.gz") if path.match("nli/xnli/test-*") else None
    options = {"labels": labels} if labels else {"spans": "mend"} if parts[1] == "cmrc2018" else {}
    examples = read(task, path, language=tag, **options)
    if folder == "ud":
        read("pos", path, language=tag)
    return task, len(examples)


def _language(path: Path, parts: Sequence[str]) -> str:
    rule = LANGUAGE_OF_PATH.get(parts[0]) or LANGUAGE_OF_PATH.get(parts[1])
    return rule(path) if rule else parts[2]


def check_round_trip(path: Path) -> None:
    """CoNLL-U sentences, joined, are the file."""
    whole = "".join(line for _, line in numbered_lines(path, exact=True))
    assert "".join(str(sentence) for sentence in sentences(path)) == whole, path


def whole_sets() -> int:
    """The parallel sets, each joined over its languages."""
    parallel, sib = DATA / "parallel", sorted((DATA / "topic/sib200").glob("*/test.tsv.gz"))
    bible = {p.name.partition(".")[0]: p for p in (parallel / "bible-nt").glob("*.txt.gz")}
    sets: dict[str, Callable[[], ParallelText]] = {
        "bible-nt": lambda: from_lines(bible, ids=parallel / "bible-nt/verse_ids.txt"),
        "sib200 test": lambda: from_tables({path.parent.name: path for path in sib}),
    }
    for name in ("ntrex", "quran"):
        files = {p.name.partition(".")[0]: p for p in (parallel / name).glob("*.txt.gz")}
        sets[name] = lambda files=files: from_lines(files)
    prefixes = {p.parent / p.name.partition(".")[0] for p in parallel.glob("lafand/*/*.gz")}
    prefixes |= {p.parent / p.name.partition(".")[0] for p in parallel.glob("tatoeba/*.gz")}
    prefixes |= {p.parent / p.name.partition(".")[0] for p in parallel.glob("multi30k/*.gz")}
    for prefix in sorted(prefixes):
        sets[prefix.relative_to(parallel).as_posix()] = lambda prefix=prefix: from_moses(prefix)
    failures = 0
    for name, build in sets.items():
        try:
            print(f"parallel {name}: {build().report()}")
        except IsoglossError as error:
            failures += 1
            print(f"FAILED    parallel {name}\n{error}")
    return failures


if __name__ == "__main__":
    sys.exit(main())
