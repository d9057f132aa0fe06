"""The embedded default: a small world told in six languages, with gold for every kind of task.

`sentences` gives running text, `task_examples` the examples of a task; both are exactly parallel over the
languages in `LANGUAGES`.
"""

from isogloss.data.miniature.gold import VERSION, sentences, task_examples
from isogloss.data.miniature.languages import TELLERS

LANGUAGES = tuple(TELLERS)

__all__ = ["LANGUAGES", "VERSION", "sentences", "task_examples"]
