"""The file provider: what it reads, in which order, what it refuses, and that it sees every change."""

import asyncio
import logging
import os

import pytest

from fastproxy.config.static import FileProvider as Settings
from fastproxy.providers.file import FileProvider

WAIT = 10  # seconds; far more than any of these takes


def router(rule, name="r"):
    return f"http:\n  routers:\n    {name}: {{rule: {rule}, service: s}}\n"


def rules(configuration):
    return {name: each.rule for name, each in configuration.http.routers.items()}


def reading(**settings):
    """Read once; return what there is, by name, and what was told."""
    found = FileProvider(Settings(**settings)).read()
    return found.configuration and rules(found.configuration), [str(each) for each in found.problems]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- reading ------------------------------------------------------------------------------------------------


def test_one_file(here):
    (here / "d.yml").write_text(router("R"))
    assert reading(filename="d.yml") == ({"r": "R"}, [])


def test_a_folder_is_read_by_name_and_the_first_wins(here):
    (here / "conf/b").mkdir(parents=True)
    (here / "conf/a.yml").write_text(router("A") + router("A", "x").removeprefix("http:\n  routers:\n"))
    (here / "conf/b/z.TOML").write_text(
        '[http.routers.r]\nrule = "Z"\nservice = "s"\n[http.routers.z]\nrule = "Z"\nservice = "s"\n'
    )
    (here / "conf/c.json").write_text('{"http": {"routers": {"z": {"rule": "C", "service": "s"}}}}')
    (here / "conf/notes.txt").write_text("no")
    (here / "conf/..2024").mkdir()
    (here / "conf/..2024/a.yml").write_text("not: [read")
    (here / "conf/.a.yml.swp.yml").write_text("not: [read")
    assert reading(directory="conf", filename="ignored.yml") == (
        {"r": "A", "x": "A", "z": "Z"},
        [
            "warning: conf/b/z.TOML: http.routers.r: already configured in conf/a.yml, skipping",
            "warning: conf/c.json: http.routers.z: already configured in conf/b/z.TOML, skipping",
        ],
    )


def test_one_bad_file_spoils_the_folder_and_all_are_told(here):
    (here / "conf").mkdir()
    (here / "conf/a.yml").write_text(router("A"))
    (here / "conf/b.yml").write_text("http: [")
    (here / "conf/c.yml").write_text("http: {routers: {c: {rule: R}}}\nhtp: 1")
    assert reading(directory="conf") == (
        None,
        [
            "conf/b.yml:2:1: not YAML: did not find expected node content, while parsing a flow node",
            "conf/c.yml:1:18: http.routers.c.service: missing; a router needs the name of a service",
            'conf/c.yml:2:1: htp: unknown section "htp"; did you mean http?',
        ],
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"filename": "none.yml"}, "none.yml: cannot be read: no such file or directory"),
        ({"directory": "none"}, "none: cannot be read: no such file or directory"),
        ({"filename": "."}, ".: cannot be read: is a directory"),
    ],
)
def test_what_is_not_there(here, settings, told):
    assert reading(**settings) == (None, [told])


def test_no_text(here):
    (here / "d.yml").write_bytes(b"# \xe9\nhttp: \xff")
    assert reading(filename="d.yml") == (None, ["d.yml:1:3: not UTF-8: the byte 0xe9 cannot stand here"])


def test_an_empty_file_and_an_empty_folder_say_nothing(here):
    (here / "d.yml").write_text("")
    (here / "conf").mkdir()
    assert reading(filename="d.yml") == ({}, [])
    assert reading(directory="conf") == ({}, [])


def test_certificates_come_in_with_their_content(here):
    (here / "ca.pem").write_text("-----BEGIN A\n")
    certificates = "[{certFile: ca.pem, keyFile: k}]"
    text = (
        f"http: {{serversTransports: {{t: {{rootCAs: [ca.pem, gone.pem], certificates: {certificates}}}}}}}"
    )
    (here / "d.yml").write_text(text)
    provider = FileProvider(Settings(filename="d.yml"))
    before = provider.read().configuration.http.servers_transports["t"]
    assert before.root_cas == ("-----BEGIN A\n", "gone.pem")
    assert (before.certificates[0].cert_file, before.certificates[0].key_file) == ("-----BEGIN A\n", "k")
    assert provider.read().configuration.http.servers_transports["t"] is before
    (here / "ca.pem").write_text("-----BEGIN B\n")
    assert provider.read().configuration.http.servers_transports["t"].root_cas[0] == "-----BEGIN B\n"


# --- providing ----------------------------------------------------------------------------------------------


class Provided:
    """A provider at work; `next()` is what it publishes next, if that is something else than before."""

    def __init__(self, provider):
        self.provider = provider
        self._queue = asyncio.Queue()
        self._task = asyncio.create_task(provider.provide(self._publish))
        self._last = None

    def _publish(self, name, configuration):
        assert name == "file"
        self._queue.put_nowait(rules(configuration))

    async def next(self):
        while True:
            found = await asyncio.wait_for(self._queue.get(), WAIT)
            if found != self._last:
                self._last = found
                return found

    def published(self):
        return self._queue.qsize()

    async def stop(self):
        self._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._task


@pytest.fixture
async def provided():
    started = []

    def start(**settings):
        started.append(Provided(FileProvider(Settings(**settings))))
        return started[-1]

    yield start
    for each in started:
        await each.stop()


def replace(path, text):
    beside = path.with_name("beside.tmp")
    beside.write_text(text)
    beside.rename(path)


async def test_written_in_place_and_renamed_into_place(here, provided):
    file = here / "d.yml"
    file.write_text(router("A"))
    provider = provided(filename="d.yml")
    assert await provider.next() == {"r": "A"}
    file.write_text(router("B"))
    assert await provider.next() == {"r": "B"}
    replace(file, router("C"))
    assert await provider.next() == {"r": "C"}
    replace(file, router("D"))
    assert await provider.next() == {"r": "D"}


async def test_gone_and_back(here, provided):
    file = here / "d.yml"
    file.write_text(router("A"))
    provider = provided(filename=str(file))
    assert await provider.next() == {"r": "A"}
    file.unlink()
    file.write_text(router("B"))
    assert await provider.next() == {"r": "B"}


async def test_a_file_that_comes_later_in_a_folder_that_comes_later(here, provided, caplog):
    provider = provided(filename="later/d.yml")
    while not caplog.records:
        await asyncio.sleep(0.01)
    (here / "later").mkdir()
    (here / "later/d.yml").write_text(router("A"))
    assert await provider.next() == {"r": "A"}
    replace(here / "later/d.yml", router("B"))
    assert await provider.next() == {"r": "B"}


async def test_a_config_map_swaps_its_link(here, provided):
    for version, rule in (("1", "A"), ("2", "B")):
        (here / f"..{version}").mkdir()
        (here / f"..{version}/d.yml").write_text(router(rule))
    (here / "..data").symlink_to("..1")
    (here / "d.yml").symlink_to("..data/d.yml")
    provider = provided(filename="d.yml")
    assert await provider.next() == {"r": "A"}
    (here / "..new").symlink_to("..2")
    os.rename(here / "..new", here / "..data")
    assert await provider.next() == {"r": "B"}


async def test_a_link_to_a_file_elsewhere(here, provided):
    (here / "far").mkdir()
    (here / "near").mkdir()
    (here / "far/x.yml").write_text(router("A"))
    (here / "near/d.yml").symlink_to(here / "far/x.yml")
    provider = provided(filename="near/d.yml")
    assert await provider.next() == {"r": "A"}
    replace(here / "far/x.yml", router("B"))
    assert await provider.next() == {"r": "B"}


async def test_a_folder_with_what_is_below(here, provided):
    (here / "conf").mkdir()
    (here / "conf/a.yml").write_text(router("A", "a"))
    provider = provided(directory="conf")
    assert await provider.next() == {"a": "A"}
    (here / "conf/sub").mkdir()
    (here / "conf/sub/b.yml").write_text(router("B", "b"))
    assert await provider.next() == {"a": "A", "b": "B"}
    replace(here / "conf/sub/b.yml", router("C", "b"))
    assert await provider.next() == {"a": "A", "b": "C"}
    (here / "conf/a.yml").unlink()
    assert await provider.next() == {"b": "C"}


async def test_a_bad_document_keeps_the_last_and_is_told_once(here, provided, caplog):
    caplog.set_level(logging.WARNING, "fastproxy.providers.file")
    file = here / "d.yml"
    file.write_text(router("A"))
    provider = provided(filename="d.yml")
    assert await provider.next() == {"r": "A"}
    for text in ("http:\n  routers: [\n", "# still\nhttp:\n  routers: [\n"):
        replace(file, text)
        await provider.provider.reload()
        while not caplog.records:
            await asyncio.sleep(0.01)
    replace(file, router("B") + "    broken: {rule: R}\n")
    assert await provider.next() == {"r": "B"}
    replace(file, "# a line more\n" + router("C") + "    broken: {rule: R}\n")
    assert await provider.next() == {"r": "C"}
    messages = [each.getMessage() for each in caplog.records]
    assert [each for each in messages if "broken" in each] == [
        "d.yml:4:5: http.routers.broken.service: missing; a router needs the name of a service"
    ]
    assert "d.yml: refused for 1 error(s); the last good one stays" in messages


async def test_without_watch_only_reload_reads(here, provided):
    file = here / "d.yml"
    file.write_text(router("A"))
    provider = provided(filename="d.yml", watch=False)
    assert await provider.next() == {"r": "A"}
    other = provided(filename="d.yml")
    assert await other.next() == {"r": "A"}
    replace(file, router("B"))
    assert await other.next() == {"r": "B"}, "who watches has seen it"
    assert provider.published() == 0
    await provider.provider.reload()
    assert provider.published() == 1
    assert await provider.next() == {"r": "B"}
