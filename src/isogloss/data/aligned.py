"""The same items in several languages, and batches that hold each item once per language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isogloss.core.errors import DataError
from isogloss.core.seeds import generator
from isogloss.data.beside import TOLD, under
from isogloss.data.buckets import BucketedBatches
from isogloss.data.features import Features, collate
from isogloss.data.records import ChoiceExample, Example, GapExample, LabelExample

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AlignedExamples:
    """Items that every language has.

    Attributes:
        languages: internal tags, two or more.
        ids: one per item, unique, in the first language's order.
        examples: by language, an example for each id.
        missing: by language, how many of its items another language lacks.
        unequal: ids of items left out because their number of choices or candidates differs by language.
    """

    languages: tuple[str, ...]
    ids: tuple[str, ...]
    examples: Mapping[str, tuple[Example, ...]]
    missing: Mapping[str, int]
    unequal: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, places: Sequence[int]) -> AlignedExamples:
        """Some of the items, by position and in that order."""
        chosen = {tag: tuple(found[i] for i in places) for tag, found in self.examples.items()}
        return AlignedExamples(self.languages, tuple(self.ids[i] for i in places), chosen, self.missing)

    def held_out(self, share: float, *, seed: int) -> tuple[AlignedExamples, AlignedExamples]:
        """The items to learn from and a share of them, drawn by `seed`, held out; both in their order.

        Two items may read the same in a language, as translations do now and then. One that reads, in any of
        them, like an item that is held out is on neither side.

        Raises:
            DataError: one of the two would be empty.
        """
        count = round(share * len(self))
        chosen = sorted(generator(seed, "held out").permutation(len(self))[:count].tolist())
        seen = {(tag, wording(found[i])) for tag, found in self.examples.items() for i in chosen}
        others = set(range(len(self))).difference(chosen)
        for tag, found in self.examples.items():
            others = {i for i in others if (tag, wording(found[i])) not in seen}
        if not (chosen and others):
            raise DataError(
                f"{share:.0%} of {len(self)} items held out leaves {len(chosen)} and {len(others)}",
                wanted="items on both sides",
                fix="give more items, or another share",
            )
        return self.only(sorted(others)), self.only(chosen)


def align(examples: Mapping[str, Sequence[Example]]) -> AlignedExamples:
    """Join examples by id; those that every language has, with as many classes in each.

    Args:
        examples: by language (internal tags), as `data.tasks.read` gives them.

    Raises:
        DataError: fewer than two languages, or no item that all of them have.
    """
    if len(examples) < 2:
        raise DataError(
            f"items in {', '.join(examples) or 'no language'}",
            wanted="the same items in two languages or more",
            fix="add a file with the same ids for each language",
        )
    by_id = {tag: {example.id: example for example in found} for tag, found in examples.items()}
    first, *others = by_id.values()
    shared = [key for key in first if all(key in other for other in others)]
    if not shared:
        raise DataError(
            f"no id is in all of {', '.join(by_id)}",
            wanted="files of the same items, with ids in common or in step line by line",
            fix="check that the files belong to the same set",
        )
    unequal = [key for key in shared if len({classes(found[key]) for found in by_id.values()}) > 1]
    kept = tuple(key for key in shared if key not in set(unequal))
    if not kept:
        raise DataError("every item has another number of choices in some language", wanted="the same items")
    return AlignedExamples(
        tuple(by_id),
        kept,
        {tag: tuple(found[key] for key in kept) for tag, found in by_id.items()},
        {tag: len(found) - len(shared) for tag, found in by_id.items() if len(found) > len(shared)},
        tuple(unequal),
    )


def classes(example: Example) -> int:
    """What an item is chosen from, where that is its own: choices or candidates; 0 where it is the task's."""
    if isinstance(example, ChoiceExample):
        return len(example.choices)
    return len(example.candidates) if isinstance(example, GapExample) else 0


def wording(example: Example) -> str:
    """All that a model reads of a label, choice or gap example, by which the same item is known again.

    Raises:
        DataError: an example of another kind.
    """
    if isinstance(example, LabelExample):
        parts: tuple[str, ...] = (example.text, example.pair or "")
    elif isinstance(example, ChoiceExample):
        parts = (example.premise, example.question, *example.choices)
    elif isinstance(example, GapExample):
        parts = (example.prompt, *example.candidates)
    else:
        raise DataError(f"a {type(example).__name__}", wanted="an item with classes that languages share")
    return "\x1f".join(" ".join(part.casefold().split()) for part in parts)


def aligned_batches(
    features: Mapping[str, Sequence[Features]],
    *,
    pad_id: int,
    batch_size: int,
    seed: int,
    told: Sequence[str] = (),
) -> BucketedBatches[int]:
    """Batches of items; each has all rows of the first language, then all of the second, and so on.

    A batch is that of `collate`, with `language` (rows,) and `items` (items,), positions of the items.

    Args:
        features: by language, exactly one per item.
        batch_size: items in a batch.
        told: languages whose rows come once more by themselves, under names that begin with `TOLD`: for a
            teacher that is another model than the one that learns.
    """
    languages = list(features)
    count = len(features[languages[0]])
    assert all(len(found) == count for found in features.values()), "a language lacks items"
    lengths = [max(found[place].length for found in features.values()) for place in range(count)]
    own = _collator(features, languages, pad_id)
    other = _collator(features, list(told), pad_id)

    def together(places: list[int]) -> dict[str, Tensor]:
        import torch

        batch = own(places) | {"items": torch.tensor(places)}
        return batch | (under(TOLD, other(places)) if told else {})

    return BucketedBatches(range(count), together, lengths=lengths, batch_size=batch_size, seed=seed)


def _collator(
    features: Mapping[str, Sequence[Features]], languages: Sequence[str], pad_id: int
) -> Callable[[list[int]], dict[str, Tensor]]:
    def rows_of(places: list[int]) -> dict[str, Tensor]:
        import torch

        chosen = [(number, features[tag][i]) for number, tag in enumerate(languages) for i in places]
        batch = collate([one for _, one in chosen], pad_id)
        language = [number for number, one in chosen for _ in one.rows]
        return batch | {"language": torch.tensor(language)}

    return rows_of
