"""``envelope rotate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import click

from envelope_sdk.cli.guarded import Guarded
from envelope_sdk.cli.keys import chosen_keys, decrypting_keyring, encrypting_keyring, verifying_keyring
from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.options import SUITES, context_pairs, transfer_options
from envelope_sdk.cli.plan import plan_rotation
from envelope_sdk.cli.rotating import run_rotation
from envelope_sdk.cli.running import check_outputs
from envelope_sdk.cli.words import WordsCommand
from envelope_sdk.cli.wrapping_keys import uris_of_wrapping_keys
from envelope_sdk.client import Client
from envelope_sdk.formats.header import MAX_FRAME_LENGTH
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.streams.rotation import Rotation

__all__ = ["command"]


@click.command("rotate", cls=WordsCommand, short_help="Re-encrypt messages under other keys, in place.")
@transfer_options
@click.option("--new-key", "new_keys", multiple=True, metavar="KEY", help="Key to wrap with from now on; may repeat.")
@click.option(
    "-c", "--context", "context", multiple=True, metavar="KEY[=VALUE]", help="Pair or key that old messages must have."
)
@click.option("--new-context", multiple=True, metavar="KEY=VALUE", help="Pair to add, or to replace that of its key.")
@click.option("--drop-context", "dropped", multiple=True, metavar="KEY", help="Key whose pair to leave out.")
@click.option(
    "--required-context-key",
    "unstored",
    multiple=True,
    metavar="KEY",
    help="Do not store this key's pair any more, but have readers give it; may be repeated.",
)
@click.option("--sign/--no-sign", default=None, help="Sign, or do not; otherwise what was signed is signed again.")
@click.option("--suite", type=click.Choice(sorted(SUITES)), help="Algorithm suite; 0x0478 or 0x0578 otherwise.")
@click.option(
    "--frame-length", type=click.IntRange(1, MAX_FRAME_LENGTH), help="Bytes of plaintext in a frame (default: kept)."
)
@click.option("--all", "again", is_flag=True, help="Rotate what is as wanted already, too.")
@click.option("-n", "--dry-run", is_flag=True, help="Write nothing; print the names of the files to rotate.")
@click.option("--no-verify", is_flag=True, help="Replace messages without seeing that the new ones open.")
@click.option("--max-body-length", type=click.IntRange(1), help="Refuse frames, or unframed bodies, longer than this.")
@click.option("--allow-uncommitted", is_flag=True, help="Accept older messages that do not commit to their key.")
@click.pass_context
def command(ctx: click.Context, /, inputs: tuple[str, ...], **options: Any) -> None:
    """Re-encrypt messages under other keys, in another suite or with another context.

    FILE is replaced, in one step, when its old message is authentic to the last byte and the new one is complete and
    opens; otherwise it stays as it is. No plaintext is written. With --output it stays in any case.

    A file whose header says that it is as wanted is left alone, so a run that was interrupted is gone on with by
    running it again.

    --key is for the old messages what it is to 'envelope decrypt', --new-key for the new ones what --key is to
    'envelope encrypt'. Without --new-key the old keys wrap again.
    """
    pairs, required_keys = context_pairs(options["context"], bare_keys=True)
    new_pairs, _ = context_pairs(options["new_context"], bare_keys=False)
    _check_suite(options)
    if options["dry_run"] and options["metadata"] == "-":
        raise click.UsageError("--dry-run and --metadata cannot both print to standard output: name a file")
    store = LocalStore(options["kms_store"])
    old = chosen_keys(options["keys"], uris_of_wrapping_keys(options["wrapping_keys"], encrypting=False))
    new = chosen_keys(options["new_keys"]) if options["new_keys"] else old
    guarded = Guarded((*old, *new), store)
    items = plan_rotation(
        inputs, options["output"], recursive=options["recursive"], suffix=options["suffix"], guarded=guarded
    )
    check_outputs(items, options["metadata"], binary=False, force=options["force"], guarded=guarded)
    with closing(store):
        rotation = _rotation(old, new, store, options, pairs, required_keys, new_pairs)
        code = run_rotation(
            items,
            rotation,
            again=options["again"],
            overwrite=options["force"],
            dry_run=options["dry_run"],
            metadata=options["metadata"],
            quiet=options["quiet"],
        )
    ctx.exit(code)


def _check_suite(options: Mapping[str, Any]) -> None:
    if options["suite"] is None or options["sign"] is None:
        return
    if SUITES[options["suite"]].signed is not options["sign"]:
        sign, has = ("--sign", "has no signature") if options["sign"] else ("--no-sign", "has a signature")
        raise click.UsageError(f"{sign} does not go with --suite {options['suite']}, which {has}")


def _rotation(
    old: Sequence[KeyringUri],
    new: Sequence[KeyringUri],
    store: LocalStore,
    options: Mapping[str, Any],
    pairs: Mapping[str, str],
    required_keys: Sequence[str],
    new_pairs: Mapping[str, str],
) -> Rotation:
    limits = Limits(
        max_encrypted_data_keys=options["max_encrypted_data_keys"], max_body_length=options["max_body_length"]
    )
    wrapping = encrypting_keyring(new, store)
    verifying = None if options["no_verify"] else verifying_keyring(new, store)
    suite = SUITES.get(options["suite"])
    forbids = suite is not None and not suite.committing
    strict, lenient = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
    made = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT if forbids else strict
    writers = {
        sign: Client(
            wrapping,
            algorithm_suite=suite,
            commitment_policy=made,
            sign=sign and suite is None,
            limits=limits,
            threads=options["threads"],
        )
        for sign in (False, True)
    }
    sign = options["sign"]
    return Rotation(
        Client(
            decrypting_keyring(old, store),
            commitment_policy=lenient if options["allow_uncommitted"] else strict,
            limits=limits,
            threads=options["threads"],
        ),
        writers[bool(sign)],
        signing_writer=writers[sign is not False],
        verifier=None if verifying is None else Client(verifying, commitment_policy=lenient, limits=limits),
        verify=not options["no_verify"],
        encryption_context=pairs,
        required_context_keys=required_keys,
        new_context=new_pairs,
        drop_context_keys=options["dropped"],
        unstored_context_keys=options["unstored"],
        frame_length=options["frame_length"],
    )
