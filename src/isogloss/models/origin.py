"""What a student was made of, kept in its folder: layers, pieces and directions of a teacher."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from isogloss.core.errors import CheckpointError

ORIGIN = "origin.safetensors"


@dataclass(frozen=True, eq=False)
class Origin:
    """How a student belongs to its teacher.

    Attributes:
        layers: the teacher layer that each student layer was copied from, and is compared with.
        kept: the teacher's id of each row of the student's vocabulary; None where all stayed.
        vocabulary: fingerprint of the teacher's tokenizer.
        basis: the directions of the teacher's hidden states that a narrower student has; None for all.
    """

    layers: tuple[int, ...]
    kept: npt.NDArray[np.int64] | None
    vocabulary: str
    basis: Float[Tensor, "large small"] | None = None


def write_origin(folder: Path, origin: Origin) -> None:
    """Into a folder that is being written whole."""
    from safetensors.torch import save_file

    tensors = {}
    if origin.kept is not None:
        tensors["kept"] = torch.from_numpy(np.ascontiguousarray(origin.kept))
    if origin.basis is not None:
        tensors["basis"] = origin.basis.contiguous()
    facts = {"layers": json.dumps(list(origin.layers)), "vocabulary": origin.vocabulary}
    save_file(tensors, folder / ORIGIN, metadata=facts)


def read_origin(folder: str | Path) -> Origin | None:
    """What `write_origin` wrote; None for a model that is no student, or is not a folder.

    Raises:
        CheckpointError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / ORIGIN
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
        layers = tuple(json.loads(facts["layers"]))
        kept = tensors["kept"].numpy() if "kept" in tensors else None
        return Origin(layers, kept, facts["vocabulary"], tensors.get("basis"))
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"not readable: {error}", fix="make the student again, or copy the file again", where=str(path)
        ) from error
