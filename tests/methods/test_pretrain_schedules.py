"""Pretraining at shares that change on the way."""

from __future__ import annotations

import itertools

import pytest
import torch

import isogloss.methods.pretrain as pretrain_module
from isogloss.core.errors import RecipeError
from isogloss.data.batches import Layout
from isogloss.data.mixture import MixtureSpec
from isogloss.methods import mixing
from isogloss.methods.mixing import course
from isogloss.methods.planning import plan
from isogloss.models.backbone import load_model
from isogloss.training.plan import TrainingPlan
from tiny_runs import PRETRAIN, TINY, logged, ran, tiny

ENGLISH, CLONE = "en-Latn", "en-Latn-x-2"
BASE = {key: value for key, value in PRETRAIN.items() if key not in ("mixture", "test")} | {
    "objective": "causal",
    "architecture": {"family": "gpt2", **TINY},
    "vocabulary": {"kind": "unigram", "size": 400},
    "corpora": {"eng": "miniature/train:150"},
    "clones": {"of": "eng"},
    "dev": {"eng": "miniature/dev:8"},
    "training": {
        "steps": 12,
        "batch_size": 4,
        "accumulate": 2,
        "learning_rate": 2e-3,
        "checkpoint_every": 5,
        "log_every": 1,
        "keep_checkpoints": 1,
        "select": "last",
    },
}
THREE = {"clones": {"of": "eng", "count": 3}}
PROGRESS = {"kind": "adaptive", "every": 3, "probe": 8, "rate": 1.0}
COSINE = {"kind": "cosine", "start": {"eng": 1, "eng-x-2": 0}, "end": {"eng": 1, "eng-x-2": 3}}
SCHEDULES = {
    "stages": {"schedule": "0.1_0.9_0.5"},
    "cosine": {"schedule": COSINE},
    "progress": {"schedule": PROGRESS},
    "budget": {"schedule": PROGRESS | {"budget": {"eng": 0.7, "eng-x-2": 0.3}}},
    "agreement": {"schedule": PROGRESS | {"signal": "agreement"}, **THREE},
}
KILLS = {"stages": (11, 9), "cosine": (14,), "progress": (14, 12), "budget": (29,), "agreement": (30,)}
"""After how many losses each run is killed, counted anew when it goes on."""


def values(run, metric, **where):
    return {(line["step"], line["language"]): line["value"] for line in logged(run, metric, **where)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every schedule's run, undisturbed."""
    folder = tmp_path_factory.mktemp("schedules")
    return {name: ran(tiny(BASE, **changes, name=name), folder) for name, changes in SCHEDULES.items()}


@pytest.mark.parametrize("name", SCHEDULES)
def test_killed_and_resumed_a_schedule_ends_with_the_same_weights_bit_for_bit(
    name, whole, tmp_path, monkeypatch
):
    original = pretrain_module.aligned_labels
    recipe = tiny(BASE, **SCHEDULES[name], name=name)
    for kill in KILLS[name]:
        calls = itertools.count(1)

        def stopping(labels, objective, calls=calls, kill=kill):
            if next(calls) == kill:
                raise KeyboardInterrupt
            return original(labels, objective)

        monkeypatch.setattr(pretrain_module, "aligned_labels", stopping)
        with pytest.raises(KeyboardInterrupt):
            ran(recipe, tmp_path)
    monkeypatch.setattr(pretrain_module, "aligned_labels", original)
    run = ran(recipe, tmp_path)
    wanted = load_model(whole[name].folder / "model", "causal").state_dict()
    found = load_model(run.folder / "model", "causal").state_dict()
    assert all(torch.equal(tensor, found[key]) for key, tensor in wanted.items())
    for metric in ("tokens", "stage_tokens", "share_in_force", "requested_share", "signal"):
        assert values(run, metric) == values(whole[name], metric)


def test_each_stage_leaves_a_checkpoint_and_its_ledger(whole):
    run = whole["stages"]
    names = {path.name for path in (run.folder / "checkpoints").iterdir()}
    assert {"pretrain-4", "pretrain-8", "pretrain-12"} <= names
    stages = logged(run, "stage_tokens")
    assert [(line["step"], line["stage"]) for line in stages[::2]] == [(4, 1), (8, 2), (12, 3)]
    by_language = {
        tag: sum(line["value"] for line in stages if line["language"] == tag) for tag in (ENGLISH, CLONE)
    }
    assert by_language == {tag: values(run, "tokens")[12, tag] for tag in (ENGLISH, CLONE)}
    shares = values(run, "stage_tokens")
    assert shares[4, CLONE] < shares[4, ENGLISH]
    assert shares[8, CLONE] > shares[8, ENGLISH]
    assert values(run, "requested_share")[12, CLONE] == pytest.approx(0.5)


def test_adaptive_shares_go_where_there_is_progress(whole):
    signals, shares = (values(whole["progress"], metric) for metric in ("signal", "share_in_force"))
    assert {step for step, _ in shares} == {3, 6, 9}
    before = 0.5
    for step in (3, 6, 9):
        ahead = signals[step, CLONE] > signals[step, ENGLISH]
        assert (shares[step, CLONE] > before) == ahead or shares[step, CLONE] in (0.02, 0.98)
        assert shares[step, CLONE] + shares[step, ENGLISH] == pytest.approx(1)
        before = shares[step, CLONE]
    last = values(whole["progress"], "requested_share")[12, CLONE]
    expected = 0.5 * 4 + sum(shares[step, CLONE] * length for step, length in ((3, 3), (6, 3), (9, 2)))
    assert last == pytest.approx(expected / 12)


def test_what_an_adaptive_budget_asks_for_is_the_budget_and_shares_are_looked_at_often(whole):
    asked = values(whole["budget"], "requested_share")
    assert {tag: asked[12, tag] for tag in (ENGLISH, CLONE)} == {ENGLISH: 0.7, CLONE: pytest.approx(0.3)}
    assert {step for step, _ in values(whole["progress"], "tokens")} == set(range(1, 13))


def test_a_budget_is_kept_up_to_chance_whatever_is_measured(whole):
    share = values(whole["budget"], "share")[12, CLONE]
    assert share == pytest.approx(0.3, abs=0.06)


def test_agreements_are_cosines_of_three_languages(whole):
    signals = values(whole["agreement"], "signal")
    assert len({language for _, language in signals}) == 3
    assert all(-1 <= value <= 1 for value in signals.values())
    assert len(set(signals.values())) > 3


def test_languages_that_enter_late_are_not_drawn_before(tmp_path):
    schedule = {"kind": "annealed", "enters": {"fra": 0.5}}
    recipe = tiny(
        BASE, without=("clones",), corpora={"eng": "miniature/train:150", "fra": "miniature/train:50"},
        schedule=schedule, dev={}, training__accumulate=1,
    )  # fmt: skip
    tokens = values(ran(recipe, tmp_path), "requested_share")
    assert 0 < tokens[12, "fr-Latn"] < 0.5


def test_a_share_of_tokens_makes_up_for_a_padded_last_sequence():
    class Text:
        def __init__(self, count):
            self.count = count

    class Shape:
        length = stride = 10

        def sequences(self, file):
            return -(-file.count // 10)

        def tokens(self, file):
            return file.count

    files = {"a": Text(1000), "b": Text(15)}
    spec = MixtureSpec(kind="fixed", by="tokens")
    asked = course(spec, None, files, TrainingPlan(steps=10, batch_size=4), layout=Shape())
    shares = asked.timeline.at(0)
    assert shares["a"] * 10 == pytest.approx(shares["b"] * 7.5)
    assert asked.asked.at(0) == {"a": 0.5, "b": 0.5}
    assert (asked.draws, asked.ends) == (4, ())


@pytest.mark.parametrize("length", [9, 16, 32])
def test_a_training_by_epochs_ends_where_its_last_stage_does(length, tmp_path):
    recipe = tiny(
        BASE,
        schedule="0.1_0.9",
        length=length,
        training={"epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "select": "last", "log_every": 500},
    )
    run = ran(recipe, tmp_path)
    ends = [line["step"] for line in logged(run, "stage_tokens") if line["language"] == CLONE]
    assert len(ends) == 2
    last = max(line["step"] for line in logged(run, "tokens"))
    assert ends == [last // 2, last]


def test_unimax_reads_a_text_as_often_as_its_cap_says():
    class Text:
        def __init__(self, count):
            self.count = count

    files = {"a": Text(150_000), "b": Text(1_500)}
    layout = Layout(length=16, prefix=(), suffix=(), stride=15, first=0, padding=0)
    spec = MixtureSpec(kind="unimax", max_epochs=2)
    plan = TrainingPlan(steps=500, batch_size=8)
    asked = course(spec, None, files, plan, layout=layout)
    assert 500 * 8 * asked.timeline.at(0)["b"] / 100 == pytest.approx(2)  # 100 sequences hold all of it
    files |= {"b-x-2": files["b"]}
    asked = course(spec, None, files, plan, layout=layout, texts={"b-x-2": "b"})
    both = asked.timeline.at(0)["b"] + asked.timeline.at(0)["b-x-2"]
    assert 500 * 8 * both / 100 == pytest.approx(2)  # a text that two read


def test_signals_are_measured_on_no_more_sequences_than_asked_for(tmp_path, monkeypatch):
    rows = []

    def counted(model, batches, step):
        batches = list(batches)
        rows.append(sum(len(batch["language"]) for batch in batches))
        return 1.0

    monkeypatch.setattr(mixing, "mean_loss", counted)
    ran(tiny(BASE, schedule=PROGRESS | {"probe": 6}, dev={}), tmp_path)
    assert set(rows) == {6}


def test_a_plan_tells_what_each_language_is_expected_to_get_and_what_the_seed_draws(whole):
    [planned] = plan(tiny(BASE, **SCHEDULES["stages"]))
    rows = {row.what: row for row in planned.rows}
    assert rows[f"– {CLONE}"].value == f"{12 * 8 * 32 // 2:,} tokens"
    drawn = int(rows[f"– {CLONE}"].note.split("draws ")[1].split()[0])
    ledger = values(whole["stages"], "tokens")[12, CLONE]
    assert ledger <= drawn * 32 < ledger + 32
    by_tokens = {"kind": "stages", "stages": "0.1_0.9_0.5", "by": "tokens"}
    [planned] = plan(tiny(BASE, schedule=by_tokens))
    notes = [row.note for row in planned.rows if row.what.startswith("– ")]
    assert notes == ["expected, 50.00% of the tokens"] * 2  # draws depend on the text
    annealed = {"kind": "annealed", "alpha": [0.7, 0.3]}
    [planned] = plan(tiny(BASE, schedule=annealed))
    assert any("annealed shares: told when the corpora are tokenised" in row.note for row in planned.rows)
    [planned] = plan(tiny(BASE, **SCHEDULES["progress"]))
    assert any("if nothing moves" in row.note for row in planned.rows)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schedule": {"kind": "stages", "stages": "0.1_0.7", "budget": {"eng": 1, "eng-x-2": 1}}}, "claims"),
        ({"schedule": "0.5", "mixture": {"kind": "tempered", "alpha": 0.3}}, "one of the two"),
        ({"schedule": "0.5", "clones": None}, "at least two languages"),
        ({"schedule": 0.1}, "in quotes"),
        ({"schedule": PROGRESS | {"every": 12}}, "would decide nothing"),
        ({"schedule": PROGRESS | {"every": 11}}, "would decide nothing"),
        ({"schedule": {"kind": "annealed", "alpha": [0.7, 0.3], "enters": {"swa": 0.5}}}, "enters.sw-Latn"),
        ({"alignment": {"text": {"eng-x-2": "miniature/test:4"}}}, "one language alone"),
        ({"clones": None, "mixture": {}, "alignment": {"text": {"eng": "miniature/test:4"}}}, "one language"),
        ({"vocabulary": {"size": 300, "shares": {"fra": 1}}}, "vocabulary.shares: none for en-Latn"),
        ({"schedule": "_".join(["0.5"] * 13)}, "at least one step"),
        ({"schedule": {"kind": "stages", "stages": "0.5_x"}}, "0.1_0.9"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused_before_anything_runs(changes, complaint):
    with pytest.raises(RecipeError, match=complaint):
        tiny(BASE, **changes)
