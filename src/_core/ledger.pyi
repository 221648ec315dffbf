"""What Python sees of counts by name."""

from typing import Any

from .murmur import Murmur

SETS: int
SET_SIZE: int

class Ledger:
    sets: int
    worker: int
    full: Murmur | None
    def __init__(self, memory: Any, sets: int, workers: int, worker: int) -> None: ...
    def take(self, name: int, limit: int) -> Place | None: ...
    def count(self, name: int) -> int: ...
    def under_way(self) -> int: ...

class Place:
    other: Place | None
