"""What README.md tells the reader to type works: commands, recipes, Python."""

from __future__ import annotations

import re
import shlex
import sys
from glob import glob, has_magic
from pathlib import Path

import pytest
import yaml

from isogloss.cli import main
from isogloss.methods import shipped, table
from tiny_runs import shortened

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

NOT_RUN = {
    "make demo": "installs, and runs the shipped demo, which test_recipes.py runs shortened",
    "make test": "runs this test",
    "pip install .": "needs the network",
}
"""Commands of README.md that are not run here, and why."""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands():
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def test_every_command_is_run_or_has_a_reason_not_to_be():
    assert any(command.startswith("isogloss ") for command in commands())
    for command in commands():
        assert command.startswith("isogloss ") or command in NOT_RUN, command


def test_the_commands_work_one_after_another(tmp_path, monkeypatch, capsys):
    """As they stand, except that shipped recipes are shortened to a few steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def short(name):
        return yaml.safe_dump(shortened(yaml.safe_load(shipped.recipe_text(name))), sort_keys=False)

    monkeypatch.setattr(table, "recipe_text", short)
    for command in commands():
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
    "text", [text for text in blocks("yaml") if re.search("^method:", text, re.MULTILINE)]
)
def test_a_recipe_parses(text, tmp_path):
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    assert table.load_recipe(tmp_path / "recipe.yaml").method in table.METHODS


@pytest.mark.parametrize("program", blocks("python"))
def test_a_program_runs(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})
