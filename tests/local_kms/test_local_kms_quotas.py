"""Request quotas, resource quotas and latency: what AWS's figures are, and what happens beyond them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.retries.standard import RetryContext, ThrottledRetryableChecker
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.limits import ResourceQuotas
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.quotas import Latency, LocalBuckets, RequestQuotas, Throttle, quota_names
from envelope_sdk.local_kms.quotas.figures import OPERATION_RATES, SYMMETRIC
from envelope_sdk.local_kms.store.sqlite import SqliteStore

THROTTLED = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."

Refused = Callable[..., Any]


@dataclass
class Ticks:
    """A monotonic clock that a test moves."""

    now: int = 10**12

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 10**9)


@dataclass
class Interrupting:
    """A clock that lets other threads go first, in the middle of whatever it is asked in."""

    clock: Ticks

    def __call__(self) -> int:
        time.sleep(0)
        return self.clock()


@dataclass
class Noting:
    """Buckets that never run empty, and say what was taken."""

    taken: list[tuple[str, float, float]] = field(default_factory=list)

    def take(self, name: str, rate: float, burst: float) -> bool:
        self.taken.append((name, rate, burst))
        return True


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@contextmanager
def limited(ticks: Ticks, rates: dict[str, float] | None = None, **settings: Any) -> Generator[LocalKms]:
    quotas = RequestQuotas(rates=rates or {}, buckets=LocalBuckets(ticks), **settings)
    with LocalKms.in_memory(quotas=quotas) as kms:
        yield kms


# --- buckets ---------------------------------------------------------------------------------------------------------


def _allowed(rate: int, burst: int, takes: list[int]) -> list[bool]:
    """The same in exact fractions, from the beginning for every take."""
    answers: list[bool] = []
    for count in range(1, len(takes) + 1):
        level, then = Fraction(burst), takes[0]
        for at, answered in zip(takes[:count], [*answers, None], strict=True):
            level = min(Fraction(burst), level + Fraction(at - then, 10**9) * rate)
            then = at
            if answered is None:
                answers.append(level >= 1)
            elif answered:
                level -= 1
    return answers


@given(
    st.integers(1, 200),
    st.integers(1, 50),
    st.lists(st.integers(0, 3 * 10**9) | st.just(0) | st.integers(0, 10**7), min_size=1, max_size=40),
)
def test_a_bucket_allows_what_exact_arithmetic_allows(rate: int, burst: int, pauses: list[int]) -> None:
    ticks = Ticks()
    buckets = LocalBuckets(ticks)
    takes: list[int] = []
    answers: list[bool] = []
    for pause in pauses:
        ticks.now += pause
        takes.append(ticks.now)
        answers.append(buckets.take("a", rate, burst))

    assert _allowed(rate, burst, takes) == answers


def test_buckets_of_different_names_do_not_share(ticks: Ticks) -> None:
    buckets = LocalBuckets(ticks)

    assert [buckets.take(name, 1, 1) for name in ("a", "b", "a", "b")] == [True, True, False, False]


def test_a_clock_that_goes_back_gives_no_tokens(ticks: Ticks) -> None:
    buckets = LocalBuckets(ticks)
    buckets.take("a", 1, 1)
    ticks.advance(-5)

    assert not buckets.take("a", 1, 1)


def test_threads_get_exactly_what_a_bucket_holds(ticks: Ticks) -> None:
    buckets = LocalBuckets(Interrupting(ticks))
    got: list[bool] = []

    def take() -> None:
        got.extend([buckets.take("a", 100, 100) for _ in range(50)])

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (sum(got), len(got)) == (100, 400)


def test_buckets_that_are_full_again_are_forgotten(ticks: Ticks) -> None:
    buckets = LocalBuckets(ticks)
    for number in range(20_000):
        buckets.take(str(number), 1000, 1000)
        ticks.advance(0.01)

    assert len(buckets) <= 4096


def test_buckets_in_use_are_never_forgotten(ticks: Ticks) -> None:
    buckets = LocalBuckets(ticks)
    for number in range(10_000):
        buckets.take(str(number), 1, 1)

    assert not any(buckets.take(str(number), 1, 1) for number in range(10_000))


# --- which quota -----------------------------------------------------------------------------------------------------


def test_every_operation_of_the_model_has_a_quota() -> None:
    names = botocore.session.get_session().get_service_model("kms").operation_names
    shared = {"Decapsulate", "Decrypt", "DeriveSharedSecret", "Encapsulate", "Encrypt", "GenerateDataKey"}
    shared |= {"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext"}
    shared |= {"GenerateMac", "GenerateRandom", "ReEncrypt", "Sign", "Verify", "VerifyMac"}

    assert set(names) <= set(OPERATION_RATES) | shared


def _kms_and_notes() -> tuple[LocalKms, Noting]:
    notes = Noting()
    return LocalKms.in_memory(quotas=RequestQuotas(buckets=notes)), notes


@pytest.mark.parametrize(
    ("spec", "usage", "call", "quota"),
    [
        (
            "SYMMETRIC_DEFAULT",
            None,
            ("generate_data_key", {"KeySpec": "AES_256"}),
            "Cryptographic operations (symmetric)",
        ),
        (
            "HMAC_256",
            "GENERATE_VERIFY_MAC",
            ("generate_mac", {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}),
            "Cryptographic operations (symmetric)",
        ),
        (
            "RSA_2048",
            "ENCRYPT_DECRYPT",
            ("encrypt", {"Plaintext": b"p", "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}),
            "Cryptographic operations (RSA)",
        ),
        (
            "ECC_NIST_P256",
            "SIGN_VERIFY",
            ("sign", {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}),
            "Cryptographic operations (ECC)",
        ),
    ],
)
def test_cryptography_counts_by_kind_of_key(
    spec: str, usage: str | None, call: tuple[str, dict[str, Any]], quota: str
) -> None:
    kms, notes = _kms_and_notes()
    key_id = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    getattr(kms, call[0])(KeyId=key_id, **call[1])

    assert ["CreateKey", quota] == [name.rpartition("/")[2] for name, _, _ in notes.taken]


def test_data_key_pairs_count_by_their_own_spec() -> None:
    kms, notes = _kms_and_notes()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256")
    kms.generate_data_key_pair_without_plaintext(KeyId=key_id, KeyPairSpec="RSA_2048")

    assert [(name.rpartition("/")[2], rate, burst) for name, rate, burst in notes.taken[1:]] == [
        ("GenerateDataKeyPair (ECC_NIST_P256)", 100, 100),
        ("GenerateDataKeyPair (RSA_2048)", 20, 20),
    ]


@pytest.mark.parametrize(
    "spec",
    ["RSA_1024", "x" * 10_000, 10**5000, None, b"RSA_2048"],
    ids=["unknown", "long", "number", "none", "bytes"],
)
def test_pairs_of_no_spec_count_like_other_calls(kms: LocalKms, spec: Any) -> None:
    kms, notes = _kms_and_notes()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    with pytest.raises(KmsServiceError):
        kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec=spec)

    assert notes.taken[-1][0].endswith("/Cryptographic operations (symmetric)")


def test_a_call_is_counted_once_though_it_uses_two_keys() -> None:
    kms, notes = _kms_and_notes()
    one, two = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    blob = kms.encrypt(KeyId=one, Plaintext=b"p")["CiphertextBlob"]
    del notes.taken[:]
    kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=two)

    assert len(notes.taken) == 1


@pytest.mark.parametrize(
    ("region", "rate"),
    [("us-east-1", 100_000), ("eu-central-1", 20_000), ("eu-south-1", 10_000), ("us-west-2", 100_000)],
)
def test_the_symmetric_quota_depends_on_the_region(region: str, rate: float) -> None:
    assert RequestQuotas().rate(SYMMETRIC, region) == rate


def test_names_of_quotas_do_not_mind_capitals() -> None:
    quotas = RequestQuotas(rates={"cryptographic operations (symmetric)": 100})

    assert quotas.rate(SYMMETRIC, "us-east-1") == 100


def test_scale_is_for_figures_that_are_not_given() -> None:
    quotas = RequestQuotas(rates={"createkey": 7}, scale=0.5)

    assert (quotas.rate("CreateKey", "us-east-1"), quotas.rate("CreateAlias", "us-east-1")) == (7, 2.5)


@pytest.mark.parametrize(
    "settings", [{"rates": {"MakeCoffee": 1}}, {"rates": {"CreateKey": 0}}, {"scale": 0}, {"scale": float("inf")}]
)
def test_settings_that_cannot_be_are_refused(settings: Any) -> None:
    with pytest.raises(UsageError, match="quota"):
        RequestQuotas(**settings)


def test_every_name_of_a_quota_is_taken() -> None:
    assert RequestQuotas(rates=dict.fromkeys(quota_names(), 1.0))


@pytest.mark.parametrize(
    ("operation", "parameter", "there"),
    [
        ("ReplicateKey", "ReplicaRegion", ["CreateKey", "CreateKey"]),
        ("UpdatePrimaryRegion", "PrimaryRegion", ["UpdatePrimaryRegion"]),
    ],
)
def test_what_reaches_into_another_region_counts_there_too(operation: str, parameter: str, there: list[str]) -> None:
    notes = Noting()
    requester = Requester(Scope("111122223333", "us-east-1"), Caller.parse("arn:aws:iam::111122223333:root"), "request")
    call: Any = SimpleNamespace(
        operation=operation, parameters={parameter: "eu-west-1"}, requester=requester, scope=requester.scope
    )
    Throttle(RequestQuotas(buckets=notes)).take(call, None)

    assert [name for name, _, _ in notes.taken] == [
        f"111122223333/us-east-1/{operation}",
        *(f"111122223333/eu-west-1/{name}" for name in there),
    ]


@pytest.mark.parametrize("region", ["x" * 33, "a\0b", "\ud800", "", "us-east-1/CreateKey"], ids=ascii)
def test_a_region_that_cannot_be_one_is_no_name_of_a_bucket(region: str) -> None:
    named: list[str] = []
    buckets = SimpleNamespace(take=lambda name, _rate, _burst: named.append(name) or True)
    with (
        LocalKms.in_memory(quotas=RequestQuotas(buckets=buckets)) as kms,
        pytest.raises(KmsServiceError, match=r"[Rr]eplicaRegion"),
    ):
        kms.replicate_key(KeyId="k", ReplicaRegion=region)

    assert named == [f"{kms.account}/{kms.region}/ReplicateKey"]


# --- throttling ------------------------------------------------------------------------------------------------------


def test_the_call_that_is_one_too_many_is_throttled_with_the_text_of_aws(ticks: Ticks, refused: Refused) -> None:
    with limited(ticks) as kms:
        for _ in range(5):
            kms.create_key()
        with refused("ThrottlingException", THROTTLED):
            kms.create_key()


def test_what_was_throttled_was_not_done(ticks: Ticks) -> None:
    with limited(ticks, {"CreateKey": 1}) as kms:
        kms.create_key()
        with pytest.raises(KmsServiceError):
            kms.create_key()

        assert len(kms.list_keys()["Keys"]) == 1


def test_a_change_is_counted_before_it_keeps_others_from_changing(
    store: SqliteStore, kms: LocalKms, key_id: str, refused: Refused
) -> None:
    class Never:
        def take(self, name: str, rate: float, burst: float) -> bool:
            with store.write():
                return False

    # In the middle of a change of its own, this thread could not have begun another.
    with LocalKms(store, quotas=RequestQuotas(buckets=Never())) as limited_kms, refused("ThrottlingException"):
        limited_kms.disable_key(KeyId=key_id)


def test_a_second_later_there_is_room_again(ticks: Ticks, refused: Refused) -> None:
    with limited(ticks, {SYMMETRIC: 2}) as kms:
        for _ in range(3):
            kms.generate_random(NumberOfBytes=1)
            kms.generate_random(NumberOfBytes=1)
            with refused("ThrottlingException"):
                kms.generate_random(NumberOfBytes=1)
            ticks.advance(1)


@pytest.mark.parametrize("name", ["encrypt", "describe_key", "disable_key"])
def test_calls_for_keys_that_do_not_exist_count(ticks: Ticks, refused: Refused, name: str) -> None:
    more = {"Plaintext": b"p"} if name == "encrypt" else {}
    with limited(ticks, {SYMMETRIC: 1, "DescribeKey": 1, "DisableKey": 1}) as kms:
        for outcome in ("NotFoundException", "ThrottlingException"):
            with refused(outcome):
                getattr(kms, name)(KeyId="00000000-0000-0000-0000-000000000000", **more)


def test_calls_with_wrong_parameters_count(ticks: Ticks, refused: Refused) -> None:
    with limited(ticks, {SYMMETRIC: 1}) as kms:
        for outcome in ("ValidationException", "ThrottlingException"):
            with refused(outcome):
                kms.generate_random(NumberOfBytes=5000)


def test_without_quotas_there_are_none(kms: LocalKms) -> None:
    assert len({kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(20)}) == 20


def test_accounts_and_regions_have_quotas_of_their_own(database: Path, refused: Refused, ticks: Ticks) -> None:
    quotas = RequestQuotas(rates={"ListKeys": 1}, buckets=LocalBuckets(ticks))
    for account, region in (
        ("111122223333", "us-east-1"),
        ("444455556666", "us-east-1"),
        ("111122223333", "eu-west-1"),
    ):
        with LocalKms.open(database, account=account, region=region, quotas=quotas) as kms:
            kms.list_keys()
            with refused("ThrottlingException"):
                kms.list_keys()


def _answer(status: int, body: bytes) -> AWSResponse:
    class Raw:
        def stream(self, **_: object) -> Generator[bytes]:
            yield body

    return AWSResponse("http://localhost", status, {"content-type": "application/x-amz-json-1.1"}, Raw())


def test_botocore_takes_it_for_throttling_and_sends_the_call_again() -> None:
    """The error as the wire carries it, twice, then an answer: the standard retry mode gets that answer."""
    session = botocore.session.get_session()
    config = Config(retries={"mode": "standard", "total_max_attempts": 3})
    credentials = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
    client = session.create_client("kms", region_name="us-east-1", config=config, **credentials)
    with limited(Ticks(), {"ListKeys": 1}) as kms:
        kms.list_keys()
        with pytest.raises(KmsServiceError) as caught:
            kms.list_keys()
    error = caught.value
    sent: list[object] = []

    def send(request: object, **_: object) -> AWSResponse:
        sent.append(request)
        if len(sent) < 3:
            body = f'{{"__type":"{error.code}","message":"{error.message}"}}'
            return _answer(error.status, body.encode())
        return _answer(200, b'{"Keys": [], "Truncated": false}')

    def again(response: tuple[AWSResponse, dict[str, Any]], attempts: int, operation: Any, **_: object) -> int | None:
        # botocore's own judgement, less the time it would wait.
        context = RetryContext(attempts, operation, response[1], response[0])
        return 0 if ThrottledRetryableChecker().is_retryable(context) else None

    client.meta.events.register("before-send.kms", send)
    client.meta.events.register_first("needs-retry.kms", again)

    assert (client.list_keys()["Keys"], len(sent)) == ([], 3)


# --- resource quotas -------------------------------------------------------------------------------------------------


def _with_limits(**limits: int) -> LocalKms:
    return LocalKms.in_memory(limits=ResourceQuotas(**limits))


def test_a_51st_alias_of_a_key_is_refused_with_the_text_of_aws(kms: LocalKms, key_id: str, refused: Refused) -> None:
    for number in range(50):
        kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=key_id)
    text = "Aliases per key quota for this account in this region is 50, current usage is 50."
    with refused("LimitExceededException", text):
        kms.create_alias(AliasName="alias/one-more", TargetKeyId=key_id)


def test_an_alias_is_not_moved_to_a_key_that_has_enough(refused: Refused) -> None:
    with _with_limits(aliases_per_key=1) as kms:
        one, two = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
        kms.create_alias(AliasName="alias/one", TargetKeyId=one)
        kms.create_alias(AliasName="alias/two", TargetKeyId=two)
        with refused("LimitExceededException"):
            kms.update_alias(AliasName="alias/one", TargetKeyId=two)
        kms.update_alias(AliasName="alias/one", TargetKeyId=one)


def test_there_are_no_more_keys_than_there_may_be(refused: Refused) -> None:
    with _with_limits(keys=2) as kms:
        kms.create_key()
        kms.schedule_key_deletion(KeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        with refused("LimitExceededException"):
            kms.create_key()


def test_a_policy_is_no_longer_than_it_may_be(refused: Refused) -> None:
    with _with_limits(policy_length=10) as kms, refused("LimitExceededException"):
        kms.create_key(Policy='{"a":      1}')


def test_there_are_no_more_tags_than_there_may_be(refused: Refused) -> None:
    with _with_limits(tags_per_key=1) as kms, refused("TagException", "Too many tags"):
        kms.create_key(Tags=[{"TagKey": name, "TagValue": ""} for name in "ab"])


@pytest.mark.parametrize("figure", [-1, 1.5, True])
def test_a_resource_quota_is_a_whole_number(figure: Any) -> None:
    with pytest.raises(UsageError, match="keys is"):
        ResourceQuotas(keys=figure)


# --- latency ---------------------------------------------------------------------------------------------------------


def test_every_call_takes_as_long_as_it_is_told_to() -> None:
    slept: list[float] = []
    with LocalKms.in_memory(latency=Latency(0.25, sleep=slept.append)) as kms:
        kms.create_key()
        with pytest.raises(KmsServiceError):
            kms.describe_key(KeyId="alias/none")

    assert slept == [0.25, 0.25]


def test_jitter_comes_on_top() -> None:
    spread = iter([0.0, 0.5, 1.0])
    latency = Latency(0.1, jitter=0.2, spread=lambda: next(spread))

    assert [0.1, 0.2, pytest.approx(0.3)] == [latency.draw() for _ in range(3)]


def test_jitter_stays_within_its_bounds() -> None:
    latency = Latency(0.1, jitter=0.2)

    assert all(0.1 <= latency.draw() <= 0.3 for _ in range(100))


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_latency_that_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="number of seconds"):
        Latency(seconds)
    with pytest.raises(UsageError, match="number of seconds"):
        Latency(0, jitter=seconds)
