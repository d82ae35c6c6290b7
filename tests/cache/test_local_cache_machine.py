"""The local cache against a model: whatever the order of events, it lends, keeps, wipes and counts as it says."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from typing import Any

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from envelope_sdk.cache.local import LocalCache
from envelope_sdk.cache.settings import Refresh
from envelope_sdk.cache.usage import CacheEvent, CacheEventKind

NAMES = [b"a", b"b", b"c"]
CAPACITY = 2
GRACE, INTERVAL, PART = 2.0, 0.5, 0.25

names = strategies.sampled_from(NAMES)
seconds = strategies.sampled_from([0.0, 4.0, 16.0])
steps = strategies.sampled_from([0.0, 0.25, 0.5, 1.0])


class Value:
    """What is kept; the model knows when it was loaded and for how long, and when its replacement was tried."""

    def __init__(self, created: float, ttl: float) -> None:
        self.created = created
        self.ttl = ttl
        self.expires = created + ttl
        self.tried = -1000.0
        self.wiped = 0

    def wipe(self) -> None:
        self.wiped += 1

    def is_due(self, ttl: float, now: float) -> bool:
        lifetime = min(ttl, self.ttl)
        age = now - self.created
        return age >= lifetime - min(GRACE, PART * lifetime) and now - self.tried >= INTERVAL


class Refused(Exception):
    """A load that fails."""


class AtOnce(Executor):
    """Does everything when it is asked to."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        work(*arguments, **named)
        return Future()


class CacheMachine(RuleBasedStateMachine):
    refresh: Refresh | None = Refresh(GRACE, INTERVAL, PART)
    executor: Executor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.events: list[CacheEvent] = []
        self.cache = LocalCache(
            CAPACITY,
            refresh=self.refresh,
            executor=self.executor,
            on_event=self.events.append,
            clock=lambda: self.now,
        )
        self.model: OrderedDict[bytes, Value] = OrderedDict()
        self.counts: Counter[CacheEventKind] = Counter()
        self.every: list[Value] = []
        self.open: list[tuple[ExitStack, Value]] = []
        self.asked = self.loader_calls = 0

    def count(self, kind: CacheEventKind, times: int = 1) -> None:
        self.counts[kind] += times

    def lendable(self, name: bytes, ttl: float) -> Value | None:
        value = self.model.get(name)
        if ttl > 0 and value is not None and self.now < min(value.expires, value.created + ttl):
            return value
        return None

    def expire(self) -> None:
        for name in [name for name, value in self.model.items() if value.expires <= self.now]:
            del self.model[name]
            self.count(CacheEventKind.EXPIRY)

    def keep(self, name: bytes, value: Value) -> None:
        if name not in self.model and len(self.model) == CAPACITY:
            self.model.popitem(last=False)
            self.count(CacheEventKind.EVICTION)
        self.model[name] = value
        self.model.move_to_end(name)

    def expect(self, name: bytes, ttl: float, fails: bool) -> tuple[Value | None, bool]:
        """Return what has to be lent, where that is known, and whether something has to be loaded; count."""
        self.expire()
        kept = self.lendable(name, ttl)
        if name in self.model:
            self.model.move_to_end(name)
        if kept is None:
            self.count(CacheEventKind.FAILURE if fails else CacheEventKind.LOAD)
            return None, True
        self.count(CacheEventKind.HIT)
        if self.refresh is None or not kept.is_due(ttl, self.now):
            return kept, False
        kept.tried = self.now
        self.count(CacheEventKind.REFRESH_FAILURE if fails else CacheEventKind.REFRESH)
        return kept if fails or self.executor is not None else None, True

    @rule(name=names, ttl=seconds, fails=strategies.booleans(), stay=strategies.booleans())
    def borrow(self, name: bytes, ttl: float, fails: bool, stay: bool) -> None:
        self.lend(name, ttl, fails, stay)

    def lend(self, name: bytes, ttl: float, fails: bool, stay: bool) -> None:
        expected, loads = self.expect(name, ttl, fails)
        loaded: list[Value] = []
        called: list[None] = []

        def load() -> Value:
            called.append(None)
            if fails:
                raise Refused
            loaded.append(Value(self.now, ttl))
            return loaded[0]

        stack = ExitStack()
        value = None
        try:
            value = stack.enter_context(self.cache.borrow(name, load, ttl_seconds=ttl, wipe=Value.wipe))
        except Refused:
            assert fails
            assert expected is None
        self.asked += 1
        self.loader_calls += len(called)

        assert len(called) == int(loads)
        self.every += loaded
        if loaded and ttl > 0:
            self.keep(name, loaded[0])
        if value is not None:
            assert value is (loaded[0] if expected is None else expected)
            if stay:
                self.open.append((stack, value))
        if value is None or not stay:
            stack.close()

    @rule(step=strategies.sampled_from([0.25, 0.5, 1.0, 30.0]))
    def wait(self, step: float) -> None:
        self.now += step

    @rule(name=names, ttl=seconds, tries=strategies.lists(strategies.tuples(steps, strategies.booleans()), max_size=4))
    def borrow_while_the_end_nears(self, name: bytes, ttl: float, tries: list[tuple[float, bool]]) -> None:
        if self.lendable(name, ttl) is None:
            self.lend(name, ttl, False, False)
        if ttl > 0:
            value = self.model[name]
            lifetime = min(ttl, value.ttl)
            self.now = max(self.now, value.created + lifetime - min(GRACE, PART * lifetime))
        for step, fails in tries:
            self.lend(name, ttl, fails, False)
            self.now += step

    @rule(name=names, held=strategies.booleans())
    def discard(self, name: bytes, held: bool) -> None:
        value = self.model.get(name) if held else Value(0, 0)
        self.cache.discard(name, value)
        if held and value is not None:
            # One that is past its time is left to be found expired.
            if self.now < value.expires:
                del self.model[name]
                self.count(CacheEventKind.DISCARD)
        elif name in self.model and self.now < self.model[name].expires:
            self.model.move_to_end(name)

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.count(CacheEventKind.CLEAR, len(self.model))
        self.model.clear()

    @rule()
    def expire_now(self) -> None:
        self.cache.expire()
        self.expire()

    @rule(index=strategies.integers(0, 9))
    def give_back(self, index: int) -> None:
        if self.open:
            self.open.pop(index % len(self.open))[0].close()

    @rule()
    def look_at_the_counts(self) -> None:
        usage = self.cache.usage()
        self.expire()
        kinds = CacheEventKind

        assert usage.entries == len(self.model)
        assert {kind: getattr(usage, PLURALS[kind]) for kind in kinds} == {kind: self.counts[kind] for kind in kinds}
        assert usage.borrows == self.asked
        assert usage.loader_calls == self.loader_calls

    @invariant()
    def exactly_what_is_out_of_the_cache_and_of_use_is_wiped(self) -> None:
        used = {id(value) for _, value in self.open} | {id(value) for value in self.model.values()}
        for value in self.every:
            # Nothing else happens at the very moment when a value expires.
            assert value.wiped == (0 if id(value) in used else 1)

    def teardown(self) -> None:
        for stack, _ in self.open:
            stack.close()
        self.cache.close()
        self.count(CacheEventKind.CLEAR, len(self.model))
        assert all(value.wiped == 1 for value in self.every)
        assert Counter(event.kind for event in self.events) == +self.counts


PLURALS = {
    CacheEventKind.HIT: "hits",
    CacheEventKind.WAIT: "waits",
    CacheEventKind.LOAD: "loads",
    CacheEventKind.FAILURE: "failures",
    CacheEventKind.TIMEOUT: "timeouts",
    CacheEventKind.REFRESH: "refreshes",
    CacheEventKind.REFRESH_FAILURE: "refresh_failures",
    CacheEventKind.EXPIRY: "expiries",
    CacheEventKind.EVICTION: "evictions",
    CacheEventKind.DISCARD: "discards",
    CacheEventKind.CLEAR: "clears",
}


class WithoutRefreshMachine(CacheMachine):
    refresh = None


class WithExecutorMachine(CacheMachine):
    executor = AtOnce()


TestCache = CacheMachine.TestCase
TestCacheWithoutRefresh = WithoutRefreshMachine.TestCase
TestCacheWithExecutor = WithExecutorMachine.TestCase
TestCache.settings = TestCacheWithoutRefresh.settings = TestCacheWithExecutor.settings = settings(
    max_examples=100, stateful_step_count=40
)
