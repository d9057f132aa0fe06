"""Eight examples of each kind, in several scripts, to learn by heart."""

from __future__ import annotations

from isogloss.data.records import (
    GAP,
    ChoiceExample,
    GapExample,
    LabelExample,
    SpanExample,
    TagsExample,
    TextExample,
    TreeExample,
)

LABELS = [
    LabelExample(f"l{i}", "en-Latn", text, pair, label)
    for i, (text, pair, label) in enumerate(
        [
            ("The old woman saw the house.", "The woman saw a house.", "entailment"),
            ("The farmer sold the cow.", "The farmer kept the cow.", "contradiction"),
            ("La vieille femme a vu la maison.", "Elle habite à Paris.", "neutral"),
            ("Die alte Frau sah das Haus.", "Eine Frau sah ein Haus.", "entailment"),
            ("Старая женщина увидела дом.", "Женщина не увидела дом.", "contradiction"),
            ("Yaşlı kadın evi gördü.", "Kadın İstanbul'da.", "neutral"),
            ("Mwanamke mzee aliona nyumba.", "Mwanamke aliona nyumba.", "entailment"),
            ("老太太看见了红房子。", "老太太没有看见房子。", "contradiction"),
        ]
    )
]

CHOICES = [
    ChoiceExample(f"c{i}", "en-Latn", premise, question, choices, answer)
    for i, (premise, question, choices, answer) in enumerate(
        [
            ("The rain did not come.", "effect", ("The farmer sold the cow.", "The house was red."), 0),
            ("The cow was sold.", "cause", ("The woman saw Paris.", "The rain did not come."), 1),
            (
                "Il pleuvait.",
                "effect",
                ("La maison est rouge.", "Le fermier a vu.", "Elle a vu."),
                1,
            ),
            ("Шёл дождь.", "effect", ("Фермер не продал корову.", "Женщина в Москве."), 0),
            ("Mvua ilinyesha.", "effect", ("Nyumba nyekundu.", "Mkulima hakuuza ng'ombe."), 1),
            ("Yaşlı kadın evi gördü.", "cause", ("Kadın İstanbul'da.", "Yağmur."), 0),
            ("Die Frau sah das Haus.", "cause", ("Das Haus ist alt.", "Die Frau war in Berlin."), 1),
            ("老太太看见了红房子。", "cause", ("老太太在北京。", "红房子。"), 0),
        ]
    )
]

GAPS = [
    GapExample(f"g{i}", "en-Latn", prompt, candidates, answers)
    for i, (prompt, candidates, answers) in enumerate(
        [
            (f"The capital of Kenya is {GAP}.", ("Nairobi", "Paris", "London"), ("Nairobi",)),
            (f"The capital of France is {GAP}.", ("Nairobi", "Paris", "London"), ("Paris",)),
            (f"{GAP} saw the red house.", ("The old woman", "The farmer"), ("The farmer",)),
            (f"Die alte Frau sah das rote {GAP}.", ("Haus", "Paris"), ("Haus",)),
            (f"Старая женщина увидела {GAP} в Москве.", ("дом", "корову"), ("дом",)),
            (f"Yaşlı kadın dün {GAP} evi gördü.", ("kırmızı", "yaşlı"), ("kırmızı",)),
            (f"Mwanamke mzee aliona {GAP}.", ("nyumba", "ng'ombe"), ("ng'ombe",)),
            (f"老太太在{GAP}看见了红房子。", ("北京", "巴黎"), ("北京",)),
        ]
    )
]

TAGS = [
    TagsExample(f"t{i}", "en-Latn", tuple(words.split()), tuple(tags.split()))
    for i, (words, tags) in enumerate(
        [
            ("The old woman lives in London .", "O O O O O B-LOC O"),
            ("Anna Maria saw the farmer", "B-PER I-PER O O O"),
            ("La femme de Paris", "O O O B-LOC"),
            ("Anna Karl sah Berlin .", "B-PER B-PER O B-LOC O"),
            ("Женщина в Москве", "O O B-LOC"),
            ("İstanbul'da yaşlı kadın", "B-LOC O O"),
            ("Mwanamke mjini Nairobi", "O O B-LOC"),
            ("老太太 在 北京", "O O B-LOC"),
        ]
    )
]

TREES = [
    TreeExample(
        f"d{i}", "en-Latn", tuple(words.split()), ("X",) * len(heads), tuple(heads), tuple(relations.split())
    )
    for i, (words, heads, relations) in enumerate(
        [
            ("The old woman saw houses .", [3, 3, 4, 0, 4, 4], "det amod nsubj root obj punct"),
            ("The farmer sold the cow", [2, 3, 0, 5, 3], "det nsubj root det obj"),
            ("La femme de Paris", [2, 0, 4, 2], "det root case nmod"),
            ("Die Frau sah das Haus", [2, 3, 0, 5, 3], "det nsubj root det obj"),
            ("Женщина увидела дом", [2, 0, 2], "nsubj root obj"),
            ("Kadın evi gördü", [3, 3, 0], "nsubj obj root"),
            ("Mwanamke aliona nyumba nyekundu", [2, 0, 2, 3], "nsubj root obj amod"),
            ("老太太 看见 红 房子", [2, 0, 4, 2], "nsubj root amod obj"),
        ]
    )
]


def _span(i, question, context, answer):
    return SpanExample(f"s{i}", "en-Latn", question, context, ((context.index(answer), answer),))


SPANS = [
    _span(0, "in ?", "The old woman saw the red house in London.", "London"),
    _span(1, "saw ?", "The old woman saw the red house in London.", "The old woman"),
    _span(2, "Où ?", "La vieille femme a vu la maison rouge à Paris.", "Paris"),
    _span(3, "Wo?", "Die alte Frau sah gestern das rote Haus in Berlin.", "in Berlin"),
    _span(4, "Кто?", "Старая женщина увидела красный дом в Москве.", "Старая женщина"),
    _span(5, "Ne?", "Yaşlı kadın dün İstanbul'da kırmızı evi gördü.", "kırmızı evi"),
    _span(6, "Nani?", "Mwanamke mzee aliona nyumba nyekundu mjini Nairobi.", "Mwanamke mzee"),
    _span(7, "在哪里?", "老太太 在 北京 看见了 红房子。", "北京"),
]

TEXTS = [TextExample(f"x{i}", e.language, e.context) for i, e in enumerate(SPANS)]

EXAMPLES = {
    "label": LABELS,
    "choice": CHOICES,
    "gap": GAPS,
    "tags": TAGS,
    "tree": TREES,
    "span": SPANS,
    "text": TEXTS,
}
