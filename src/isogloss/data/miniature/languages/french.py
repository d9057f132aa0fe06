"""French: gender and agreement, elision and contraction, "pas de", and the passé composé."""

from __future__ import annotations

from typing import Literal, TypeAlias

from isogloss.data.miniature import concepts
from isogloss.data.miniature.frames import Frame, Phrase, Slot
from isogloss.data.miniature.grammar import Node, Telling, case, name_node, tell_tree
from isogloss.data.miniature.lexicon import load_lexicon
from isogloss.data.miniature.tables import Entry
from isogloss.data.miniature.variations import asked

Gender: TypeAlias = Literal["m", "f"]

TAG = "fr-Latn"
_WORDS = load_lexicon("fr")
_NUMERALS = dict(enumerate("deux trois quatre cinq six sept huit neuf dix".split(), start=2))
_VOWELS = frozenset("aàâeéèêiîïoôœuûyh")
_ASPIRATED = frozenset({"hache", "haches", "huit", "Hassan"})
_ELIDING = frozenset({"le", "la", "de", "ne", "se", "que"})
_FUSED = {("à", "le"): "au", ("à", "les"): "aux", ("de", "le"): "du", ("de", "les"): "des"}

# "Visiter" is for buildings; people are paid a visit.
_RENDRE_VISITE: Entry = {
    **_WORDS.verbs["visit"],
    "singular": "rend",
    "plural": "rendent",
    "future": "rendra",
    "participle": "rendu",
    "preposition": "à",
    "noun": "visite",
}

# "Récolter" is for crops; a fruit is picked by hand.
_CUEILLIR: Entry = {
    **_WORDS.verbs["pick"],
    "singular": "cueille",
    "plural": "cueillent",
    "future": "cueillera",
    "participle": "cueilli",
}


def tell(frame: Frame, *, style: int = 0) -> Telling:
    """The frame in French. Style 1 fronts the time, or else the place, or else names the recipient first."""
    front, rest = _adverbials(frame, fronted=style == 1)
    subject = _noun_phrase(frame.subject, "nsubj", "subject")
    if frame.quality is not None:
        return tell_tree(TAG, _predicate(frame, subject))
    recipient_first = style == 1 and not front and not frame.negated
    objects = (*_verb_noun(frame), *_objects(frame, recipient_first=recipient_first))
    helpers, form, denial = _verb_group(frame, frame.subject)
    before = (*front, subject, *helpers)
    after = (*denial, *objects, *rest)
    return tell_tree(TAG, Node(form, "VERB", before=before, after=after, role="verb", concept=frame.verb))


def ask(frame: Frame, slot: Slot) -> str:
    """A question in French: "Où est-ce qu'Anna a vendu le bateau hier?" """
    kept = asked(frame, slot)
    if slot == "subject":
        opening: tuple[Node, ...] = (Node("qui", "PRON", "nsubj"),)
        helpers, form, _ = _verb_group(frame, Phrase("man"))
    else:
        subject = _noun_phrase(kept.subject, "nsubj", "subject")
        opening = (*_question(frame, slot, _first_form(subject)), subject)
        helpers, form, _ = _verb_group(frame, kept.subject)
    after = (*_verb_noun(frame), *_objects(kept, recipient_first=False), *_adverbials(kept, fronted=False)[1])
    return tell_tree(TAG, Node(form, "VERB", before=(*opening, *helpers), after=after), end="?").text


# Words


def _elides(following: str) -> bool:
    """Whether "le" is "l'" before this word."""
    return following[0].lower() in _VOWELS and following not in _ASPIRATED


def _small_word(form: str, tag: str, relation: str, following: str = "") -> Node:
    """A word that may lose its last vowel to the word after it."""
    if form in _ELIDING and following and _elides(following):
        form = form[:-1] + "'"
    return Node(form, tag, relation, glue="right" if form.endswith("'") else "")


def _first_form(node: Node) -> str:
    return _first_form(node.before[0]) if node.before else node.form


def _gender(phrase: Phrase) -> Gender:
    if phrase.kind == "name":
        return concepts.names()[phrase.head].gender
    return "f" if phrase.kind == "noun" and _WORDS.nouns[phrase.head]["gender"] == "f" else "m"


def _plural(form: str) -> str:
    """Of adjectives and participles."""
    if form.endswith(("s", "x")):
        return form
    return form + ("x" if form.endswith("eau") else "s")


# Noun phrases


def _noun_phrase(
    phrase: Phrase, relation: str, role: Slot | None, *, marker: str = "", denied: bool = False
) -> Node:
    """A participant after the preposition `marker`, "" for none. `denied` asks for "pas de pain"."""
    if phrase.kind != "noun":
        form = _name(phrase)
        marked = (_small_word(marker, "ADP", "case", form),) if marker else ()
        return name_node(form, phrase, relation, role, before=marked)
    row = _WORDS.nouns[phrase.head]
    form = row["plural"] if phrase.plural else row["singular"]
    leading, trailing = _modifiers(phrase, form)
    following = leading[0].form if leading else form
    fronted = any(node.tag == "ADJ" for node in leading)
    before = (*_determiner(phrase, following, marker, denied=denied, fronted=fronted), *leading)
    tail = (Node(row["tail"], "NOUN", "nmod"),) if row["tail"] else ()
    after = (*tail, *trailing, *_owner(phrase))
    return Node(form, "NOUN", relation, before=before, after=after, role=role, concept=phrase.head)


def _name(phrase: Phrase) -> str:
    table = _WORDS.names if phrase.kind == "name" else _WORDS.places
    return table[phrase.head]["form"]


def _owner(phrase: Phrase) -> tuple[Node, ...]:
    if phrase.owner is None:
        return ()
    return (_noun_phrase(Phrase(phrase.owner, "name"), "nmod", None, marker="de"),)


def _modifiers(phrase: Phrase, noun: str) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Numeral and adjective: those before the noun, and those after it."""
    count = (Node(_NUMERALS[phrase.count], "NUM", "nummod"),) if phrase.count is not None else ()
    if phrase.adjective is None:
        return count, ()
    form = _adjective(phrase.adjective, phrase)
    row = _WORDS.adjectives[phrase.adjective]
    leads = row["position"] == "before"
    if leads and row["before_vowel"] and not phrase.plural and _gender(phrase) == "m" and _elides(noun):
        form = row["before_vowel"]
    node = Node(form, "ADJ", "amod", concept=phrase.adjective)
    return ((*count, node), ()) if leads else (count, (node,))


def _adjective(id: str, phrase: Phrase) -> str:
    """An adjective as it agrees with a noun; some have another word for some classes of nouns."""
    row = _WORDS.adjectives[id]
    kinds = {"friend", "person"}
    if phrase.kind == "noun":
        kinds = {phrase.head, *concepts.nouns()[phrase.head].classes}
    prefix = "other_" if kinds & set(row["other_for"].split()) else ""
    form = row[prefix + ("feminine" if _gender(phrase) == "f" else "masculine")]
    return _plural(form) if phrase.plural else form


def _determiner(
    phrase: Phrase, following: str, marker: str, *, denied: bool, fronted: bool
) -> tuple[Node, ...]:
    """Preposition and article, fused where they fuse ("au"); `following` is the word after them.

    `fronted` says that an adjective precedes the noun: "de belles robes".
    """
    feminine = _gender(phrase) == "f"
    if phrase.definite:
        article = "les" if phrase.plural else "la" if feminine else "le"
        return _marked(marker, article, following)
    if phrase.count is not None:
        return _marked(marker, "", following)
    if denied:
        return (_small_word("de", "ADP" if marker else "DET", "case" if marker else "det", following),)
    if marker == "de" and phrase.plural and not fronted and phrase.adjective is None:
        return _marked(marker, "les", following)
    if marker == "de" and (phrase.plural or phrase.mass):
        return _marked(marker, "", following)
    if phrase.plural:
        return _marked(marker, "de" if fronted else "des", following)
    if phrase.mass:
        return _partitive("la" if feminine else "le", following)
    return _marked(marker, "une" if feminine else "un", following)


def _marked(marker: str, article: str, following: str) -> tuple[Node, ...]:
    """A preposition and an article, either of which may be ""."""
    shortened = article in _ELIDING and _elides(following)
    if not shortened and (marker, article) in _FUSED:
        return (case(_FUSED[marker, article]),)
    articles = (_small_word(article, "DET", "det", following),) if article else ()
    if not marker:
        return articles
    return (_small_word(marker, "ADP", "case", article or following), *articles)


def _partitive(article: str, following: str) -> tuple[Node, ...]:
    """ "Du", "de la" or "de l'"."""
    if article == "le" and not _elides(following):
        return (Node("du", "DET", "det"),)
    return (Node("de", "DET", "det"), _small_word(article, "DET", "det", following))


# Clauses


def _row(frame: Frame) -> Entry:
    """The words of the frame's verb."""
    thing = frame.object
    if frame.verb == "visit" and thing is not None and thing.person:
        return _RENDRE_VISITE
    if frame.verb == "pick" and thing is not None and "fruit" in concepts.nouns()[thing.head].classes:
        return _CUEILLIR
    return _WORDS.verbs[frame.verb]


def _verb_noun(frame: Frame) -> tuple[Node, ...]:
    """The noun that is half of a verb: "rendre visite"."""
    noun = _row(frame).get("noun")
    return (Node(noun, "NOUN", "obj"),) if noun else ()


def _objects(frame: Frame, *, recipient_first: bool) -> tuple[Node, ...]:
    marker = _row(frame)["preposition"]
    found = []
    if frame.object is not None:
        relation = "obl" if marker else "obj"
        denied = frame.negated and marker != "à"
        found.append(_noun_phrase(frame.object, relation, "object", marker=marker, denied=denied))
    if frame.recipient is not None:
        found.append(_noun_phrase(frame.recipient, "obl", "recipient", marker="à"))
    return tuple(reversed(found) if recipient_first else found)


def _adverbials(frame: Frame, *, fronted: bool) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Place and time: what is said first, with its comma, and what is said last."""
    time = (_time(frame.time),) if frame.time else ()
    place = (_place(frame.place),) if frame.place else ()
    comma = Node(",", "PUNCT", "punct", glue="left")
    if fronted and time:
        return (*time, comma), place
    if fronted and place and concepts.verbs()[frame.verb].valency not in ("goal", "location"):
        return (*place, comma), ()
    return (), (*place, *time)


def _time(id: str) -> Node:
    row = _WORDS.times[id]
    before = tuple(_small_word(*word.split("/")) for word in row["before"].split())
    after = tuple(_small_word(*word.split("/")) for word in row["after"].split())
    relation = "advmod" if row["tag"] == "ADV" else "obl" if "ADP" in row["before"] else "obl:mod"
    return Node(row["form"], row["tag"], relation, before=before, after=after, role="time", concept=id)


def _place(phrase: Phrase) -> Node:
    """Where or where to, which are told alike."""
    table = _WORDS.places if phrase.kind == "place" else _WORDS.nouns
    return _noun_phrase(phrase, "obl", "place", marker=table[phrase.head]["preposition"])


def _verb_group(frame: Frame, subject: Phrase) -> tuple[tuple[Node, ...], str, tuple[Node, ...]]:
    """What precedes the main verb, its form, and what follows it of the negation; agrees with `subject`."""
    row = _row(frame)
    small = [("ne", "ADV", "advmod")] if frame.negated else []
    small += [("se", "PRON", "expl:pv")] if row["reflexive"] else []
    denial = (Node("pas", "ADV", "advmod"),) if frame.negated else ()
    if frame.tense != "past":
        form = _finite(row, frame.tense, subject)
        return _before(small, form), form, denial
    auxiliary = _auxiliary(row["auxiliary"], subject)
    helpers = (*_before(small, auxiliary), Node(auxiliary, "AUX", "aux"), *denial)
    return helpers, _participle(row, subject), ()


def _before(small: list[tuple[str, str, str]], verb: str) -> tuple[Node, ...]:
    """ "ne" and "se" before a finite verb, shortened as the next word has it."""
    spoken = [*(form for form, _, _ in small), verb]
    return tuple(_small_word(*word, spoken[at]) for at, word in enumerate(small, start=1))


def _finite(row: Entry, tense: concepts.Tense, subject: Phrase) -> str:
    if tense == "present":
        return row["plural"] if subject.plural else row["singular"]
    return row["future"][:-1] + "ont" if subject.plural else row["future"]


def _auxiliary(verb: str, subject: Phrase) -> str:
    singular, plural = ("est", "sont") if verb == "être" else ("a", "ont")
    return plural if subject.plural else singular


def _participle(row: Entry, subject: Phrase) -> str:
    """Agrees with the subject after "être", and with nothing after "avoir"."""
    form = row["participle"]
    if row["auxiliary"] != "être":
        return form
    form += "e" if _gender(subject) == "f" else ""
    return _plural(form) if subject.plural else form


def _predicate(frame: Frame, subject: Node) -> Node:
    """ "Le bateau n'était pas rouge", with the adjective as the root and the copula below it."""
    assert frame.quality is not None
    plural = frame.subject.plural
    finite = {
        "past": "étaient" if plural else "était",
        "present": "sont" if plural else "est",
        "future": "seront" if plural else "sera",
    }[frame.tense]
    copula = Node(finite, "AUX", "cop", role="verb", concept="be")
    before: tuple[Node, ...] = (subject, copula)
    if frame.negated:
        ne = _small_word("ne", "ADV", "advmod", finite)
        before = (subject, ne, copula, Node("pas", "ADV", "advmod"))
    form = _adjective(frame.quality, frame.subject)
    return Node(form, "ADJ", before=before, role="quality", concept=frame.quality)


# Questions


def _what() -> tuple[Node, ...]:
    return Node("qu'", "PRON", "obj", glue="right"), Node("est-ce", "ADV", "advmod")


def _question(frame: Frame, slot: Slot, following: str) -> tuple[Node, ...]:
    """The words up to "que", which the word `following` may shorten."""
    that = _small_word("que", "SCONJ", "mark", following)
    is_it = Node("est-ce", "ADV", "advmod")
    if slot in ("place", "time"):
        return Node("où" if slot == "place" else "quand", "ADV", "advmod"), is_it, that
    phrase: Phrase = getattr(frame, slot)
    marker = "à" if slot == "recipient" else _row(frame)["preposition"]
    if not marker and not phrase.person:
        return (*_what(), that)
    word = Node("qui" if phrase.person else "quoi", "PRON", "obl" if marker else "obj")
    return (*((case(marker),) if marker else ()), word, is_it, that)
