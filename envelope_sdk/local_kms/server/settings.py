"""How a server is to run: one value, checked, which goes to every worker as it is."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.options import DEFAULT_ACCOUNT, DEFAULT_REGION
from envelope_sdk.local_kms.quotas.buckets import Buckets, LocalBuckets
from envelope_sdk.local_kms.quotas.latency import Latency
from envelope_sdk.local_kms.quotas.throttle import RequestQuotas

__all__ = ["DEFAULT_PORT", "LOG_FORMATS", "Settings", "is_loopback"]

DEFAULT_PORT: Final = 8900
"""Where the server listens unless told otherwise."""

LOG_FORMATS: Final = ("text", "json", "off")
"""How requests are logged."""

_MAX_PORT: Final = 65_535
_LONGEST_PROPAGATION: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a server is to run.

    Attributes:
        store: where the keys are, in whatever words the opener of the store takes.
        host: the address to listen at, or a name of this machine.
        port: 0 for any that is free.
        region: that of requests that name none.
        account: that of requests that name none, where anybody may call.
        access_keys: the file of access keys that requests are signed with.
        stored_access_keys: whether those in the store are, of local users and sessions. Without either, anybody may
            call.
        anonymous_remote: whether anybody may call from other machines too, or move the clock, where callers may.
        allowed_hosts: names by which the server may be called besides those of the loopback interface.
        allowed_origins: web pages that may call it, as their browsers name them; ``*`` for all.
        workers: processes.
        tls_certificate: the file of the certificate and its chain, PEM; TLS if it is given.
        tls_key: the file of its private key, PEM, if it is another one.
        log_format: one of :data:`LOG_FORMATS`.
        audit: the file of the audit log, which takes down every call; ``None`` for none.
        quota_scale: what AWS's request quotas are multiplied with, in each process; ``None`` for no quotas.
        quota_rates: requests a second that take the place of AWS's, by name of the quota. With some, and no scale, the
            other quotas are as on AWS.
        latency_seconds: how much longer each call takes.
        grant_propagation_seconds: how long a new grant takes to count for callers without its token, up to a day.
        test_clock: whether callers may move the clock, which nobody has to sign for.
        max_body: bytes of a request's body. The largest that KMS takes, a key policy of 131,072 characters, has up to
            six times as many bytes in JSON.
        max_connections: at once, in each process.
        head_seconds: for a request's head to arrive.
        body_seconds: for its body.
        idle_seconds: between requests; longer than boto3 keeps a connection in mind would be of no use.
        stop_seconds: for requests under way when the server is stopped.
        settle_seconds: between looks for what has fallen due.
    """

    store: str = ""
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    region: str = DEFAULT_REGION
    account: str = DEFAULT_ACCOUNT
    access_keys: str | None = None
    stored_access_keys: bool = False
    anonymous_remote: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    workers: int = 1
    tls_certificate: str | None = None
    tls_key: str | None = None
    log_format: str = "text"
    audit: str | None = None
    quota_scale: float | None = None
    quota_rates: Mapping[str, float] = field(default_factory=dict[str, float])
    latency_seconds: float = 0
    grant_propagation_seconds: float = 0
    test_clock: bool = False
    max_body: int = 2**20
    max_connections: int = 512
    head_seconds: float = 10
    body_seconds: float = 30
    idle_seconds: float = 65
    stop_seconds: float = 30
    settle_seconds: float = 60

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` where they contradict each other, or would let strangers in unasked."""
        Scope(self.account, self.region)
        if not 0 <= self.port <= _MAX_PORT:
            raise UsageError(f"a port is 0 to {_MAX_PORT}, not {self.port}")
        if self.log_format not in LOG_FORMATS:
            raise UsageError(f"a log is {', '.join(LOG_FORMATS)}, not {self.log_format!r}")
        if self.tls_key is not None and self.tls_certificate is None:
            raise UsageError("a TLS key is of no use without its certificate")
        if self.test_clock and self.workers > 1:
            raise UsageError("a clock that tests move is one process's own: it cannot be had with several workers")
        if self.access_keys is not None and self.stored_access_keys:
            raise UsageError("access keys are looked up in a file or in the store, not in both")
        if min(self.workers, self.max_body, self.max_connections) < 1:
            raise UsageError("workers, bytes of a body and connections are at least 1")
        Latency(self.latency_seconds)
        self.request_quotas()
        if not 0 <= self.grant_propagation_seconds <= _LONGEST_PROPAGATION:
            raise UsageError(f"grants take from 0 seconds to a day to spread, not {self.grant_propagation_seconds!r}")
        self._check_reach()

    def _check_reach(self) -> None:
        if is_loopback(self.host) or self.anonymous_remote:
            return
        if self.test_clock:
            raise UsageError(
                f"at {self.host}, whoever reaches this machine could move the clock to when keys are deleted: "
                "leave out --test-clock, or allow it with --allow-anonymous-remote"
            )
        if not self.signed:
            raise UsageError(
                f"at {self.host}, whoever reaches this machine could use every key: have requests signed (--auth sigv4 "
                "or --access-key-file), or allow it with --allow-anonymous-remote"
            )

    def request_quotas(self, buckets: Buckets | None = None) -> RequestQuotas | None:
        """Return how many requests a second there may be; ``None`` for any number.

        Args:
            buckets: who counts; each process for itself where nobody is named.
        """
        if self.quota_scale is None and not self.quota_rates:
            return None
        scale = 1.0 if self.quota_scale is None else self.quota_scale
        counted_by = LocalBuckets() if buckets is None else buckets
        return RequestQuotas(rates=self.quota_rates, scale=scale, buckets=counted_by)

    @property
    def signed(self) -> bool:
        """Whether requests have to be signed."""
        return self.access_keys is not None or self.stored_access_keys

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "http" if self.tls_certificate is None else "https"

    def to_json(self) -> str:
        """Return them as text. There are no secrets in them."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Return what :meth:`to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        for name in ("allowed_hosts", "allowed_origins"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


def is_loopback(host: str) -> bool:
    """Whether an address, or a name, stands for this machine alone. Names are not looked up."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
