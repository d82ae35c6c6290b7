"""Signature Version 4, against AWS's own test suite and against botocore's signer."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Signing
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms.access_keys import AccessKey, AccessKeys, read_access_keys
from envelope_sdk.local_kms.canonical import SignedRequest, canonical_request
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.sigv4 import MAX_SKEW, SignedBy, Verifier, credential_of

_SUITE = Path(__file__).parents[1] / "vectors" / "sigv4" / "aws4-testsuite.jsonl"
_CASES = [json.loads(line) for line in _SUITE.read_text("utf-8").splitlines()]
_ALICE = Caller.parse("arn:aws:iam::111122223333:user/alice")
_ID, _SECRET = "AKIDEXAMPLEEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
_KEY = AccessKey(_ID, _SECRET, _ALICE)
_SESSION = AccessKey("ASIAEXAMPLEEXAMPLE", "another secret", _ALICE, "token/+=", datetime(2100, 1, 1, tzinfo=UTC))


def _now() -> datetime:
    return datetime.now(UTC)


def _verifier(clock: Callable[[], datetime] = _now, *keys: AccessKey) -> Verifier:
    return Verifier(AccessKeys(keys or (_KEY, _SESSION)), clock)


def _sign(
    *,
    method: str = "POST",
    url: str = "http://localhost:8900/",
    body: bytes = b"{}",
    headers: dict[str, str] | None = None,
    key: AccessKey = _KEY,
    region: str = "us-east-1",
    service: str = "kms",
    signer: Any = SigV4Auth,
) -> SignedRequest:
    """Return a request as botocore signs and sends it."""
    request = AWSRequest(method, url, headers={"Host": urlsplit(url).netloc} | (headers or {}), data=body)
    signer(Signing(key.access_key_id, key.secret, key.session_token), service, region).add_auth(request)
    parts = urlsplit(request.url)
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.items()]
    return SignedRequest(method, parts.path.encode() or b"/", parts.query.encode(), fields, body)


def _presign(**options: Any) -> SignedRequest:
    """Return a request that is signed in its URL; botocore moves its body there."""
    return _sign(method="GET", body=b"", signer=SigV4QueryAuth, **options)


def _changed(request: SignedRequest, **changes: Any) -> SignedRequest:
    fields = {name: getattr(request, name) for name in ("method", "path", "query", "headers", "body")}
    return SignedRequest(**(fields | changes))


def _with_header(request: SignedRequest, name: bytes, value: bytes | None) -> SignedRequest:
    kept = [field for field in request.headers if field[0] != name]
    return _changed(request, headers=[*kept, (name, value)] if value is not None else kept)


def _authorization(request: SignedRequest, old: str, new: str) -> SignedRequest:
    header = request.header(b"authorization") or ""
    assert old in header
    return _with_header(request, b"authorization", header.replace(old, new).encode())


def _refused(request: SignedRequest, verifier: Verifier | None = None, service: str = "kms") -> tuple[str, str]:
    with pytest.raises(KmsServiceError) as caught:
        (verifier or _verifier()).verify(request, service)
    assert _SECRET not in str(caught.value)
    assert caught.value.status == 400
    return caught.value.code, caught.value.message


# --- AWS's suite -----------------------------------------------------------------------------------------------------


def _parsed(text: str) -> SignedRequest:
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    method, target = first.removesuffix(" HTTP/1.1").split(" ", 1)
    path, _, query = target.partition("?")
    headers: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line.startswith(" "):
            name, value = headers.pop()
            headers.append((name, value + line.encode()))
        else:
            field, _, content = line.partition(":")
            headers.append((field.lower().encode(), content.encode()))
    return SignedRequest(method, path.encode(), query.encode(), headers, body.encode())


def test_the_suite_is_whole() -> None:
    assert len(_CASES) == 33


@pytest.mark.parametrize("case", _CASES, ids=[case["id"] for case in _CASES])
def test_a_case_of_the_suite_has_its_canonical_form_and_is_verified(case: dict[str, str]) -> None:
    plain = _parsed(case["request"])
    signed = case["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")

    assert canonical_request(plain, signed) == case["canonical"]

    token = plain.header(b"x-amz-security-token") if "x-amz-security-token" in signed else None
    key = AccessKey("AKIDEXAMPLEXXXXX", _SECRET, _ALICE, token)
    request = _with_header(plain, b"authorization", case["authorization"].encode())
    at = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    verifier = Verifier(_Any(key), lambda: at)
    if token is None and plain.header(b"x-amz-security-token"):
        # Added after the request was signed: of the services that take this, KMS is none.
        assert "not signed" in _refused(request, verifier, "service")[1]
    else:
        assert verifier.verify(request, "service") == SignedBy(key, "us-east-1")


class _Any:
    """Finds one key under every id: that of the suite is shorter than an id may be here."""

    def __init__(self, key: AccessKey) -> None:
        self._key = key

    def find(self, access_key_id: str) -> AccessKey:
        assert access_key_id == "AKIDEXAMPLE"
        return self._key


# --- botocore --------------------------------------------------------------------------------------------------------

_visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
_names = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True).filter(
    lambda name: name not in ("host", "expect", "user-agent", "transfer-encoding", "authorization")
)
_values = st.lists(_visible, max_size=4).map("  ".join)
_paths = st.lists(st.one_of(st.text(max_size=6), st.sampled_from(["", ".", ".."])), max_size=5).map(
    lambda parts: "/" + "/".join(quote(part, safe="-._~") for part in parts)
)
_queries = st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=5)), max_size=4).map(
    lambda pairs: "&".join(f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}" for name, value in pairs)
)


@given(st.dictionaries(_names, _values, max_size=4), _paths, _queries, st.binary(max_size=50), st.booleans())
def test_whatever_botocore_signs_is_verified(
    headers: dict[str, str], path: str, query: str, body: bytes, session: bool
) -> None:
    key = _SESSION if session else _KEY
    url = f"http://localhost:8900{path}{'?' if query else ''}{query}"
    request = _sign(url=url, body=body, headers=headers, key=key, region="eu-west-3")

    assert _verifier().verify(request, "kms") == SignedBy(key, "eu-west-3")


@given(_queries, st.booleans())
def test_whatever_botocore_presigns_is_verified(query: str, session: bool) -> None:
    key = _SESSION if session else _KEY
    request = _presign(url=f"http://localhost:8900/?{query}", key=key)

    assert _verifier().verify(request, "kms") == SignedBy(key, "us-east-1")


@given(st.data())
def test_a_request_with_one_bit_changed_is_refused(data: st.DataObject) -> None:
    request = _sign(body=b'{"KeyId":"alias/a"}', headers={"X-Amz-Target": "TrentService.Encrypt"})
    place = data.draw(st.sampled_from(["body", "x-amz-target", "x-amz-date", "host", "signature"]))
    if place == "body":
        changed = _changed(request, body=_flip(request.body, data))
    elif place == "signature":
        signature = (request.header(b"authorization") or "").rpartition("=")[2]
        other = "".join("1" if digit == "0" else "0" for digit in signature[:1]) + signature[1:]
        changed = _authorization(request, signature, other)
    else:
        changed = _with_header(request, place.encode(), _flip((request.header(place.encode()) or "").encode(), data))

    assert _refused(changed)[0] in ("InvalidSignatureException", "IncompleteSignatureException")


def _flip(value: bytes, data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(value) - 1))
    # The lowest bit of a visible character leaves it visible.
    return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_request_that_nobody_signed() -> None:
    request = SignedRequest("POST", b"/", b"", [(b"host", b"localhost")], b"")
    assert _refused(request) == ("MissingAuthenticationTokenException", "Missing Authentication Token")


def test_an_access_key_that_nobody_has() -> None:
    stranger = AccessKey("AKIASTRANGERSTRANGER", _SECRET, _ALICE)
    expected = ("UnrecognizedClientException", "The security token included in the request is invalid.")
    assert _refused(_sign(key=stranger)) == expected


@pytest.mark.parametrize("token", [None, "another", ""])
def test_a_session_token_that_is_missing_or_another(token: str | None) -> None:
    request = _sign(key=AccessKey(_SESSION.access_key_id, _SESSION.secret, _ALICE, token))
    assert _refused(request)[0] == "UnrecognizedClientException"


def test_a_session_token_that_a_key_does_not_have() -> None:
    assert _refused(_sign(key=AccessKey(_ID, _SECRET, _ALICE, "token")))[0] == "UnrecognizedClientException"


def test_a_wrong_secret_is_told_what_should_have_been_signed() -> None:
    code, message = _refused(_sign(key=AccessKey(_ID, "wrong", _ALICE)))

    assert code == "InvalidSignatureException"
    assert message.startswith("The request signature we calculated does not match the signature you provided.")
    assert "The Canonical String for this request should have been\n'POST\n/\n\n" in message
    assert "The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n" in message


def test_a_key_that_has_expired() -> None:
    ended = AccessKey(_ID, _SECRET, _ALICE, None, _now() - timedelta(seconds=1))
    assert _refused(_sign(), _verifier(_now, ended))[0] == "ExpiredTokenException"


def test_only_who_has_the_secret_learns_that_a_key_has_expired() -> None:
    ended = AccessKey(_ID, "the real one", _ALICE, None, _now() - timedelta(seconds=1))
    assert _refused(_sign(), _verifier(_now, ended))[0] == "InvalidSignatureException"


def test_a_replaced_secret_is_not_found_in_the_cache_of_signing_keys() -> None:
    found = [_KEY]

    class Changing:
        def find(self, access_key_id: str) -> AccessKey:
            return found[0]

    verifier = Verifier(Changing(), _now)
    verifier.verify(_sign(), "kms")
    found[0] = AccessKey(_ID, "replaced", _ALICE)

    assert _refused(_sign(), verifier)[0] == "InvalidSignatureException"
    assert verifier.verify(_sign(key=found[0]), "kms").key is found[0]


@pytest.mark.parametrize("away", [MAX_SKEW, -MAX_SKEW, timedelta()])
def test_a_date_within_five_minutes_is_taken(away: timedelta) -> None:
    request = _sign()
    signed = datetime.strptime(request.header(b"x-amz-date") or "", "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert _verifier(lambda: signed + away).verify(request, "kms").key is _KEY


def test_an_old_date_is_refused_with_aws_s_words() -> None:
    request = _sign()
    date = request.header(b"x-amz-date") or ""
    now = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + timedelta(seconds=301)
    earliest, shown = f"{now - MAX_SKEW:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%dT%H%M%SZ}"
    text = f"Signature expired: {date} is now earlier than {earliest} ({shown} - 5 min.)"
    assert _refused(request, _verifier(lambda: now)) == ("InvalidSignatureException", text)


def test_a_date_to_come_is_refused_with_aws_s_words() -> None:
    request = _sign()
    date = request.header(b"x-amz-date") or ""
    now = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) - timedelta(seconds=301)
    latest, shown = f"{now + MAX_SKEW:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%dT%H%M%SZ}"
    text = f"Signature not yet current: {date} is still later than {latest} ({shown} + 5 min.)"
    assert _refused(request, _verifier(lambda: now)) == ("InvalidSignatureException", text)


def test_a_presigned_request_lasts_as_long_as_it_says() -> None:
    request = _presign()
    assert _verifier(lambda: _now() + timedelta(minutes=50)).verify(request, "kms").key is _KEY
    assert "Signature expired" in _refused(request, _verifier(lambda: _now() + timedelta(minutes=61)))[1]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("/us-east-1/", "/us east/", "Credential should be scoped to a valid region."),
        ("/kms/", "/s3/", "Credential should be scoped to correct service: 'kms'."),
        ("/aws4_request", "/aws5", "Credential should be scoped with a valid terminator: 'aws4_request'."),
        ("/us-east-1/", "/eu-west-1/", "The request signature we calculated does not match"),
    ],
)
def test_a_credential_scope_that_does_not_fit(old: str, new: str, text: str) -> None:
    code, message = _refused(_authorization(_sign(), old, new))
    assert code == "InvalidSignatureException"
    assert message.startswith(text)


def test_a_scope_of_another_day() -> None:
    request = _sign()
    date = (request.header(b"x-amz-date") or "")[:8]
    code, message = _refused(_authorization(request, f"/{date}/", "/20150830/"))
    assert code == "InvalidSignatureException"
    assert f"from HTTP: '20150830' != '{date}'" in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Credential", "Authorization header requires 'Credential' parameter."),
        ("Signature", "Authorization header requires 'Signature' parameter."),
        ("SignedHeaders", "Authorization header requires 'SignedHeaders' parameter."),
    ],
)
def test_an_authorization_header_without_one_of_its_parts(name: str, text: str) -> None:
    code, message = _refused(_authorization(_sign(), f"{name}=", f"X{name}="))
    assert code == "IncompleteSignatureException"
    assert message.startswith(f"{text} (Hashed with SHA-256 and encoded with Base64) Authorization=")


def test_a_request_without_a_date() -> None:
    code, message = _refused(_with_header(_sign(), b"x-amz-date", None))
    assert code == "IncompleteSignatureException"
    assert "requires existence of either a 'X-Amz-Date'" in message


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer abc", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 x", "AWS4-ECDSA-P256-SHA256 Credential=a", "é"),
        "AWS4-HMAC-SHA256 Credential=a, Credential=b, Signature=c, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/b, Signature=c, SignedHeaders=host",
    ],
)
def test_an_authorization_header_that_is_none(header: str) -> None:
    request = _with_header(_sign(), b"authorization", header.encode("latin-1"))
    assert _refused(request)[0] == "IncompleteSignatureException"


@pytest.mark.parametrize("date", ["2015-08-30T12:36:00Z", "20150830T993600Z", "20159930T123600Z", "x"])
def test_a_date_that_is_none(date: str) -> None:
    request = _with_header(_sign(), b"x-amz-date", date.encode())
    request = _authorization(request, f"/{f'{_now():%Y%m%d}'}/", f"/{date[:8]}/")
    code, message = _refused(request)
    assert code == "IncompleteSignatureException"
    assert message.startswith("Date must be in ISO-8601 'basic format'.")


def test_a_target_that_is_not_signed() -> None:
    request = _with_header(_sign(), b"x-amz-target", b"TrentService.ScheduleKeyDeletion")
    code, message = _refused(request)
    assert code == "InvalidSignatureException"
    assert message == "There were headers present in the request which were not signed: x-amz-target"


@pytest.mark.parametrize(
    ("signed", "code"),
    [
        ("x-amz-date", "InvalidSignatureException"),
        ("host", "InvalidSignatureException"),
        ("x-amz-date;host", "IncompleteSignatureException"),
        ("host;host;x-amz-date", "IncompleteSignatureException"),
        ("host;missing;x-amz-date", "InvalidSignatureException"),
    ],
)
def test_signed_headers_that_cannot_be(signed: str, code: str) -> None:
    assert _refused(_authorization(_sign(), "SignedHeaders=host;x-amz-date", f"SignedHeaders={signed}"))[0] == code


@pytest.mark.parametrize("name", ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires"])
def test_a_presigned_request_without_one_of_its_parts(name: str) -> None:
    request = _presign()
    query = b"&".join(part for part in request.query.split(b"&") if not part.startswith(name.encode() + b"="))
    code, message = _refused(_changed(request, query=query))
    assert (code, message) == ("IncompleteSignatureException", f"AWS query-string parameters must include '{name}'.")


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "x", "1.5", "9999999"])
def test_a_presigned_request_that_lasts_too_long_or_not_at_all(expires: str) -> None:
    request = _presign()
    query = request.query.replace(b"X-Amz-Expires=3600", b"X-Amz-Expires=" + expires.encode())
    assert _refused(_changed(request, query=query))[0] == "IncompleteSignatureException"


@given(st.text(max_size=60), st.binary(max_size=60))
def test_whatever_the_header_only_refusals_leave(header: str, query: bytes) -> None:
    headers = [(b"host", b"x"), (b"authorization", f"AWS4-HMAC-SHA256 {header}".encode("latin-1", "replace"))]
    for given_headers in (headers, headers[:1]):
        with pytest.raises(KmsServiceError):
            _verifier().verify(SignedRequest("POST", b"/", query, given_headers, b""), "kms")


def test_what_a_request_claims_is_read_without_verifying_it() -> None:
    assert credential_of(_sign(region="eu-west-1")) == (_ID, "eu-west-1")
    assert credential_of(_presign()) == (_ID, "us-east-1")
    assert credential_of(SignedRequest("POST", b"/", b"", [(b"authorization", b"Bearer x")], b"")) is None


# --- access keys -----------------------------------------------------------------------------------------------------

_TABLE = f"""
[{_ID}]
secret = "{_SECRET}"
arn = "arn:aws:iam::111122223333:user/alice"

[{_SESSION.access_key_id}]
secret = "{_SESSION.secret}"
arn = "arn:aws:sts::111122223333:assumed-role/reader/me"
session_token = "{_SESSION.session_token}"
expires = 2027-01-01T01:00:00+01:00
"""


def _file(tmp_path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path = tmp_path / "access.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def test_a_file_of_access_keys_is_read(tmp_path: Path) -> None:
    keys = read_access_keys(_file(tmp_path, _TABLE))

    alice, session = keys.find(_ID), keys.find(_SESSION.access_key_id)

    assert alice is not None
    assert (alice.secret, alice.caller.arn, alice.session_token) == (_SECRET, _ALICE.arn, None)
    assert session is not None
    assert (session.session_token, session.expires) == (_SESSION.session_token, datetime(2027, 1, 1, tzinfo=UTC))
    assert keys.find("AKIASTRANGERSTRANGER") is None


_WRONG = {
    "no TOML": "x",
    "no text": b"\xff",
    "no table": f'{_ID} = "{_SECRET}"',
    "no secret": f'[{_ID}]\narn = "{_ALICE.arn}"',
    "an empty secret": f'[{_ID}]\nsecret = ""\narn = "{_ALICE.arn}"',
    "no ARN": f'[{_ID}]\nsecret = "{_SECRET}"',
    "no ARN of a principal": f'[{_ID}]\nsecret = "{_SECRET}"\narn = "arn:aws:s3:::{_SECRET[:4]}"',
    "a field too many": f'[{_ID}]\nsecret = "{_SECRET}"\narn = "{_ALICE.arn}"\nx = 1',
    "a date without a zone": f'[{_ID}]\nsecret = "{_SECRET}"\narn = "{_ALICE.arn}"\nexpires = 2027-01-01T00:00:00',
    "a short id": f'[short]\nsecret = "{_SECRET}"\narn = "{_ALICE.arn}"',
}


@pytest.mark.parametrize("text", _WRONG.values(), ids=_WRONG)
def test_a_file_of_something_else_is_refused_without_repeating_it(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(UsageError) as caught:
        read_access_keys(_file(tmp_path, text))
    assert _SECRET not in str(caught.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="open to others"):
        read_access_keys(_file(tmp_path, _TABLE, 0o640))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="cannot be read"):
        read_access_keys(tmp_path / "none")


def test_an_id_stands_once() -> None:
    with pytest.raises(UsageError, match="stands twice"):
        AccessKeys([_KEY, _KEY, AccessKey(_ID, "other", _ALICE)])


def test_nothing_shows_or_pickles_a_secret() -> None:
    keys = AccessKeys([_KEY, _SESSION])
    for thing in (_KEY, keys, _verifier()):
        assert _SECRET not in repr(thing)
    for thing in (_KEY, _verifier()):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
