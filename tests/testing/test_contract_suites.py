"""The suites themselves: what they take, what they raise, and that they leave everything as it was."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import warnings
from typing import Any

import pytest
from testkit.contracts import KEYRINGS, aes, rsa_private

from envelope_sdk import AlgorithmSuite
from envelope_sdk.errors import UsageError
from envelope_sdk.managers import DefaultMaterialsManager
from envelope_sdk.testing import KEYRING_RULES, MANAGER_RULES, ContractViolation, check_keyring, check_manager
from envelope_sdk.testing.leaks import find_secret, watched

SECRET = bytes(range(0x30, 0x50))


class NoKeyring:
    pass


class Shows:
    """A keyring whose repr is what it is told."""

    def __init__(self, shown: str) -> None:
        self._keyring = aes()
        self._shown = shown

    def __repr__(self) -> str:
        return self._shown

    def on_encrypt(self, materials: Any) -> Any:
        return self._keyring.on_encrypt(materials)

    def on_decrypt(self, materials: Any, encrypted_data_keys: Any) -> Any:
        return self._keyring.on_decrypt(materials, encrypted_data_keys)


def violation(**arguments: Any) -> ContractViolation:
    with pytest.raises(ContractViolation) as found:
        check_keyring(**arguments)
    return found.value


# --- what is raised --------------------------------------------------------------------------------------------------


def test_a_violation_is_an_assertion_error_that_names_the_rule_and_says_what_to_do():
    error = violation(make_keyring=NoKeyring)

    assert isinstance(error, AssertionError)
    assert error.rule == "is-a-keyring"
    assert str(error) == f"the rule 'is-a-keyring' does not hold: {error.found}\n{error.advice}"
    assert error.found == "NoKeyring lacks on_encrypt or on_decrypt"
    assert "envelope_sdk.materials.Keyring" in error.advice


def test_a_violation_passes_between_processes():
    error = violation(make_keyring=NoKeyring)

    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again), again.rule) == (ContractViolation, str(error), error.rule)


def test_an_exception_that_no_rule_expects_is_a_violation_with_that_exception_as_its_cause():
    class Fails(Shows):
        def on_encrypt(self, materials: Any) -> Any:
            raise ZeroDivisionError("by chance")

    error = violation(make_keyring=lambda: Fails(""), rules=["round-trip"])

    assert error.found == "ZeroDivisionError was raised: by chance"
    assert isinstance(error.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("maker", ["make_keyring", "other", "counterpart"])
def test_what_a_maker_raises_is_no_violation(maker: str):
    def fail() -> Any:
        raise OSError("no such device")

    with pytest.raises(OSError, match="no such device"):
        check_keyring(**{"make_keyring": aes, maker: fail})


def test_the_first_rule_that_does_not_hold_is_the_one_that_is_raised():
    assert violation(make_keyring=NoKeyring, rules=reversed(KEYRING_RULES)).rule == KEYRING_RULES[0]


def test_a_violation_does_not_repeat_the_secret_that_it_found():
    error = violation(make_keyring=lambda: Shows(SECRET.hex()), secrets=[SECRET], rules=["no-secrets-shown"])

    assert SECRET.hex() not in str(error)


# --- what they take --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [KEYRING_RULES, MANAGER_RULES], ids=["keyrings", "managers"])
def test_rules_have_names_of_their_own(rules: tuple[str, ...]):
    assert len(set(rules)) == len(rules)
    assert all(name == name.lower() and " " not in name for name in rules)


def test_a_rule_that_there_is_not_is_a_mistake_of_the_caller():
    with pytest.raises(UsageError, match=r"no rules round_trip; there are is-a-keyring"):
        check_keyring(aes, rules=["round_trip"])
    with pytest.raises(UsageError, match="no rules data-key-length"):
        check_manager(lambda: DefaultMaterialsManager(aes()), rules=["data-key-length"])


def test_no_rules_check_nothing():
    check_keyring(NoKeyring, rules=[])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        {"encrypts": False},
        {"encrypts": False, "decrypts": False},
        {"generates": False, "wraps": False},
        {"suites": []},
        {"threads": 0},
        {"context": {"tenant": "acme", "sample tenant": "acme"}},
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_arguments_that_cannot_work_are_a_mistake_of_the_caller(arguments: dict[str, Any]):
    with pytest.raises(UsageError):
        check_keyring(aes, **arguments)


@pytest.mark.parametrize(
    "arguments", [{"suites": ()}, {"threads": 0}, {"context": {"größe": "1"}}, {"required_keys": ["größe"]}]
)
def test_arguments_that_cannot_work_for_managers_are_one_too(arguments: dict[str, Any]):
    with pytest.raises(UsageError):
        check_manager(lambda: DefaultMaterialsManager(aes()), **arguments)


def test_one_call_checks_all_rules():
    check_keyring(**KEYRINGS["raw-aes-256"])
    check_manager(lambda: DefaultMaterialsManager(aes()))


def test_a_suite_may_be_one_of_few():
    check_keyring(aes, suites=[AlgorithmSuite.AES_128_GCM_IV12_TAG16])


def test_one_thread_is_enough():
    check_keyring(aes, threads=1, rules=["thread-safe"])


def test_a_keyring_for_decryption_cannot_do_more_than_it_is_said_to():
    with pytest.raises(ContractViolation) as found:
        check_keyring(aes, counterpart=aes, encrypts=False)

    assert found.value.rule == "says-what-it-cannot"


def test_a_keyring_said_to_decrypt_has_to():
    with pytest.raises(ContractViolation):
        check_keyring(lambda: DecryptsNothing(""))


class DecryptsNothing(Shows):
    def on_decrypt(self, materials: Any, encrypted_data_keys: Any) -> Any:
        return rsa_private().on_decrypt(materials, ())


# --- looking for secrets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        repr(SECRET),
        str(list(SECRET)),
        str(tuple(SECRET)),
        str(int.from_bytes(SECRET, "big")),
        SECRET.decode("latin-1"),
        "MDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk8=",
        "MDEyMzQ1Njc4OTo7PD0-P0BBQkNERUZHSElKS0xNTk8",
        "eDAxMjM0NTY3ODk6Ozw9Pj9AQUJDREVGR0hJSktMTU5Peg==",
        "eHgwMTIzNDU2Nzg5Ojs8PT4/QEFCQ0RFRkdISUpLTE1OT3p6",
    ],
)
def test_a_secret_is_found_in_the_usual_forms(shown: str):
    error = violation(make_keyring=lambda: Shows(f"Shows({shown})"), secrets=[SECRET], rules=["no-secrets-shown"])

    assert error.rule == "no-secrets-shown"


def test_what_is_no_secret_is_not_taken_for_one():
    shown = f"Shows({SECRET[:16].hex()}, {bytes(32).hex()})"

    check_keyring(lambda: Shows(shown), secrets=[SECRET, b"short", b""], rules=["no-secrets-shown"])


def test_a_secret_is_found_in_bytes_too():
    assert find_secret(b"pickle of " + SECRET, [SECRET]) == "as it is"
    assert find_secret(b"pickle of " + SECRET.hex().encode(), [SECRET]) == "as hexadecimal digits"
    assert find_secret(b"pickle of nothing", [SECRET]) is None


# --- what they leave -------------------------------------------------------------------------------------------------


def test_they_need_no_test_framework():
    program = "import sys, envelope_sdk.testing; print('pytest' in sys.modules, 'unittest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]


def test_logging_printing_and_the_turns_of_threads_are_as_before():
    root = logging.getLogger()
    before = (root.level, list(root.handlers), sys.getswitchinterval(), sys.stdout, sys.stderr, list(warnings.filters))

    check_keyring(aes, rules=["no-secrets-shown", "thread-safe"])

    after = (root.level, list(root.handlers), sys.getswitchinterval(), sys.stdout, sys.stderr, list(warnings.filters))
    assert before == after


def test_what_is_logged_printed_or_warned_of_is_seen_and_clients_that_write_down_answers_are_not():
    with watched() as seen:
        logging.getLogger("some.keyring").debug("from %s", "a log")
        logging.getLogger("botocore.parsers").debug("an answer")
        print("from a print")  # noqa: T201 - what is looked for
        warnings.warn("from a warning", stacklevel=1)

    assert "from a log" in seen
    assert {"from a print\n", "from a warning"} <= set(seen)
    assert "an answer" not in seen
