"""Which rows of its vocabulary a task's model is left: those that its training and development sets use."""

from __future__ import annotations

import pytest
import torch

from isogloss.methods.rows import rows_for_task
from isogloss.methods.scores import score
from isogloss.methods.sources import examples
from isogloss.methods.task import labels_of, task_batches
from isogloss.models.anatomy import anatomy
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.tasks import build_task_model
from tiny_runs import FINETUNE, tiny


class Notes(dict):
    def note(self, **facts):
        self.update(facts)


@pytest.mark.parametrize("task", ["ner", "topic", "qa", "copa", "cloze"])
def test_they_suffice_for_training_and_development_and_the_others_are_as_they_were(model, task):
    more = {"train__eng": "miniature/train:60"} if task == "topic" else {}
    recipe = tiny(FINETUNE, model=str(model), task=task, **more)
    tokenizer = load_tokenizer(model)
    learnt = [example for some in examples(recipe, "train").values() for example in some]
    held_out = examples(recipe, "dev")
    kind = {"ner": "tags", "topic": "label", "qa": "span", "copa": "choice", "cloze": "gap"}[task]
    subject = build_task_model(kind, model, labels=labels_of(recipe, learnt))
    notes = Notes()
    rows = rows_for_task(subject, tokenizer, learnt, held_out, max_length=recipe.max_length, run=notes)
    assert notes["rows"] == {"trained": len(rows.kept), "of": 500}
    assert len(rows.kept) < 500
    batches = task_batches(subject, tokenizer, learnt, max_length=recipe.max_length, batch_size=4, seed=0)
    for index in range(len(batches)):
        subject(batches[index]).loss.backward()
    assert score(subject, tokenizer, held_out, task=task).scores
    rows.put_back()
    table = anatomy(load_model(model, "base")).embedding.weight
    assert torch.equal(anatomy(subject).embedding.weight, table)
