"""Levelled through prompts, models of the miniature world have the losses that one adds up by hand."""

from __future__ import annotations

import functools
import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from isogloss.data.miniature import sentences
from isogloss.methods.level import gather
from isogloss.models.backbone import load_tokenizer
from isogloss.models.tasks import load_task_model
from tiny_models import tiny_model, tiny_tokenizer
from tiny_runs import FINETUNE, LEVEL, PRETRAIN, TINY, logged, ran, tiny

AUTO = {"masked": AutoModelForMaskedLM, "causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}
LANGUAGES = {"en-Latn": "eng", "fr-Latn": "fra", "sw-Latn": "swa"}
NLI = {
    "patterns": {"eng": "{text} {pair} The <mask> saw .", "other": "{pair} {text} La <mask> a vu ."},
    "verbalisers": {
        "eng": {"entailment": "child", "neutral": "old woman", "contradiction": "teacher"},
        "other": {"entailment": "enfant", "neutral": "vieille femme", "contradiction": "vache"},
    },
}
COPA = {
    "patterns": "{premise} {question} <mask>",
    "verbalisers": {"cause": "Why ?", "effect": "And ?"},
}
TRAINING = {"steps": 2, "batch_size": 64, "learning_rate": 1e-3, "log_every": 1, "precision": "fp32"}
"""More items in a batch than there are: the first step sees them all."""


FAMILIES = {"masked": "modernbert", "causal": "llama"}
EVERYWHERE = {tag: "miniature/train:60" for tag in LANGUAGES}


def pretrained(objective, folder):
    """A few steps of the objective on three languages."""
    changes = {
        "architecture": {"family": FAMILIES[objective], **TINY, "max_length": 160},
        "objective": objective,
        "corpora": EVERYWHERE,
        "mixture": {"kind": "proportional"},
        "training": {"steps": 40, "batch_size": 8, "learning_rate": 1e-2},
    }
    return ran(tiny(PRETRAIN, **changes), folder).folder / "model"


def taught_spans(folder):
    """An mT5 that has learnt to tell hidden spans, which is what the task `lm` is to it."""
    texts = tuple(text for tag in LANGUAGES for text in sentences(tag, "train", 60))
    tokenizer = tiny_tokenizer("t5", texts=texts, size=500)
    tiny_model("mt5", AutoModelForSeq2SeqLM, tokenizer).save_pretrained(folder / "fresh")
    tokenizer.save_pretrained(folder / "fresh")
    spans = {"model": str(folder / "fresh"), "task": "lm", "train": EVERYWHERE}
    return ran(tiny(FINETUNE, without=("dev", "test"), **spans), folder / "runs").folder / "model"


@pytest.fixture(scope="module", params=list(AUTO))
def backbone(request, tmp_path_factory):
    """How it reads, and its folder."""
    folder = tmp_path_factory.mktemp(request.param)
    make = taught_spans if request.param == "seq2seq" else functools.partial(pretrained, request.param)
    return request.param, make(folder)


def levelled(folder, out, prompt, **changes):
    recipe = tiny(LEVEL | {"training": TRAINING}, model=str(folder), prompt=prompt, **changes)
    run = ran(recipe, out)
    facts = json.loads((run.folder / "levelling.json").read_text(encoding="utf-8"))
    return run, facts, gather(recipe).learnt


def plainly(objective, model, tokenizer, before, word, after):
    """log p of a word between two texts, from one forward pass of transformers."""

    def pieces(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    left, own, whole = pieces(before.strip()), pieces(word), pieces(f"{before}{word}{after}")
    right = whole[len(left) + len(own) :]
    assert whole[: len(left) + len(own)] == left + own
    if objective == "causal":  # pieces behind the gap count too
        row, places = [tokenizer.bos_token_id, *whole], range(len(left), len(whole))
        return _gains(model(torch.tensor([row])).logits, places, whole[len(left) :])
    if tokenizer.convert_ids_to_tokens(own[0]) == "▁":  # a bare space is no part of the word
        left, own = [*left, own[0]], own[1:]
    if objective == "masked":
        cls, sep, mask = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id
        row = [cls, *left, *[mask] * len(own), *right, sep]
        places = range(1 + len(left), 1 + len(left) + len(own))
        logits = model(torch.tensor([row])).logits
    else:
        sentinel = tokenizer.convert_tokens_to_ids("<extra_id_0>")
        row = [*left, sentinel, *right, tokenizer.eos_token_id]
        said = [model.config.decoder_start_token_id, sentinel, *own]
        places = range(1, 1 + len(own))
        logits = model(input_ids=torch.tensor([row]), decoder_input_ids=torch.tensor([said])).logits
    return _gains(logits, places, own)


def _gains(logits, places, pieces):
    gains = logits[0].double().log_softmax(-1)
    return sum(gains[place, piece] for place, piece in zip(places, pieces, strict=True))


@pytest.fixture
def asked(backbone):
    """From a text with a gap and its candidates to their log-probabilities among themselves."""
    objective, folder = backbone
    tokenizer, plain = load_tokenizer(folder), AUTO[objective].from_pretrained(folder).eval()

    @torch.no_grad()
    def believe(text, candidates):
        before, after = text.split("<mask>")
        found = [plainly(objective, plain, tokenizer, before, word, after) for word in candidates]
        return torch.stack(found).log_softmax(-1)

    return believe


def of_label(example, believe):
    own = "eng" if example.language == "en-Latn" else "other"
    text = NLI["patterns"][own].replace("{text}", example.text).replace("{pair}", example.pair)
    return believe(text, NLI["verbalisers"][own].values())


def of_choice(example, believe):
    question = COPA["verbalisers"][example.question]
    return believe(f"{example.premise} {question} <mask>", example.choices)


def kl(one, other):
    return (one.exp() * (one - other)).sum(-1).mean()


def test_the_first_loss_is_the_mean_over_all_pairs_of_what_is_believed(backbone, asked, tmp_path):
    run, facts, learnt = levelled(
        backbone[1],
        tmp_path,
        NLI,
        task="nli",
        distillation={"aim": "pairs", "teacher": "now"},
        guards={"tolerance": 0.9},
    )
    believed = {
        tag: torch.stack([of_label(example, asked) for example in learnt.examples[tag]]) for tag in LANGUAGES
    }
    pairs = [(one, other) for one in facts["teachers"] for other in LANGUAGES if one != other]
    expected = torch.stack([kl(believed[one], believed[other]) for one, other in pairs]).mean().item()
    [line] = logged(run, "loss", split="train", step=1)
    assert expected > 1e-5
    assert line["value"] == pytest.approx(expected, rel=1e-3)
    vote = torch.stack([believed[tag].argmax(-1) for tag in LANGUAGES]).mode(0).values
    assert facts["vote"]["unanimous"] == pytest.approx(
        torch.stack([believed[tag].argmax(-1) == vote for tag in LANGUAGES]).all(0).float().mean().item()
    )
    _all_is_left(run, facts)


def _all_is_left(run, facts):
    """The guards looked, the model is saved with its prompt, and both models are scored everywhere."""
    after, _ = load_task_model(run.folder / "model")
    assert after.head is None
    assert after.prompt.words("en-Latn")["neutral"] == "old woman"
    assert {line["language"] for line in run.metrics if line["metric"] == "entropy"} == set(LANGUAGES)
    scored = {(line["model"], line["language"]) for line in logged(run, "accuracy", phase="evaluate")}
    assert scored == {(name, tag) for name in ("before", "levelled") for tag in LANGUAGES}
    assert set(facts["changes"]) == set(LANGUAGES)
    for tag, start in facts["guards"]["start"]["agreement"].items():
        assert 0 <= start <= 1, tag


def test_the_first_loss_of_a_choice_is_what_lies_between_it_and_the_consensus(backbone, asked, tmp_path):
    run, facts, learnt = levelled(
        backbone[1],
        tmp_path,
        COPA,
        task="copa",
        distillation={"aim": "consensus", "pooling": "log"},
        selection={"teachers": ["eng"], "draws": 20},
        training__steps=1,
        test={},
    )
    believed = {
        tag: torch.stack([of_choice(example, asked) for example in learnt.examples[tag]]) for tag in LANGUAGES
    }
    losses = {tag: kl(believed["en-Latn"], found).item() for tag, found in believed.items()}
    for tag, expected in losses.items():
        [line] = logged(run, f"level/{tag}", split="train", step=1)
        assert line["value"] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert facts["teachers"] == ["en-Latn"]
    assert max(losses.values()) > 1e-5
