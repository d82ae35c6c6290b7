"""Every constraint of the API's model, broken once: AWS's error, in AWS's words, and nothing done."""

from __future__ import annotations

from typing import Any

import pytest
from testkit import kms_constraints
from testkit.kms_constraints import MODEL, Violation, mistypes, normal, valid, violations

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.kinds import KEY_SPECS
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.service import OPERATIONS, Service

pytestmark = pytest.mark.skipif(
    "Encapsulate" not in MODEL.operation_names, reason="this botocore's model is older than the one followed here"
)

ROOT = Requester(Scope("000000000000", "us-east-1"), Caller.parse("arn:aws:iam::000000000000:root"), "request")
_KNOWN = [operation for operation in OPERATIONS if operation in MODEL.operation_names]


def _problems(text: str) -> list[str]:
    count, _, problems = text.partition(" detected: ")
    listed = problems.split("; ")
    assert count == f"{len(listed)} validation error{'' if len(listed) == 1 else 's'}"
    return sorted(normal(problem) for problem in listed)


@pytest.fixture
def service(store: Any) -> Service:
    return Service(store)


def _broken(service: Service, violation: Violation) -> tuple[str, str]:
    with pytest.raises(Exception, match="when calling") as caught:
        service.call(violation.operation, violation.parameters, ROOT)
    error: Any = caught.value
    return error.code, error.message


def _outcome(service: Service, operation: str, parameters: dict[str, Any]) -> str:
    try:
        service.call(operation, parameters, ROOT)
    except KmsServiceError as error:
        return str(error)
    return "done"


@pytest.mark.parametrize("operation", _KNOWN)
def test_each_constraint_is_checked_in_awss_words(service: Service, operation: str) -> None:
    differences = []
    for violation in violations(operation):
        code, text = _broken(service, violation)
        expected = sorted(normal(problem) for problem in violation.problems)
        if code != "ValidationException" or " detected: " not in text or _problems(text) != expected:
            differences.append((violation.name, code, text[:300], expected))

    assert differences == []


@pytest.mark.parametrize("operation", _KNOWN)
def test_each_type_is_checked(service: Service, operation: str) -> None:
    answers = {violation.name: _broken(service, violation)[0] for violation in mistypes(operation)}

    assert {name: code for name, code in answers.items() if code != "SerializationException"} == {}


@pytest.mark.parametrize("operation", _KNOWN)
def test_all_that_is_wrong_is_said_at_once(service: Service, operation: str) -> None:
    one_of_each: dict[str, Violation] = {}
    for violation in violations(operation):
        _, member, kind = violation.name.split(" ", 2)
        if kind != "missing":
            one_of_each[member] = violation
    parameters = valid(operation)
    problems: list[str] = []
    for member, violation in one_of_each.items():
        parameters[member] = violation.parameters[member]
        problems += violation.problems
    if len(problems) < 2:
        pytest.skip("one constraint at most")
    code, text = _broken(service, Violation(operation, operation, parameters, problems))

    assert (code, _problems(text)) == ("ValidationException", sorted(normal(problem) for problem in problems))


@pytest.mark.parametrize("operation", _KNOWN)
def test_what_breaks_no_constraint_passes_all_checks(service: Service, operation: str) -> None:
    outcome = _outcome(service, operation, valid(operation))

    assert " detected: " not in outcome
    assert "SerializationException" not in outcome


def test_the_walk_reaches_every_kind_of_constraint() -> None:
    texts = [text for operation in _KNOWN for violation in violations(operation) for text in violation.problems]
    for words in (
        "must not be null",
        "value less than",
        "value greater than",
        "length less than",
        "length greater than",
        "Member must satisfy enum value set",
        "Member must satisfy constraint: [Member must satisfy enum value set",
        "Member must satisfy constraint: [Member must have length",
        "regular expression pattern",
        "tags.1.member.tagKey",
        "xksProxyAuthenticationCredential.accessKeyId",
    ):
        assert any(words in text for text in texts), words
    assert len(texts) > 300


# --- texts recorded from AWS -----------------------------------------------------------------------------------------


def _text(kms: LocalKms, operation: str, **parameters: Any) -> str:
    with pytest.raises(Exception, match="when calling") as caught:
        kms._call(operation, **parameters)
    error: Any = caught.value
    assert error.code == "ValidationException"
    return error.message


_RECORDED: list[tuple[str, dict[str, Any], str]] = [
    (
        "GenerateRandom",
        {"NumberOfBytes": 0},
        "1 validation error detected: Value '0' at 'numberOfBytes' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1",
    ),
    (
        "GenerateRandom",
        {"NumberOfBytes": 1025},
        "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: "
        "Member must have value less than or equal to 1024",
    ),
    ("GenerateRandom", {}, "NumberOfBytes is required."),
    (
        "Encrypt",
        {"KeyId": "alias/none", "Plaintext": b"x" * 4097},
        "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: "
        "Member must have length less than or equal to 4096",
    ),
    (
        "GenerateMac",
        {"KeyId": "alias/none", "Message": b"x", "MacAlgorithm": "INVALID"},
        "1 validation error detected: Value 'INVALID' at 'macAlgorithm' failed to satisfy constraint: "
        "Member must satisfy enum value set: [HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512]",
    ),
    (
        "DeriveSharedSecret",
        {"KeyId": "alias/none", "PublicKey": b"x", "KeyAgreementAlgorithm": "INVALID"},
        "1 validation error detected: Value 'INVALID' at 'keyAgreementAlgorithm' failed to satisfy constraint: "
        "Member must satisfy enum value set: [ECDH]",
    ),
    (
        "CreateKey",
        {"KeySpec": "HMAC_256"},
        "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
    ),
    (
        "CreateAlias",
        {"AliasName": "name", "TargetKeyId": "x"},
        'Alias must start with the prefix "alias/". '
        "Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
    ),
]


@pytest.mark.parametrize(("operation", "parameters", "text"), _RECORDED, ids=[text[-60:] for *_, text in _RECORDED])
def test_a_text_is_as_recorded(kms: LocalKms, operation: str, parameters: dict[str, Any], text: str) -> None:
    assert _text(kms, operation, **parameters) == text


def test_key_specs_are_listed_in_the_order_recorded_and_newer_ones_after(kms: LocalKms) -> None:
    recorded = (
        "Member must satisfy enum value set: [RSA_2048, ECC_NIST_P384, ECC_NIST_P256, ECC_NIST_P521, HMAC_384, "
        "RSA_3072, ECC_SECG_P256K1, RSA_4096, SYMMETRIC_DEFAULT, HMAC_256, HMAC_224, HMAC_512, "
    )
    text = _text(kms, "CreateKey", KeySpec="HMAC_random")
    assert text.startswith(
        f"1 validation error detected: Value 'HMAC_random' at 'keySpec' failed to satisfy constraint: {recorded}"
    )
    assert text.endswith(f"{KEY_SPECS[-1]}]")


def test_key_usages_are_listed_in_the_order_recorded_and_newer_ones_after(kms: LocalKms) -> None:
    assert _text(kms, "CreateKey", KeyUsage="RANDOM") == (
        "1 validation error detected: Value 'RANDOM' at 'keyUsage' failed to satisfy constraint: Member must satisfy "
        "enum value set: [ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC, KEY_AGREEMENT, ENCAPSULATE_DECAPSULATE]"
    )


# --- which error an ARN of something else is ------------------------------------------------------------------------


@pytest.mark.parametrize("operation", _KNOWN)
def test_an_arn_of_something_else_is_invalid_where_the_model_has_that_error(service: Service, operation: str) -> None:
    shape = kms_constraints.input_of(operation)
    if "KeyId" not in shape.members or operation in ("ListGrants", "ListRetirableGrants", "RetireGrant"):
        pytest.skip("no key is named, or not only")
    modelled = {error.name for error in MODEL.operation_model(operation).error_shapes}
    parameters = valid(operation) | {"KeyId": "arn:aws:s3:::bucket"}
    code, text = _broken(service, Violation(operation, operation, parameters, []))

    assert text == "Invalid arn arn:aws:s3:::bucket"
    assert code == ("InvalidArnException" if "InvalidArnException" in modelled else "NotFoundException")
