"""What holds for every test: nothing of the user's is read or written, and in CI nothing is skipped for want of a tool."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is a matter of the machine and of what else it does; the first text of all reads Unicode's tables.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

# A skip whose reason has one of these words is about what no set-up can bring: a privilege, a kernel's feature. Any other is
# about a tool.
_NOT_TO_BE_HAD = re.compile(r"\b(here|root|another user)\b")

_NOT_FOR_TESTS = ("HEAPCHECK", "HEAPPROFILE", "HEAP_CHECK_", "HEAP_PROFILE_", "TCMALLOC_", "LD_PRELOAD", "PPROF_PATH")


@pytest.fixture(scope="session", autouse=True)
def _a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sessions and built programs go to a folder of this run; no allocator variable of the caller reaches a target."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        for variable in [name for name in os.environ if name.startswith(_NOT_FOR_TESTS)]:
            patch.delenv(variable)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped has failed: set-up is part of what `make test` promises."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not _NOT_TO_BE_HAD.search(reason):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped in CI: {reason}"
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what is about abilities that the gperftools of this machine has lost."""
    if not (item.get_closest_marker("whole_dumps") or item.get_closest_marker("heap_checker")):
        return
    from tests.fixtures import gperftools

    if item.get_closest_marker("whole_dumps") and not gperftools.writes_whole_dumps():
        pytest.skip(f"gperftools {gperftools.version()} writes no whole dump of a heap check here")
    if item.get_closest_marker("heap_checker") and not gperftools.has_heap_checker():
        pytest.skip(f"gperftools {gperftools.version()} has no heap checker here")


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[1]
