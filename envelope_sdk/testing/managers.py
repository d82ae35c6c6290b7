"""The contract suite of materials managers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from envelope_sdk.client import Client
from envelope_sdk.errors import EnvelopeError, UsageError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.materials import MaterialsManager
from envelope_sdk.testing.contract import Broken, Rule, check_rules, must_be_makeable, require, rule
from envelope_sdk.testing.granting_rules import GRANTING_RULES
from envelope_sdk.testing.leaks import find_secret, pickled, texts_of, watched
from envelope_sdk.testing.manager_subject import STORED, ManagerSubject, granted, opened, to_decrypt
from envelope_sdk.testing.reading_rules import READING_RULES
from envelope_sdk.testing.together_rules import PLAINTEXT, policy_for, require_no_secret
from envelope_sdk.testing.turns import SlowDecryptionRequest, SlowEncryptionRequest, in_threads

__all__ = ["MANAGER_RULES", "check_manager"]

_ROUNDS: Final = 8


@rule(
    "is-a-manager",
    "make_manager returns an object with the methods get_encryption_materials and decrypt_materials of "
    "envelope_sdk.materials.MaterialsManager.",
)
def is_a_manager(subject: ManagerSubject) -> None:
    """It has the two methods."""
    made: Any = subject.make_manager()
    require(isinstance(made, MaterialsManager), f"{type(made).__name__} lacks a method of the contract")


@rule(
    "messages",
    "A whole message has to go through a Client and come back, and not with a bit of it altered. If the rules before "
    "this one hold, look at what the error says.",
)
def messages(subject: ManagerSubject) -> None:
    """There and back, and refused when altered."""
    for suite in subject.suites:
        client = _client(subject, suite)
        message = client.encrypt(PLAINTEXT, encryption_context=subject.context).ciphertext
        result = _client(subject, suite).decrypt(message, encryption_context=subject.required)
        require(result.plaintext == PLAINTEXT, f"a message of {suite.name} is not what it was")
        require(
            result.header.encryption_context.items() >= subject.context.items(),
            f"the context of a message of {suite.name} lacks pairs that it had",
        )
        for position in (len(message) // 2, len(message) - 1, result.header.length - 1):
            broken = bytearray(message)
            broken[position] ^= 1
            try:
                client.decrypt(broken, encryption_context=subject.required)
            except EnvelopeError:
                continue
            raise Broken(f"a message of {suite.name} was read though a bit of byte {position} was altered")


def _client(subject: ManagerSubject, suite: AlgorithmSuite) -> Client:
    manager = subject.make_manager()
    return Client(
        materials_manager=manager, commitment_policy=policy_for(suite), algorithm_suite=suite, frame_length=100
    )


@rule(
    "thread-safe",
    "One manager serves many threads at once: keep nothing of one message in the object, and guard what has to be kept "
    "with a lock.",
)
def thread_safe(subject: ManagerSubject) -> None:
    """Each thread gets materials for what it asked for."""
    manager = subject.make_manager()

    def work(number: int) -> None:
        for turn in range(_ROUNDS):
            suite = subject.suites[(number + turn) % len(subject.suites)]
            request = subject.request(suite, {"thread": str(number), "turn": str(turn)})
            made = granted(manager, SlowEncryptionRequest(*request))
            require(made.algorithm_suite is suite, "with other threads at work, materials of another suite came")
            lacking = request.encryption_context.items() - made.encryption_context.items()
            require(not lacking, "with other threads at work, the context of another message came")
            opened(manager, made, SlowDecryptionRequest(*to_decrypt(made)))

    in_threads(work, subject.threads)


@rule(
    "no-secrets-shown",
    "Give the class a __repr__ without keys, no dataclass that pretty printers take apart, and put no key bytes into "
    "errors, log records, warnings or printed text.",
)
def no_secrets_shown(subject: ManagerSubject) -> None:
    """By repr, errors, logs or prints, before and after it was used."""
    secrets = list(subject.secrets)
    with watched() as logged:
        shown = list(_used(subject, secrets))
    require_no_secret([*shown, *logged], secrets)


def _used(subject: ManagerSubject, secrets: list[bytes]) -> Iterator[str]:
    manager = subject.make_manager()
    yield from texts_of(manager)
    made = granted(manager, subject.request())
    secrets.append(made.plaintext_data_key or b"")
    yield from texts_of(made)
    for request in (
        to_decrypt(made),
        to_decrypt(made, keys=()),
        to_decrypt(made, reproduced={"sample purpose": "another", **subject.required}),
        to_decrypt(made, reproduced={"more": "pairs", **subject.required}),
    ):
        try:
            yield from texts_of(manager.decrypt_materials(request))
        except EnvelopeError as error:
            yield from texts_of(error)
    yield from texts_of(manager)


@rule(
    "no-secrets-pickled",
    "Refuse pickling: def __reduce__(self): raise TypeError(...). Or pickle what is harmless: names, not keys.",
)
def no_secrets_pickled(subject: ManagerSubject) -> None:
    """Refused, or without the secrets that were given and the data keys that went through it."""
    manager = subject.make_manager()
    secrets = [*subject.secrets, granted(manager, subject.request()).plaintext_data_key or b""]
    held = pickled(manager)
    if held is not None:
        form = find_secret(held, secrets)
        require(form is None, f"its pickle holds a secret {form}")


_RULES: Final[tuple[Rule[ManagerSubject], ...]] = (
    is_a_manager,
    *GRANTING_RULES,
    *READING_RULES,
    messages,
    thread_safe,
    no_secrets_shown,
    no_secrets_pickled,
)

MANAGER_RULES: Final = tuple(each.name for each in _RULES)
"""The names of the rules for managers, in the order in which they are checked."""


def check_manager(
    make_manager: Callable[[], MaterialsManager],
    *,
    other: Callable[[], MaterialsManager] | None = None,
    required_keys: Iterable[str] = (),
    reuses_data_keys: bool = False,
    binds_context: bool = True,
    detects_damage: bool = True,
    context: Mapping[str, str] | None = None,
    suites: Iterable[AlgorithmSuite] | None = None,
    secrets: Iterable[bytes] = (),
    threads: int = 8,
    rules: Iterable[str] | None = None,
) -> None:
    """Check that a manager keeps the contract of :class:`envelope_sdk.materials.MaterialsManager`.

    Args:
        make_manager: returns a manager, each time of the same keys; it encrypts and decrypts.
        other: returns a manager of the same kind with other keys, which must not open what this one made.
        required_keys: context keys that every message of this manager has to have and that its readers have to give.
        reuses_data_keys: whether it gives out one data key more than once on purpose, as a cache does.
        binds_context: whether its wrapped data keys open with their own encryption context only.
        detects_damage: whether altered wrapped data keys are sure not to open.
        context: pairs that it needs in every encryption context, for instance for a keyring to choose its key by.
        suites: those it is for; all by default.
        secrets: its wrapping keys, at least 8 bytes each, which must not be found in what it shows or pickles.
        threads: how many use one manager at once.
        rules: the names of those to check, of :data:`MANAGER_RULES`; all by default.

    Raises:
        ContractViolation: a rule does not hold. It names the rule and says what to do.
        UsageError: the arguments cannot work: an unknown rule, or no suite.
        Otherwise what ``make_manager`` or ``other`` raises when it is first called.
    """
    chosen = tuple(AlgorithmSuite if suites is None else suites)
    if not chosen or threads < 1:
        raise UsageError("there is at least one suite and one thread")
    required = tuple(required_keys)
    if taken := STORED.keys() & {*required, *(context or {})}:
        raise UsageError(f"the suite itself uses the context keys {', '.join(sorted(map(repr, taken)))}")
    subject = ManagerSubject(
        make_manager=make_manager,
        other=other,
        required_keys=required,
        reuses_data_keys=reuses_data_keys,
        binds_context=binds_context,
        detects_damage=detects_damage,
        needed=EncryptionContext.of(context),
        suites=chosen,
        secrets=tuple(secrets),
        threads=threads,
    )
    must_be_makeable(make_manager, other)
    check_rules(_RULES, subject, rules)
