"""The simulated device is made known before the first backward pass of the process: torch's autograd counts devices once.

So these tests have a process of their own (`make test-device`).
"""

from tests.matrix.conftest import (
    _libraries_are_no_garbage,
    _measured,
    _settings_are_tried_here,
    shop_rows,
    task_rows,
    tiny_model,
)
from tests.mirror_device import register

__all__ = ["_libraries_are_no_garbage", "_measured", "_settings_are_tried_here", "shop_rows", "task_rows", "tiny_model"]
register()
