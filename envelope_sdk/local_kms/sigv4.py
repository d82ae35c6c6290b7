"""Verifying AWS Signature Version 4, in the ``Authorization`` header or in the query of a presigned URL.

Source: IAM user guide, "AWS Signature Version 4 for API requests" and "Troubleshoot signed requests"; texts as AWS is
recorded to send them. Beyond what the algorithm needs, every ``x-amz-`` header that is there has to be signed, as AWS
documents: an unsigned ``X-Amz-Target`` would let others choose the operation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access_keys import AccessKey, Credentials
from envelope_sdk.local_kms.canonical import SignedRequest, canonical_request, query_pairs
from envelope_sdk.local_kms.identifiers import is_region

__all__ = ["ALGORITHM", "MAX_SKEW", "SignedBy", "Verifier", "credential_of"]

ALGORITHM: Final = "AWS4-HMAC-SHA256"
"""The one signing algorithm of KMS."""

MAX_SKEW: Final = timedelta(minutes=5)
"""How far a signature's date may be from the time here, either way."""

_TERMINATOR: Final = "aws4_request"
_TIME: Final = "%Y%m%dT%H%M%SZ"
_TIME_PATTERN: Final = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_MAX_EXPIRES: Final = 604_800
_CACHED_KEYS: Final = 1024
_SCOPE_PARTS: Final = 5


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Who signed a request, and for which Region."""

    key: AccessKey
    region: str


@dataclass(slots=True)
class _Claim:
    """What a request says of its signature, not verified."""

    access_key_id: str
    date: str
    region: str
    service: str
    terminator: str
    signed: tuple[str, ...]
    signature: str
    time: str
    token: str | None
    expires: timedelta | None = None

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"


class Verifier:
    """Tells who signed a request. Its repr shows no secret."""

    def __init__(self, credentials: Credentials, clock: Callable[[], datetime]) -> None:
        """Take where access keys are found, and what returns the time, tz-aware."""
        self._credentials = credentials
        self._clock = clock
        self._keys: dict[tuple[str, str, str, str], tuple[str, bytes]] = {}

    def __repr__(self) -> str:
        return "Verifier(<secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a verifier holds signing keys and cannot be pickled or copied")

    def verify(self, request: SignedRequest, service: str) -> SignedBy:
        """Return who signed ``request``.

        Args:
            request: it.
            service: the service it has to be signed for, for instance ``kms``.

        Raises:
            KmsServiceError: MissingAuthenticationTokenException, IncompleteSignatureException,
                UnrecognizedClientException, ExpiredTokenException, InvalidSignatureException.
        """
        claim, hidden = _claim(request)
        _check_signed(request, claim)
        now = self._clock()
        key = self._credentials.find(claim.access_key_id)
        if key is None or not _same(key.session_token or "", claim.token or ""):
            raise faults.unrecognized_client()
        _check_scope(claim, service)
        _check_time(claim, now)
        canonical = canonical_request(request, claim.signed, without=hidden)
        digest = hashlib.sha256(canonical.encode("latin-1", "replace")).hexdigest()
        text = f"{ALGORITHM}\n{claim.time}\n{claim.scope}\n{digest}"
        expected = hmac.new(
            self._signing_key(key, claim), text.encode("latin-1", "replace"), hashlib.sha256
        ).hexdigest()
        if not _same(expected, claim.signature):
            raise faults.signature_mismatch(canonical, text)
        # Last: whoever does not have the secret does not learn that the key has expired.
        if key.expires is not None and key.expires <= now:
            raise faults.expired_token()
        return SignedBy(key, claim.region)

    def _signing_key(self, key: AccessKey, claim: _Claim) -> bytes:
        name = (key.access_key_id, claim.date, claim.region, claim.service)
        cached = self._keys.get(name)
        # The secret may have been replaced under the same id.
        if cached is not None and hmac.compare_digest(cached[0].encode(), key.secret.encode()):
            return cached[1]
        derived = b"AWS4" + key.secret.encode()
        for part in (*name[1:], _TERMINATOR):
            derived = hmac.digest(derived, part.encode("latin-1"), "sha256")
        if len(self._keys) >= _CACHED_KEYS:
            self._keys.clear()
        self._keys[name] = (key.secret, derived)
        return derived


def credential_of(request: SignedRequest) -> tuple[str, str] | None:
    """Return the access key id and Region that a request claims, nothing verified; ``None`` where it claims none."""
    found = re.search(r"Credential=([^,\s]*)", request.header(b"authorization") or "")
    text = found[1] if found else dict(query_pairs(request.query)).get(b"X-Amz-Credential", b"").decode("latin-1")
    parts = text.rsplit("/", _SCOPE_PARTS - 1)
    return (parts[0], parts[2]) if len(parts) == _SCOPE_PARTS else None


def _claim(request: SignedRequest) -> tuple[_Claim, str]:
    """Return what is claimed, and the parameter of the query that is not signed."""
    header = request.header(b"authorization")
    if header is not None:
        return _claim_of_header(request, header), ""
    pairs = {name.decode("latin-1"): value.decode("latin-1") for name, value in query_pairs(request.query)}
    if "X-Amz-Signature" not in pairs:
        raise faults.missing_authentication()
    return _claim_of_query(pairs), "X-Amz-Signature"


def _claim_of_header(request: SignedRequest, header: str) -> _Claim:
    algorithm, _, rest = header.partition(" ")
    if algorithm != ALGORITHM:
        raise faults.incomplete_signature(f"Unsupported AWS 'algorithm': '{algorithm[:64]}'. {_hashed(header)}")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in fields:
            raise faults.incomplete_signature(
                f"Invalid key=value pair (missing equal-sign) in Authorization header {_hashed(header)}."
            )
        fields[name] = value
    time = request.header(b"x-amz-date")
    problems = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not fields.get(name)
    ]
    if not time:
        problems.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if problems:
        raise faults.incomplete_signature(f"{' '.join(problems)} {_hashed(header)}")
    return _made(fields["Credential"], fields, time or "", request.header(b"x-amz-security-token"))


def _hashed(header: str) -> str:
    # The texts do not repeat the header itself, as AWS's no longer do.
    shown = base64.b64encode(hashlib.sha256(header.encode("latin-1")).digest()).decode("ascii")
    return f"(Hashed with SHA-256 and encoded with Base64) Authorization={shown}"


def _claim_of_query(pairs: Mapping[str, str]) -> _Claim:
    problems = [
        f"AWS query-string parameters must include '{name}'."
        for name in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders")
        if not pairs.get(name)
    ]
    if problems:
        raise faults.incomplete_signature(" ".join(problems))
    if pairs["X-Amz-Algorithm"] != ALGORITHM:
        raise faults.incomplete_signature(f"Unsupported AWS 'algorithm': '{pairs['X-Amz-Algorithm'][:64]}'.")
    expires = pairs["X-Amz-Expires"]
    if not re.fullmatch(r"\d{1,6}", expires, re.ASCII) or not 0 < int(expires) <= _MAX_EXPIRES:
        raise faults.incomplete_signature(f"X-Amz-Expires has to be 1 to {_MAX_EXPIRES} seconds.")
    fields = {"SignedHeaders": pairs["X-Amz-SignedHeaders"], "Signature": pairs["X-Amz-Signature"]}
    token = pairs.get("X-Amz-Security-Token")
    return _made(pairs["X-Amz-Credential"], fields, pairs["X-Amz-Date"], token, timedelta(seconds=int(expires)))


def _made(
    credential: str, fields: Mapping[str, str], time: str, token: str | None, expires: timedelta | None = None
) -> _Claim:
    parts = credential.split("/")
    if len(parts) != _SCOPE_PARTS:
        raise faults.incomplete_signature("Credential must have exactly 5 slash-delimited elements.")
    key_id, date, region, service, terminator = parts
    signed = tuple(fields["SignedHeaders"].split(";"))
    return _Claim(key_id, date, region, service, terminator, signed, fields["Signature"], time, token, expires)


def _check_signed(request: SignedRequest, claim: _Claim) -> None:
    signed = set(claim.signed)
    if list(claim.signed) != sorted(signed):
        raise faults.incomplete_signature("'SignedHeaders' has to be sorted, each header once.")
    present = {name.decode("latin-1") for name, _ in request.headers}
    if "host" not in signed or "host" not in present:
        raise faults.invalid_request_signature(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        )
    missing = sorted(name for name in present - signed if name.startswith("x-amz-"))
    if missing:
        raise faults.invalid_request_signature(
            f"There were headers present in the request which were not signed: {missing[0]}"
        )
    absent = sorted(signed - present)
    if absent:
        raise faults.invalid_request_signature(f"A header that is signed is not in the request: {absent[0][:64]}")


def _check_scope(claim: _Claim, service: str) -> None:
    problems: list[str] = []
    if not is_region(claim.region):
        problems.append("Credential should be scoped to a valid region.")
    if claim.service != service:
        problems.append(f"Credential should be scoped to correct service: '{service}'.")
    if claim.terminator != _TERMINATOR:
        problems.append(f"Credential should be scoped with a valid terminator: '{_TERMINATOR}'.")
    if claim.date != claim.time[:8]:
        problems.append(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{claim.date[:16]}' != '{claim.time[:8]}', from '{claim.time[:32]}'."
        )
    if problems:
        raise faults.invalid_request_signature(" ".join(problems))


def _check_time(claim: _Claim, now: datetime) -> None:
    signed = _parsed(claim.time)
    if signed is None:
        raise faults.incomplete_signature(
            f"Date must be in ISO-8601 'basic format'. Got '{claim.time[:32]}'. "
            "See http://en.wikipedia.org/wiki/ISO_8601"
        )
    # To the second: dates of signatures have no more.
    now = now.astimezone(UTC).replace(microsecond=0)
    window = claim.expires or MAX_SKEW
    if now - signed > window:
        minutes = int(window.total_seconds()) // 60
        raise faults.invalid_request_signature(
            f"Signature expired: {claim.time} is now earlier than {now - window:{_TIME}} "
            f"({now:{_TIME}} - {minutes} min.)"
        )
    if signed - now > MAX_SKEW:
        raise faults.invalid_request_signature(
            f"Signature not yet current: {claim.time} is still later than {now + MAX_SKEW:{_TIME}} "
            f"({now:{_TIME}} + 5 min.)"
        )


def _parsed(time: str) -> datetime | None:
    found = _TIME_PATTERN.fullmatch(time)
    if found is None:
        return None
    try:
        # A tenth of what strptime takes.
        return datetime(*map(int, found.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
