from __future__ import annotations

import math

import pytest
import torch
from tiny_training import (
    LANGUAGES,
    TinyBatches,
    TinyModel,
    measurements,
    same_bits,
    tiny_evaluate,
    tiny_plan,
    tiny_run,
    tiny_step,
    weights_of,
)
from torch import nn
from torch.nn import functional

from isogloss.core.errors import CheckpointError, RecipeError, UserError
from isogloss.training.hooks import Hook, Refusal
from isogloss.training.loop import train


def trained(folder, *, model=None, batches=None, step=tiny_step, phase="tiny", seed=0, **options):
    """A model after training in a run of its own, the outcome, and the log."""
    plan = {name: options.pop(name) for name in list(options) if name in type(tiny_plan()).model_fields}
    model = model or TinyModel()
    with tiny_run(folder) as run:
        outcome = train(
            model,
            batches or TinyBatches(),
            step,
            plan=tiny_plan(**plan),
            run=run,
            phase=phase,
            seed=seed,
            **options,
        )
        return model, outcome, measurements(run)


def bare_training(model, steps, *, accumulate=1, clip=None):
    """The same updates in plain PyTorch, from the definition: one loss over all targets of a step."""
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1 and "embedding" not in n]
    free = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": free, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-2)
    batches = TinyBatches()
    for number in range(steps):
        micros = [batches[number * accumulate + place] for place in range(accumulate)]
        losses = [
            functional.cross_entropy(
                model(b["input_ids"], b["attention_mask"]).flatten(0, 1),
                b["labels"].flatten(),
                reduction="sum",
            )
            for b in micros
        ]
        (sum(losses) / sum((b["labels"] >= 0).sum() for b in micros)).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        optimiser.zero_grad()
    return model


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_the_loop_does_what_a_bare_loop_does(tmp_path, accumulate, clip):
    ours, _, _ = trained(
        tmp_path,
        model=TinyModel(dropout=0.0),
        schedule="constant",
        warmup=0,
        steps=4,
        accumulate=accumulate,
        clip=clip,
        precision="fp32",
    )
    bare = bare_training(TinyModel(dropout=0.0), 4, accumulate=accumulate, clip=clip)
    for name, parameter in bare.named_parameters():
        if name.endswith("in_proj_bias"):
            continue  # the keys' third has no gradient but rounding noise, which AdamW makes large
        torch.testing.assert_close(ours.get_parameter(name), parameter, rtol=1e-4, atol=1e-5, msg=name)


def test_accumulated_batches_of_uneven_lengths_count_every_target_the_same(tmp_path):
    seen = []

    def noting(model, batch):
        losses = tiny_step(model, batch)
        seen.append((losses["loss"].item(), int(losses["weight"])))
        return losses

    _, _, lines = trained(tmp_path, step=noting, steps=1, accumulate=3, log_every=1)
    weighted = sum(loss * weight for loss, weight in seen) / sum(weight for _, weight in seen)
    plain = sum(loss for loss, _ in seen) / 3
    (logged,) = [line["value"] for line in lines if line["metric"] == "loss"]
    assert logged == pytest.approx(weighted, rel=1e-6)
    assert abs(weighted - plain) > 1e-3


def test_without_a_weight_micro_batches_count_the_same(tmp_path):
    def unweighted(model, batch):
        return {"loss": tiny_step(model, batch)["loss"]}

    seen = []

    def noting(model, batch):
        losses = unweighted(model, batch)
        seen.append(losses["loss"].item())
        return losses

    _, _, lines = trained(tmp_path, step=noting, steps=1, accumulate=3, log_every=1)
    (logged,) = [line["value"] for line in lines if line["metric"] == "loss"]
    assert logged == pytest.approx(sum(seen) / 3, rel=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_one_other_dropout(tmp_path):
    first, second, other = (
        weights_of(trained(tmp_path / name, seed=seed)[0]) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert same_bits(first, second)
    assert not same_bits(first, other)


def test_training_leaves_the_global_generator_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained(tmp_path, steps=2)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_each_loss_is_logged_by_itself_with_rate_norm_and_pace(tmp_path):
    with tiny_run(tmp_path) as run:
        train(TinyModel(), TinyBatches(), tiny_step, plan=tiny_plan(), run=run, phase="tiny", seed=0)
        text = (run.folder / "metrics.jsonl").read_text()
    lines = measurements(run)
    assert {line["step"] for line in lines} == {2, 4, 6}
    assert {line["metric"] for line in lines} == {"loss", "largest_logit", "learning_rate", "gradient_norm"}
    assert '"metric": "tokens_per_second"' in text
    rates = [line["value"] for line in lines if line["metric"] == "learning_rate"]
    assert rates == pytest.approx([1e-2 * (1 - step / 6) for step in (1, 3, 5)])


def test_evaluation_is_logged_per_language_and_as_a_mean(tmp_path):
    _, outcome, lines = trained(tmp_path, evaluate=tiny_evaluate, evaluate_every=3, metric="accuracy")
    dev = [line for line in lines if line["split"] == "dev"]
    assert {(line["step"], line.get("language")) for line in dev} == {
        (step, language) for step in (3, 6) for language in (*LANGUAGES, None)
    }
    assert all(line["metric"] == "accuracy" for line in dev)
    best = [line for line in dev if line["step"] == outcome.best_step and "language" in line]
    assert {line["language"]: line["value"] for line in best} == outcome.best_scores


@pytest.mark.parametrize(
    ("select", "better", "expected"), [("macro", True, 2), ("sw-Latn", False, 3), ("last", True, None)]
)
def test_the_model_ends_with_the_weights_that_were_selected(tmp_path, select, better, expected):
    scores = iter([{"en-Latn": e, "sw-Latn": s} for e, s in [(0.1, 0.9), (0.9, 0.5), (0.3, 0.2), (0.4, 0.6)]])
    kept = []

    def evaluate(model):
        kept.append(weights_of(model))
        return next(scores)

    model, outcome, _ = trained(
        tmp_path, steps=4, evaluate_every=1, evaluate=evaluate, select=select, higher_is_better=better
    )
    assert outcome.best_step == expected
    assert same_bits(weights_of(model), kept[(expected or 4) - 1])
    assert not model.training


def test_training_stops_after_so_many_evaluations_without_a_new_best(tmp_path):
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    _, outcome, _ = trained(
        tmp_path,
        steps=50,
        evaluate_every=3,
        patience=2,
        evaluate=lambda model: {"en-Latn": next(scores)},
    )
    assert (outcome.step, outcome.best_step, outcome.stopped_early) == (12, 6, True)


class Veto(Hook):
    """Refuses the weights of an evaluation, counted from 1."""

    name = "veto"

    def __init__(self, *at, ends=True):
        self.at, self.ends, self.seen = at, ends, 0

    def after_evaluation(self, moment, scores):
        self.seen += 1
        return Refusal("fell", ends=self.ends) if self.seen in self.at else None


@pytest.mark.parametrize(("select", "best"), [("macro", 4), ("last", None)])
def test_a_hook_that_refuses_weights_ends_the_training_at_the_best_from_before(tmp_path, select, best):
    scores, kept = iter([0.1, 0.5, 0.9, 1.0]), []

    def evaluate(model):
        kept.append(weights_of(model))
        return {"en-Latn": next(scores)}

    model, outcome, _ = trained(
        tmp_path, steps=50, evaluate_every=2, evaluate=evaluate, select=select, hooks=[Veto(3)]
    )
    assert (outcome.step, outcome.refused, outcome.best_step) == (6, "fell", best)
    assert same_bits(weights_of(model), kept[1 if best else 2])
    again, outcome, _ = trained(
        tmp_path, steps=50, evaluate_every=2, evaluate=evaluate, select=select, hooks=[Veto(3)]
    )
    assert outcome.refused == "fell"
    assert same_bits(weights_of(again), weights_of(model))


@pytest.mark.parametrize(("refused", "reason", "best"), [(2, None, 6), (3, "fell", 4)])
def test_weights_that_are_refused_for_now_are_passed_by(tmp_path, refused, reason, best):
    scores = iter([0.1, 0.9, 0.5] if refused == 2 else [0.1, 0.5, 0.9])
    _, outcome, _ = trained(
        tmp_path,
        steps=6,
        evaluate_every=2,
        evaluate=lambda model: {"en-Latn": next(scores)},
        hooks=[Veto(refused, ends=False)],
    )
    assert (outcome.step, outcome.refused, outcome.best_step) == (6, reason, best)


def test_selecting_a_language_that_is_not_evaluated_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="fr-Latn is not evaluated"):
        trained(tmp_path, evaluate=tiny_evaluate, select="fr")


def test_evaluation_sees_evaluation_mode_and_restores_each_modules_own(tmp_path):
    model = TinyModel()
    model.unused.train = lambda mode=True: None
    model.unused.training = False
    modes = []

    def evaluate(model):
        modes.append((any(module.training for module in model.modules()), torch.is_grad_enabled()))
        return {"en-Latn": 0.0}

    def step(model, batch):
        modes.append((model.layer.training, model.unused.training))
        return tiny_step(model, batch)

    trained(tmp_path, model=model, steps=2, evaluate_every=1, evaluate=evaluate, step=step)
    assert modes == [(True, False), (False, False)] * 2


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_not_finite_stops_with_step_and_languages_and_keeps_the_checkpoint(
    tmp_path, accumulate
):
    def step(model, batch):
        losses = tiny_step(model, batch)
        bad = torch.equal(batch["input_ids"], TinyBatches()[4 * accumulate]["input_ids"])
        return {**losses, "loss": losses["loss"] * (math.nan if bad else 1.0)}

    present = torch.cat([TinyBatches()[4 * accumulate + place]["language"] for place in range(accumulate)])
    names = ", ".join(LANGUAGES[number] for number in present.unique().tolist())
    model = TinyModel()
    with pytest.raises(UserError) as caught:
        trained(tmp_path, model=model, step=step, checkpoint_every=2, accumulate=accumulate)
    assert f"the loss became nan at step 5 of tiny; languages in the batch: {names}" in str(caught.value)
    assert "tiny-4" in str(caught.value)
    assert (tmp_path / "checkpoints" / "tiny-4" / "manifest.json").exists()
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change(tmp_path):
    def step(model, batch):
        loss = tiny_step(model, batch)["loss"]
        return {"loss": loss + (loss - loss.detach()).sqrt()}

    model = TinyModel()
    before = weights_of(model)
    with pytest.raises(UserError, match=r"the gradient norm became (nan|inf) at step 1"):
        trained(tmp_path, model=model, step=step)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_a_step_without_any_target_changes_nothing_but_momentum(tmp_path):
    def step(model, batch):
        logits = model(batch["input_ids"], batch["attention_mask"])
        return {"loss": logits.sum() * 0.0, "weight": torch.zeros((), dtype=torch.int64)}

    model = TinyModel()
    before = weights_of(model)
    trained(tmp_path, model=model, step=step, steps=1, accumulate=2, weight_decay=0.0)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_a_finished_phase_called_again_loads_its_result_and_does_nothing(tmp_path):
    class NoMore(TinyBatches):
        def __getitem__(self, index):
            raise AssertionError("a finished phase asked for a batch")

    model, first, lines = trained(tmp_path, evaluate=tiny_evaluate, evaluate_every=2)
    (tmp_path / "status.json").unlink()
    again, second, same_lines = trained(tmp_path, batches=NoMore(), evaluate=tiny_evaluate, evaluate_every=2)
    assert same_bits(weights_of(model), weights_of(again))
    assert (second.best_step, second.best_scores, second.tokens) == (
        first.best_step,
        first.best_scores,
        first.tokens,
    )
    assert (second.resumed_from, first.resumed_from) == (6, None)
    assert lines == same_lines


def test_two_phases_of_a_run_keep_apart_even_with_the_same_model_and_another_precision(tmp_path):
    model = TinyModel()
    with tiny_run(tmp_path) as run:
        for phase, precision in (("phase1", "fp32"), ("phase2", "bf16")):
            plan = tiny_plan(steps=2, precision=precision)
            outcome = train(model, TinyBatches(), tiny_step, plan=plan, run=run, phase=phase, seed=0)
            assert (outcome.step, outcome.resumed_from) == (2, None)
    assert {path.name for path in run.checkpoints.iterdir()} == {"phase1-2", "phase2-2"}


def test_a_checkpoint_of_another_number_of_processes_is_refused(tmp_path):
    trained(tmp_path, steps=2)
    state = tmp_path / "checkpoints" / "tiny-2" / "state.json"
    state.write_text(state.read_text().replace('"processes": 1', '"processes": 2'))
    from isogloss.core.files import file_checksum

    manifest = state.with_name("manifest.json")
    text = manifest.read_text()
    old = text[text.index("state.json") :].split('"')[2]
    manifest.write_text(text.replace(old, file_checksum(state)))
    (tmp_path / "status.json").unlink()
    with pytest.raises(CheckpointError, match="2 process"):
        trained(tmp_path, steps=2)
