"""Where the residual stream runs in each family: what a narrower model must be turned at."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from isogloss.core.errors import ModelError
from isogloss.models.anatomy import Anatomy
from isogloss.models.matrices import inside, layer_matrices


@dataclass(frozen=True)
class Stream:
    """Where the residual stream begins and ends in a family. Paths start at the base model.

    Attributes:
        tables: embeddings whose rows are added up to make it.
        table_norm: the norm that it then passes; None where it passes none.
        behind: norms stand on the stream, behind each block, instead of in front of the blocks.
        transform: matrix and norm of the head before the output layer, from the whole model; None where the
            output layer reads the last norm.
        activation: config key of the function between these two, or (if there is none) the function's name.
    """

    tables: tuple[str, ...]
    table_norm: str | None
    behind: bool
    transform: tuple[str, str] | None = None
    activation: str = ""


_BERT_TABLES = tuple(f"embeddings.{kind}_embeddings" for kind in ("word", "position", "token_type"))
STREAMS: dict[str, Stream] = {
    "bert": Stream(
        _BERT_TABLES,
        "embeddings.LayerNorm",
        behind=True,
        transform=("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
        activation="hidden_act",
    ),
    "roberta": Stream(
        _BERT_TABLES,
        "embeddings.LayerNorm",
        behind=True,
        transform=("lm_head.dense", "lm_head.layer_norm"),
        activation="gelu",
    ),
    "modernbert": Stream(
        ("embeddings.tok_embeddings",),
        "embeddings.norm",
        behind=False,
        transform=("head.dense", "head.norm"),
        activation="classifier_activation",
    ),
    "gpt2": Stream(("wte", "wpe"), None, behind=False),
    "llama": Stream(("embed_tokens",), None, behind=False),
}
MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "modernbert", "gpt2", "llama", "mistral", "qwen2", "qwen3")
"""Of these families, those that can be made narrower. Not Gemma, which multiplies its embeddings by the root
of its width, and its norms by one more than their weights."""


def norms_of(parts: Anatomy) -> list[tuple[str, nn.Module]]:
    """Every norm on or beside the stream, by its path from the whole model, in the order they are passed."""
    stream, names = STREAMS[parts.family.name], layer_matrices(parts.family.name)
    paths = [f"{parts.prefix}{stream.table_norm}"] if stream.table_norm else []
    paths += [inside(parts, layer, name) for layer in range(len(parts.layers)) for name in names.norms]
    paths += [f"{parts.prefix}{parts.family.final_norm}"] if parts.family.final_norm else []
    found = [(path, parts.model.get_submodule(path)) for path in paths]
    return [(path, norm) for path, norm in found if not isinstance(norm, nn.Identity)]


def refuse_strangers(parts: Anatomy) -> None:
    """Refuse heads for tasks and poolers, which are as wide as the model too, and in none of our tables.

    Raises:
        ModelError: the model has one.
    """
    ours = [path for path, module in parts.model.named_modules() if module is parts.lm_head]
    if parts.lm_head is not None:
        ours += STREAMS[parts.family.name].transform or ()
    for name, parameter in parts.model.named_parameters():
        known = parameter is parts.lm_bias or any(name.startswith(f"{path}.") for path in ours)
        if parts.place(name).part == "head" and not known:
            raise ModelError(
                f"a {type(parts.model).__name__} to be made narrower, with {name} in it",
                wanted="a bare model, or one with a language-model head",
                fix="make the model narrower before it gets another head",
            )
