"""An event loop whose clock jumps: when nothing is ready, it is at once the time of the next timer.

So a test of an hour takes a millisecond, and never a different one.
"""

import asyncio
import selectors


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing, and lets that much time pass on the clock."""

    moment = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits for something that will never come"
            self.moment += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module's docstring. `faults` holds what nobody has caught."""

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)
        self.faults: list[dict[str, object]] = []
        self.set_exception_handler(lambda _, context: self.faults.append(context))

    def time(self) -> float:
        return self._clock.moment

    def pass_time(self, seconds: float) -> None:
        """Runs whatever happens in the next `seconds`, and all that is due by their end."""
        self.run_until_complete(asyncio.sleep(seconds))
        # A timer goes off only when nothing is ready any more.
        self.run_until_complete(asyncio.sleep(1e-6))
