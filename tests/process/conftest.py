"""A backend, and instances of fastproxy that end with the test."""

import pytest

from tests.process.harness import Backend, Fastproxy


@pytest.fixture
def backend():
    made = Backend()
    yield made
    made.close()


@pytest.fixture
def launch(tmp_path):
    """Start a fastproxy with its two files, texts: `launch(static, dynamic)`."""
    started = []

    def launch(static, dynamic, *, kind=Fastproxy, **options):
        """kind: which class of them; options: for that."""
        (tmp_path / "fastproxy.yml").write_text(static)
        (tmp_path / "dynamic.yml").write_text(dynamic)
        started.append(kind(["--configFile=fastproxy.yml"], tmp_path, **options))
        return started[-1]

    yield launch
    for each in started:
        each.close()
