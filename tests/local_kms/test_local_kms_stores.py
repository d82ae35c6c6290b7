"""Every store keeps the contract that others are held to, and what breaks it is found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from testkit.servers import Postgres

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.store.postgresql.store import PostgresqlStore
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random
from envelope_sdk.testing import STORE_RULES, ContractViolation, check_store

_KEY = bytes(32)

each_rule = pytest.mark.parametrize("rule", STORE_RULES)


@each_rule
def test_a_store_in_memory_keeps_the_rule(rule: str) -> None:
    check_store(lambda: SqliteStore.in_memory(system_random), rules=[rule])


@each_rule
def test_a_store_in_a_file_keeps_the_rule(rule: str, tmp_path: Path) -> None:
    numbers = itertools.count()

    def open_it(number: int) -> SqliteStore:
        return SqliteStore.open(tmp_path / f"{number}.db", _KEY, system_random)

    check_store(
        lambda: open_it(next(numbers)),
        reopen=lambda store: SqliteStore.open(store._path, _KEY, system_random),
        rules=[rule],
    )


@each_rule
def test_a_store_in_postgresql_keeps_the_rule(rule: str, postgres_server: Postgres, empty_schema: str) -> None:
    schemas: list[str] = []

    def open_it(schema: str) -> PostgresqlStore:
        return PostgresqlStore.open(postgres_server.url, _KEY, system_random, schema=schema)

    def make() -> PostgresqlStore:
        schemas.append(f"{empty_schema}_{len(schemas)}")
        return open_it(schemas[-1])

    try:
        check_store(make, reopen=lambda _: open_it(schemas[-1]), rules=[rule])
    finally:
        postgres_server.execute(*(f"DROP SCHEMA {schema} CASCADE" for schema in schemas))


# --- stores with one fault each --------------------------------------------------------------------------------------


class _Honest:
    """Passes everything on to a store in memory."""

    def __init__(self) -> None:
        self.inner = SqliteStore.in_memory(system_random)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @contextmanager
    def read(self) -> Generator[Any]:
        with self.inner.read() as look:
            yield self.transaction(look)

    @contextmanager
    def write(self) -> Generator[Any]:
        with self.inner.write() as change:
            yield self.transaction(change)

    def transaction(self, inner: Any) -> Any:
        return inner


class _Changed:
    """A transaction in which one method does something else."""

    def __init__(self, inner: Any, name: str, method: Callable[..., Any]) -> None:
        self._inner = inner
        setattr(self, name, method)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _with(name: str, method: Callable[..., Any]) -> Callable[[], Any]:
    """Return what makes a store whose transactions have ``method``, given the right transaction first."""

    class Faulty(_Honest):
        def transaction(self, inner: Any) -> Any:
            return _Changed(inner, name, lambda *arguments: method(inner, *arguments))

    Faulty.__name__ = name
    return Faulty


def _nothing(*_: object) -> None:
    return None


class _NotAStore:
    def close(self) -> None:
        return None


class _KeepsHalfOfIt(_Honest):
    @contextmanager
    def write(self) -> Generator[Any]:
        fault: BaseException | None = None
        with self.inner.write() as change:
            try:
                yield change
            except Exception as error:  # noqa: BLE001
                fault = error
        if fault is not None:
            raise fault


class _SwallowsErrors(_Honest):
    @contextmanager
    def write(self) -> Generator[Any]:
        try:
            with self.inner.write() as change:
                yield change
        except Exception:  # noqa: BLE001
            pass


class _NeverAnotherVersion(_Honest):
    def version(self) -> object:
        return 1


class _AlwaysAnotherVersion(_Honest):
    def version(self) -> object:
        return object()


class _Shows(_Honest):
    def __init__(self) -> None:
        super().__init__()
        self.shown = ""

    def __repr__(self) -> str:
        return f"Shows({self.shown})"

    def transaction(self, inner: Any) -> Any:
        def material(*arguments: Any) -> Any:
            found = inner.material(*arguments)
            self.shown = repr(bytes(found.secret))
            return found

        return _Changed(inner, "material", material)


class _StaysOpen(_Honest):
    def close(self) -> None:
        return None


class _SameRootKey(_Honest):
    def rotate_root_key(self, root_key: object) -> None:
        return None


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (_NotAStore, "is-a-store"),
        (_with("key", lambda right, *names: (found := right.key(*names)) and replace(found, policy="")), "keeps-keys"),
        (_with("update_key", _nothing), "keeps-keys"),
        (_with("related", lambda right, *names: list(right.related(*names))[::-1]), "keeps-keys"),
        (_with("update_material", _nothing), "keeps-materials"),
        (_with("put_alias", _nothing), "keeps-names"),
        (_with("remove_tags", _nothing), "keeps-names"),
        (_with("remove_grant", _nothing), "keeps-access"),
        (_with("retirable", lambda right, *_: []), "keeps-access"),
        (_with("add_usage", _nothing), "keeps-figures"),
        (_with("keys", lambda right, *names: sorted(right.keys(*names), key=lambda key: key.key_id.lower())), "pages"),
        (_with("aliases", lambda right, scope, after, limit, key: right.aliases(scope, after, 100, key)), "pages"),
        (_with("erase_keys", lambda right, due: []), "what-is-due"),
        (_KeepsHalfOfIt, "all-or-nothing"),
        (_SwallowsErrors, "all-or-nothing"),
        (_NeverAnotherVersion, "version"),
        (_AlwaysAnotherVersion, "version"),
        (_SameRootKey, "another-root-key"),
        (_Shows, "no-secrets-shown"),
        (_StaysOpen, "closed"),
    ],
)
def test_a_fault_is_found_by_the_rule_it_breaks(make: Callable[[], Any], rule: str) -> None:
    with pytest.raises(ContractViolation) as caught:
        check_store(make, rules=[rule])

    assert caught.value.rule == rule


def test_the_one_who_passes_everything_on_keeps_all_rules() -> None:
    check_store(_Honest, threads=2)


class _TwoMoments(SqliteStore):
    """Reads what is there at the time, with no transaction around it."""

    @contextmanager
    def read(self) -> Generator[Any]:
        with super().read() as look:
            transaction = look
        yield transaction


def test_a_look_at_two_moments_is_found(tmp_path: Path) -> None:
    numbers = itertools.count()
    with pytest.raises(ContractViolation, match="one-look"):
        check_store(lambda: _TwoMoments.open(tmp_path / f"{next(numbers)}.db", _KEY, system_random), rules=["one-look"])


def test_arguments_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one thread"):
        check_store(_Honest, threads=0)
    with pytest.raises(UsageError, match="there are no rules nosuch"):
        check_store(_Honest, rules=["nosuch"])
