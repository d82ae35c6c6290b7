"""Where calls go, and who counts them there."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError
from testkit.bench_rows import UNCACHED, row
from testkit.kms_http import client

from envelope_sdk.bench.counting import CountedKms, SentRequests
from envelope_sdk.bench.result import IN_PROCESS, MOTO, SERVED, Scenario
from envelope_sdk.bench.services import KmsService, parse_metrics
from envelope_sdk.bench.tally import Calls
from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms


def scenario(**changed: Any) -> Scenario:
    return row(UNCACHED, latency_seconds=0.0, **changed).scenario


def test_what_prometheus_is_told_is_read() -> None:
    text = """# HELP envelope_kms_requests_total Requests answered.
# TYPE envelope_kms_requests_total counter
envelope_kms_requests_total{operation="GenerateDataKey",outcome="ok"} 12.0
envelope_kms_requests_total{operation="GenerateDataKey",outcome="ThrottlingException"} 3.0
envelope_kms_requests_total{operation="Decrypt",outcome="InvalidCiphertextException"} 1.0
envelope_kms_requests_created{operation="Decrypt",outcome="ok"} 1.7e+09
envelope_kms_request_seconds_count{operation="Decrypt"} 99.0
"""

    assert Calls(Counter(GenerateDataKey=15, Decrypt=1), Counter(GenerateDataKey=3)) == parse_metrics(text)


def test_in_process_there_is_no_service_to_start() -> None:
    with KmsService(scenario(kms=IN_PROCESS)) as service:
        assert (service.url, service.calls(), service.cpu_seconds()) == ("", None, None)


@pytest.mark.slow
def test_a_served_kms_counts_and_throttles_as_it_is_told() -> None:
    with KmsService(scenario(kms=SERVED, quota=2.0)) as service:
        kms = client(service.url)
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        before = service.calls()
        refused = [_refusal(kms, key_id) for _ in range(20)]
        after = service.calls()

    assert before is not None
    assert after is not None
    throttled = refused.count("ThrottlingException")
    assert throttled >= 1
    assert set(refused) == {"", "ThrottlingException"}
    assert after.since(before) == Calls(Counter(GenerateDataKey=20), Counter(GenerateDataKey=throttled))


def _refusal(kms: Any, key_id: str) -> str:
    try:
        kms.generate_data_key(KeyId=key_id, NumberOfBytes=32)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.mark.slow
def test_motos_server_does_not_count() -> None:
    pytest.importorskip("flask")
    with KmsService(scenario(kms=MOTO, quota=None)) as service:
        assert client(service.url).list_keys()["Keys"] == []
        assert service.calls() is None


@pytest.mark.slow
def test_requests_are_counted_as_they_leave_and_as_they_are_repeated() -> None:
    """Both are counts of botocore's, made apart: of three requests for a call that is throttled, two are repeated."""
    with LocalKms.in_memory() as kms:
        made = kms.boto3_client()
        key_id = made.create_key()["KeyMetadata"]["KeyId"]
        sent = SentRequests(made)
        made.meta.events.register_first("before-send.kms.GenerateDataKey", _Throttling(2))

        made.generate_data_key(KeyId=key_id, NumberOfBytes=32)
        with suppress(ClientError):
            made.decrypt(CiphertextBlob=b"x")

    requests, retries = sent.counts()
    assert requests == Counter(GenerateDataKey=3, Decrypt=1)
    assert retries == Counter(GenerateDataKey=2)


class _Throttling:
    """Answers the first requests in the KMS's stead: they are too many."""

    def __init__(self, answers: int) -> None:
        self._left = answers

    def __call__(self, request: Any, **_: object) -> Any:
        from botocore.awsrequest import AWSResponse

        if not self._left:
            return None
        self._left -= 1
        body = b'{"__type": "ThrottlingException", "message": "slow down"}'
        headers: Any = {"x-amzn-errortype": "ThrottlingException"}
        return AWSResponse(request.url, 400, headers, _Body(body))


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, *_: object, **__: object) -> Any:
        yield self._data


def test_a_kms_in_process_counts_what_it_refuses() -> None:
    with LocalKms.in_memory() as kms:
        counted = CountedKms(kms)
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        made = counted.generate_data_key(KeyId=key_id, NumberOfBytes=32)
        assert counted.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
        with pytest.raises(KmsServiceError):
            counted.decrypt(CiphertextBlob=b"nothing")
        counted.encrypt(KeyId=key_id, Plaintext=b"x")
        wrapped = counted.generate_data_key_without_plaintext(KeyId=key_id, NumberOfBytes=32)["CiphertextBlob"]
        counted.re_encrypt(CiphertextBlob=wrapped, DestinationKeyId=key_id)

    names = Counter(GenerateDataKey=1, Decrypt=2, Encrypt=1, GenerateDataKeyWithoutPlaintext=1, ReEncrypt=1)
    assert counted.calls().by_operation == names
    assert counted.calls().throttles.total() == 0
