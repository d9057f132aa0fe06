"""What README.md and the guides in docs/ tell the reader to type works: commands, recipes, Python."""

from __future__ import annotations

import re
import shlex
import sys
from glob import glob, has_magic
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from isogloss.cli import main
from isogloss.data.clones import ClonesSpec
from isogloss.data.mixture import MixtureSpec
from isogloss.data.schedule import Adaptive, Annealed, Glide, Schedule, Stages, timeline_of
from isogloss.losses.plan import AttentionLoss, DistillationLosses, HiddenLoss, LogitsLoss, RelationLoss
from isogloss.methods import shipped, table
from isogloss.methods.alignment import AlignmentRule
from isogloss.methods.audit import AuditRecipe
from isogloss.methods.distil import DistilRecipe, General
from isogloss.methods.guards import GuardRule
from isogloss.methods.level import LevelRecipe
from isogloss.methods.records import SparseRule
from isogloss.methods.self_distillation import SelfDistillation
from isogloss.methods.student import StudentRule, VocabularyRule
from isogloss.methods.sweep_file import SweepSpec, load_sweep
from isogloss.methods.task_recipe import Unlabelled
from isogloss.methods.teachers import TeacherRule
from tiny_runs import shortened

ROOT = Path(__file__).parents[1]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        "docs/distilling.md",
        "docs/levelling.md",
        "docs/sweeps.md",
        "docs/alignment.md",
        "docs/pretraining.md",
        "docs/audit.md",
    )
}

NOT_RUN = {
    "make demo": "installs, and runs the shipped demo, which test_recipes.py runs shortened",
    "make test": "runs this test",
    "pip install .": "needs the network",
    "isogloss sweep shares.yaml --ray head:6379 --threads 4": "needs a cluster; test_sweep_ray.py starts one",
}
"""Commands of README.md that are not run here, and why."""


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], flags=re.MULTILINE | re.DOTALL)


def every(language):
    return [text for page in PAGES for text in blocks(page, language)]


def commands(page):
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_run_or_has_a_reason_not_to_be(page):
    assert any(command.startswith("isogloss ") for command in commands(page))
    for command in commands(page):
        assert command.startswith("isogloss ") or command in NOT_RUN, command


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_work_one_after_another(page, tmp_path, monkeypatch, capsys):
    """As they stand, except that shipped recipes are shortened to a few steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def short(name):
        return yaml.safe_dump(shortened(yaml.safe_load(shipped.recipe_text(name))), sort_keys=False)

    monkeypatch.setattr(table, "recipe_text", short)
    for command in commands(page):
        if command in NOT_RUN:
            continue
        words = [found for word in shlex.split(command) for found in expanded(word)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        assert not end.value.code, f"{command}\n{output.err}"
        assert output.out, command


def expanded(word):
    """As the shell expands patterns."""
    return sorted(glob(word)) or [word] if has_magic(word) else [word]


@pytest.mark.parametrize(
    "text", [text for text in every("yaml") if re.search("^method:", text, re.MULTILINE)]
)
def test_a_recipe_parses(text, tmp_path):
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    assert table.load_recipe(tmp_path / "recipe.yaml").method in table.METHODS


@pytest.mark.parametrize(
    "text", [text for text in every("yaml") if re.search("^recipe:", text, re.MULTILINE)]
)
def test_a_sweep_parses(text, tmp_path):
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    assert len(load_sweep(tmp_path / "sweep.yaml").runs) > 1


@pytest.mark.parametrize("program", every("python"))
def test_a_program_runs(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "a page", "exec"), {"__name__": "__main__"})


def test_the_guide_to_audits_names_every_option():
    named = set(re.findall(r"`([a-z_.]+)`", PAGES["docs/audit.md"]))
    wanted = AuditRecipe.model_fields.keys() - {"method"}
    assert wanted <= named, wanted - named


def test_the_guide_to_distilling_names_every_option():
    named = set(re.findall(r"`([a-z_0-9.]+)`", PAGES["docs/distilling.md"]))
    wanted = {name for name in DistilRecipe.model_fields if name not in ("method", "student")}
    wanted |= {f"student.{name}" for name in StudentRule.model_fields if name != "vocabulary"}
    wanted |= {f"vocabulary.{name}" for name in VocabularyRule.model_fields}
    wanted |= {f"phase1.{name}" for name in General.model_fields}
    wanted |= {f"phase2.{name}" for name in ("teacher", "losses", "unlabelled", "head", "sparse")}
    losses = (HiddenLoss, AttentionLoss, RelationLoss, LogitsLoss)
    for record in (Unlabelled, SparseRule, DistillationLosses, *losses):
        wanted |= record.model_fields.keys()
    assert wanted <= named, wanted - named


def test_the_guide_to_levelling_names_every_option():
    named = set(re.findall(r"`([a-z_.]+)`", PAGES["docs/levelling.md"]))
    parts = {"selection": TeacherRule, "distillation": SelfDistillation, "guards": GuardRule}
    wanted = {name for name in LevelRecipe.model_fields if name not in ("method", *parts)}
    wanted |= {f"{part}.{name}" for part, rule in parts.items() for name in rule.model_fields}
    assert wanted <= named, wanted - named


def test_the_guide_to_sweeps_names_every_key():
    assert set(SweepSpec.model_fields) <= set(re.findall(r"`([a-z]+):?`", PAGES["docs/sweeps.md"]))


def test_the_page_about_alignment_names_every_option():
    named = set(re.findall(r"`([a-z_.]+)`", PAGES["docs/alignment.md"]))
    wanted = {f"alignment.{name}" for name in AlignmentRule.model_fields}
    assert wanted <= named, wanted - named


SCHEDULES = [
    text for text in blocks("docs/pretraining.md", "yaml") if re.search("^kind:", text, re.MULTILINE)
]


@pytest.mark.parametrize("text", SCHEDULES)
def test_a_schedule_of_the_guide_is_one(text):
    values = yaml.safe_load(text)
    schedule = TypeAdapter(Schedule).validate_python(values)
    languages = {
        tag: 10 for key in ("budget", "start", "enters") for tag in getattr(schedule, key, None) or {}
    }
    sizes = languages or dict.fromkeys(("en-Latn", "fr-Latn"), 10)
    assert timeline_of(schedule, sizes | {"en-Latn": 10}, steps=1000).starts[0] == 0


def test_the_guide_to_pretraining_names_every_option_of_mixtures():
    page = PAGES["docs/pretraining.md"]
    assert {yaml.safe_load(text)["kind"] for text in SCHEDULES} == {
        "stages",
        "cosine",
        "annealed",
        "adaptive",
    }
    for record in (ClonesSpec, MixtureSpec, Stages, Glide, Annealed, Adaptive):
        for name in record.model_fields:
            assert re.search(rf"`{name}[`:]|\b{name}:", page), f"{record.__name__}.{name}"


@pytest.mark.parametrize("page", PAGES)
def test_what_is_linked_is_there(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", PAGES[page]):
        assert (ROOT / page).parent.joinpath(link).exists(), link
