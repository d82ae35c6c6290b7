"""``envelope inspect``."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import shlex
from collections.abc import Iterator
from typing import IO, Any, Final

import click

from envelope_sdk.cli.failures import Failures
from envelope_sdk.cli.standard import standard_input
from envelope_sdk.cli.terminal import printable_name
from envelope_sdk.errors import EnvelopeError, MessageError
from envelope_sdk.formats.describe import describe_outline
from envelope_sdk.keyrings.openers import openers_of
from envelope_sdk.keyrings.raw_aes import key_name_in
from envelope_sdk.policy import Limits
from envelope_sdk.streams.inspecting import Inspection, inspect_message

__all__ = ["command"]

# Looking asks no service about a data key, so as many as the format allows may be looked at.
_LIMITS = Limits(max_encrypted_data_keys=None, max_header_length=2**24)

_ECDH: Final = frozenset({"raw-ecdh", "aws-kms-ecdh"})


@click.command("inspect", short_help="Show what messages are, without any key.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a message.")
@click.pass_context
def command(ctx: click.Context, /, files: tuple[str, ...], as_json: bool) -> None:
    """Show what messages are, without any key: header, context, wrapped keys, sizes.

    A signature is checked against the public key that the message carries. Nothing else shown here is authenticated
    before the message is decrypted.
    """
    failures = Failures()
    for name in files:
        try:
            inspection = _inspect(name)
        except (EnvelopeError, OSError) as error:
            failures.add(error, name)
            continue
        fields = _fields(name, inspection)
        click.echo(json.dumps(fields) if as_json else "\n".join(_lines(fields)))
        if inspection.signature_error is not None:
            failures.add(inspection.signature_error, name)
    ctx.exit(failures.code(len(files)))


def _inspect(name: str) -> Inspection:
    if name == "-":
        return inspect_message(standard_input(), _LIMITS)
    with io.FileIO(name) as file:
        source: IO[bytes] = io.BufferedReader(file)
        return inspect_message(source, _LIMITS)


def _fields(name: str, inspection: Inspection) -> dict[str, Any]:
    fields: dict[str, Any] = {"file": name, **describe_outline(inspection.outline), "signature": _verdict(inspection)}
    keys = inspection.outline.header.body.encrypted_data_keys
    for shown, key in zip(fields["encrypted_data_keys"], keys, strict=True):
        shown["keyrings"] = [opener._asdict() for opener in openers_of(key)]
    return fields


def _verdict(inspection: Inspection) -> str:
    if inspection.outline.signature is None:
        return "none"
    return "valid" if inspection.signature_error is None else "invalid"


def _lines(fields: dict[str, Any]) -> Iterator[str]:
    suite = fields["algorithm_suite"]
    traits = ", ".join(
        (
            "committing" if suite["committing"] else "not committing",
            "signed" if suite["signed"] else "unsigned",
        )
    )
    count, length = fields["frames"], fields["frame_length"]
    frames = f"{count:,} frame{'s' * (count > 1)} of up to {length:,} bytes" if count else "no frames"
    yield printable_name(fields["file"])
    yield f"  format      version {fields['version']}, suite {suite['id']} ({traits})"
    yield f"              {suite['name']}"
    yield f"  message     {fields['message_length']:,} bytes, of them {fields['header_length']:,} header; {frames}"
    yield f"  plaintext   {fields['plaintext_length']:,} bytes"
    yield f"  signature   {fields['signature']}"
    for index, (key, value) in enumerate(fields["encryption_context"].items()):
        yield f"  {'context' if index == 0 else '':<10}  {_printable(key)} = {_printable(value)}"
    if not fields["encryption_context"]:
        yield "  context     empty"
    for index, key in enumerate(fields["encrypted_data_keys"]):
        line = f"  {'keys' if index == 0 else '':<10}  {_printable(key['provider_id'])}  {_key_name(key)}"
        yield line.rstrip()
        for opener in key["keyrings"]:
            needs = f"   {_printable(opener['needs'])}" if opener["needs"] else ""
            yield f"{'':<14}--key {shlex.quote(_printable(opener['uri']))}{needs}"


def _key_name(key: dict[str, Any]) -> str:
    encoded = key.get("provider_info_base64")
    if encoded is None:
        return str(key["provider_info"])
    info = base64.b64decode(encoded)
    if key["provider_id"] in _ECDH:
        # Only who looks at such a message waits for what it takes.
        from envelope_sdk.keyrings.ecdh_wrapping import parties_shown

        with contextlib.suppress(MessageError):
            return parties_shown(info)
    if (name := key_name_in(info)) is not None:
        with contextlib.suppress(UnicodeDecodeError):
            return _printable(name.decode("utf-8"))
    return f"base64 {encoded}"


def _printable(text: str) -> str:
    """Return text that cannot move the cursor, pass for another line or go unnoticed."""
    return text if text.isprintable() and text.strip() == text != "" else ascii(text)
