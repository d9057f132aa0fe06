"""Load and save transformers models and tokenizers, offline first, in full precision, unpickling no code."""

from __future__ import annotations

import contextlib
import os
import pickle
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from isogloss.core.by_language import TokenizerByLanguage, saved_places
from isogloss.core.errors import IsoglossWarning, ModelError, did_you_mean, nearest
from isogloss.core.files import whole_folder
from isogloss.core.seeds import derive
from isogloss.models.anatomy import anatomy
from isogloss.models.families import family_of
from isogloss.models.gpt import is_scaled_gpt, scaled_gpt
from isogloss.models.origin import Origin, write_origin

Auto = Literal["base", "masked", "causal", "seq2seq", "tokens", "span", "label"]
_AUTO_CLASSES: dict[Auto, str] = {
    "base": "AutoModel",
    "masked": "AutoModelForMaskedLM",
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "tokens": "AutoModelForTokenClassification",
    "span": "AutoModelForQuestionAnswering",
    "label": "AutoModelForSequenceClassification",
}
_LANGUAGE_MODELS = ("masked", "causal", "seq2seq")
_ADVICE = {
    "folder": (
        "a sound transformers folder",
        "check that the folder is complete: config.json, model.safetensors, tokenizer.json",
    ),
    "Hub": (
        "a folder here, or a Hub id that can be reached",
        "check the spelling and the connection, or download it once and give the folder; with "
        "HF_HUB_OFFLINE=1 only what is already in the cache is found",
    ),
}
_WEIGHTS = ("*.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json")
_VOCABULARIES = (
    "tokenizer.json",
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
)
"""What transformers makes a fast tokenizer of. Without any it makes an empty one for some architectures."""


def load_tokenizer(source: str | Path, *, trust_remote_code: bool = False) -> Any:
    """A fast tokenizer from a folder or a Hub id; a `TokenizerByLanguage` where the folder holds several.

    Raises:
        ModelError: nothing there, the Hub is out of reach, or only a slow (Python) tokenizer exists, whose
            character offsets and vocabulary surgery we could not rely on.
    """
    folder = _local_folder(source)
    if folder is not None and not any((folder / name).exists() for name in _VOCABULARIES):
        raise ModelError(
            "a model folder without a vocabulary",
            wanted=f"tokenizer.json, or one of: {', '.join(_VOCABULARIES[1:])}",
            fix="save one there: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
            where=str(source),
        )
    places = {} if folder is None else saved_places(folder)
    if any(place != folder for place in places.values()):
        loaded = {place: _one_tokenizer(place, trust_remote_code) for place in set(places.values())}
        return TokenizerByLanguage({tag: loaded[place] for tag, place in places.items()})
    return _one_tokenizer(source, trust_remote_code)


def _one_tokenizer(source: str | Path, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    with quiet(), _explained(source, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=trust_remote_code)
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"a slow tokenizer ({type(tokenizer).__name__})",
            wanted="a fast tokenizer (a tokenizer.json file)",
            fix="convert it once with transformers.convert_slow_tokenizer and save it beside the model",
            where=str(source),
        )
    return tokenizer


def load_model(
    source: str | Path,
    auto: Auto,
    *,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    trust_remote_code: bool = False,
) -> Any:
    """A model from a folder or a Hub id, in evaluation mode.

    Args:
        source: folder or Hub id.
        auto: which head. One that the checkpoint lacks is drawn from `seed`; the base never is.
        labels: names of the classes for `tokens` and `label`; None keeps the checkpoint's own.
        dtype: of the weights. transformers 5 would take the checkpoint's own, often bfloat16, in which
            small updates vanish; so float32 unless said otherwise.
        trust_remote_code: run Python code that comes with the checkpoint.

    Weights are read from safetensors, or from a `pytorch_model.bin` that holds tensors alone.

    Raises:
        ModelError: nothing there, the Hub is out of reach, a pickle of more than tensors, weights of the base
            missing or of another shape than the configuration says, or an architecture that is not in our
            table.
    """
    config = load_config(source, trust_remote_code=trust_remote_code)
    _check_kind(config, auto)
    _check_weights(source)
    if labels is not None:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
    with quiet(), _explained(source, "model"), seeded(derive(seed, "head", auto)), _as_it_is():
        model, report = _auto_class(auto).from_pretrained(
            str(source),
            config=config,
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
            **_without_pooler(auto, config),
        )
    _check_base_loaded(model, report["missing_keys"], source)
    if auto in _LANGUAGE_MODELS and report["missing_keys"]:
        warnings.warn(
            f"{source} has no output layer of its own: what it says of words is random until it is trained",
            IsoglossWarning,
            stacklevel=2,
        )
    return model.eval()


def load_config(source: str | Path, *, trust_remote_code: bool = False) -> Any:
    """The configuration alone: no weights are read, so it serves planning.

    Raises:
        ModelError: nothing there, or an architecture that is not in our table.
    """
    from transformers import AutoConfig

    folder = _local_folder(source)
    if folder is not None and not (folder / "config.json").exists():
        raise ModelError(
            "a folder without config.json: not a transformers model",
            wanted="config.json, model.safetensors and tokenizer.json",
            fix="give the folder that save_pretrained wrote; in a run folder that is model/",
            where=str(source),
        )
    with quiet(), _explained(source, "configuration"):
        config = AutoConfig.from_pretrained(str(source), trust_remote_code=trust_remote_code)
    if not trust_remote_code:
        family_of(config.model_type)
    return config


def save_model(model: Any, tokenizer: Any, folder: Path, *, origin: Origin | None = None) -> None:
    """Write weights, configuration and tokenizer, whole or not at all; transformers alone can load them.

    Args:
        origin: of a student, for a teacher to be put beside it again.
    """
    with quiet(), whole_folder(folder) as unfinished:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        if origin is not None:
            write_origin(unfinished, origin)


def empty_model(config: Any, auto: Auto) -> Any:
    """A model of this configuration with fresh weights from torch's current generator.

    Under `with torch.device("meta")` it has shapes and no memory.

    Raises:
        ModelError: transformers has no such head for the architecture, or the sizes do not fit together.
    """
    _check_kind(config, auto)
    with quiet():
        try:
            model = _auto_class(auto).from_config(config, **_without_pooler(auto, config))
        except ValueError as error:
            raise ModelError(
                f"no {auto!r} model of this configuration: {_first_line(error)}",
                wanted=f"sizes that fit, and a head that {config.model_type} has",
                fix="check the sizes (heads divide hidden) or choose another kind of head",
            ) from error
    return scaled_gpt(model) if is_scaled_gpt(config) else model


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's CPU generator seeded inside the block and put back after it; accelerators are not touched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers without its progress bars and load reports, the Hub client without its tale of retries.

    Errors still show.
    """
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_verbosity = hub.get_verbosity()
    logging.set_verbosity_error()
    hub.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub.set_verbosity(hub_verbosity)
        if bars:
            logging.enable_progress_bar()


def _auto_class(auto: Auto) -> Any:
    import transformers

    if auto not in _AUTO_CLASSES:
        raise ModelError(
            f"a model of kind {auto!r}",
            wanted=f"one of: {', '.join(get_args(Auto))}",
            fix=did_you_mean(str(auto), _AUTO_CLASSES),
        )
    return getattr(transformers, _AUTO_CLASSES[auto])


def _check_kind(config: Any, auto: Auto) -> None:
    """transformers makes causal models of BERT and RoBERTa that see the future unless told `is_decoder`."""
    if auto == "causal" and family_of(config.model_type).kind != "decoder":
        raise ModelError(
            f"a causal language model asked of {config.model_type}, which reads in both directions",
            wanted="a decoder: gpt2, llama, mistral, qwen, gemma",
            fix="use masked for an encoder, seq2seq for an encoder-decoder",
        )


def _without_pooler(auto: Auto, config: Any) -> dict[str, bool]:
    """A masked-LM checkpoint holds no pooler, so a base model would carry random weights in its place."""
    has_pooler = config.model_type in ("bert", "roberta", "xlm-roberta")
    return {"add_pooling_layer": False} if auto == "base" and has_pooler else {}


def _local_folder(source: str | Path) -> Path | None:
    """The folder, or None when the source reads as a Hub id.

    Raises:
        ModelError: it reads as a folder and is not there.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    text = str(source)
    if isinstance(source, Path) or _reads_as_folder(text):
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        guess = nearest(path.name, beside)
        raise ModelError(
            f"a {'file' if path.exists() else 'folder that does not exist'}",
            wanted="a folder with config.json, model.safetensors and tokenizer.json, or a Hub id",
            fix=f"did you mean {guess!r}?"
            if guess
            else "check the path; it is taken from the folder you are in",
            where=text,
        )
    return None


def _reads_as_folder(text: str) -> bool:
    """Whether a name is a path rather than a Hub id, `owner/name`; one in a folder that is here is a path."""
    if text.count("/") == 1 and not text.startswith((".", "/", "~")):
        return Path(text).parent.is_dir()
    return "/" in text or "\\" in text or text.startswith((".", "~"))


def _check_weights(source: str | Path) -> None:
    folder = _local_folder(source)
    if folder is not None and not any(found for pattern in _WEIGHTS for found in folder.glob(pattern)):
        raise ModelError(
            "a folder without weights",
            wanted="model.safetensors, or pytorch_model.bin",
            fix="copy the file there, or use the folder that save_pretrained wrote",
            where=str(source),
        )


@contextlib.contextmanager
def _as_it_is() -> Iterator[None]:
    """Without the request to convert the model that transformers sends off where there are no safetensors."""
    name = "DISABLE_SAFETENSORS_CONVERSION"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _check_base_loaded(model: Any, missing: Sequence[str] | set[str], source: str | Path) -> None:
    parts = anatomy(model)
    lost = sorted(name for name in missing if parts.place(name).part != "head")
    if lost:
        shown = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        raise ModelError(
            f"a checkpoint without {len(lost)} weights of the base model: {shown}",
            wanted="every weight of the embeddings and layers that config.json describes",
            fix="check that config.json and model.safetensors belong together; "
            "training from random weights is what `new_model` is for",
            where=str(source),
        )


@contextlib.contextmanager
def _explained(source: str | Path, what: str) -> Iterator[None]:
    """Turn what transformers and the Hub client raise into one `ModelError`."""
    from safetensors import SafetensorError

    try:
        yield
    except pickle.UnpicklingError as error:
        raise ModelError(
            "a pickle of more than tensors, or a damaged one",
            wanted="model.safetensors, or a pytorch_model.bin of tensors alone",
            fix="such a file can run code when it is opened: if you trust it, load it with transformers and "
            "save_pretrained it again, which writes safetensors",
            where=str(source),
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        wanted, fix = _ADVICE["folder" if Path(source).expanduser().is_dir() else "Hub"]
        got = f"no {what} could be loaded: {_first_line(error)}"
        raise ModelError(got, wanted=wanted, fix=fix, where=str(source)) from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
