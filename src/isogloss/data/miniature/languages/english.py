"""English: articles, agreement, do-support, and the possessive 's."""

from __future__ import annotations

from isogloss.data.miniature.concepts import verbs
from isogloss.data.miniature.frames import Frame, Phrase, Slot
from isogloss.data.miniature.grammar import Node, Telling, case, name_node, tell_tree
from isogloss.data.miniature.lexicon import load_lexicon
from isogloss.data.miniature.variations import asked

TAG = "en-Latn"
_WORDS = load_lexicon("en")
_NUMERALS = dict(enumerate("two three four five six seven eight nine ten".split(), start=2))


def tell(frame: Frame, *, style: int = 0) -> Telling:
    """The frame in English. Style 1 fronts the time, or else the place, and says "gave a book to Anna"."""
    front, rest = _adverbials(frame, fronted=style == 1)
    objects = _objects(frame, shifted=style == 1)
    subject = _noun_phrase(frame.subject, "nsubj", "subject")
    if frame.quality is not None:
        return tell_tree(TAG, _predicate(frame, subject))
    helpers, form = _verb_group(frame)
    return tell_tree(
        TAG,
        Node(
            form,
            "VERB",
            before=(*front, subject, *helpers),
            after=(*objects, *rest),
            role="verb",
            concept=frame.verb,
        ),
    )


def ask(frame: Frame, slot: Slot) -> str:
    """A question in English: "Where did Anna sell the boat yesterday?" """
    kept = asked(frame, slot)
    form, helpers = _question_verb(frame, slot)
    subject = () if slot == "subject" else (_noun_phrase(kept.subject, "nsubj", "subject"),)
    stranded = _stranded(frame, slot)
    objects = [*_objects(kept, shifted=False)]
    at = 1 if slot == "recipient" else 0
    after = (*objects[:at], *stranded, *objects[at:], *_adverbials(kept, fronted=False)[1])
    word = Node(_question_word(frame, slot), "PRON", "obl")
    root = Node(form, "VERB", before=(word, *helpers[:1], *subject, *helpers[1:]), after=after)
    return tell_tree(TAG, root, end="?").text


def _noun_phrase(phrase: Phrase, relation: str, role: Slot | None, *, marker: str | None = None) -> Node:
    """A participant, with the preposition `marker` before it if one is given."""
    marked = (case(marker),) if marker else ()
    if phrase.kind != "noun":
        return name_node(_name(phrase), phrase, relation, role, before=marked)
    row = _WORDS.nouns[phrase.head]
    modifiers = _modifiers(phrase)
    following = modifiers[0].form if modifiers else row["singular"]
    return Node(
        row["plural"] if phrase.plural else row["singular"],
        "NOUN",
        relation,
        before=(*marked, *_determiner(phrase, following), *modifiers),
        role=role,
        concept=phrase.head,
    )


def _name(phrase: Phrase) -> str:
    table = _WORDS.names if phrase.kind == "name" else _WORDS.places
    return table[phrase.head]["form"]


def _modifiers(phrase: Phrase) -> tuple[Node, ...]:
    found = []
    if phrase.count is not None:
        found.append(Node(_NUMERALS[phrase.count], "NUM", "nummod"))
    if phrase.adjective is not None:
        form = _WORDS.adjectives[phrase.adjective]["form"]
        found.append(Node(form, "ADJ", "amod", concept=phrase.adjective))
    return tuple(found)


def _determiner(phrase: Phrase, following: str) -> tuple[Node, ...]:
    """An owner, an article, or nothing; `following` is the next word, which decides between a and an."""
    if phrase.owner is not None:
        owner = Phrase(phrase.owner, "name")
        possessive = Node("'s", "PART", "case", glue="left")
        return (name_node(_name(owner), owner, "nmod:poss", None, after=(possessive,)),)
    if phrase.definite:
        return (Node("the", "DET", "det"),)
    if phrase.plural or phrase.mass:
        return ()
    return (Node("an" if following[0] in "aeiou" else "a", "DET", "det"),)


def _objects(frame: Frame, *, shifted: bool) -> tuple[Node, ...]:
    """Recipient and object; `shifted` is "a book to Anna" for "Anna a book"."""
    marker = _WORDS.verbs[frame.verb]["preposition"]
    thing = frame.object and _noun_phrase(frame.object, "obl" if marker else "obj", "object", marker=marker)
    things = (thing,) if thing else ()
    if frame.recipient is None:
        return things
    if shifted:
        return (*things, _noun_phrase(frame.recipient, "obl", "recipient", marker="to"))
    return (_noun_phrase(frame.recipient, "iobj", "recipient"), *things)


def _adverbials(frame: Frame, *, fronted: bool) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Place and time: what is said first, with its comma, and what is said last."""
    time = (_time(frame.time),) if frame.time else ()
    place = (_place(frame),) if frame.place else ()
    if not fronted:
        return (), (*place, *time)
    if time:
        return _with_comma(time), place
    if place and verbs()[frame.verb].valency not in ("goal", "location"):
        return _with_comma(place), ()
    return (), place


def _with_comma(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    return (*nodes, Node(",", "PUNCT", "punct", glue="left"))


def _time(id: str) -> Node:
    row = _WORDS.times[id]
    before = tuple(_small_word(*word.split("/")) for word in row["before"].split())
    relation = "advmod" if row["tag"] == "ADV" else "obl" if "ADP" in row["before"] else "obl:tmod"
    return Node(row["form"], row["tag"], relation, before=before, role="time", concept=id)


def _small_word(form: str, tag: str, relation: str) -> Node:
    return Node(form, tag, relation)


def _place(frame: Frame) -> Node:
    phrase = frame.place
    assert phrase is not None
    marker = "in" if phrase.kind == "place" else _WORDS.nouns[phrase.head]["preposition"]
    if verbs()[frame.verb].valency == "goal":
        marker = "to"
    return _noun_phrase(phrase, "obl", "place", marker=marker)


def _verb_group(frame: Frame) -> tuple[tuple[Node, ...], str]:
    """Auxiliaries with the negation, and the form of the main verb."""
    row = _WORDS.verbs[frame.verb]
    if frame.tense == "future":
        return _helpers("will", frame.negated), row["base"]
    if frame.negated:
        return _helpers(_do(frame), True), row["base"]
    if frame.tense == "past":
        return (), row["past"]
    return (), row["base"] if frame.subject.plural else row["third"]


def _helpers(auxiliary: str, negated: bool) -> tuple[Node, ...]:
    negation = (Node("not", "PART", "advmod"),) if negated else ()
    return (Node(auxiliary, "AUX", "aux"), *negation)


def _do(frame: Frame) -> str:
    if frame.tense == "past":
        return "did"
    return "do" if frame.subject.plural else "does"


def _predicate(frame: Frame, subject: Node) -> Node:
    """ "The boat was not red", with the adjective as the root and the copula below it."""
    assert frame.quality is not None
    form = _WORDS.adjectives[frame.quality]["form"]
    plural = frame.subject.plural
    finite = {"past": "were" if plural else "was", "present": "are" if plural else "is", "future": "be"}
    copula = Node(finite[frame.tense], "AUX", "cop", role="verb", concept="be")
    negation = (Node("not", "PART", "advmod"),) if frame.negated else ()
    if frame.tense == "future":
        middle = (Node("will", "AUX", "aux"), *negation, copula)
    else:
        middle = (copula, *negation)
    return Node(form, "ADJ", before=(subject, *middle), role="quality", concept=frame.quality)


def _question_word(frame: Frame, slot: Slot) -> str:
    if slot in ("place", "time"):
        return "where" if slot == "place" else "when"
    phrase: Phrase = getattr(frame, slot)
    return "who" if phrase.person else "what"


def _question_verb(frame: Frame, slot: Slot) -> tuple[str, tuple[Node, ...]]:
    """The main verb and its auxiliaries; only a question for the subject does without "do"."""
    row = _WORDS.verbs[frame.verb]
    if frame.tense == "future":
        return row["base"], _helpers("will", False)
    if slot == "subject":
        return (row["past"] if frame.tense == "past" else row["third"]), ()
    return row["base"], _helpers(_do(frame), False)


def _stranded(frame: Frame, slot: Slot) -> tuple[Node, ...]:
    """The preposition that the question word leaves behind: "look for", "give the book to"."""
    if slot == "recipient":
        return (case("to"),)
    marker = _WORDS.verbs[frame.verb]["preposition"] if slot == "object" else ""
    return (case(marker),) if marker else ()
