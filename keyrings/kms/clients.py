"""Where the clients of several Regions come from (framework/aws-kms/aws-kms-multi-keyrings.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from threading import RLock
from typing import TYPE_CHECKING, Final, NoReturn, Protocol
from urllib.parse import urlsplit

from envelope_sdk.errors import EnvelopeError, KmsAccessError, KmsUnavailableError, UsageError
from envelope_sdk.keyrings.kms.api import KmsApi, kms_error
from envelope_sdk.keyrings.kms.arn import check_arn_part

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.config import Config

__all__ = [
    "Boto3ClientSupplier",
    "ClientSupplier",
    "LimitedRegionsClientSupplier",
    "check_endpoint",
    "checked_regions",
    "endpoint_of_client",
    "region_of_client",
    "supplied_client",
]


class ClientSupplier(Protocol):
    """Is called with a Region, for instance ``"eu-west-1"``, and returns a client that asks the KMS there.

    Anything callable will do: a function that returns a :class:`~envelope_sdk.local_kms.LocalKms` for each Region, the
    ``__getitem__`` of a dict of clients. One that has no client returns ``None`` or raises :class:`KeyError`. Builders
    of keyrings ask once for each key or Region, when they build. The empty text stands for the Region that the
    service's own configuration names: keys that are named by an alias or a bare id leave it open.
    """

    def __call__(self, region: str, /) -> KmsApi:
        """Return the client of a Region."""
        ...


class Boto3ClientSupplier:
    """Makes boto3 clients, one for each Region, when it is first asked for. Safe to share between threads.

    boto3 sessions are not: leave the session to this supplier alone, or let it make its own. Processes cannot share
    boto3 clients: one that forks is given others, so make keyrings after the fork.
    """

    __slots__ = ("_config", "_endpoint_url", "_processes", "_session")

    def __init__(
        self, session: Session | None = None, *, config: Config | None = None, endpoint_url: str | None = None
    ) -> None:
        """Take what clients are made with. Neither boto3 nor the network is touched before a client is asked for.

        Args:
            session: a ``boto3.session.Session``; left out, one of its own with boto3's usual search for credentials.
            config: a ``botocore.config.Config``: timeouts, retries, connections kept open.
            endpoint_url: where to ask instead of AWS, for all Regions.

        Raises:
            UsageError: the endpoint has a user name, a password or a port that is none.
            TypeError: the session, the configuration or the endpoint is something else.
        """
        if session is not None and not callable(getattr(session, "client", None)):
            raise TypeError(f"a session is a boto3.session.Session, not {type(session).__name__}")
        if config is not None and not callable(getattr(config, "merge", None)):
            raise TypeError(f"a configuration is a botocore.config.Config, not {type(config).__name__}")
        if not isinstance(endpoint_url, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"an endpoint is a URL as text, not {type(endpoint_url).__name__}")
        check_endpoint(endpoint_url)
        self._session = session
        self._config = config
        self._endpoint_url = endpoint_url
        self._processes: dict[int, _Process] = {}

    def __repr__(self) -> str:
        shown = "" if self._endpoint_url is None else f"endpoint_url={self._endpoint_url!r}"
        return f"Boto3ClientSupplier({shown})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client supplier holds connections and credentials: make one in each process instead")

    def __call__(self, region: str) -> KmsApi:
        """Return the client of a Region; the empty text stands for the one of boto3's configuration.

        Raises:
            UsageError: boto3 cannot make one: no such Region or profile, no Region configured, a wrong endpoint.
            KmsAccessError: boto3 finds credentials and cannot use them.
            KmsUnavailableError: what gives boto3 credentials cannot be reached, or throttles.
            TypeError: the Region is not text.
        """
        if region != "":
            check_arn_part("Region", region)
        here = self._here()
        client = here.clients.get(region)
        if client is None:
            with here.lock:
                client = here.clients.get(region)
                if client is None:
                    client = here.clients.setdefault(region, self._made(here, region))
        return client

    def _here(self) -> _Process:
        # A fork copies connections, which only one process can use, and the lock as it was held by threads that stay
        # behind.
        number = os.getpid()
        return self._processes.get(number) or self._processes.setdefault(number, _Process(self._session))

    def _made(self, here: _Process, region: str) -> KmsApi:
        try:
            client = self._boto3_client(here, region or None)
        except Exception as error:
            refusal = _refusal(error)
            if refusal is None:
                raise
            raise refusal from error
        # The Region that boto3 chose may have been asked for by its name.
        known = None if region else here.clients.setdefault(region_of_client(client) or "", client)
        return client if known is None else known

    def _boto3_client(self, here: _Process, region: str | None) -> KmsApi:
        if here.session is None:
            import boto3.session

            here.session = boto3.session.Session()
        client: KmsApi = here.session.client(  # pyright: ignore[reportUnknownMemberType]
            "kms", region_name=region, config=self._config, endpoint_url=self._endpoint_url
        )
        check_endpoint(endpoint_of_client(client))
        return client


class _Process:
    """What a supplier has made in one process."""

    __slots__ = ("clients", "lock", "session")

    def __init__(self, session: Session | None) -> None:
        self.clients: dict[str, KmsApi] = {}
        # Reentrant: a signal handler may ask in the midst of it, in the same thread.
        self.lock = RLock()
        self.session = session


_ADVICE: Final = {
    "ConfigParseError": ": correct that file",
    "InvalidRegionError": ": Regions are named like 'eu-west-1'",
    "ModuleNotFoundError": ": install boto3",
    "NoRegionError": ": name keys by their ARNs, which say the Region, or set AWS_DEFAULT_REGION",
    "ProfileNotFound": ": correct AWS_PROFILE, or give a session of another profile",
}


def _refusal(error: Exception) -> EnvelopeError | None:
    translated = kms_error("CreateClient", error)
    # boto3 may ask the network for credentials here; a file that it cannot read is a matter of configuration.
    of_a_file = getattr(error, "filename", None) is not None
    if isinstance(translated, KmsAccessError | KmsUnavailableError) and not of_a_file:
        return translated
    if translated is None and not isinstance(error, ImportError | ValueError):
        return None
    reason = str(error).rstrip(".")
    return UsageError(f"boto3 makes no KMS client: {reason}{_ADVICE.get(type(error).__name__, '')}")


class LimitedRegionsClientSupplier:
    """Passes on the clients of some Regions and refuses to go elsewhere."""

    __slots__ = ("_regions", "_supplier")

    def __init__(self, supplier: ClientSupplier, regions: Iterable[str]) -> None:
        """Take the supplier to ask, and the Regions it may be asked for.

        Args:
            supplier: takes a Region and returns its client.
            regions: at least one. The default Region is none of them, as nobody knows which it is: with this supplier,
                name keys by ARNs.

        Raises:
            UsageError: there is no Region, or one can be none or stands there twice.
            TypeError: the supplier cannot be called, or the Regions are not texts.
        """
        self._supplier = _checked_supplier(supplier)
        self._regions = checked_regions(regions)

    def __repr__(self) -> str:
        return f"LimitedRegionsClientSupplier({self._supplier!r}, {list(self._regions)!r})"

    def __call__(self, region: str) -> KmsApi:
        """Return the client of a Region.

        Raises:
            UsageError: it is none of those allowed.
        """
        if region not in self._regions:
            raise UsageError(f"{_shown(region)} is none of those that may be asked: {', '.join(self._regions)}")
        return self._supplier(region)


def _checked_supplier(supplier: ClientSupplier) -> ClientSupplier:
    if not callable(supplier):
        raise TypeError(f"a client supplier is called with a Region, which a {type(supplier).__name__} cannot be")
    return supplier


def _shown(region: str) -> str:
    return f"the Region {region!r}" if region else "the default Region"


def supplied_client(supplier: ClientSupplier, region: str) -> KmsApi:
    """Return what the supplier has for a Region.

    Raises:
        UsageError: it has none: it returns ``None``, or raises :class:`KeyError` as a dict does.
        TypeError: it cannot be called: a client in its place, most often.
    """
    nothing = f"the client supplier has no client for {_shown(region)}"
    try:
        client = _checked_supplier(supplier)(region)
    except KeyError as error:
        raise UsageError(nothing) from error
    if client is None:  # pyright: ignore[reportUnnecessaryComparison] - suppliers are anybody's
        raise UsageError(nothing)
    return client


def checked_regions(regions: Iterable[str]) -> tuple[str, ...]:
    """Return names of Regions, in their order.

    Raises:
        UsageError: there is none, or one is blank, is no part of an ARN, or stands there twice.
        TypeError: they are one text, or one of them is not text.
    """
    if isinstance(regions, str):
        raise TypeError("regions is a collection of Regions, not one text")
    checked = tuple(check_arn_part("Region", region) for region in regions)
    if not checked:
        raise UsageError("at least one Region is needed")
    if len(set(checked)) < len(checked):
        raise UsageError(f"each Region is given once: {', '.join(checked)}")
    return checked


def check_endpoint(url: str | None) -> None:
    """Look at what boto3 does not look at before it asks there, and then repeats in its errors.

    Raises:
        UsageError: a user name or a password is in the address of a service, or its port can be none.
    """
    try:
        parts = urlsplit(url or "")
        _ = parts.port
    except ValueError:
        raise UsageError("the address to ask instead of AWS is no URL, or its port is none") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError("a user name or password is in the address to ask instead of AWS, which takes none: remove it")


def endpoint_of_client(client: object) -> str | None:
    """Return the address that a client asks; ``None`` where it does not tell."""
    url = getattr(getattr(client, "meta", None), "endpoint_url", None)
    return url if isinstance(url, str) else None


def region_of_client(kms: object) -> str | None:
    """Return the Region that a client asks; ``None`` where it does not tell.

    boto3 clients say it in ``meta.region_name``, a local KMS in ``region``.
    """
    region = getattr(getattr(kms, "meta", None), "region_name", None)
    if region is None:
        region = getattr(kms, "region", None)
    return region if isinstance(region, str) else None
