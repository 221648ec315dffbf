"""What the workers report of each configuration, made into one log line for all of them."""

import logging

from .observe.log import about, fields
from .pipe import Applied

log = logging.getLogger(__name__)


class Reloads:
    """The generations that not every worker has come to yet."""

    def __init__(self) -> None:
        self._reports: dict[int, list[Applied]] = {}

    def begin(self, generation: int) -> None:
        """Wait for reports about this generation."""
        self._reports[generation] = []

    def report(self, message: Applied) -> None:
        """Take what one worker says."""
        if message.generation in self._reports:
            self._reports[message.generation].append(message)

    def tell(self, generation: int, workers: int) -> None:
        """Log the reloads up to this generation, which all workers have or passed over for newer ones."""
        for each in sorted(self._reports):
            if each <= generation and (reports := self._reports.pop(each)):
                _tell(reports, workers)


def _tell(reports: list[Applied], workers: int) -> None:
    first = reports[0]
    told = fields(generation=first.generation, workers=workers)
    if errors := sorted({each.error for each in reports if each.error}):
        log.error("configuration cannot be used, the last one stays: %s", "; ".join(errors), extra=told)
        return
    counts = (
        f"{first.added} added, {first.changed} changed, {first.removed} removed, {first.disabled} disabled"
    )
    slowest = max(each.milliseconds for each in reports)
    log.info("configuration serves: %s, in %.0f ms", counts, slowest, extra=told)
    for each in first.failures:
        log.error(
            "%s %s is disabled: %s", each.kind, each.name, each.reason, extra=about(each.kind, each.name)
        )
    for each in first.warnings:
        log.warning("%s %s: %s", each.kind, each.name, each.reason, extra=about(each.kind, each.name))
