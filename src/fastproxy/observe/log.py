"""The process log: the standard `logging` with two formatters and one output that never stops its caller.

Source: the `log` section of Traefik's static configuration.

Everybody asks `logging.getLogger(__name__)` and logs as usual. What a machine may want to read goes into
fields: `log.warning("server is down", extra=fields(serviceName="shop@file"))`.
"""

import logging
import os
import select
import stat
import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from ..config.static import Log

TRACE = 5
FATAL = logging.CRITICAL
PANIC = 60

LEVELS: Mapping[str, int] = {
    "TRACE": TRACE,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": FATAL,
    "PANIC": PANIC,
}
"""The names of `log.level` and what they mean to `logging`."""

TALKATIVE = {"asyncio": logging.INFO, "watchfiles": logging.WARNING}
"""Libraries whose lines below a level tell about themselves and not about the proxy."""

_SHORT = dict(zip(LEVELS.values(), ("TRC", "DBG", "INF", "WRN", "ERR", "FTL", "PNC"), strict=True))
_LONG = {level: name.lower() for name, level in LEVELS.items()}
_COLOURS = {"TRC": 34, "DBG": 35, "INF": 32, "WRN": 33, "ERR": 31, "FTL": 31, "PNC": 31}
_GREY, _CYAN = 90, 36

# What ends a line or steers a terminal: a client's bytes must not write log lines of their own.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_ESCAPES = _CONTROLS | {ord('"'): '\\"', ord("\\"): "\\\\"}


def fields(**values: Any) -> dict[str, Any]:
    """Return what to give as `extra=` so that a line carries `key=value` pairs. None values are left out."""
    return {"fields": {key: value for key, value in values.items() if value is not None}}


def about(kind: str, name: str) -> dict[str, Any]:
    """Return the field of a line that is about one object: `routerName=shop@file`, of a TCP router too."""
    return fields(**{f"{kind.rpartition(' ')[2]}Name": name})


def start(settings: Log, *, patience: float = 0.0, always: Mapping[str, Any] | None = None) -> None:
    """Send the log where the settings say, in place of wherever it went before.

    patience: seconds for which a line may wait for a slow reader of standard output; 0 in a worker, whose
    loop serves connections. always: fields of every line. Raises OSError if the file cannot be opened.
    """
    handler = Handler(settings, patience, always or {})
    level = LEVELS[settings.level]
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in TALKATIVE.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(True)


def reopen() -> None:
    """Open the log file again under its name, after somebody moved it away. Does nothing without a file."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Handler):
            handler.reopen()


class Common(logging.Formatter):
    """`<RFC 3339> <LVL> <message> key=value ...`; a traceback follows, indented."""

    def __init__(self, always: Mapping[str, Any], coloured: bool) -> None:
        super().__init__()
        self._always = always
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        told = {**_fields_of(record), **self._always}
        level = _SHORT.get(record.levelno, "???")
        parts = [
            self._paint(_time(record), _GREY),
            self._paint(level, _COLOURS.get(level, 0)),
            record.getMessage().translate(_CONTROLS),
        ]
        parts += [self._paint(f"{key}=", _CYAN) + _shown(value) for key, value in told.items()]
        return " ".join(parts) + _indented_traceback(record)

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text


class Json(logging.Formatter):
    """One object a line: level, time, message, the fields; `error` and `stack` where there is a traceback."""

    def __init__(self, always: Mapping[str, Any]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "level": _LONG.get(record.levelno, "info"),
            "time": _time(record),
            "message": record.getMessage(),
            **_fields_of(record),
            **self._always,
        }
        if record.exc_info:
            line["error"] = str(record.exc_info[1])
            line["stack"] = "".join(traceback.format_exception(*record.exc_info))
        return msgspec.json.encode(line, enc_hook=str).decode()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")


def _fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return the fields of a record; at debug and trace level with the line of the code that told it."""
    given: Mapping[str, Any] = getattr(record, "fields", {})
    if record.levelno <= logging.DEBUG:
        return {**given, "caller": f"{record.filename}:{record.lineno}"}
    return given


def _shown(value: Any) -> str:
    """Write a value so that it is one word, or quoted."""
    text = value if isinstance(value, str) else str(value)
    if text and text.isprintable() and not any(character in text for character in ' "=\\'):
        return text
    return f'"{text.translate(_ESCAPES)}"'


def _indented_traceback(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    lines = "".join(traceback.format_exception(*record.exc_info)).splitlines()
    return "".join(f"\n    {line.translate(_CONTROLS)}" for line in lines)


class Handler(logging.Handler):
    """One `write` a line to a file or to standard output.

    A line that cannot be written (disk full, nobody reads the pipe) is lost and counted; the next one that
    can be is preceded by a line that says how many were.
    """

    def __init__(self, settings: Log, patience: float, always: Mapping[str, Any]) -> None:
        super().__init__()
        self._path = settings.file_path
        self._patience = patience
        self._lost = 0
        self._out = Output(self._path)
        coloured = not settings.no_color and not os.environ.get("NO_COLOR") and self._out.is_terminal
        self.setFormatter(Json(always) if settings.format == "json" else Common(always, coloured))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(record)
        except Exception:  # a log that raises would end what it tells about
            self._lost += 1

    def _write(self, record: logging.LogRecord) -> None:
        lines = f"{self.format(record)}\n"
        if self._lost:
            lines = f"{self.format(_lost_lines(self._lost))}\n{lines}"
        if self._out.write(lines.encode(errors="backslashreplace"), self._patience):
            self._lost = 0
        else:
            self._lost += 1

    def reopen(self) -> None:
        """Open the file again; if that fails, go on with the one that is open and say so in it."""
        if not self._path:
            return
        try:
            fresh = Output(self._path)
        except OSError as error:
            complaint = f"the log file {self._path} cannot be opened again: {error.strerror}"
            logging.getLogger(__name__).error(complaint)
            return
        self.acquire()
        stale, self._out = self._out, fresh
        self.release()
        stale.close()

    def close(self) -> None:
        self._out.close()
        super().close()


def _lost_lines(count: int) -> logging.LogRecord:
    message = f"{count} log line{'s' if count > 1 else ''} could not be written"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (), None)


class Output:
    """A descriptor that lines go to: a file, opened for appending, or standard output."""

    def __init__(self, path: str) -> None:
        self._owned = bool(path)
        self._descriptor = _opened(path) if path else 1
        self.is_terminal = not path and os.isatty(1)
        self._poll = None if path or _is_regular(1) else select.poll()
        if self._poll:
            self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, data: bytes, patience: float) -> bool:
        """Write all of it; False if nobody takes it within `patience` seconds or the system refuses it.

        A pipe that polls as writable takes 4096 bytes at once (PIPE_BUF), so no write here waits longer.
        """
        while data:
            if self._poll and not self._poll.poll(patience * 1000):
                return False
            try:
                written = os.write(self._descriptor, data[: select.PIPE_BUF] if self._poll else data)
            except OSError:
                return False
            data = data[written:]
        return True

    def close(self) -> None:
        if self._owned:
            os.close(self._descriptor)


def _opened(path: str) -> int:
    """Open a log file for appending."""
    folder_made(path)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o664)


def folder_made(path: str) -> None:
    """Make the folder of a log file if it is missing."""
    if folder := os.path.dirname(path):
        os.makedirs(folder, exist_ok=True)


def _is_regular(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return True  # closed: the write will fail, and nothing waits
