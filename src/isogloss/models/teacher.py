"""A teacher: a task model that is asked and never trained, and reads its own ids of what a student reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from isogloss.models.outputs import Kept, recording
from isogloss.models.renumber import renumbered
from isogloss.models.task_model import TaskModel, TaskOutput


class Teacher:
    """Not a module: whoever holds one neither trains it nor saves it, and has none of its parameters.

    Attributes:
        model: in evaluation mode, without gradients.
        kept: its id for each id of the student's; None where they are the same.
        wear: called with the number of a batch's language before the teacher reads the batch; puts on what
            was learnt of that language. None where it wears nothing; batches may then mix languages.
    """

    def __init__(
        self,
        model: TaskModel,
        *,
        kept: npt.NDArray[np.int64] | None = None,
        wear: Callable[[int], None] | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.kept = None if kept is None else torch.from_numpy(np.ascontiguousarray(kept))
        self.wear = wear

    @torch.no_grad()
    def ask(
        self,
        batch: Mapping[str, Tensor],
        *,
        head: bool = True,
        hidden: Sequence[int] = (),
        attention: Sequence[int] = (),
        projections: Sequence[int] = (),
    ) -> tuple[TaskOutput, Kept]:
        """What it says of a batch, and its inner states.

        Args:
            batch: as the student reads it.
            head: False where nothing is asked of the head; see `TaskModel.forward`.
            hidden, attention, projections: as `recording` takes them.
        """
        self._follow(batch["input_ids"].device)
        if self.wear is not None:
            self.wear(_language(batch["language"]))
        with recording(self.model, hidden=hidden, attention=attention, projections=projections) as kept:
            said = self.model(self._own(batch), head=head)
        return said, kept

    def _own(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The batch with the teacher's ids of the same pieces, those to be guessed included."""
        if self.kept is None:
            return batch
        return renumbered(batch, self.kept, kind=self.model.kind)

    def _follow(self, device: torch.device) -> None:
        if next(self.model.parameters()).device != device:
            self.model.to(device)
            self.kept = None if self.kept is None else self.kept.to(device)


def _language(numbers: Tensor) -> int:
    """The one language of a batch."""
    first = int(numbers[0])
    assert bool((numbers == first).all()), "a teacher that wears languages needs batches of one language"
    return first
