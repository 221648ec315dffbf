from typing import Literal

Ends = tuple[str, int, str, int]

def parsed(data: bytes) -> Literal["partial", "none", "bad"] | tuple[int, Ends | None]: ...
def written(
    version: int, source: str, source_port: int, destination: str, destination_port: int
) -> bytes: ...
