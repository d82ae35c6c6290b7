"""The contract suite of the local KMS's stores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.testing.contract import Broken, Rule, check_rules, must_be_makeable, require, rule
from envelope_sdk.testing.leaks import find_secret, pickled, texts_of, watched
from envelope_sdk.testing.record_rules import RECORD_RULES
from envelope_sdk.testing.store_subject import HERE, KEY, SECRET, StoreSubject, numbered
from envelope_sdk.testing.turns import in_threads

__all__ = ["STORE_RULES", "check_store"]

_METHODS: Final = ("version", "read", "write", "rotate_root_key", "backup", "close")
_ROUNDS: Final = 4
_MOMENT: Final = 0.2
"""Seconds to give to a change that may have to wait for a look."""


class _Given(Exception):
    """What the block of a change raises."""


@rule("is-a-store", "make_store returns an object with the methods of envelope_sdk.local_kms.store.contract.Store.")
def is_a_store(subject: StoreSubject) -> None:
    """It has the methods, and is empty."""
    with subject.store(filled=False) as store:
        lacking = [name for name in _METHODS if not callable(getattr(store, name, None))]
        require(not lacking, f"{type(store).__name__} lacks {', '.join(lacking)}")
        with store.read() as look:
            require(not look.keys(HERE, "", 1), "a new store has keys in it")
            require(look.next_due() is None, "in a new store something is due")


@rule("all-or-nothing", "Undo a change where its block raises anything, and let that error through.")
def all_or_nothing(subject: StoreSubject) -> None:
    """A block that raises leaves nothing behind."""
    with subject.store() as store:
        try:
            _break_off(store)
        except _Given:
            pass
        else:
            raise Broken("an error raised in the block of a change did not leave it")
        with store.read() as look:
            require(look.key(HERE, "half-made") is None, "a change that was broken off made a key")
            require(look.alias(HERE, "alias/a") is not None, "a change that was broken off removed an alias")
        with store.write() as change:
            change.add_key(numbered("after"), {})


def _break_off(store: Store) -> None:
    with store.write() as change:
        change.add_key(numbered("half-made"), {})
        change.remove_alias(HERE, "alias/a")
        raise _Given


@rule("sees-its-own-changes", "What was changed is seen by the rest of the same change.")
def sees_its_own_changes(subject: StoreSubject) -> None:
    """Within one block."""
    with subject.store() as store, store.write() as change:
        change.add_key(numbered("new"), {"a": "b"})
        require(change.key(HERE, "new") == numbered("new"), "a key just added is not there")
        require(dict(change.tags(HERE, "new")) == {"a": "b"}, "tags just added are not there")


@rule("one-look", "A look shows the store as at one moment: begin a transaction that reads one snapshot.")
def one_look(subject: StoreSubject) -> None:
    """What another thread changes meanwhile is not seen until the look is over."""
    with subject.store() as store:

        def write() -> None:
            with store.write() as change:
                change.update_key(replace(KEY, description="changed"))

        other = threading.Thread(target=write)
        with store.read() as look:
            before = look.key(HERE, "mrk-1")
            other.start()
            # It may have to wait for this look to end.
            other.join(_MOMENT)
            require(look.key(HERE, "mrk-1") == before, "a look shows two moments")
        other.join()
        with store.read() as look:
            found = look.key(HERE, "mrk-1")
            require(found is not None and found.description == "changed", "a look that began later shows old records")


@rule("version", "version() is another value after every change, made by whomever, and the same while there is none.")
def version(subject: StoreSubject) -> None:
    """Changes show, looks do not."""
    with subject.store() as store:
        seen = [store.version()]
        for number in range(_ROUNDS):
            with store.read() as look:
                look.key(HERE, "mrk-1")
            require(store.version() == seen[-1], "version() is another one though nobody has changed anything")
            with store.write() as change:
                change.update_key(replace(KEY, description=str(number)))
            seen.append(store.version())
        require(len(set(map(repr, seen))) == len(seen), "version() is the same after a change")


@rule("one-at-a-time", "No other change happens during one: lock when it begins, not when it first writes.")
def one_at_a_time(subject: StoreSubject) -> None:
    """Threads that count in turn lose nothing."""
    with subject.store() as store:
        with store.write() as change:
            change.update_key(replace(KEY, description="0"))

        def work(_: int) -> None:
            for _ in range(_ROUNDS):
                with store.write() as change:
                    found = change.key(HERE, "mrk-1")
                    require(found is not None, "a key is gone")
                    count = int(found.description) + 1 if found else 0
                    change.update_key(replace(KEY, description=str(count)))

        in_threads(work, subject.threads)
        with store.read() as look:
            found = look.key(HERE, "mrk-1")
        wanted = str(subject.threads * _ROUNDS)
        require(found is not None and found.description == wanted, "changes made at the same time were lost")


@rule("thread-safe", "Several threads read and write at once: give each a connection, or let them wait.")
def thread_safe(subject: StoreSubject) -> None:
    """Each finds what it made."""
    with subject.store() as store:

        def work(number: int) -> None:
            for turn in range(_ROUNDS):
                mine = numbered(f"key-{number}-{turn}")
                with store.write() as change:
                    change.add_key(mine, {})
                store.version()
                with store.read() as look:
                    require(look.key(HERE, mine.key_id) == mine, "with other threads at work, a key is not there")

        in_threads(work, subject.threads)
        with store.read() as look:
            made = len(look.keys(HERE, "key-", 1000)) - 1
        require(made == subject.threads * _ROUNDS, "with other threads at work, keys were lost")


@rule("reopened", "A change is durable when its block ends, and in force for everybody who has the store open.")
def reopened(subject: StoreSubject) -> None:
    """What one has changed, another sees at once and later."""
    if subject.reopen is None:
        return
    with subject.store() as store:
        other = subject.reopen(store)
        try:
            before = other.version()
            with store.write() as change:
                change.update_key(replace(KEY, description="changed"))
            require(other.version() != before, "version() is the same though another has changed the store")
            with other.read() as look:
                found = look.key(HERE, "mrk-1")
                material = look.material(HERE, "aa")
            require(found is not None and found.description == "changed", "what another has changed is not seen")
            require(material is not None and bytes(material.secret) == SECRET, "a secret cannot be read by another")
        finally:
            other.close()


@rule("another-root-key", "rotate_root_key wraps every secret anew; all of them open afterwards.")
def another_root_key(subject: StoreSubject) -> None:
    """Under another root key, everything is as it was."""
    with subject.store() as store:
        store.rotate_root_key(bytes(range(32)))
        with store.read() as look:
            material, access_key = look.material(HERE, "aa"), look.access_key("AKIA1")
        require(material is not None and bytes(material.secret) == SECRET, "a material is not what it was")
        require(access_key is not None and bytes(access_key.secret) == SECRET, "an access key is not what it was")
        try:
            store.rotate_root_key(bytes(range(32)))
        except UsageError:
            return
        raise Broken("the root key that is in force was taken for another one")


@rule("no-secrets-shown", "Give stores and transactions a __repr__ without secrets, log none, and refuse pickling.")
def no_secrets_shown(subject: StoreSubject) -> None:
    """By repr, logs, prints or pickles."""
    with watched() as logged, subject.store() as store:
        shown = list(texts_of(store))
        with store.write() as change:
            change.material(HERE, "aa")
            shown += texts_of(change)
        shown += texts_of(store)
        held: str | bytes | None = pickled(store)
    places: list[str | bytes] = [*shown, *logged, *([] if held is None else [held])]
    for where in places:
        form = find_secret(where, [SECRET])
        require(form is None, f"a secret is shown {form}")


@rule("closed", "After close(), which may be called twice, everything else is a KeyStoreError.")
def closed(subject: StoreSubject) -> None:
    """Closed twice, and of no more use."""
    with subject.store() as store:
        store.close()
        store.close()
        for name in ("version", "read", "write"):
            try:
                used: Any = getattr(store, name)()
                if name != "version":
                    with used:
                        pass
            except KeyStoreError:
                continue
            raise Broken(f"{name}() works on a store that is closed")


_RULES: Final[tuple[Rule[StoreSubject], ...]] = (
    is_a_store,
    *RECORD_RULES,
    all_or_nothing,
    sees_its_own_changes,
    one_look,
    version,
    one_at_a_time,
    thread_safe,
    reopened,
    another_root_key,
    no_secrets_shown,
    closed,
)

STORE_RULES: Final = tuple(each.name for each in _RULES)
"""The names of the rules for stores, in the order in which they are checked."""


def check_store(
    make_store: Callable[[], Store],
    *,
    reopen: Callable[[Store], Store] | None = None,
    threads: int = 8,
    rules: Iterable[str] | None = None,
) -> None:
    """Check that a store keeps the contract of ``envelope_sdk.local_kms.store.contract.Store``.

    Args:
        make_store: returns an empty store, each time another one; the suite closes it.
        reopen: opens once more, as another process would, a store that is open; left out where that cannot be.
        threads: how many use one store at once.
        rules: the names of those to check, of :data:`STORE_RULES`; all by default.

    Raises:
        ContractViolation: a rule does not hold. It names the rule and says what to do.
        UsageError: the arguments cannot work: an unknown rule, or no thread.
        Otherwise what ``make_store`` raises when it is first called.
    """
    if threads < 1:
        raise UsageError("there is at least one thread")
    must_be_makeable(lambda: make_store().close())
    check_rules(_RULES, StoreSubject(make_store, reopen, threads), rules)
