"""Objects of more than a page in the pool: a chain of pieces gives back what it took."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress import PoolBudget
from coldpress.testing.pages import PAGE
from coldpress_plugins.allocators.zbud import Zbud
from coldpress_plugins.allocators.zsmalloc import Zsmalloc
from coldpress_plugins.entry_types.chain import Chain


@pytest.mark.parametrize("kind", [Zsmalloc, Zbud])
@given(data=st.data())
def test_a_chain_gives_back_what_it_took(kind: Any, data: st.DataObject) -> None:
    allocator = kind(limit=1 << 20)
    allocator.open(PoolBudget(1 << 20), PAGE)
    chain = Chain(allocator)
    held: dict[int, bytes] = {}
    lengths = st.one_of(
        st.integers(1, 32 << 10), st.sampled_from([4091, 4092, 4095, 4096, 4097, 8184, 8188, 8192])
    )
    for length in data.draw(st.lists(lengths, min_size=1, max_size=30)):
        content = (length.to_bytes(4, "little") * (length // 4 + 1))[:length]
        handle = chain.store(content, 7)
        if handle < 0:
            continue
        assert handle not in held
        held[handle] = content
        if len(held) > 4 and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(held)))
            chain.free(gone, len(held.pop(gone)))
        allocator.compact()
        for one, expected in held.items():
            assert chain.read(one, len(expected)) == expected
            out = bytearray(b"\xaa" * (len(expected) + 20))
            chain.copy_into(one, len(expected), memoryview(out), 10)
            assert out == b"\xaa" * 10 + expected + b"\xaa" * 10
    for handle, content in held.items():
        chain.free(handle, len(content))
    assert allocator.objects == 0
    assert allocator.pool_bytes == 0
    allocator.close()


def test_a_chain_without_room_changes_nothing() -> None:
    allocator = Zsmalloc(limit=64 << 10)
    allocator.open(PoolBudget(64 << 10), PAGE)
    chain = Chain(allocator)
    stored = 0
    while chain.store(bytes(range(256)) * 80, 0) >= 0:
        stored += 1
    before = allocator.objects, allocator.pool_bytes
    assert stored > 1
    assert chain.store(bytes(20 << 10), 0) == -1
    assert (allocator.objects, allocator.pool_bytes) == before
