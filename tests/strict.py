"""array-api-strict in place of a GPU: its arrays raise where one would leave its device unseen."""

import array_api_strict
import numpy as np

from autocrit_lite import devices

DEVICE = array_api_strict.Device("device1")


def there(x):
    """Return an array on a device that is not the default one, which no NumPy function reaches."""
    return array_api_strict.asarray(np.ascontiguousarray(x), device=DEVICE)


def back(x):
    """Return an array of that device as NumPy's, having checked that it was there."""
    assert x.device == DEVICE
    return np.from_dlpack(x.to_device(array_api_strict.Device("CPU_DEVICE")))


def as_gpu(monkeypatch, free_bytes=2**40):
    """Make "gpu" mean that device, with so much memory free."""
    gpu = devices.GPU(array_api_strict, DEVICE, lambda: free_bytes)
    monkeypatch.setattr(devices, "gpu", lambda: gpu)
