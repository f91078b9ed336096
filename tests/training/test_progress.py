"""What is shown, on a terminal and elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from lowerbound.training.progress import Bar, Lines, Silent, Tick, shown_on

TICK = Tick(10, 100, 1, 5, rows_per_second=12345.6, seconds_left=75, loss=101.234, score=-99.5)


def test_a_tick_says_loss_bound_rate_and_time_left() -> None:
    assert str(TICK) == "loss 101.23, validation -99.50, 12,346 rows/s, 1:15 left"
    assert "bound" not in str(replace(TICK, score=None))


def test_lines_come_seldom_but_the_last_always() -> None:
    now, stream = [0.0], io.StringIO()
    lines = Lines(stream, seconds=10, now=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        lines.tick(replace(TICK, step=second))
    lines.tick(replace(TICK, step=100))
    lines.close()
    steps = [line.split("step ")[1].split("/")[0] for line in stream.getvalue().splitlines()]
    assert steps == ["0", "10", "20", "100"]


def test_a_bar_shows_the_figures_on_a_terminal() -> None:
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=80))
    bar.tick(TICK)
    bar.say("resumed at step 10")
    bar.close()
    shown = stream.getvalue()
    assert "1/5" in shown
    assert "12,346 rows/s, 1:15 left" in shown
    assert "resumed at step 10" in shown


def test_a_bar_that_never_ticked_draws_nothing() -> None:
    stream = io.StringIO()
    Bar(Console(file=stream, force_terminal=True)).close()
    assert stream.getvalue().strip() == ""


def test_a_stream_that_is_no_terminal_gets_lines() -> None:
    assert isinstance(shown_on(io.StringIO()), Lines)


def test_silence_is_silent(capsys: object) -> None:
    silent = Silent()
    silent.tick(TICK)
    silent.say("a word")
    silent.close()
    assert capsys.readouterr() == ("", "")  # type: ignore[attr-defined]
