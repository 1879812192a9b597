from pathlib import Path

from memtui_profiler.events import EventKind
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.recording import Recording
from memtui_profiler.session.rows import Event, Sample
from tests.fixtures.waiting import until


def texts_of_events(folder: Path) -> list[str]:
    reader = SessionReader(folder / "session.db")
    try:
        return [row.text for row in reader.rows(Event)]
    finally:
        reader.close()


def test_rows_that_cannot_be_stored_are_told_once(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.add(Sample(at_s=0.1, run=1, rss_bytes=2**70, shared_bytes=0))
    recording.event(EventKind.NOTE, "behind it")
    recording.commit_now()
    until(lambda: "behind it" in texts_of_events(tmp_path), "the row behind it is written")
    assert recording.new_failure() is None
    assert recording.new_failure() is None
    recording.close()
    assert texts_of_events(tmp_path) == ["behind it", "rows left out because a value in them cannot be stored: 1"]


def test_a_folder_is_free_for_another_recorder_after_the_end(tmp_path: Path) -> None:
    Recording(tmp_path).close()
    Recording(tmp_path).close()
