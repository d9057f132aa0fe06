from __future__ import annotations

import threading

import pytest
import torch
from tiny_training import TinyBatches

from isogloss.training.feed import Feed, count_tokens


def test_batches_come_in_the_order_of_their_numbers():
    batches = TinyBatches()
    with Feed(batches, [5, 2, 9]) as feed:
        micros = list(feed)
    assert [micro.number for micro in micros] == [5, 2, 9]
    for micro in micros:
        torch.testing.assert_close(dict(micro.batch), batches[micro.number], rtol=0, atol=0)
        assert micro.tokens == int(micro.batch["attention_mask"].sum())


def test_only_the_next_batch_is_made_ahead():
    made = []

    class Noting(TinyBatches):
        def __getitem__(self, index):
            made.append((index, threading.current_thread() is threading.main_thread()))
            return super().__getitem__(index)

    with Feed(Noting(), range(100)) as feed:
        for _ in range(3):
            next(feed)
    assert made in ([(n, False) for n in range(3)], [(n, False) for n in range(4)])


def test_a_feed_without_numbers_is_empty():
    with Feed(TinyBatches(), []) as feed:
        assert list(feed) == []


def test_an_error_in_a_batch_reaches_the_loop_in_its_turn():
    class Broken(TinyBatches):
        def __getitem__(self, index):
            if index == 1:
                raise ValueError("batch 1 is broken")
            return super().__getitem__(index)

    with Feed(Broken(), range(3)) as feed:
        assert next(feed).number == 0
        with pytest.raises(ValueError, match="batch 1"):
            next(feed)


def test_tokens_are_counted_without_padding():
    assert count_tokens({"attention_mask": torch.tensor([[1, 1, 0], [0, 0, 0]])}) == 2
    assert count_tokens({"input_ids": torch.zeros(2, 5, dtype=torch.long)}) == 10
    both = {"input_ids": torch.zeros(2, 5), "text/attention_mask": torch.tensor([[1, 1, 0]])}
    assert count_tokens(both) == 12
    assert count_tokens({"features": torch.zeros(2)}) == 0
