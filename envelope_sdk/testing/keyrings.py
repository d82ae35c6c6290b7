"""The contract suite of keyrings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from envelope_sdk.errors import UsageError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.materials import Keyring
from envelope_sdk.testing.context_rules import CONTEXT_RULES
from envelope_sdk.testing.contract import Rule, check_rules, must_be_makeable, require, rule
from envelope_sdk.testing.keyring_subject import SAMPLE, KeyringSubject
from envelope_sdk.testing.opening_rules import OPENING_RULES
from envelope_sdk.testing.together_rules import TOGETHER_RULES
from envelope_sdk.testing.wrapping_rules import WRAPPING_RULES

__all__ = ["KEYRING_RULES", "check_keyring"]


@rule(
    "is-a-keyring",
    "make_keyring returns an object with the methods on_encrypt and on_decrypt of envelope_sdk.materials.Keyring.",
)
def is_a_keyring(subject: KeyringSubject) -> None:
    """It has the two methods."""
    made: Any = subject.make_keyring()
    require(isinstance(made, Keyring), f"{type(made).__name__} lacks on_encrypt or on_decrypt")


_RULES: Final[tuple[Rule[KeyringSubject], ...]] = (
    is_a_keyring,
    *WRAPPING_RULES,
    *OPENING_RULES,
    *CONTEXT_RULES,
    *TOGETHER_RULES,
)

KEYRING_RULES: Final = tuple(each.name for each in _RULES)
"""The names of the rules for keyrings, in the order in which they are checked."""


def check_keyring(
    make_keyring: Callable[[], Keyring],
    *,
    other: Callable[[], Keyring] | None = None,
    counterpart: Callable[[], Keyring] | None = None,
    encrypts: bool = True,
    decrypts: bool = True,
    generates: bool = True,
    wraps: bool = True,
    binds_context: bool = True,
    detects_damage: bool = True,
    context: Mapping[str, str] | None = None,
    suites: Iterable[AlgorithmSuite] | None = None,
    secrets: Iterable[bytes] = (),
    threads: int = 8,
    rules: Iterable[str] | None = None,
) -> None:
    """Check that a keyring keeps the contract of :class:`envelope_sdk.materials.Keyring`.

    Rules about what a keyring is said not to do check that it refuses to.

    Args:
        make_keyring: returns a keyring, each time of the same wrapping key.
        other: returns a keyring of the same kind with another wrapping key, which must not open what this one wrapped.
        counterpart: returns a keyring for the direction that this one has not: one that reads what an encrypt-only
            keyring wraps, or wraps what a decrypt-only keyring reads.
        encrypts: whether it wraps data keys.
        decrypts: whether it opens them.
        generates: whether it makes the data key where there is none.
        wraps: whether it wraps a data key that another keyring made.
        binds_context: whether a wrapped data key opens with its own encryption context only.
        detects_damage: whether altered wrapped data keys are sure not to open. RSA with PKCS#1 v1.5 padding opens some
            to random bytes.
        context: pairs that it needs in every encryption context, for instance to choose its key by.
        suites: those it is for; all by default.
        secrets: its wrapping keys, at least 8 bytes each, which must not be found in what it shows or pickles.
        threads: how many use one keyring at once.
        rules: the names of those to check, of :data:`KEYRING_RULES`; all by default.

    Raises:
        ContractViolation: a rule does not hold. It names the rule and says what to do.
        UsageError: the arguments cannot work: an unknown rule, no suite, or no counterpart to wrap for a keyring that
            only decrypts.
        Otherwise what ``make_keyring``, ``other`` or ``counterpart`` raises when it is first called.
    """
    if not (encrypts or decrypts):
        raise UsageError("a keyring that neither encrypts nor decrypts has nothing to check")
    if not encrypts and counterpart is None:
        raise UsageError("a keyring that only decrypts needs a counterpart, which wraps what it is to open")
    if encrypts and not (generates or wraps):
        raise UsageError("a keyring that encrypts makes data keys, wraps those of others, or both")
    chosen = tuple(AlgorithmSuite if suites is None else suites)
    if not chosen or threads < 1:
        raise UsageError("there is at least one suite and one thread")
    if context is not None and (taken := SAMPLE.keys() & context.keys()):
        raise UsageError(f"the suite itself uses the context keys {', '.join(sorted(map(repr, taken)))}")
    subject = KeyringSubject(
        make_keyring=make_keyring,
        other=other,
        counterpart=counterpart,
        encrypts=encrypts,
        decrypts=decrypts,
        generates=generates,
        wraps=wraps,
        binds_context=binds_context,
        detects_damage=detects_damage,
        context=EncryptionContext.of(context),
        suites=chosen,
        secrets=tuple(secrets),
        threads=threads,
    )
    must_be_makeable(make_keyring, other, counterpart)
    check_rules(_RULES, subject, rules)
