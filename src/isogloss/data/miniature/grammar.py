"""What a telling is, and how phrases nest into one.

A language's grammar builds a `Node` for each word, with the nodes that depend on it before and after it in the
order they are said; `tell_tree` lines them up and derives heads, text and places of the slots from that. So
trees have one root and no crossing arcs, by construction.

Words are the syntactic words of Universal Dependencies with one exception: what a language writes as one word
stays one word. French "au" and German "im" are a single preposition (ADP, `case`) though an article hides in
them, and a Turkish noun keeps its case endings. There are no multiword tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from isogloss.data.miniature.frames import Phrase, Slot

Entity: TypeAlias = Literal["PER", "LOC"]


@dataclass(frozen=True, slots=True)
class Node:
    """A word and everything that depends on it.

    Attributes:
        form: as written in the middle of a sentence; no spaces.
        tag: the universal part of speech.
        relation: to its head, in Universal Dependencies' terms; "root" at the top.
        before, after: dependents in the order they are said.
        role: the slot told by this node and all below it; at the root, by its own word alone. None for none.
        concept: id of the concept that the word itself tells, or "".
        entity: PER or LOC when the word is a name (one word each), else None.
        glue: "left" for no space before the word (full stop), "right" for none after it (French "l'").
    """

    form: str
    tag: str
    relation: str = "root"
    before: tuple[Node, ...] = ()
    after: tuple[Node, ...] = ()
    role: Slot | None = None
    concept: str = ""
    entity: Entity | None = None
    glue: Literal["", "left", "right"] = ""


@dataclass(frozen=True, slots=True)
class Word:
    """A syntactic word of a telling.

    `head` is 1-based, 0 for the root; `start` and `end` are offsets into the telling's text, end exclusive.
    `role` is the slot that the word belongs to, None for function words of the clause; `concept` the
    id of the concept that the word tells, "" if none; `entity` a BIO tag (`B-PER`, `B-LOC`, `O`).
    """

    form: str
    tag: str
    head: int
    relation: str
    role: Slot | None
    concept: str
    entity: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Telling:
    """A frame told in a language.

    `roles` maps each slot to the range [first, last) of positions in `words` that tells it. It is a tuple of
    (slot, first, last), in the order said.
    """

    language: str
    text: str
    words: tuple[Word, ...]
    roles: tuple[tuple[Slot, int, int], ...]

    def span(self, slot: Slot) -> tuple[int, str]:
        """(start, text) of a slot in `text`, as a `SpanExample` has its answers. Raises KeyError if untold."""
        for told, first, last in self.roles:
            if told == slot:
                start, end = self.words[first].start, self.words[last - 1].end
                return start, self.text[start:end]
        raise KeyError(slot)

    @property
    def slots(self) -> frozenset[Slot]:
        """The slots that are told."""
        return frozenset(slot for slot, _, _ in self.roles)


_MARKS_APART = {("fr-Latn", "?")}
"""What a language sets off from the last word: "Qui dort ?" """


def tell_tree(language: str, root: Node, *, end: str = ".") -> Telling:
    """The sentence of a tree: its words in order, spelled, with `end` as its last mark."""
    mark = Node(end, "PUNCT", "punct", glue="" if (language, end) in _MARKS_APART else "left")
    line = _Line()
    line.add(replace(root, relation="root", after=(*root.after, mark)))
    forms = [node.form for node in line.nodes]
    forms[0] = capitalised(forms[0], language)
    text, starts = _spell(line.nodes, forms)
    inside = {at: slot for slot, first, last in line.roles for at in range(first, last)}
    words = tuple(
        Word(
            form=form,
            tag=node.tag,
            head=line.heads[at],
            relation=node.relation,
            role=inside.get(at),
            concept=node.concept,
            entity=f"B-{node.entity}" if node.entity else "O",
            start=start,
            end=start + len(form),
        )
        for at, (node, form, start) in enumerate(zip(line.nodes, forms, starts, strict=True))
    )
    return Telling(language, text, words, tuple(sorted(line.roles, key=lambda role: role[1:])))


def case(form: str, *, glue: Literal["", "left", "right"] = "") -> Node:
    """An adposition, to be hung on the noun that it marks."""
    return Node(form, "ADP", "case", glue=glue)


def name_node(
    form: str,
    phrase: Phrase,
    relation: str,
    role: Slot | None,
    *,
    before: tuple[Node, ...] = (),
    after: tuple[Node, ...] = (),
) -> Node:
    """A person's or a place's name, already inflected, with its concept and its kind of entity."""
    entity: Entity = "PER" if phrase.kind == "name" else "LOC"
    return Node(form, "PROPN", relation, before, after, role, phrase.head, entity)


def capitalised(form: str, language: str) -> str:
    """The form with its first letter in upper case; Turkish i becomes İ."""
    first = "İ" if form[:1] == "i" and language.startswith("tr") else form[:1].upper()
    return first + form[1:]


class _Line:
    """Words as they are lined up, with the 1-based heads and the roles found on the way."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.heads: list[int] = []
        self.roles: list[tuple[Slot, int, int]] = []

    def add(self, node: Node) -> int:
        """Append a subtree; the position of its top word."""
        first = len(self.nodes)
        children = [self.add(child) for child in node.before]
        own = len(self.nodes)
        self.nodes.append(node)
        self.heads.append(0)
        children += [self.add(child) for child in node.after]
        for child in children:
            self.heads[child] = own + 1
        if node.role is not None:
            whole = (first, len(self.nodes)) if node.relation != "root" else (own, own + 1)
            self.roles.append((node.role, *whole))
        return own


def _spell(nodes: list[Node], forms: list[str]) -> tuple[str, list[int]]:
    """The text, and where each form starts in it."""
    text, starts = "", []
    tight = True
    for node, form in zip(nodes, forms, strict=True):
        text += "" if tight or node.glue == "left" else " "
        starts.append(len(text))
        text += form
        tight = node.glue == "right"
    return text, starts
