"""A page of the miniature world as it is read, so that a change of any sentence is seen in review.

After a change that is meant run `python tests/data/test_miniature_page.py`, read the difference, and raise
`VERSION` in gold.py.
"""

from __future__ import annotations

from pathlib import Path

from isogloss.data.miniature.frames import Frame, Phrase, Slot
from isogloss.data.miniature.languages import TELLERS

PAGE = Path(__file__).with_name("miniature_page.txt")

ANNA, OMAR = Phrase("Anna", "name"), Phrase("Omar", "name")
PARIS, KENYA = Phrase("Paris", "place"), Phrase("Kenya", "place")


def a(head: str, **features) -> Phrase:
    return Phrase(head, definite=False, **features)


def several(head: str, count: int | None = None, **features) -> Phrase:
    return Phrase(head, plural=True, definite="owner" in features, count=count, **features)


FRAMES: tuple[tuple[Frame, Slot | None], ...] = (
    (Frame("see", ANNA, "past", object=Phrase("boat", adjective="red"), time="yesterday"), "object"),
    (
        Frame(
            "give",
            Phrase("woman", plural=True),
            "past",
            object=several("key", 2, adjective="old", owner="Omar"),
            recipient=a("judge"),
            place=Phrase("market"),
        ),
        "recipient",
    ),
    (Frame("eat", a("monkey"), "future", object=several("banana", 5), time="in_summer"), "subject"),
    (Frame("drink", OMAR, "present", object=a("tea", adjective="hot"), time="in_the_morning"), "object"),
    (Frame("open", Phrase("child"), "past", object=a("window"), negated=True), None),
    (Frame("play", several("girl", 3), "past", object=Phrase("violin"), place=PARIS), "place"),
    (Frame("pick", Phrase("farmer"), "past", object=several("apple"), time="last_week"), "time"),
    (Frame("help", ANNA, "future", object=several("tailor", 4, adjective="tired")), "object"),
    (Frame("meet", OMAR, "past", object=Phrase("king"), time="on_friday"), "subject"),
    (Frame("travel", Phrase("nurse", plural=True), "future", place=KENYA, time="next_year"), "place"),
    (Frame("be", several("horse", owner="Anna"), "past", quality="hungry", negated=True), None),
    (Frame("lie", PARIS, "present", place=Phrase("France", "place")), "place"),
)


def page() -> str:
    """Each frame in every language: as told, as paraphrased if that differs, and the question it answers."""
    blocks = []
    for frame, slot in FRAMES:
        lines = []
        for language, teller in TELLERS.items():
            told = [teller.tell(frame).text, teller.tell(frame, style=1).text]
            question = [teller.ask(frame, slot)] if slot else []
            lines += [f"{language}  {line}" for line in (*dict.fromkeys(told), *question)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def test_the_page_reads_as_it_was_last_reviewed():
    assert page() == PAGE.read_text(encoding="utf-8")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
