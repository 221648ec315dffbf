"""Plugins are found and checked; one that cannot be used says why, and nothing else happens."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import msgspec
import pytest

from fastproxy.errors import PluginError
from fastproxy.plugins.api import Middleware, Wants
from fastproxy.plugins.load import Plugins, SettingsError


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes a module of that name where it can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    written = []

    def write(name, text):
        path = tmp_path / f"{name}.py"
        path.write_text("from fastproxy.plugins.api import Middleware, Response, Wants\n" + text)
        written.append(name)

    yield write
    for name in written:
        sys.modules.pop(name, None)


GOOD = """
class Good(Middleware):
    async def on_request(self, request):
        return None
"""


def point(name, value):
    """Stand in for an entry point of an installed package."""
    return SimpleNamespace(name=name, value=value)


def reason(reference):
    """Return why the plugin `p` at *reference* cannot be loaded."""
    plugins = Plugins({"p": reference}, installed=())
    with pytest.raises(PluginError) as told:
        plugins.find("p")
    return str(told.value)


# -- finding


def test_a_declared_plugin(write):
    write("good_plugin", GOOD)
    plugin = Plugins({"p": "good_plugin:Good"}, installed=()).find("p")
    assert (plugin.name, plugin.reference) == ("p", "good_plugin:Good")
    assert (plugin.wants, plugin.timeout) == (Wants.REQUEST_HEAD, 30.0)
    assert isinstance(plugin.make({}), Middleware)


def test_an_object_within_another(write):
    write("good_plugin", "class Outer:\n" + "\n".join("    " + line for line in GOOD.splitlines()))
    assert Plugins({"p": "good_plugin:Outer.Good"}, installed=()).find("p").made_by.__name__ == "Good"


def test_an_installed_plugin_is_imported_when_it_is_named(write):
    write("installed_plugin", GOOD)
    plugins = Plugins(installed=[point("p", "installed_plugin:Good")])
    assert "installed_plugin" not in sys.modules
    assert plugins.find("p") is plugins.find("p")


def test_what_is_declared_wins_over_what_is_installed(write):
    write("good_plugin", GOOD)
    plugins = Plugins({"p": "good_plugin:Good"}, installed=[point("p", "nowhere:Bad")])
    assert plugins.find("p").reference == "good_plugin:Good"


def test_one_package_found_twice_on_the_path_is_one(write):
    write("good_plugin", GOOD)
    plugins = Plugins(installed=[point("p", "good_plugin:Good"), point("p", "good_plugin:Good")])
    assert plugins.find("p").reference == "good_plugin:Good"


def test_two_packages_that_offer_the_same_name():
    plugins = Plugins(installed=[point("p", "one:P"), point("p", "two:P")])
    with pytest.raises(
        PluginError, match=r'several packages offer a plugin "p": one:P, two:P; declare one of them'
    ):
        plugins.find("p")


def test_a_plugin_that_is_not_there():
    plugins = Plugins({"x": "nowhere:Bad"}, installed=[point("b", "b:B")])
    with pytest.raises(PluginError, match='there is no plugin "p", only b, x; declare it'):
        plugins.find("p")


def test_the_environment_is_asked_without_installed():
    with pytest.raises(PluginError, match='there is no plugin "nobody-would-call-it-so"'):
        Plugins().find("nobody-would-call-it-so")


# -- loading


def test_a_module_that_is_not_there():
    told = 'there is no module "nowhere_at_all"; install it, or put its folder on PYTHONPATH'
    assert reason("nowhere_at_all:P") == f'plugin "p" cannot be loaded: {told}'


def test_a_declared_plugin_that_cannot_be_loaded_is_told_at_once(caplog):
    Plugins({"p": "nowhere_at_all:P"}, installed=())
    assert 'plugin "p" cannot be loaded: there is no module "nowhere_at_all"' in caplog.text


@pytest.mark.parametrize(
    ("description", "text", "told"),
    [
        (
            "it needs another module",
            "import not_there_at_all",
            'needs the module "not_there_at_all", which is not',
        ),
        ("it raises", "1 / 0", "importing bad_plugin failed: ZeroDivisionError: division by zero"),
        ("it leaves", "import sys; sys.exit(3)", "importing bad_plugin failed: SystemExit: 3"),
        ("it is no Python", "def", "importing bad_plugin failed: SyntaxError"),
        ("it has no such object", "", 'bad_plugin has no "P"'),
    ],
)
def test_a_module_that_cannot_be_imported(write, description, text, told):
    write("bad_plugin", text)
    found = reason("bad_plugin:P")
    assert found.startswith('plugin "p" cannot be loaded: ')
    assert told in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("description", "text", "told"),
    [
        (
            "no class",
            "P = Middleware({})",
            "is no middleware; a plugin is a class on fastproxy.plugins.api.Middleware",
        ),
        ("another class", "class P: pass", "is no middleware"),
        ("no method", "class P(Middleware): pass", "does nothing; give it an on_request or an on_response"),
        (
            "no coroutine",
            "class P(Middleware):\n def on_request(self, request): pass",
            "has an on_request that is no coroutine; write `async def on_request`",
        ),
        (
            "too few parameters",
            "class P(Middleware):\n async def on_request(self): pass",
            "has an on_request with other parameters; write `async def on_request(self, request)`",
        ),
        (
            "too many",
            "class P(Middleware):\n async def on_response(self, request, response, more): pass",
            "with other parameters; write `async def on_response(self, request, response)`",
        ),
        (
            "a body",
            "class P(Middleware):\n wants = Wants.REQUEST_HEAD | Wants.REQUEST_BODY\n"
            " async def on_request(self, request): pass",
            "wants a body, which is not supported yet",
        ),
        (
            "wants what it has not",
            "class P(Middleware):\n wants = Wants.REQUEST_HEAD | Wants.RESPONSE_HEAD\n"
            " async def on_request(self, request): pass",
            "wants what it has no on_response for",
        ),
        (
            "wants nothing",
            "class P(Middleware):\n wants = Wants(0)\n async def on_request(self, request): pass",
            "has wants of <Wants: 0>; join members of",
        ),
        (
            "wants in words",
            "class P(Middleware):\n wants = 'head'\n async def on_request(self, request): pass",
            "has wants of 'head'; join members of",
        ),
        (
            "no time",
            "class P(Middleware):\n timeout = 0\n async def on_request(self, request): pass",
            "has a timeout of 0; it is a number of seconds greater than 0",
        ),
        (
            "time in words",
            "class P(Middleware):\n timeout = '5s'\n async def on_request(self, request): pass",
            "has a timeout of '5s'",
        ),
        (
            "settings that are no class",
            "class P(Middleware):\n Settings = {}\n async def on_request(self, request): pass",
            "has Settings that are no class",
        ),
    ],
)
def test_a_wrong_shape(write, description, text, told):
    write("bad_plugin", text)
    assert told in reason("bad_plugin:P")


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("class P(Middleware):\n async def on_request(self, request): pass", Wants.REQUEST_HEAD),
        ("class P(Middleware):\n async def on_response(self, request, response): pass", Wants.RESPONSE_HEAD),
        (
            "class Q(Middleware):\n async def on_request(self, request): pass\n"
            "class P(Q):\n async def on_response(self, *both): pass",
            Wants.REQUEST_HEAD | Wants.RESPONSE_HEAD,
        ),
        (
            "class P(Middleware):\n wants = Wants.RESPONSE_HEAD\n async def on_request(self, request): pass\n"
            " async def on_response(self, request, response): pass",
            Wants.RESPONSE_HEAD,
        ),
    ],
)
def test_what_a_plugin_is_called_with(write, text, wants):
    write("good_plugin", text)
    assert Plugins({"p": "good_plugin:P"}, installed=()).find("p").wants == wants


# -- settings


class Limits(msgspec.Struct, forbid_unknown_fields=True):
    most: int
    names: list[str] = []


@dataclass
class Point:
    x: int = 1


def plugin_with(settings):
    """Return a plugin whose class has *settings*."""
    module = SimpleNamespace()

    class P(Middleware):
        Settings = settings

        async def on_request(self, request):
            return None

    module.P = P
    sys.modules["settings_plugin"] = module
    try:
        return Plugins({"p": "settings_plugin:P"}, installed=()).find("p")
    finally:
        del sys.modules["settings_plugin"]


@pytest.mark.parametrize(
    ("wanted", "given", "settings"),
    [
        (None, {"a": 1}, {"a": 1}),
        (None, None, {}),
        (Limits, {"most": 3}, Limits(3)),
        (Limits, {"most": "3", "names": ["a"]}, Limits(3, ["a"])),
        (Point, None, Point()),
        (Point, {"x": 2}, Point(2)),
    ],
)
def test_settings(wanted, given, settings):
    assert plugin_with(wanted).make(given).settings == settings


@pytest.mark.parametrize(
    ("given", "option", "message"),
    [
        ({}, "", "object missing required field `most`"),
        ({"most": "many"}, "most", "expected `int`, got `str`"),
        ({"most": 1, "least": 0}, "", "object contains unknown field `least`"),
        ({"most": 1, "names": ["a", 2]}, "names[1]", "expected `str`, got `int`"),
        ([], "", "expected `object`, got `array`"),
    ],
)
def test_settings_that_are_not_taken(given, option, message):
    with pytest.raises(SettingsError) as told:
        plugin_with(Limits).make(given)
    assert (told.value.option, str(told.value)) == (option, message)


def test_a_plugin_that_refuses_to_be_made(write):
    write(
        "good_plugin",
        GOOD + "    def __init__(self, settings):\n        raise ValueError('the moon is\\nfull')\n",
    )
    plugin = Plugins({"p": "good_plugin:Good"}, installed=()).find("p")
    with pytest.raises(
        PluginError, match=r'plugin "p" \(good_plugin:Good\) refused: ValueError: the moon is full'
    ):
        plugin.make({})
