"""What Python sees of a warning that is told once a second."""

import asyncio
import logging

class Murmur:
    def __init__(self, loop: asyncio.AbstractEventLoop, log: logging.Logger, text: str) -> None: ...
    def happened(self, *arguments: object) -> None: ...
