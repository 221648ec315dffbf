"""Shared memory: one writer for each block, one sum for all, and nobody maps what he does not know."""

import os
import struct

import pytest

from fastproxy.shared import BLOCK, Shared


@pytest.fixture
def shared():
    made = Shared.make(3)
    yield made
    made.close()


def count(shared, slot, *values):
    with shared.block(slot) as block:
        struct.pack_into(f"<{len(values)}Q", block, 0, *values)


def test_totals_are_sums_over_all_blocks(shared):
    count(shared, 0, 1, 2, 2**62)
    count(shared, 2, 10, 20, 2**62)
    assert shared.totals(3) == [11, 22, 2**63]
    assert shared.totals(1) == [11]


def test_another_mapping_sees_the_same(shared):
    other = Shared.open(os.dup(shared.descriptor))
    count(other, 1, 5)
    assert shared.totals(1) == [5]
    other.close()


def test_blocks_are_zero_whole_and_apart(shared):
    for slot in range(3):
        with shared.block(slot) as block:
            assert block.nbytes == BLOCK
            assert not any(block)
    with shared.block(1) as block:
        block[:] = b"\xff" * BLOCK
    for slot in (0, 2):
        with shared.block(slot) as block:
            assert not any(block)


@pytest.mark.parametrize("slot", [-1, 3])
def test_no_block_outside(shared, slot):
    with pytest.raises(IndexError, match=f"no slot {slot}; there are 3"):
        shared.block(slot)


def test_foreign_memory_is_refused():
    descriptor = os.memfd_create("foreign")
    with pytest.raises(ValueError, match="is no shared memory of fastproxy"):
        Shared.open(descriptor)
    os.pwrite(descriptor, struct.pack("<8sQQQQQ", b"fastprox", 99, 1, 4096, 0, 0), 0)
    with pytest.raises(ValueError, match="version 99"):
        Shared.open(descriptor)
    os.close(descriptor)


def test_a_view_outlives_its_end():
    made = Shared.make(2)
    block = made.block(1)
    made.close()
    block[0] = 1
    assert block[0] == 1
    with pytest.raises(OSError):
        os.fstat(made.descriptor)
