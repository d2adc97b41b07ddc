"""Progress in a person's words, also where no terminal is."""

import pytest

from pipeline import progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3725, "62 min 05 s")],
)
def test_seconds_read_as_a_person_would_say_them(seconds, text):
    assert progress.seconds_text(seconds) == text


def test_where_no_terminal_is_long_work_says_rate_and_time_left_at_times(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(progress, "say", said.append)
    with progress.progress_bar("work") as report:
        for done in range(0, 101, 10):
            report(done, 100)
            now[0] += 12.5
    assert said == [
        "work: 30 of 100, 0.8/s, 1 min 27 s left",
        "work: 60 of 100, 0.8/s, 50.0 s left",
        "work: 90 of 100, 0.8/s, 12.5 s left",
    ]
