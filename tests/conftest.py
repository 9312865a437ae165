"""Fixtures that tests of several parts share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.parts.broker import Broker
from tests.parts.leftovers import nothing_left

__all__ = ["nothing_left"]

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    # The same examples in every run: a commit passes or fails for what it changes. New ones are searched for elsewhere.
    settings.load_profile("ci")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test fails the run: what was not tried is not known to work."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if skipped and os.environ.get("CI"):
        reporter.write_line(f"{len(skipped)} skipped: in CI that is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker with JetStream."""
    async with Broker(tmp_path / "broker", jetstream=True) as running:
        yield running


@pytest.fixture
async def plain_broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker without JetStream."""
    async with Broker(tmp_path / "plain-broker", jetstream=False) as running:
        yield running
