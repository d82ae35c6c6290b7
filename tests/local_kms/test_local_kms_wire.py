"""AWS JSON 1.1, against botocore's model, serializer and parser."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.members import BLOBS, INPUTS, TIMESTAMPS
from envelope_sdk.local_kms.wire import CONTENT_TYPE, operation_of, read_parameters, write_answer, write_error

_MODEL = botocore.session.get_session().get_service_model("kms")
_NAMES = sorted(INPUTS)

_needs_new_model = pytest.mark.skipif(
    "Encapsulate" not in _MODEL.operation_names, reason="this botocore's model is older than the one followed here"
)
_operations = pytest.mark.parametrize("operation", [name for name in _NAMES if name in _MODEL.operation_names])


def _refusal(operation: str, body: bytes) -> str:
    with pytest.raises(KmsServiceError) as caught:
        read_parameters(operation, body)
    assert caught.value.code == "SerializationException"
    return str(caught.value.message)


# --- the table -------------------------------------------------------------------------------------------------------


@_needs_new_model
def test_the_table_has_every_operation_of_the_model() -> None:
    assert set(INPUTS) == set(_MODEL.operation_names)


@_needs_new_model
@_operations
def test_the_table_names_the_parameters_of_an_operation(operation: str) -> None:
    shape: Any = _MODEL.operation_model(operation).input_shape
    assert INPUTS[operation] == set(shape.members)


@_operations
def test_the_table_says_which_parameters_are_bytes_and_times(operation: str) -> None:
    if operation not in _MODEL.operation_names:
        pytest.skip("this botocore's model is older than the one followed here")
    shape: Any = _MODEL.operation_model(operation).input_shape

    # Only in Recipient are there any within others.
    found = dict(_leaves(shape, within=("Recipient",)))

    assert {name for name, kind in found.items() if kind == "blob"} == set(found) & BLOBS
    assert {name for name, kind in found.items() if kind == "timestamp"} == set(found) & TIMESTAMPS


def _leaves(shape: Any, within: tuple[str, ...]) -> Any:
    for name, member in shape.members.items():
        if member.type_name == "structure" and name in within:
            yield from _leaves(member, within)
        else:
            assert not _holds_bytes_or_times(member) or member.type_name in ("blob", "timestamp")
            yield name, member.type_name


def _holds_bytes_or_times(shape: Any) -> bool:
    inner = {"structure": lambda: shape.members.values(), "list": lambda: [shape.member], "map": lambda: [shape.value]}
    if shape.type_name in inner:
        return any(_holds_bytes_or_times(member) for member in inner[shape.type_name]())
    return shape.type_name in ("blob", "timestamp")


# --- requests --------------------------------------------------------------------------------------------------------


_TIME = datetime(2027, 3, 4, 5, 6, 7, tzinfo=UTC)


def _example(shape: Any, depth: int = 0) -> Any:
    """Return a value of a shape with every member in it."""
    if shape.type_name == "structure":
        return {name: _example(member, depth + 1) for name, member in shape.members.items()} if depth < 6 else {}
    if shape.type_name == "list":
        return [_example(shape.member, depth + 1)]
    if shape.type_name == "map":
        return {"é": _example(shape.value, depth + 1)}
    least = shape.metadata.get("min", 1)
    values = {"blob": b"\x00\xff>?", "timestamp": _TIME, "boolean": True, "integer": least, "long": least}
    return values.get(shape.type_name, "\N{SNOWMAN}" * least)


@_operations
def test_what_botocore_sends_is_read_as_it_was_given(operation: str) -> None:
    model = _MODEL.operation_model(operation)
    given = _example(model.input_shape)
    sent = create_serializer("json").serialize_to_request(given, model)

    read = read_parameters(operation_of(sent["headers"]["X-Amz-Target"], CONTENT_TYPE), sent["body"])

    assert read == given


@_operations
def test_what_is_answered_is_read_by_botocore_as_it_was_meant(operation: str) -> None:
    shape = _MODEL.operation_model(operation).output_shape
    answer = _example(shape) if shape is not None else {}
    response = {"status_code": 200, "headers": {}, "body": write_answer(answer)}

    read = create_parser("json").parse(response, shape)

    assert {name: value for name, value in read.items() if name != "ResponseMetadata"} == answer


@given(st.binary(max_size=200))
def test_bytes_go_both_ways(data: bytes) -> None:
    body = write_answer({"Plaintext": data})
    assert read_parameters("Encrypt", body) == {"Plaintext": data}


@given(st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 30)))
def test_times_go_both_ways_to_the_millisecond(time: datetime) -> None:
    time = time.replace(tzinfo=UTC, microsecond=time.microsecond // 1000 * 1000)
    assert read_parameters("ImportKeyMaterial", write_answer({"ValidTo": time})) == {"ValidTo": time}


def test_times_are_answered_in_seconds_with_milliseconds() -> None:
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1_700_000_000, milliseconds=123)
    assert write_answer({"DeletionDate": time}) == b'{"DeletionDate":1700000000.123}'


def test_an_answer_without_members_has_no_body() -> None:
    assert write_answer({}) == b""


def test_a_request_without_a_body_has_no_parameters() -> None:
    assert read_parameters("ListKeys", b"") == {}


def test_members_that_the_model_does_not_have_are_ignored() -> None:
    assert read_parameters("DescribeKey", b'{"KeyId":"x","Invented":1,"Plaintext":7}') == {"KeyId": "x"}


def test_null_is_a_parameter_left_out() -> None:
    body = b'{"Plaintext":null,"KeyId":null}'
    assert read_parameters("Encrypt", body) == {"Plaintext": None, "KeyId": None}
    assert read_parameters("ImportKeyMaterial", b'{"ValidTo":null}') == {"ValidTo": None}


_HOSTILE = {
    "no JSON": b"KeyId=x",
    "a list": b"[]",
    "null": b"null",
    "a string": b'"x"',
    "cut off": b'{"KeyId":"x"',
    "two values": b"{}{}",
    "not UTF-8": b'{"KeyId":"\xff"}',
    "UTF-16": '{"KeyId":"x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a member twice": b'{"KeyId":"x","KeyId":"y"}',
    "a context key twice": b'{"EncryptionContext":{"a":"1","a":"2"}}',
    "NaN": b'{"KeyId":NaN}',
    "Infinity": b'{"KeyId":-Infinity}',
    "lists within lists": b'{"KeyId":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "objects within objects": b'{"a":' * 100_000,
    "a number of many digits": b'{"Limit":' + b"9" * 10_000 + b"}",
    "a control character": b'{"KeyId":"\x00"}',
    "bytes that are a number": b'{"Plaintext":7}',
    "bytes that are a list": b'{"Plaintext":["eA=="]}',
    "bytes within a structure": b'{"Recipient":{"AttestationDocument":1}}',
}


@pytest.mark.parametrize("body", _HOSTILE.values(), ids=_HOSTILE)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    operation = "Decrypt" if b"Recipient" in body else "Encrypt"
    assert _refusal(operation, body)


@pytest.mark.parametrize("text", ["eA", "eA=", "eA==\n", "e A==", "eA==eA==", "=eA=", "é", "eA-_", "*"])
def test_base64_is_taken_strictly(text: str) -> None:
    assert _refusal("Encrypt", json.dumps({"Plaintext": text}).encode()) == "Plaintext has to be base64."


@pytest.mark.parametrize("value", ["1e400", "1e18", "-1e18", "true", '"2027-01-01"', "[1]"])
def test_a_time_that_is_none_is_refused(value: str) -> None:
    assert "ValidTo" in _refusal("ImportKeyMaterial", b'{"ValidTo":' + value.encode() + b"}")


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    secret = base64.b64encode(b"the secret itself").decode()
    assert secret not in _refusal("Encrypt", f'{{"Plaintext":"{secret}!"}}'.encode())
    assert secret not in _refusal("Encrypt", f'{{"Plaintext":"{secret}"'.encode())


@given(st.binary(max_size=100))
def test_whatever_the_body_only_a_refusal_leaves(body: bytes) -> None:
    try:
        read_parameters("Encrypt", body)
    except KmsServiceError as error:
        assert error.code == "SerializationException"  # noqa: PT017 - the other way is to be read


@pytest.mark.parametrize("kind", [CONTENT_TYPE, "Application/X-Amz-Json-1.1; charset=utf-8"])
def test_the_target_names_the_operation(kind: str) -> None:
    assert operation_of("TrentService.Encrypt", kind) == "Encrypt"


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (None, CONTENT_TYPE),
        ("Encrypt", CONTENT_TYPE),
        ("DynamoDB_20120810.Encrypt", CONTENT_TYPE),
        ("TrentService.Encrypt", None),
        ("TrentService.Encrypt", "application/json"),
        ("TrentService.Encrypt", "application/x-amz-json-1.0"),
    ],
)
def test_what_names_no_operation_of_kms_is_an_unknown_operation(target: str | None, kind: str | None) -> None:
    with pytest.raises(KmsServiceError) as caught:
        operation_of(target, kind)
    assert caught.value.code == "UnknownOperationException"


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (
            faults.not_found("Alias x is not found."),
            b'{"__type":"NotFoundException","message":"Alias x is not found."}',
        ),
        (faults.invalid_ciphertext(), b'{"__type":"InvalidCiphertextException"}'),
        (KmsServiceError("AccessDeniedException", "no"), b'{"__type":"AccessDeniedException","Message":"no"}'),
    ],
)
def test_an_error_is_written_as_by_aws(error: KmsServiceError, body: bytes) -> None:
    assert write_error(error) == body


@pytest.mark.parametrize("error", [faults.not_found("é"), faults.unsupported("x"), faults.invalid_mac()])
def test_botocore_reads_code_and_text_of_an_error(error: KmsServiceError) -> None:
    response = {"status_code": error.status, "headers": {}, "body": write_error(error)}
    shape = _MODEL.operation_model("Encrypt").output_shape

    read = create_parser("json").parse(response, shape)["Error"]

    assert read == {"Code": error.code, "Message": error.message} | ({} if error.message else {"Message": ""})
