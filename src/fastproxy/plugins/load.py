"""Finds plugins: `core.plugins` of the static configuration, and the entry points of installed packages.

A plugin that cannot be loaded is an error of the middlewares that name it; the process goes on without.
"""

import importlib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from ..errors import PluginError
from .api import Middleware, Wants

log = logging.getLogger(__name__)

GROUP = "fastproxy.plugins"
"""The group of entry points in which packages offer their plugins."""

_METHODS = {
    Wants.REQUEST_HEAD: ("on_request", "request"),
    Wants.RESPONSE_HEAD: ("on_response", "request, response"),
}
_BODIES = Wants.REQUEST_BODY | Wants.RESPONSE_BODY


class SettingsError(PluginError):
    """Settings that a plugin does not take. `option` is the path in them, "" for the whole."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class Installed(Protocol):
    """What is asked of an importlib.metadata.EntryPoint."""

    name: str
    value: str


class Plugin(NamedTuple):
    """A plugin whose shape was found to be right."""

    name: str
    reference: str
    """`module:object`."""

    made_by: type[Middleware]
    wants: Wants
    timeout: float
    """Seconds."""

    def make(self, settings: Any) -> Middleware:
        """Make one of its middlewares. Raises SettingsError, or PluginError with what its __init__ raised."""
        checked = _checked(settings, self.made_by.Settings)
        try:
            return self.made_by(checked)
        except Exception as error:
            raise PluginError(f'plugin "{self.name}" ({self.reference}) refused: {_told(error)}') from error


class Plugins:
    """All plugins by name. Those that the configuration declares are loaded at once, the others when named.

    declared: name -> `module:object`; wins over an entry point of the same name. installed: the entry points,
    None for those of the environment.
    """

    def __init__(
        self, declared: Mapping[str, str] | None = None, *, installed: Iterable[Installed] | None = None
    ) -> None:
        self._found: dict[str, Plugin | str] = {}
        self._installed = None if installed is None else _by_name(installed)
        for name, reference in (declared or {}).items():
            found = self._keep(name, reference)
            if isinstance(found, str):
                log.error("%s", found)

    def find(self, name: str) -> Plugin:
        """Return the plugin of that name. Raises PluginError, with the reason, when it cannot be had."""
        found = self._found.get(name)
        if found is None:
            found = self._keep(name, self._reference_of(name))
        if isinstance(found, str):
            raise PluginError(found)
        return found

    def _keep(self, name: str, reference: str) -> Plugin | str:
        found: Plugin | str
        try:
            found = _plugin_of(name, reference)
        except PluginError as error:
            found = f'plugin "{name}" cannot be loaded: {error}'
        self._found[name] = found
        return found

    def _reference_of(self, name: str) -> str:
        """Return where an installed plugin is. Not being there is no lasting state: it is not kept."""
        if self._installed is None:
            self._installed = _by_name(_environment())
        references = self._installed.get(name)
        if references is None:
            known = ", ".join(sorted({*self._installed, *self._found}))
            others = f"only {known}" if known else "nor any other"
            raise PluginError(
                f'there is no plugin "{name}", {others}; declare it in core.plugins or install it'
            )
        if len(references) > 1:
            raise PluginError(
                f'several packages offer a plugin "{name}": {", ".join(references)}; declare one of them '
                f"in core.plugins.{name}"
            )
        return references[0]


def _environment() -> Iterable[Installed]:
    # Imported here: a worker without such plugins never needs it.
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def _by_name(installed: Iterable[Installed]) -> dict[str, list[str]]:
    """Return the references of each name; one that is found twice on the path counts once."""
    references: dict[str, dict[str, None]] = {}
    for point in installed:
        references.setdefault(point.name, {})[point.value] = None
    return {name: list(found) for name, found in references.items()}


# -- one plugin --------------------------------------------------------------------------------------------


def _plugin_of(name: str, reference: str) -> Plugin:
    made_by = _imported(reference)
    for check in (_check_class, _check_methods, _check_timeout, _check_settings):
        fault = check(made_by)
        if fault:
            raise PluginError(f"{reference} {fault}")
    wants = made_by.wants if made_by.wants is not None else _methods_of(made_by)
    fault = _fault_of_wants(wants, _methods_of(made_by))
    if fault:
        raise PluginError(f"{reference} {fault}")
    return Plugin(name, reference, made_by, wants, float(made_by.timeout))


def _imported(reference: str) -> Any:
    """Import `module:object`. Whatever goes wrong is a PluginError."""
    module_name, _, path = reference.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise PluginError(_not_found(module_name, error.name or "")) from error
    except (Exception, SystemExit) as error:
        raise PluginError(f"importing {module_name} failed: {_told(error)}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise PluginError(f'{module_name} has no "{path}"')
        found = getattr(found, part)
    return found


def _not_found(module_name: str, missing: str) -> str:
    if module_name == missing or module_name.startswith(missing + "."):
        return f'there is no module "{missing}"; install it, or put its folder on PYTHONPATH'
    return f'{module_name} needs the module "{missing}", which is not installed'


def _told(error: BaseException) -> str:
    """Write an exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _check_class(made_by: Any) -> str:
    if not isinstance(made_by, type) or not issubclass(made_by, Middleware):
        return "is no middleware; a plugin is a class on fastproxy.plugins.api.Middleware"
    return ""


def _check_methods(made_by: type[Middleware]) -> str:
    methods = _methods_of(made_by)
    if not methods:
        return "does nothing; give it an on_request or an on_response"
    for want, (name, arguments) in _METHODS.items():
        method = getattr(made_by, name)
        if want in methods and not inspect.iscoroutinefunction(method):
            return f"has an {name} that is no coroutine; write `async def {name}`"
        if want in methods and not _takes(method, 1 + arguments.count(",") + 1):
            return f"has an {name} with other parameters; write `async def {name}(self, {arguments})`"
    return ""


def _takes(method: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError:
        return False
    return True


def _check_timeout(made_by: type[Middleware]) -> str:
    timeout = made_by.timeout
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        return f"has a timeout of {timeout!r}; it is a number of seconds greater than 0"
    return ""


def _check_settings(made_by: type[Middleware]) -> str:
    if made_by.Settings is not None and not isinstance(made_by.Settings, type):
        return "has Settings that are no class; make them a msgspec.Struct or a dataclass"
    return ""


def _methods_of(made_by: type[Middleware]) -> Wants:
    """Return the phases for which a class has a method of its own."""
    wants = Wants(0)
    for want, (name, _) in _METHODS.items():
        if getattr(made_by, name) is not getattr(Middleware, name):
            wants |= want
    return wants


def _fault_of_wants(wants: Any, methods: Wants) -> str:
    if not isinstance(wants, Wants) or not wants:
        return f"has wants of {wants!r}; join members of fastproxy.plugins.api.Wants with |"
    if wants & _BODIES:
        return "wants a body, which is not supported yet; it can want REQUEST_HEAD and RESPONSE_HEAD"
    missing = [name for want, (name, _) in _METHODS.items() if want in wants and want not in methods]
    if missing:
        return f"wants what it has no {' and no '.join(missing)} for"
    return ""


# -- settings ----------------------------------------------------------------------------------------------


def _checked(settings: Any, wanted: type | None) -> Any:
    """Make the settings what a plugin wants them to be. Text becomes numbers where they are wanted."""
    if settings is None:
        settings = {}
    if wanted is None:
        return settings
    try:
        return msgspec.convert(settings, wanted, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        message = message[:1].lower() + message[1:]
        raise SettingsError(path.rstrip("`").removeprefix("."), message) from error
