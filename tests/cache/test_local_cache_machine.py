"""The local cache against a model: whatever the order of events, it lends, keeps and wipes what the model says."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import ExitStack

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from envelope_sdk.cache.local import LocalCache

NAMES = [b"a", b"b", b"c", b"d"]
CAPACITY = 2

names = strategies.sampled_from(NAMES)
seconds = strategies.sampled_from([0.0, 1.0, 5.0, 20.0])


class Value:
    """What is kept; the model knows when it was loaded and for how long."""

    def __init__(self, created: float, ttl: float) -> None:
        self.created = created
        self.expires = created + ttl
        self.wiped = 0

    def wipe(self) -> None:
        self.wiped += 1


class Refused(Exception):
    """A load that fails."""


class CacheMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.cache = LocalCache(CAPACITY, clock=lambda: self.now)
        self.model: OrderedDict[bytes, Value] = OrderedDict()
        self.every: list[Value] = []
        self.open: list[tuple[ExitStack, Value]] = []

    def expected(self, name: bytes, ttl: float) -> Value | None:
        value = self.model.get(name)
        if ttl > 0 and value is not None and self.now < min(value.expires, value.created + ttl):
            return value
        return None

    def expire(self) -> None:
        for name in [name for name, value in self.model.items() if value.expires <= self.now]:
            del self.model[name]

    @rule(name=names, ttl=seconds, stay=strategies.booleans())
    def borrow(self, name: bytes, ttl: float, stay: bool) -> None:
        self.expire()
        expected = self.expected(name, ttl)
        loaded: list[Value] = []

        def load() -> Value:
            loaded.append(Value(self.now, ttl))
            return loaded[0]

        stack = ExitStack()
        value = stack.enter_context(self.cache.borrow(name, load, ttl_seconds=ttl, wipe=Value.wipe))

        assert value is (expected or loaded[0])
        assert bool(loaded) is (expected is None)
        self.every += loaded
        if ttl > 0:
            if name not in self.model and len(self.model) == CAPACITY:
                self.model.popitem(last=False)
            self.model[name] = value
            self.model.move_to_end(name)
        if stay:
            self.open.append((stack, value))
        else:
            stack.close()

    @rule(name=names)
    def fail(self, name: bytes) -> None:
        def load() -> Value:
            raise Refused

        self.expire()
        expected = self.expected(name, 5.0)
        try:
            with self.cache.borrow(name, load, ttl_seconds=5.0, wipe=Value.wipe) as value:
                assert value is expected
                self.model.move_to_end(name)
        except Refused:
            assert expected is None
            if name in self.model:
                self.model.move_to_end(name)

    @rule(step=strategies.sampled_from([0.5, 1.0, 4.0, 30.0]))
    def wait(self, step: float) -> None:
        self.now += step

    @rule(name=names, held=strategies.booleans())
    def discard(self, name: bytes, held: bool) -> None:
        value = self.model.get(name) if held else Value(0, 0)
        self.cache.discard(name, value)
        if held and value is not None:
            # One that is past its time is left to be found expired.
            if self.now < value.expires:
                del self.model[name]
        elif name in self.model and self.now < self.model[name].expires:
            self.model.move_to_end(name)

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()

    @rule(index=strategies.integers(0, 9))
    def give_back(self, index: int) -> None:
        if self.open:
            self.open.pop(index % len(self.open))[0].close()

    @invariant()
    def exactly_what_is_out_of_the_cache_and_of_use_is_wiped(self) -> None:
        used = {id(value) for _, value in self.open} | {id(value) for value in self.model.values()}
        for value in self.every:
            # Nothing else happens at the very moment when a value expires.
            if id(value) not in used:
                assert value.wiped == 1
            else:
                assert value.wiped == 0

    def teardown(self) -> None:
        for stack, _ in self.open:
            stack.close()
        self.cache.close()
        assert all(value.wiped == 1 for value in self.every)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=40)
