"""Which verdicts are worth a line: each once when it is surely reached, however often the diagnosis wavers."""

from __future__ import annotations

from memtui.session.state import SessionState
from memtui.session.status_line import StatusLine

# A verdict is reached once it has stood for so long, and over once it has been away for so long.
STANDS_S, AWAY_S = 2.0, 15.0
# No verdict but the lack of one: worth a line at the beginning, not between two verdicts.
_UNDECIDED = "LOOKING"
# What stands behind a more important verdict: its line would read as if that one were over.
_NOTHING_NEW = "STABLE"


class SteadyVerdicts:
    """Of one session, whatever number of runs it has."""

    def __init__(self) -> None:
        self._run = 0
        self._since_s: dict[str, float] = {}
        self._seen_s: dict[str, float] = {}
        self._told: set[str] = set()

    def reached(self, state: SessionState, at_s: float) -> list[StatusLine]:
        """Return those that are reached at ``at_s``; at once where the run is over, as nothing changes them any more."""
        run = 0 if state.run is None else state.run.number
        if run != self._run:
            self._run, self._told = run, set()
            self._since_s, self._seen_s = {}, {}
        news, nothing_told = [], not self._told
        for place, verdict in enumerate(state.diagnoses):
            word = verdict.word
            if word == _NOTHING_NEW and place:
                continue
            if at_s - self._seen_s.get(word, float("-inf")) > AWAY_S:
                self._told.discard(word)
                self._since_s[word] = at_s
            self._seen_s[word] = at_s
            undecided = word == _UNDECIDED and not nothing_told
            stands = nothing_told or state.finished or at_s - self._since_s[word] >= STANDS_S
            if word not in self._told and stands and not undecided:
                self._told.add(word)
                news.append(verdict)
        return news
