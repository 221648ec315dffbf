"""The memory that the workers of an instance share."""

import pytest

from fastproxy.shared import Shared


@pytest.fixture
def shared():
    """Memory for three workers."""
    made = Shared.make(3)
    yield made
    made.close()
