"""What `/api/support-dump` gives: an archive that says how an instance is set up and what runs in it.

The static configuration goes without its texts: addresses, names of files and hosts are nobody's business.
Source: the support dump of Traefik v3.
"""

import io
import tarfile
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from .config.schema import Section
from .shown import shown

NAME = "support-dump.tar.gz"
HIDDEN = "xxxx"
"""What stands in the place of a text."""


def archive(version: Any, static: Section, runtime: Any) -> bytes:
    """Return the archive, a tar in gzip. version, runtime: what the API says of them."""
    files = {
        "version.json": version,
        "static-config.json": shown(anonymised(static)),
        "runtime-config.json": runtime,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            data = msgspec.json.encode(content)
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), 0o644, int(time.time())
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def anonymised(section: Section) -> Section:
    """Return a section without its texts; words out of a closed list, and names of sections, stay."""
    values = {
        each.name: _anonymous(getattr(section, each.name), each.type)
        for each in msgspec.structs.fields(section)
    }
    return msgspec.structs.replace(section, **values)


def _anonymous(value: Any, declared: Any) -> Any:
    if isinstance(value, Section):
        return anonymised(value)
    if isinstance(value, Mapping):
        return {name: _anonymous(each, None) for name, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_anonymous(each, None) for each in value)
    if isinstance(value, str) and value and not _is_closed(declared):
        return HIDDEN
    return value


def _is_closed(declared: Any) -> bool:
    """Tell whether a type is a list of words."""
    if get_origin(declared) is Annotated:
        declared = get_args(declared)[0]
    return get_origin(declared) is Literal
