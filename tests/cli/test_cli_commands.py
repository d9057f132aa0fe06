"""What the commands print when all goes well."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import yaml

import isogloss
from isogloss.cli.app import COMMANDS
from tiny_runs import PRETRAIN

HEAVY = ("torch", "transformers", "datasets", "numpy", "yaml", "rich.table", "jinja2", "isogloss.core.config")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["level", "--help"], ["audit", "--help"], ["--version"], ["recipes"]],
)
def test_quick_answers_import_nothing_heavy(arguments):
    program = (
        "import sys\n"
        f"sys.argv = ['isogloss', *{arguments!r}]\n"
        "from isogloss.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_help_lists_the_commands_as_one_meets_them_each_in_one_whole_line(shell):
    answer = shell("--help")
    assert answer.code == 0
    lines = answer.out.partition("Commands:")[2].strip().splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_version_is_the_package_s(shell):
    assert shell("--version").out.strip() == isogloss.__version__


def test_recipes_are_listed_with_their_first_line_and_shown_whole(shell):
    listed = shell("recipes").out
    assert "tiny/demo" in listed
    assert "tiny/pretrain-causal" in listed
    shown = shell("recipes", "show", "tiny/finetune").out
    assert yaml.safe_load(shown)["method"] == "pipeline"


def test_run_plan_report_and_evaluate_go_together(shell, tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(PRETRAIN | {"name": "mine"}))
    planned = shell("plan", "mine.yaml", "--set", "training.steps=2")
    assert planned.code == 0
    assert "parameters" in planned.out
    assert not (tmp_path / "runs").exists()

    done = shell("run", "mine.yaml", "--set", "training.steps=2")
    assert done.code == 0, done.err
    [folder] = (tmp_path / "runs").iterdir()
    assert f"report: runs/{folder.name}/report.html" in done.out
    assert "French" in done.out

    page = shell("report", folder, "--out", "page.html")
    assert page.code == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!")

    data = ["--data", "en=miniature/test:5", "--data", "fra_Latn=miniature/test:5"]
    scored = shell("evaluate", folder / "model", "--task", "lm", *data, "--json", "scores.json")
    assert scored.code == 0, scored.err
    assert "mean" in scored.out
    scores = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert scores.keys() == {"en-Latn", "fr-Latn"}


def test_running_a_finished_recipe_again_prints_its_tables_and_trains_nothing(shell, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(PRETRAIN))
    first = shell("run", "mine.yaml", "--set", "training.steps=2")
    (status,) = (tmp_path / "runs").glob("*/status.json")
    a_minute_ago = (datetime.now(UTC) - timedelta(minutes=1)).isoformat(timespec="seconds")
    status.write_text(json.dumps(json.loads(status.read_text()) | {"updated": a_minute_ago}))
    monkeypatch.setattr("isogloss.training.loop.train", None)
    again = shell("run", "mine.yaml", "--set", "training.steps=2")
    assert (first.code, again.code) == (0, 0)
    assert first.out == again.out
    assert "finished before" not in first.err
    assert f"{status.parent.relative_to(tmp_path)} was finished before" in again.err


def test_ctrl_c_says_how_to_go_on(shell, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(PRETRAIN))
    monkeypatch.setattr("isogloss.methods.pretrain.train", interrupted)
    answer = shell("run", "mine.yaml")
    assert answer.code == 130
    assert "run the same command again" in answer.err
    [folder] = (tmp_path / "runs").iterdir()
    assert "stopped by Ctrl-C or SIGTERM" in (folder / "status.json").read_text()
