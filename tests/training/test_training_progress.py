from __future__ import annotations

import math

import pytest
from rich.console import Console

from isogloss.training import progress as display


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when told to."""
    now = {"seconds": 0.0}
    monkeypatch.setattr(display.time, "monotonic", lambda: now["seconds"])
    return now


def test_elsewhere_than_in_a_terminal_a_line_comes_now_and_then(clock, capsys):
    shown = display.progress("phase1", start=0, total=1000, tokens=0, show=True)
    for step in range(1, 101):
        clock["seconds"] += 1.0
        shown.update(step, loss=2.0, tokens=step * 50)
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "phase1: step 2 of 1000, loss 2.000, 50 tokens/s, 17 min left"


def test_what_is_over_in_two_seconds_prints_nothing(clock, capsys):
    shown = display.progress("phase1", start=0, total=10, tokens=0, show=True)
    for step in range(1, 11):
        clock["seconds"] += 0.19
        shown.update(step, loss=2.0, tokens=0)
    shown.close()
    assert capsys.readouterr().err == ""


def test_nothing_is_printed_when_asked_for_nothing(clock, capsys):
    shown = display.progress("phase1", start=0, total=10, tokens=0, show=False)
    clock["seconds"] += 100
    shown.update(1, loss=2.0, tokens=0)
    shown.close()
    assert capsys.readouterr().err == ""


def test_in_a_terminal_there_is_a_bar_with_loss_and_steps(clock, monkeypatch, capsys):
    monkeypatch.setattr(
        display, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=100)
    )
    shown = display.progress("phase1", start=4, total=10, tokens=0, show=True)
    clock["seconds"] += 3.0
    shown.update(5, loss=1.25, tokens=900)
    shown.close()
    text = capsys.readouterr().err
    assert "phase1" in text
    assert "5/10" in text
    assert "loss 1.250, 300 tokens/s" in text


def test_an_unknown_loss_is_left_out(clock, capsys):
    shown = display.progress("phase1", start=0, total=2, tokens=0, show=True)
    clock["seconds"] += 3.0
    shown.update(1, loss=math.nan, tokens=0)
    assert capsys.readouterr().err == "phase1: step 1 of 2, 3 s left\n"


@pytest.mark.parametrize(("seconds", "spoken"), [(40.0, "40 s"), (720.0, "12 min"), (11_100.0, "3 h 05 min")])
def test_durations_are_said_as_people_say_them(seconds, spoken):
    assert display._spoken(seconds) == spoken
