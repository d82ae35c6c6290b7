"""``envelope kms serve``: the local KMS over HTTP, for every program that speaks to AWS KMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import click

from envelope_sdk.cli.amounts import Amount
from envelope_sdk.cli.commands.kms_seed import plant_file
from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import UsageError

if TYPE_CHECKING:
    from envelope_sdk.local_kms.server.settings import Settings

__all__ = ["serve"]

_FILE: Final = click.Path(exists=True, dir_okay=False, resolve_path=True)


@click.command("serve")
@click.option(
    "--store", metavar="FILE", help="File or postgresql:// URL; made if it is not there [default: --kms-store]."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8900, show_default=True, help="Port; 0 for a free one.")
@click.option("--region", default="us-east-1", show_default=True, help="Region of requests that name none.")
@click.option("--account", default="000000000000", show_default=True, help="Account of callers whose key names none.")
@click.option(
    "--auth",
    type=click.Choice(["none", "sigv4"]),
    help="Who may call: anybody, or who signs with an access key, of local users ('envelope kms access-keys') or in "
    "--access-key-file [default: none; sigv4 with the file].",
)
@click.option("--access-key-file", type=_FILE, metavar="FILE", help="Access keys, TOML; only its owner may read it.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Serve TLS with this certificate and chain, PEM.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Its private key, PEM, if it is in another file.")
@click.option("--allow-anonymous-remote", is_flag=True, help="Let anybody call from other machines, unsigned.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="Name to be called by at a loopback address.")
@click.option("--allow-origin", multiple=True, metavar="ORIGIN", help="Web page that may call; '*' for all.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json", "off"]),
    default="text",
    show_default=True,
    help="A line for each request on standard error.",
)
@click.option(
    "--audit", type=click.Path(dir_okay=False, resolve_path=True), metavar="FILE", help="Take down every call there."
)
@click.option(
    "--quotas", type=Amount(), metavar="SCALE", help="Throttle as AWS does; 0.5 for half of its request quotas."
)
@click.option(
    "--quota",
    "quota_rates",
    multiple=True,
    metavar="NAME=RATE",
    help="Throttle what that quota of AWS is for at so many requests a second, the others as --quotas or AWS does.",
)
@click.option(
    "--quotas-at",
    metavar="URL",
    envvar="ENVELOPE_KMS_QUOTAS_AT",
    help="Count requests at redis://... or postgresql://..., with all servers that do so.",
)
@click.option("--latency", type=Amount(0), default=0.0, show_default=True, help="Milliseconds on each call.")
@click.option(
    "--grant-propagation",
    type=Amount(0),
    default=0.0,
    show_default=True,
    help="Seconds until a new grant counts without its token.",
)
@click.option("--seed", type=_FILE, metavar="FILE", help="Make the keys, policies and users named there at start.")
@click.option("--test-clock", is_flag=True, help="Let callers move the clock: POST /_envelope/clock.")
@click.option("--max-body", type=click.IntRange(1), default=2**20, show_default=True, help="Bytes of a request's body.")
@click.option(
    "--max-connections", type=click.IntRange(1), default=512, show_default=True, help="At once, in each process."
)
@click.pass_obj
def serve(usual: LocalStore, /, store: str | None, **options: object) -> None:
    """Serve the local KMS over HTTP.

    boto3, the AWS CLI and other programs use it by its URL, for instance with AWS_ENDPOINT_URL_KMS. It ends, with
    what is under way finished, on Ctrl+C or SIGTERM.
    """
    files = usual.at(store)
    try:
        from envelope_sdk.cli.serving import run
    except ImportError as error:
        raise UsageError(str(error)) from None
    seed = cast("str | None", options.pop("seed"))
    counted_at = cast("str | None", options.pop("quotas_at"))
    settings = _settings(files.name, options)
    if counted_at and settings.request_quotas() is None:
        raise UsageError("there are no quotas to count for: give --quotas, for instance 1")
    if seed is not None:
        plant_file(files, seed, settings.region, settings.account)
    run(settings, files, counted_at, lambda url: _announce(settings, url))


def _settings(store: str, options: dict[str, object]) -> Settings:
    """Return how to run, from the options by their names.

    Raises:
        UsageError: they contradict each other.
    """
    from envelope_sdk.local_kms.server.settings import Settings

    named = dict(options)
    auth, access_keys = named.pop("auth"), named.pop("access_key_file")
    if auth == "none" and access_keys is not None:
        raise UsageError("access keys are of no use where anybody may call: leave out --auth none or the file")
    milliseconds = cast("float", named.pop("latency"))
    renamed = {
        "tls_certificate": named.pop("tls_cert"),
        "anonymous_remote": named.pop("allow_anonymous_remote"),
        "quota_scale": named.pop("quotas"),
        "quota_rates": _rates(cast("tuple[str, ...]", named.pop("quota_rates"))),
        "latency_seconds": milliseconds / 1000,
        "grant_propagation_seconds": named.pop("grant_propagation"),
        "allowed_hosts": named.pop("allow_host"),
        "allowed_origins": named.pop("allow_origin"),
    }
    fields: dict[str, object] = {**named, **renamed, "access_keys": access_keys, "store": store}
    fields["stored_access_keys"] = auth == "sigv4" and access_keys is None
    # Each option has the type of its field: click has seen to it.
    return Settings(**fields)  # type: ignore[arg-type]


def _rates(words: tuple[str, ...]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for word in words:
        name, _, rate = word.rpartition("=")
        try:
            rates[name.strip()] = float(rate)
        except ValueError:
            raise UsageError(f"a quota is NAME=RATE, for instance CreateKey=5, not {word!r}") from None
    return rates


def _announce(settings: Settings, url: str) -> None:
    auth = "sigv4" if settings.signed else "none"
    say(f"local KMS at {url} (Region {settings.region}, account {settings.account}, auth {auth})")
