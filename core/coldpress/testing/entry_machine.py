"""A state machine that drives an entry type against a copy of all that it was given."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coldpress.roles import PoolEntryType
from coldpress.testing.entry_bench import Bench
from coldpress.testing.pages import same

if TYPE_CHECKING:
    from coldpress.testing.entry_claims import EntryTypeContract

orders = st.integers(1, 4)


class EntryTypeMachine(RuleBasedStateMachine):
    """Any order of calls in a pool that is often full."""

    def __init__(self, contract: EntryTypeContract) -> None:
        super().__init__()
        self.contract = contract
        self.bench = Bench(contract.make(), 128 << 10)
        self.tokens: list[tuple[Any, bytes]] = []

    @rule(start=st.integers(0, 500), pages=st.integers(1, 24))
    def store(self, start: int, pages: int) -> None:
        for number in range(start, start + pages):
            self.bench.offered(self.contract.a_page(number))

    @precondition(lambda self: self.contract.plugin.folios)
    @rule(number=st.integers(0, 99), order=orders)
    def store_folio(self, number: int, order: int) -> None:
        self.bench.offered(self.contract.a_folio(number, order))

    @precondition(lambda self: self.bench.held)
    @rule(data=st.data())
    def fetch(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self.bench.held))
        self.tokens.append(self.bench.token(held, data.draw(st.integers(0, held.pages - 1))))

    @rule()
    def decode(self) -> None:
        for token, data in self.tokens:
            assert same(self.bench.one.decode(token), data), "a token went bad"

    @precondition(lambda self: self.bench.held)
    @rule(seed=st.integers(0, 99), share=st.sampled_from([0.1, 0.5, 0.9]))
    def release(self, seed: int, share: float) -> None:
        count = 1 + int((len(self.bench.held) - 1) * share)
        for held in random.Random(seed).sample(self.bench.held, count):
            self.bench.release(held)

    @rule()
    def compact(self) -> None:
        self.bench.allocator.compact()

    @precondition(lambda self: isinstance(self.bench.one, PoolEntryType) and self.bench.held)
    @rule(data=st.data())
    def take_out_and_adopt(self, data: st.DataObject) -> None:
        self.bench.adopt_again(data.draw(st.sampled_from(self.bench.held)))

    @invariant()
    def all_is_as_it_was_stored(self) -> None:
        self.bench.check_all()

    def teardown(self) -> None:
        try:
            self.decode()
            self.bench.release_all()
            self.bench.check_empty()
        finally:
            self.bench.close()
