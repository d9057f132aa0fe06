"""The model that is audited: its states can be read whatever it is, its losses if it is a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from isogloss.core.by_language import TokenizerByLanguage
from isogloss.models.anatomy import anatomy
from isogloss.models.backbone import load_tokenizer
from isogloss.models.saved import load_saved
from isogloss.models.sizes import sizes
from isogloss.models.tasks import TaskModel, longest_input, objective_of

if TYPE_CHECKING:
    from isogloss.methods.audit import AuditRecipe

_LENGTH = 512
_READS = {
    "masked": "every token is hidden once, one in seven at a time, and told from both sides",
    "causal": "every token is told from those before it",
    "seq2seq": "every token is hidden once, in spans, one in seven at a time, and told by the decoder",
}


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and how it is read.

    Attributes:
        source: its folder or Hub id.
        model: as it was saved.
        tokenizer: its own.
        scorer: tells how likely a text is; None for a model without a language model's head.
        length: tokens of the longest row.
    """

    source: str
    model: nn.Module
    tokenizer: Any
    scorer: TaskModel | None
    length: int

    @property
    def reader(self) -> TaskModel:
        """The model as one of text, to read states of; without a `scorer` it has no losses."""
        return self.scorer or TaskModel(self.model, None, kind="text").eval()

    def vocabulary_rows(self) -> tuple[int, int]:
        """Rows of the vocabulary, and parameters of each, those of an output layer of its own included."""
        parts = anatomy(self.model)
        named = dict(self.model.named_parameters(remove_duplicate=False))
        tables = {id(named[name]): named[name] for name in parts.vocabulary_tensors() if name in named}
        rows = parts.embedding.num_embeddings
        return rows, sum(table.numel() for table in tables.values()) // rows

    def facts(self) -> dict[str, Any]:
        """What the model is, for audit.json."""
        parts = anatomy(self.model)
        objective = objective_of(parts.config)
        return {
            "model": {
                "source": self.source,
                "objective": objective,
                "family": parts.config.model_type,
                "language_model": self.scorer is not None,
                "scored": _READS[objective],
                "parameters": sizes(self.model)["total"],
                "layers": len(parts.layers),
                "hidden": int(parts.config.hidden_size),
                "heads": int(parts.config.num_attention_heads),
                "vocabulary": parts.embedding.num_embeddings,
                "tokenizers": len(each.each)
                if isinstance(each := self.tokenizer, TokenizerByLanguage)
                else 1,
                "max_length": longest_input(parts.config),
            }
        }


def subject_of(recipe: AuditRecipe) -> Subject:
    """Load the model with the head it was saved with.

    Raises:
        ModelError: nothing there, or not a model we know.
    """
    model = load_saved(recipe.model).eval()
    longest = longest_input(anatomy(model).config) or _LENGTH
    length = min(recipe.max_length or _LENGTH, longest)
    return Subject(recipe.model, model, load_tokenizer(recipe.model), _scorer(model), length)


def _scorer(model: nn.Module) -> TaskModel | None:
    """The same weights as a model of text; None where no head scores the vocabulary."""
    inner = model.model if isinstance(model, TaskModel) else model
    parts = anatomy(inner)
    if parts.lm_head is None and parts.lm_bias is None:
        return None
    return TaskModel(inner, None, kind="text").eval()
