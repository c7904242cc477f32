"""Fixtures of the emulator's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.sandbox.emulator import Emulator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator with default knobs and no recordings; it understands tone speech."""
    async with Emulator() as running:
        yield running
