"""Any saved model with the head it was saved with: transformers' own, or a task model of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isogloss.models.backbone import Auto, load_config, load_model, quiet
from isogloss.models.task_folder import HEAD_FACTS, load_task_model
from isogloss.models.task_model import objective_of

_HEADS: dict[str, Auto] = {
    "ForMaskedLM": "masked",
    "ForPreTraining": "masked",
    "ForCausalLM": "causal",
    "LMHeadModel": "causal",
    "ForConditionalGeneration": "seq2seq",
    "ForTokenClassification": "tokens",
    "ForQuestionAnswering": "span",
    "ForSequenceClassification": "label",
    "Model": "base",
}


def load_saved(source: str | Path, *, config: Any = None) -> Any:
    """A model in evaluation mode; of a kind of architecture not listed, its language model.

    Args:
        source: a folder that isogloss or transformers wrote, or a Hub id.
        config: the source's configuration, where it was loaded already.

    Returns:
        A `TaskModel` for a folder that was saved for a task, a transformers model otherwise.

    Raises:
        ModelError: nothing there, or not a model we know.
        CheckpointError: a file is missing or damaged.
    """
    if (Path(source) / HEAD_FACTS).exists():
        return load_task_model(source)[0]
    config = config or load_config(source)
    name = next(iter(config.architectures or ()), "")
    auto = next((auto for ending, auto in _HEADS.items() if name.endswith(ending)), None)
    return load_model(source, auto or objective_of(config))


def saved_bytes(source: str | Path) -> dict[str, int]:
    """Bytes on disk of the `weights`, as they are loaded, and of the `other` files: tokenizer, settings, ...

    Of a Hub id, what is in the cache: load the model first.
    """
    sizes = {file: file.stat().st_size for file in _files(source)}
    read = ".safetensors" if any(file.suffix == ".safetensors" for file in sizes) else ".bin"
    weights = sum(size for file, size in sizes.items() if file.suffix == read)
    return {"weights": weights, "other": sum(sizes.values()) - weights}


def _files(source: str | Path) -> Iterator[Path]:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        with quiet():
            folder = Path(snapshot_download(str(source), local_files_only=True))
    return (file for file in folder.rglob("*") if file.is_file())
