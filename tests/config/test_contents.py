"""The content of files that a document names: read again whenever it may have changed, and only then."""

from pathlib import Path

import pytest

from fastproxy.config import contents
from fastproxy.config.contents import Contents


@pytest.fixture
def reads(monkeypatch):
    """What is read, by name."""
    made, read_text = [], Path.read_text

    def read(self):
        made.append(self.name)
        return read_text(self)

    monkeypatch.setattr(Path, "read_text", read)
    return made


@pytest.fixture
def settled(monkeypatch):
    """Every file has been left alone for long enough."""
    monkeypatch.setattr(contents, "REST", -(10**12))


def test_a_file_that_stays_is_read_once(tmp_path, reads, settled):
    file = tmp_path / "a.pem"
    file.write_text("one")
    first = Contents()
    assert [first.of(str(file)), first.of(str(file))] == ["one", "one"]
    second = Contents(first)
    assert second.of(str(file)) is first.of(str(file))
    assert Contents(second).of(str(file)) == "one"
    assert reads == ["a.pem"]
    assert second.files == first.files == {str(file): contents.mark_of(str(file))}


@pytest.mark.parametrize("keeps_time", [False, True])
def test_a_file_that_is_written_over_is_read_again(tmp_path, settled, keeps_time):
    file, stamp = tmp_path / "a.pem", contents.os.stat(tmp_path)
    file.write_text("one")
    contents.os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    before = Contents()
    before.of(str(file))
    file.write_text("two")
    if keeps_time:
        contents.os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert Contents(before).of(str(file)) == "two"


def test_a_file_that_changed_a_moment_ago_is_read_again_though_it_looks_the_same(tmp_path, monkeypatch):
    file = tmp_path / "a.pem"
    file.write_text("one")
    mark = contents.mark_of(str(file))
    monkeypatch.setattr(contents, "mark_of", lambda path: mark)  # the clock of its file system has not moved
    before = Contents()
    before.of(str(file))
    file.write_text("two")
    assert Contents(before).of(str(file)) == "two"


def test_a_file_that_comes_and_goes(tmp_path, settled):
    file = tmp_path / "a.pem"
    without = Contents()
    assert without.of(str(file)) == str(file)
    file.write_text("one")
    there = Contents(without)
    assert there.of(str(file)) == "one"
    file.unlink()
    assert Contents(there).of(str(file)) == str(file)


def test_only_what_is_named_is_remembered(tmp_path, reads, settled):
    file = tmp_path / "a.pem"
    file.write_text("one")
    first = Contents()
    first.of(str(file))
    assert Contents(Contents(first)).of(str(file)) == "one"
    assert reads == ["a.pem", "a.pem"]
    assert Contents(first).of("-----BEGIN\n") == "-----BEGIN\n"
    assert Contents(first).files == {}
