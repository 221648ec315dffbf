"""What Python sees of the signs of health checks."""

from typing import Any

class Signs:
    cells: int
    def __init__(self, memory: Any, cells: int) -> None: ...
    def is_down(self, cell: int) -> bool: ...
