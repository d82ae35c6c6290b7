"""What a failing KMS means to the caller: try again, ask for access, or neither; seen through the whole client."""

from __future__ import annotations

import pickle

import botocore.exceptions
import botocore.session
import pytest
from botocore.stub import Stubber

from envelope_sdk import Client
from envelope_sdk.errors import (
    KmsAccessError,
    KmsError,
    KmsServiceError,
    KmsUnavailableError,
    NoMatchingKeyError,
)
from envelope_sdk.keyrings import KmsKeyring, MultiKeyring, RawAesKeyring

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000000"
PLAINTEXT = b"plaintext"
DATA_KEY = bytes(32)

TEMPORARY = [
    ("DependencyTimeoutException", 503),
    ("KMSInternalException", 500),
    ("KeyUnavailableException", 500),
    ("ThrottlingException", 400),
    ("Throttling", 400),
    ("RequestLimitExceeded", 503),
    ("ServiceUnavailable", 503),
    ("InternalFailure", 500),
    ("SomethingNew", 500),
    ("SomethingNew", 429),
]
REFUSED = [
    ("AccessDeniedException", 400),
    ("DisabledException", 409),
    ("KMSInvalidStateException", 409),
    ("NotFoundException", 400),
    ("ExpiredTokenException", 400),
    ("UnrecognizedClientException", 400),
    ("InvalidGrantTokenException", 400),
    ("OptInRequired", 403),
]
OTHERWISE = [
    ("InvalidCiphertextException", 400),
    ("IncorrectKeyException", 400),
    ("InvalidKeyUsageException", 400),
    ("ValidationException", 400),
    ("SomethingNew", 400),
]

UNREACHABLE = [
    botocore.exceptions.ReadTimeoutError(endpoint_url="https://kms.example"),
    botocore.exceptions.ConnectTimeoutError(endpoint_url="https://kms.example"),
    botocore.exceptions.EndpointConnectionError(endpoint_url="https://kms.example"),
    botocore.exceptions.ConnectionClosedError(endpoint_url="https://kms.example"),
    botocore.exceptions.ProxyConnectionError(proxy_url="https://proxy.example", error="refused"),
    botocore.exceptions.SSLError(endpoint_url="https://kms.example", error="handshake"),
    botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    botocore.exceptions.HTTPClientError(error="broken"),
    TimeoutError("timed out"),
    ConnectionResetError("reset"),
]
NO_CREDENTIALS = [
    botocore.exceptions.NoCredentialsError(),
    botocore.exceptions.PartialCredentialsError(provider="env", cred_var="secret"),
    botocore.exceptions.CredentialRetrievalError(provider="sso", error_msg="expired"),
    botocore.exceptions.TokenRetrievalError(provider="sso", error_msg="expired"),
    botocore.exceptions.UnauthorizedSSOTokenError(),
    botocore.exceptions.SSOTokenLoadError(error_msg="no token"),
]
MISCONFIGURED = [
    botocore.exceptions.NoRegionError(),
    botocore.exceptions.ParamValidationError(report="KeyId is too long"),
    botocore.exceptions.UnknownServiceError(service_name="kms", known_service_names="s3"),
    botocore.exceptions.ProfileNotFound(profile="missing"),
]


class Failing:
    """A KMS whose every call raises ``error``, or answers where there is none."""

    def __init__(self, error=None, key=KEY):
        self.error = error
        self._key = key

    def _answer(self, **answer):
        if self.error is not None:
            raise self.error
        return answer | {"KeyId": self._key}

    def generate_data_key(self, **parameters):
        return self._answer(Plaintext=DATA_KEY, CiphertextBlob=b"blob")

    def encrypt(self, **parameters):
        return self._answer(CiphertextBlob=b"blob")

    def decrypt(self, **parameters):
        return self._answer(Plaintext=DATA_KEY)


def client_error(code, status, operation="Decrypt"):
    response = {"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(response, operation)


@pytest.fixture
def message():
    return Client(KmsKeyring(Failing(), KEY)).encrypt(PLAINTEXT).ciphertext


def encrypting_raises(error):
    with pytest.raises(KmsError) as caught:
        Client(KmsKeyring(Failing(error), KEY)).encrypt(PLAINTEXT)
    assert caught.value.operation == "GenerateDataKey"
    assert caught.value.__cause__ is error
    return caught.value


def named(errors):
    return pytest.mark.parametrize("error", errors, ids=lambda error: type(error).__name__)


# --- encrypting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "status"), TEMPORARY)
def test_encrypting_says_where_trying_again_may_help(code, status):
    error = encrypting_raises(client_error(code, status))

    assert type(error) is KmsUnavailableError
    assert error.retryable
    assert error.code == code
    assert str(error) == f"KMS GenerateDataKey answered {code}: because (asked for {KEY})"


@pytest.mark.parametrize(("code", "status"), REFUSED)
def test_encrypting_says_where_access_is_refused(code, status):
    error = encrypting_raises(client_error(code, status))

    assert type(error) is KmsAccessError
    assert not error.retryable
    assert error.code == code


@pytest.mark.parametrize(("code", "status"), OTHERWISE)
def test_encrypting_passes_other_answers_on(code, status):
    error = encrypting_raises(client_error(code, status))

    assert type(error) is KmsError
    assert not error.retryable
    assert error.code == code


@named(UNREACHABLE)
def test_a_service_that_cannot_be_reached_may_be_tried_again(error):
    raised = encrypting_raises(error)

    assert type(raised) is KmsUnavailableError
    assert raised.code == type(error).__name__
    assert str(error) in str(raised)


@named(NO_CREDENTIALS)
def test_missing_credentials_are_a_matter_of_access(error):
    raised = encrypting_raises(error)

    assert type(raised) is KmsAccessError
    assert raised.code == type(error).__name__


@named(MISCONFIGURED)
def test_a_client_that_is_set_up_wrongly_is_not_worth_a_retry(error):
    raised = encrypting_raises(error)

    assert type(raised) is KmsError
    assert not raised.retryable


def test_an_error_without_details_is_still_an_error_of_the_service():
    error = botocore.exceptions.ClientError({}, "GenerateDataKey")

    assert encrypting_raises(error).code == "Unknown"


def test_the_local_kms_s_errors_mean_the_same():
    error = encrypting_raises(KmsServiceError("DisabledException", "is disabled", operation="GenerateDataKey"))

    assert type(error) is KmsAccessError
    assert error.code == "DisabledException"


def test_one_failing_child_fails_the_encryption():
    raw = RawAesKeyring("test", "key-1", bytes(32))
    keyring = MultiKeyring(raw, [KmsKeyring(Failing(client_error("ThrottlingException", 400)), KEY)])
    with pytest.raises(KmsUnavailableError) as caught:
        Client(keyring).encrypt(PLAINTEXT)
    assert caught.value.operation == "Encrypt"


# --- decrypting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "status"), TEMPORARY)
def test_decrypting_says_where_trying_again_may_help(code, status, message):
    with pytest.raises(KmsUnavailableError) as caught:
        Client(KmsKeyring(Failing(client_error(code, status)), KEY)).decrypt(message)
    assert caught.value.code == code
    assert caught.value.operation == "Decrypt"
    assert caught.value.retryable


@pytest.mark.parametrize(("code", "status"), [*REFUSED, *OTHERWISE])
def test_decrypting_lists_what_was_refused(code, status, message):
    with pytest.raises(NoMatchingKeyError, match=f"KMS Decrypt answered {code}: because") as caught:
        Client(KmsKeyring(Failing(client_error(code, status)), KEY)).decrypt(message)
    (failure,) = caught.value.failures
    assert failure.keyring == f"KmsKeyring({KEY!r})"
    assert failure.provider_id == "aws-kms"
    assert failure.error.code == code
    assert isinstance(failure.error, KmsAccessError) is ((code, status) in REFUSED)


@named(UNREACHABLE)
def test_decrypting_without_a_connection_may_be_tried_again(error, message):
    with pytest.raises(KmsUnavailableError):
        Client(KmsKeyring(Failing(error), KEY)).decrypt(message)


@named([*NO_CREDENTIALS, *MISCONFIGURED])
def test_decrypting_without_credentials_or_set_up_is_not_worth_a_retry(error, message):
    with pytest.raises(NoMatchingKeyError) as caught:
        Client(KmsKeyring(Failing(error), KEY)).decrypt(message)
    assert caught.value.failures[0].error.code == type(error).__name__


@pytest.mark.parametrize(
    "error",
    [client_error("ThrottlingException", 400), client_error("AccessDeniedException", 400), UNREACHABLE[0]],
    ids=["throttled", "denied", "unreachable"],
)
@pytest.mark.parametrize("fails", [0, 1], ids=["first-fails", "second-fails"])
def test_either_of_two_keys_opens_the_message_while_the_other_fails(fails, error):
    services = [Failing(), Failing(key=OTHER_KEY)]
    keyring = MultiKeyring(KmsKeyring(services[0], KEY), [KmsKeyring(services[1], OTHER_KEY)])
    message = Client(keyring).encrypt(PLAINTEXT).ciphertext
    services[fails].error = error

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT


@pytest.mark.parametrize("first", ["ThrottlingException", "AccessDeniedException"])
def test_where_both_keys_fail_and_one_only_for_now_trying_again_may_help(first):
    services = [Failing(), Failing(key=OTHER_KEY)]
    keyring = MultiKeyring(KmsKeyring(services[0], KEY), [KmsKeyring(services[1], OTHER_KEY)])
    message = Client(keyring).encrypt(PLAINTEXT).ciphertext
    codes = sorted(["ThrottlingException", "AccessDeniedException"], key=first.__ne__)
    for service, code in zip(services, codes, strict=True):
        service.error = client_error(code, 400)

    with pytest.raises(KmsUnavailableError, match="AccessDeniedException") as caught:
        Client(keyring).decrypt(message)
    assert caught.value.code == "ThrottlingException"
    assert len(caught.value.__cause__.failures) == 2


# --- mistakes in a program are not a key's failure -------------------------------------------------------------------


@named([TypeError("missing argument"), KeyError("name"), AttributeError("none"), ZeroDivisionError()])
def test_programming_errors_are_raised_as_they_are(error, message):
    raw = RawAesKeyring("test", "key-1", bytes(32))
    keyring = KmsKeyring(Failing(error), KEY)
    with pytest.raises(type(error)) as caught:
        Client(keyring).encrypt(PLAINTEXT)
    assert caught.value is error
    with pytest.raises(type(error)) as caught:
        Client(MultiKeyring(keyring, [raw])).decrypt(message)
    assert caught.value is error


def test_an_exception_whose_response_is_something_else_is_raised_as_it_is():
    class Unrelated(Exception):
        response = "not a dict"

    with pytest.raises(Unrelated):
        Client(KmsKeyring(Failing(Unrelated()), KEY)).encrypt(PLAINTEXT)


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"Error": None, "ResponseMetadata": None},
        {"Error": "text", "ResponseMetadata": []},
        {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": "500"}},
    ],
    ids=str,
)
def test_a_response_of_another_shape_is_an_error_of_the_service(response):
    class Unlike(Exception):
        pass

    error = Unlike()
    error.response = response
    with pytest.raises(KmsError, match="KMS GenerateDataKey answered Unknown") as caught:
        Client(KmsKeyring(Failing(error), KEY)).encrypt(PLAINTEXT)
    assert caught.value.__cause__ is error


# --- a real boto client, stubbed at the wire -------------------------------------------------------------------------


@pytest.fixture
def boto():
    session = botocore.session.get_session()
    return session.create_client(
        "kms", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )


def test_a_boto_client_gets_just_the_parameters_that_kms_knows(boto):
    client = Client(KmsKeyring(boto, KEY, grant_tokens=["token"]))
    context = {"purpose": "test"}
    common = {"KeyId": KEY, "EncryptionContext": context, "GrantTokens": ["token"]}
    with Stubber(boto) as stub:
        stub.add_response(
            "generate_data_key",
            {"Plaintext": DATA_KEY, "CiphertextBlob": b"blob", "KeyId": KEY},
            common | {"NumberOfBytes": 32},
        )
        stub.add_response("decrypt", {"Plaintext": DATA_KEY, "KeyId": KEY}, common | {"CiphertextBlob": b"blob"})
        message = client.encrypt(PLAINTEXT, encryption_context=context).ciphertext

        assert client.decrypt(message).plaintext == PLAINTEXT
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 400, KmsUnavailableError),
        ("KMSInternalException", 500, KmsUnavailableError),
        ("AccessDeniedException", 400, KmsAccessError),
        ("InvalidKeyUsageException", 400, KmsError),
    ],
)
def test_a_boto_client_s_modeled_exceptions_are_understood(code, status, kind, boto):
    with Stubber(boto) as stub:
        stub.add_client_error("generate_data_key", code, "because", http_status_code=status)
        with pytest.raises(KmsError) as caught:
            Client(KmsKeyring(boto, KEY)).encrypt(PLAINTEXT)
    assert type(caught.value) is kind


@pytest.mark.parametrize("missing", ["Plaintext", "CiphertextBlob", "KeyId"])
def test_an_answer_to_generate_data_key_that_lacks_a_field_is_an_odd_answer(missing):
    class Forgetful:
        def generate_data_key(self, **_parameters):
            answer = {"Plaintext": DATA_KEY, "CiphertextBlob": b"blob", "KeyId": KEY}
            del answer[missing]
            return answer

    with pytest.raises(KmsError, match="GenerateDataKey answered with") as caught:
        Client(KmsKeyring(Forgetful(), KEY)).encrypt(PLAINTEXT)
    assert caught.value.code == "UnexpectedAnswer"


@pytest.mark.parametrize("missing", ["Plaintext", "KeyId"])
def test_an_answer_to_decrypt_that_lacks_a_field_opens_nothing(missing):
    class Forgetful:
        def generate_data_key(self, **_parameters):
            return {"Plaintext": DATA_KEY, "CiphertextBlob": b"blob", "KeyId": KEY}

        def decrypt(self, **_parameters):
            answer = {"Plaintext": DATA_KEY, "KeyId": KEY}
            del answer[missing]
            return answer

    client = Client(KmsKeyring(Forgetful(), KEY))
    with pytest.raises(NoMatchingKeyError, match="Decrypt answered with"):
        client.decrypt(client.encrypt(PLAINTEXT).ciphertext)


def test_the_request_s_id_is_kept_and_told():
    response = {
        "Error": {"Code": "AccessDeniedException", "Message": "because"},
        "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "9f2c"},
    }

    error = encrypting_raises(botocore.exceptions.ClientError(response, "GenerateDataKey"))

    assert (error.code, error.request_id) == ("AccessDeniedException", "9f2c")
    assert str(error) == (
        f"KMS GenerateDataKey answered AccessDeniedException: because (request 9f2c) (asked for {KEY})"
    )
    assert pickle.loads(pickle.dumps(error)).request_id == "9f2c"
