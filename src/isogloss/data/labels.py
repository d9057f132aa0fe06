"""Which labels a task has, in a fixed order, and the way from a label to its number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from isogloss.core.errors import DataError, did_you_mean
from isogloss.data.records import Example, LabelExample, TagsExample, TreeExample


def inventory(examples: Iterable[Example]) -> tuple[str, ...]:
    """The labels, tags or relations of the examples, sorted; () for kinds without labels.

    In tags, "O" comes first, as it does in most published models.
    """
    labels = sorted({label for example in examples for label in _labels_of(example)})
    return tuple(sorted(labels, key=lambda label: label != "O"))


def _labels_of(example: Example) -> Sequence[str]:
    if isinstance(example, LabelExample):
        return () if example.label is None else (example.label,)
    if isinstance(example, TagsExample):
        return example.tags or ()
    return example.relations if isinstance(example, TreeExample) else ()


class LabelIndex:
    """Numbers of labels, in the order of the model."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._numbers = {label: number for number, label in enumerate(self.labels)}

    def number(self, label: str, *, example: str) -> int:
        """The label's number.

        Raises:
            DataError: the model does not know it; the message names the example, the label and the known.
        """
        if label not in self._numbers:
            raise DataError(
                f"example {example!r} has the label {label!r}, which the model does not know",
                wanted=f"one of: {', '.join(self.labels) or '(the model has no labels)'}",
                fix=f"{did_you_mean(label, self.labels)}"
                if self.labels
                else "build the model with labels=inventory(examples)",
            )
        return self._numbers[label]
