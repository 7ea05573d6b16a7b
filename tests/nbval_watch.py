"""A plugin of pytest: nbval does not wait for a kernel that has died."""

import time
from queue import Empty

from nbval.kernel import RunningKernel

SECONDS = 2.0
"""Between two looks at whether the kernel is alive: chosen by us."""

wait_for_message = RunningKernel.get_message


def get_message(self, stream, timeout=None):
    """Wait for a message as nbval does, and fail at once if none can come any more."""
    start = time.monotonic()
    while True:
        left = float("inf") if timeout is None else timeout - (time.monotonic() - start)
        try:
            return wait_for_message(self, stream, timeout=max(0.0, min(SECONDS, left)))
        except Empty:
            if not self.km.is_alive():
                raise RuntimeError("the notebook's kernel died") from None
            if left <= SECONDS:
                raise


def pytest_configure(config):
    RunningKernel.get_message = get_message
