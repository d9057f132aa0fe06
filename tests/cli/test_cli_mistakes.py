"""Every mistake of a user's is one clear message and exit code 2; `--debug` shows the traceback."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from tiny_runs import FINETUNE, PRETRAIN


def refused(answer, *wanted):
    """The message, which holds each of the wanted parts."""
    assert answer.code == 2, answer.err
    assert answer.err.startswith("error: ") or answer.err.startswith("Usage: "), answer.err
    assert "Traceback" not in answer.err
    for part in wanted:
        assert part in answer.err, answer.err
    return answer.err


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe to r.yaml, one key a line, and give its name."""

    def write(base=PRETRAIN, **changes):
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(base | changes, sort_keys=False, allow_unicode=True))
        return "r.yaml"

    return write


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"lenght": 32}, ["r.yaml:", "unknown key 'lenght'", "did you mean 'length'?"]),
        (
            {"training": {"steps": 2, "learning_rte": 1.0}},
            ["training.learning_rte", "did you mean 'learning_rate'?"],
        ),
        ({"length": "long"}, ["r.yaml:", "length", '"long" is not allowed here', "a whole number"]),
        ({"length": 3}, ["length", "3 is not allowed here", "at least 8"]),
        ({"training": {"steps": 2.5}}, ["training.steps", "a whole number"]),
        (
            {"training": {"steps": 2, "warmup": 1.5}},
            ["training.warmup", "a whole number; or a number below 1"],
        ),
        ({"training": 5}, ["training", "`key: value` pairs"]),
        (
            {"vocabulary": {"kind": "unigrams"}},
            ["vocabulary.kind", "one of 'unigram', 'wordpiece' or 'bpe'", "did you mean 'unigram'?"],
        ),
        ({"corpora": {}}, ["corpora", "at least 1"]),
        ({"corpora": {"eng": 5}}, ["corpora.eng", "5 is not allowed here", "a list"]),
        ({"corpora": ["eng"]}, ["corpora", "`key: value` pairs"]),
        ({"corpora": {"Swahilii": "x"}}, ["corpora.Swahilii", "unknown language", "'Swahili' (sw-Latn)"]),
        ({"corpora": {"swa": "x", "sw": "y"}}, ["corpora", "sw: the same language as swa"]),
        (
            {"corpora": {"eng": "miniature/trian"}, "mixture": {}},
            ["corpora.en-Latn", "did you mean 'train'?"],
        ),
        (
            {"corpora": {"eng": "r.yml"}, "mixture": {}},
            ["r.yml  (corpora.en-Latn)", "no such file", "did you mean 'r.yaml'?"],
        ),
        ({"test": {"eng": "none/x.txt"}}, ["x.txt  (test.en-Latn)", "the folder none does not exist either"]),
        ({"method": "pretrian"}, ["r.yaml:1", "unknown method", "did you mean 'pretrain'?"]),
        (
            {"architecture": {"family": "bert", "hidden": 33, "heads": 2}},
            ["architecture", "hidden 33 is not divisible by heads 2"],
        ),
        ({"architecture": {"family": "bret"}}, ["architecture.family", "did you mean 'bert'?"]),
        ({"objective": "causal"}, ["objective", "modernbert does not", "gpt2"]),
        ({"length": 100}, ["length: 100 tokens are more than architecture.max_length, 64"]),
        ({"model": "./x"}, ["model, architecture: give exactly one"]),
        ({"mixture": {"kind": "tempered"}}, ["mixture", "needs alpha"]),
        (
            {"mixture": {"kind": "fixed", "shares": {"eng": 0.5, "deu": 0.5}}},
            ["r.yaml:", "mixture", "'de-Latn', which has no corpus", "en-Latn, fr-Latn"],
        ),
        (
            {"mixture": {"kind": "fixed", "shares": {"eng": 1, "fra": -1}}},
            ["r.yaml:", "mixture", "numbers of 0 or more"],
        ),
        (
            {"vocabulary": None, "tokenizer": {"of": {"eng": "x"}}},
            ["r.yaml:", "tokenizer.of", "none for fr-Latn, which has a corpus"],
        ),
        ({"training": {"steps": 2, "select": "Swahilii"}}, ["training.select", "'Swahili' (sw-Latn)"]),
        ({"training": {"steps": 2, "select": "gap"}}, ["training.select", "equally bad", "select: fair"]),
        ({"training": {"steps": 2, "select": "worst-9"}}, ["training.select: worst-9, of 2 evaluated"]),
        ({"training": {"steps": 2, "select": "swa"}}, ["sw-Latn, in which nothing is evaluated"]),
    ],
)
def test_a_wrong_recipe_names_key_and_remedy(shell, recipe, changes, wanted):
    refused(shell("run", recipe(**changes)), *wanted)


def test_several_mistakes_are_told_together(shell, recipe):
    message = refused(shell("plan", recipe(lenght=3, seed="x")), "'lenght'", "seed", "a whole number")
    assert message.count("r.yaml:") == 2
    assert "to do:  r.yaml" not in message


def test_a_recipe_without_a_method_or_with_nothing_says_so(shell, tmp_path):
    (tmp_path / "r.yaml").write_text("seed: 1\n")
    refused(
        shell("run", "r.yaml"),
        "the key 'method' is missing",
        "pretrain, finetune, distil, level, audit, pipeline",
    )
    (tmp_path / "r.yaml").write_text("")
    refused(shell("run", "r.yaml"), "the recipe is empty", "recipes show")
    (tmp_path / "r.yaml").write_text("method: [pretrain\nseed: 1\n")
    refused(shell("run", "r.yaml"), "r.yaml:2", "not YAML")
    (tmp_path / "r.yaml").write_text("method: pretrain\nseed: 1\nseed: 2\n")
    refused(shell("run", "r.yaml"), "r.yaml:3", "'seed' is given twice")
    (tmp_path / "r.yaml").write_bytes(b"method: pretr\xe4in\n")
    refused(shell("run", "r.yaml"), "byte 13 is not UTF-8")


def test_an_unknown_recipe_names_the_nearest(shell, recipe):
    recipe()
    refused(shell("run", "tiny/demoo"), "did you mean 'tiny/demo'?")
    refused(shell("recipes", "show", "demo"), "did you mean 'tiny/demo'?")
    refused(shell("run", "s.yaml"), "No such file", "did you mean 'r.yaml'?")


@pytest.mark.parametrize(
    ("assignment", "wanted"),
    [
        ("training.steps", "dotted.key=value"),
        ("=3", "dotted.key=value"),
        ("training..steps=3", "dotted.key=value"),
        ("training.stps=3", "did you mean 'steps'?"),
        ("training.steps=many", "a whole number"),
        ("training.steps=[", "not YAML"),
        ("training.betas.7=0.5", "training"),
        ("corpora.eng.0=x", "corpora.eng"),
    ],
)
def test_a_wrong_assignment_is_shown_as_it_was_given(shell, recipe, assignment, wanted):
    refused(
        shell("run", recipe(), "--set", assignment), "--set" if "corpora" not in assignment else "", wanted
    )


@pytest.mark.parametrize(
    "arguments",
    [[], ["run"], ["frobnicate"], ["run", "x.yaml", "--frob"], ["recipes", "show"], ["evaluate", "x"]],
)
def test_wrong_usage_exits_2(shell, arguments):
    answer = shell(*arguments)
    assert answer.code == 2
    assert "Usage: " in answer.err + answer.out


CORPORA = {
    "empty": (b"", ["text.txt", "an empty corpus"]),
    "blank": (b"\n \n", ["text.txt", "an empty corpus"]),
    "utf8": (b"good\nb\xffd\n", ["text.txt:2", "not UTF-8: byte 0xff"]),
}


@pytest.mark.parametrize("name", CORPORA)
def test_a_bad_corpus_is_named_with_its_line(shell, recipe, tmp_path, name):
    content, wanted = CORPORA[name]
    (tmp_path / "text.txt").write_bytes(content)
    refused(shell("run", recipe(corpora={"eng": "text.txt"}, mixture={})), *wanted)


CYCLE = "".join(
    f"{number}\tword\tword\tNOUN\t_\t_\t{head}\tdep\t_\t_\n" for number, head in ((1, 0), (2, 3), (3, 2))
)
QUESTION = {"id": "q1", "question": "Who?", "answers": [{"text": "cat", "answer_start": 99}]}
SPAN = {"data": [{"paragraphs": [{"context": "The cat sat.", "qas": [QUESTION]}]}]}
TASK_FILES = {
    "parsing": (f"# sent_id = s1\n{CYCLE}\n", ["file:3", "cycle: 2 -> 3 -> 2", "sent_id s1"]),
    "qa": (json.dumps(SPAN), ["file question q1", "'cat' at 99"]),
    "nli": ("premise\thypothesis\tlabel\na\tb\tperhaps\n", ["file:2", "unknown label 'perhaps'"]),
    "ner": ("word\tQ-PER\n", ["file:1", "Q-PER"]),
}


@pytest.mark.parametrize("task", TASK_FILES)
def test_a_bad_task_file_is_named_with_its_place(shell, recipe, backbone, tmp_path, task):
    content, wanted = TASK_FILES[task]
    (tmp_path / "file").write_text(content)
    for split in ("train", "test"):
        base = FINETUNE | {"model": str(backbone), "task": task, split: {"eng": "file"}}
        refused(shell("run", recipe(base)), *wanted)


def test_a_finetuning_without_training_data_or_with_an_unknown_task_is_refused(shell, recipe, backbone):
    base = {key: value for key, value in FINETUNE.items() if key != "train"} | {"model": str(backbone)}
    refused(shell("run", recipe(base, task="ner")), "the key 'train' is missing")
    refused(shell("run", recipe(FINETUNE, model=str(backbone), task="nerr")), "task", "did you mean 'ner'?")


def test_a_missing_model_is_refused_before_anything_runs(shell, recipe, tmp_path):
    refused(
        shell("run", recipe(FINETUNE, model="runs/old/model", task="ner")), "runs/old/model", "does not exist"
    )
    refused(shell("run", recipe(FINETUNE, model=str(tmp_path), task="ner")), "config.json")
    assert not (tmp_path / "runs").exists()


def test_evaluate_refuses_what_does_not_fit(shell, topics, tmp_path):
    (tmp_path / "test.tsv").write_text("text\tlabel\na word\tastronomy\n")

    def evaluate(model=topics, task="topic", data="eng=test.tsv", *more):
        return shell("evaluate", model, "--task", task, "--data", data, *more)

    refused(evaluate(), "label 'astronomy'", "the model does not know", "farming")
    refused(evaluate(task="ner"), "asked to do ner", "kind 'label'")
    refused(evaluate(task="topics"), "unknown task 'topics'", "did you mean 'topic'?")
    refused(evaluate(data="test.tsv"), "--data test.tsv", "LANGUAGE=FILE")
    refused(evaluate(data="Swahilii=test.tsv"), "--data Swahilii=test.tsv", "'Swahili' (sw-Latn)")
    refused(evaluate(data="eng=tests.tsv"), "no such file", "did you mean 'test.tsv'?")
    refused(evaluate(topics, "topic", "eng=test.tsv", "--format", "tabel"), "did you mean 'table'?")
    refused(evaluate(model="old/run/model"), "old/run/model")
    refused(evaluate(model=topics.parent), "model/ of a run folder")
    refused(evaluate(topics, "topic", "eng=test.tsv", "--limit", "0"), "--limit")


def test_evaluate_refuses_a_model_with_a_flipped_byte(shell, topics, tmp_path):
    shutil.copytree(topics, tmp_path / "copy")
    flip(tmp_path / "copy" / "model.safetensors")
    answer = shell("evaluate", "copy", "--task", "topic", "--data", "eng=miniature/test:5")
    refused(answer, "model.safetensors is damaged")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "optimiser.safetensors", "state.json", "manifest.json"]
)
def test_a_checkpoint_with_a_flipped_byte_is_refused_and_the_one_before_it_serves(
    shell, recipe, tmp_path, name
):
    run = ["run", recipe(training=PRETRAIN["training"] | {"keep_checkpoints": 9})]
    assert shell(*run).code == 0
    [folder] = (tmp_path / "runs").iterdir()
    (folder / "status.json").write_text('{"state": "running"}')
    model = (folder / "model" / "model.safetensors").read_bytes()
    flip(folder / "checkpoints" / "pretrain-6" / name)
    message = refused(shell(*run), "pretrain-6", "damaged" if name != "manifest.json" else "")
    assert "delete this folder and run the same command again" in message
    shutil.rmtree(folder / "checkpoints" / "pretrain-6")
    assert shell(*run).code == 0
    assert (folder / "model" / "model.safetensors").read_bytes() == model


@pytest.mark.parametrize("name", ["recipe.yaml", "environment.json", "status.json", "sizes.json"])
def test_report_names_the_damaged_file_of_a_run_folder(shell, topics, tmp_path, name):
    shutil.copytree(topics.parent, tmp_path / "copy")
    (tmp_path / "copy" / name).write_text("{[")
    refused(shell("report", "copy"), f"copy/{name}", "damaged")


def test_report_refuses_what_is_no_run_folder(shell, tmp_path):
    refused(shell("report", "nothing"), "nothing is not a run folder")


def test_a_damaged_neighbour_keeps_no_recipe_from_running(shell, recipe, tmp_path):
    (tmp_path / "runs" / "old").mkdir(parents=True)
    (tmp_path / "runs" / "old" / "environment.json").write_text("{")
    assert shell("run", recipe(training={"steps": 2}, dev={}, test={})).code == 0


@pytest.mark.parametrize("position", [0, 2])
def test_debug_shows_the_traceback_wherever_it_stands(recipe, tmp_path, monkeypatch, capsys, position):
    arguments = ["run", str(tmp_path / recipe(lenght=1))]
    arguments.insert(position, "--debug")
    monkeypatch.setattr("sys.argv", ["isogloss", *arguments])
    from isogloss.cli import main

    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "RecipeError" in told
