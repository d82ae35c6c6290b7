"""LocalKms against botocore's model of AWS KMS, and against boto3 where an emulator answers it."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys
from datetime import datetime
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator
from moto import mock_aws
from testkit.kms_kinds import available, snake
from testkit.kms_scripts import shared_script, whole_script

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.service import OPERATIONS, Service

ROOT = Requester(Scope("000000000000", "us-east-1"), Caller.parse("arn:aws:iam::000000000000:root"), "request")
_MODEL = botocore.session.get_session().get_service_model("kms")


_needs_new_model = pytest.mark.skipif(
    "Encapsulate" not in _MODEL.operation_names, reason="this botocore's model is older than the one followed here"
)


def _operation(name: str) -> OperationModel:
    return _MODEL.operation_model(name)


@_needs_new_model
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_method_takes_every_parameter_of_the_model_and_no_other(operation: str) -> None:
    method = inspect.signature(getattr(LocalKms, snake(operation)))
    shape: Any = _operation(operation).input_shape
    parameters = {name: parameter for name, parameter in method.parameters.items() if name != "self"}
    assert set(parameters) == set(shape.members)
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters.values())


@_needs_new_model
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_method_requires_what_the_model_requires(operation: str) -> None:
    method = inspect.signature(getattr(LocalKms, snake(operation)))
    required = {name for name, parameter in method.parameters.items() if parameter.default is inspect.Parameter.empty}
    shape: Any = _operation(operation).input_shape
    assert required - {"self"} == set(shape.required_members)


@_needs_new_model
def test_the_script_calls_every_operation(kms: LocalKms) -> None:
    left_out = {operation for operation in OPERATIONS if "CustomKeyStore" in operation}
    if not available("ML_KEM_768"):
        left_out |= {"Encapsulate", "Decapsulate"}
    assert {operation for operation, _ in whole_script(kms)} == set(OPERATIONS) - left_out


def _problems(shape: Shape | None, value: dict[str, Any]) -> list[str]:
    if shape is None:
        return [f"{sorted(value)} answered, nothing modelled"] if value else []
    # botocore's validator knows types, lengths and ranges; enumerations and patterns it leaves to the service.
    report = ParamValidator().validate(value, shape)
    return [report.generate_report()] if report.has_errors() else _deep_problems(shape, value)


def _deep_problems(shape: Any, value: Any) -> list[str]:
    if shape.type_name == "structure":
        unknown = [f"{shape.name}.{name} is not modelled" for name in value if name not in shape.members]
        known = [(shape.members[name], item) for name, item in value.items() if name in shape.members]
        return unknown + [problem for member, item in known for problem in _deep_problems(member, item)]
    if shape.type_name == "list":
        return [problem for item in value for problem in _deep_problems(shape.member, item)]
    if shape.type_name == "string":
        allowed = shape.metadata.get("enum")
        pattern = shape.metadata.get("pattern")
        wrong = (allowed and value not in allowed) or (pattern and not re.search(pattern, value))
        return [f"{shape.name}: {value!r}"] if wrong else []
    if shape.type_name == "timestamp" and (not isinstance(value, datetime) or value.tzinfo is None):
        return [f"{shape.name} is no tz-aware time"]
    return []


@_needs_new_model
def test_every_answer_fits_the_model(kms: LocalKms) -> None:
    for operation, answer in whole_script(kms):
        metadata = answer.pop("ResponseMetadata")
        assert metadata["HTTPStatusCode"] == 200
        assert _problems(_operation(operation).output_shape, answer) == []


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _types(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_types(value[0])] if value else []
    return type(value).__name__


# The emulator answers it, empty, for every key; AWS for keys that sign.
_ONLY_THERE = {"SigningAlgorithms"}


def _missing(theirs: Any, ours: Any, where: str) -> list[str]:
    """Return what they answer and we do not, or as something else. What only we answer, the model vouches for."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        names = sorted(set(theirs) - _ONLY_THERE)
        return [text for name in names for text in _missing(theirs[name], ours.get(name), f"{where}.{name}")]
    if isinstance(theirs, list) and isinstance(ours, list):
        return _missing(theirs[0], ours[0], where) if theirs and ours else []
    return [] if theirs == ours else [f"{where}: {theirs} there, {ours} here"]


@pytest.mark.slow
def test_boto3_under_moto_gets_answers_like_these(kms: LocalKms, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("kms", region_name="us-east-1")
        theirs = [(operation, _types(answer)) for operation, answer in shared_script(client)]
    ours = [(operation, _types(answer)) for operation, answer in shared_script(kms)]
    differences: list[str] = []
    for (operation, their_answer), (_, our_answer) in zip(theirs, ours, strict=True):
        del their_answer["ResponseMetadata"], our_answer["ResponseMetadata"]
        differences += _missing(their_answer, our_answer, operation)
    assert differences == []


def test_an_unknown_operation_is_refused(store: Any, refused: Any) -> None:
    with refused("UnknownOperationException", ""):
        Service(store).call("MakeCoffee", {}, ROOT)


def test_an_unknown_parameter_is_refused(store: Any, refused: Any) -> None:
    with refused("UnsupportedOperationException", "Sugar is not supported by the local KMS."):
        Service(store).call("ListKeys", {"Sugar": True}, ROOT)


def test_importing_the_local_kms_imports_no_boto3() -> None:
    code = "import sys, envelope_sdk.local_kms; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("dump", [pickle.dumps])
def test_it_is_not_pickled(kms: LocalKms, dump: Any) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        dump(kms)


def test_its_repr_shows_where_it_is_and_no_secret(kms: LocalKms) -> None:
    assert repr(kms) == "LocalKms(Service(SqliteStore(':memory:')), region='us-east-1', account='000000000000')"
