"""``envelope rotate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from envelope_sdk.cli.caching import Caching, stats_of, stats_options, tell_calls
from envelope_sdk.cli.guarded import Guarded
from envelope_sdk.cli.keys import chosen_keys, decrypting_keyring, encrypting_keyring, verifying_keys
from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.many import Many, check_keys
from envelope_sdk.cli.options import SUITES, context_pairs, many_options, transfer_options
from envelope_sdk.cli.plan import Item, plan_rotation
from envelope_sdk.cli.rotating import run_rotation
from envelope_sdk.cli.running import check_outputs
from envelope_sdk.cli.terminal import ExitCode
from envelope_sdk.cli.words import WordsCommand
from envelope_sdk.cli.wrapping_keys import uris_of_wrapping_keys
from envelope_sdk.client import Client
from envelope_sdk.formats.header import MAX_FRAME_LENGTH
from envelope_sdk.keyrings.kms.calls import KmsCalls, counted_calls
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.streams.rotation import Rotation

if TYPE_CHECKING:
    from envelope_sdk.cli.workers import CommandRecipe

__all__ = ["command"]

_STRICT: Final = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
_LENIENT: Final = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT


@click.command("rotate", cls=WordsCommand, short_help="Re-encrypt messages under other keys, in place.")
@transfer_options
@many_options
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
@stats_options
@click.pass_context
def command(ctx: click.Context, /, inputs: tuple[str, ...], **options: Any) -> None:
    """Re-encrypt messages under other keys, in another suite or with another context.

    FILE is replaced, in one step, when its old message is authentic to the last byte and the new one is complete and
    opens; otherwise it stays as it is. No plaintext is written. With --output it stays in any case.

    A file whose header says that it is as wanted is left alone, so a run that was interrupted is gone on with by
    running it again. With --output, a --journal does that.

    --key is for the old messages what it is to 'envelope decrypt', --new-key for the new ones what --key is to
    'envelope encrypt'. Without --new-key the old keys wrap again.
    """
    pairs, required_keys = context_pairs(options["context"], bare_keys=True)
    new_pairs, _ = context_pairs(options["new_context"], bare_keys=False)
    _check_suite(options)
    _check_dry_run(options)
    store = LocalStore(options["kms_store"])
    old = chosen_keys(options["keys"], uris_of_wrapping_keys(options["wrapping_keys"], encrypting=False))
    new = chosen_keys(options["new_keys"]) if options["new_keys"] else old
    guarded = Guarded((*old, *new), store, options["journal"])
    items = plan_rotation(
        inputs, options["output"], recursive=options["recursive"], suffix=options["suffix"], guarded=guarded
    )
    check_outputs(
        items, options["metadata"], binary=False, force=options["force"], guarded=guarded, journal=options["journal"]
    )
    wanted = _Wanted.of(old, new, options, pairs, required_keys, new_pairs)
    stats = stats_of(options)
    many = None if options["dry_run"] else Many.of(options, items, Caching(stats=stats))
    with closing(store), counted_calls() as calls:
        if many is not None:
            check_keys((*old, *new), store)
        # Where workers make their own, here too: it warns, fails, and makes the default key, once.
        rotation = wanted.rotation_of(store, options["threads"])
        if many is not None:
            code = _by_workers(wanted, items, many, calls.so_far(), options)
        else:
            code = run_rotation(
                items,
                rotation,
                again=options["again"],
                overwrite=options["force"],
                dry_run=options["dry_run"],
                metadata=options["metadata"],
                quiet=options["quiet"],
            )
            tell_calls(calls, calls.by_price, stats)
    ctx.exit(code)


def _check_suite(options: Mapping[str, Any]) -> None:
    if options["suite"] is None or options["sign"] is None:
        return
    if SUITES[options["suite"]].signed is not options["sign"]:
        sign, has = ("--sign", "has no signature") if options["sign"] else ("--no-sign", "has a signature")
        raise click.UsageError(f"{sign} does not go with --suite {options['suite']}, which {has}")


def _check_dry_run(options: Mapping[str, Any]) -> None:
    if options["dry_run"] and options["metadata"] == "-":
        raise click.UsageError("--dry-run and --metadata cannot both print to standard output: name a file")
    if options["dry_run"] and options["journal"] is not None:
        raise click.UsageError("--dry-run goes by what messages say, not by a --journal")


@dataclass(frozen=True)
class _Wanted:
    """What the options say.

    Attributes:
        old: keys of the old messages.
        new: keys of the new ones.
        reader: settings of the client that opens the old messages.
        writers: settings of those that make the new ones of unsigned messages, and of signed ones.
        verifier: settings of the client that opens the new ones.
        rotation: what else a rotation is told.
    """

    old: Sequence[KeyringUri]
    new: Sequence[KeyringUri]
    reader: Mapping[str, Any]
    writers: tuple[Mapping[str, Any], Mapping[str, Any]]
    verifier: Mapping[str, Any]
    rotation: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        old: Sequence[KeyringUri],
        new: Sequence[KeyringUri],
        options: Mapping[str, Any],
        pairs: Mapping[str, str],
        required_keys: Sequence[str],
        new_pairs: Mapping[str, str],
    ) -> _Wanted:
        limits = Limits(
            max_encrypted_data_keys=options["max_encrypted_data_keys"], max_body_length=options["max_body_length"]
        )
        suite, sign = SUITES.get(options["suite"]), options["sign"]
        forbids = suite is not None and not suite.committing
        made = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT if forbids else _STRICT
        writer = {"algorithm_suite": suite, "commitment_policy": made, "limits": limits}
        return cls(
            old,
            new,
            {"commitment_policy": _LENIENT if options["allow_uncommitted"] else _STRICT, "limits": limits},
            (
                {**writer, "sign": sign is True and suite is None},
                {**writer, "sign": sign is not False and suite is None},
            ),
            {"commitment_policy": _LENIENT, "limits": limits},
            {
                "verify": not options["no_verify"],
                "encryption_context": pairs,
                "required_context_keys": required_keys,
                "new_context": new_pairs,
                "drop_context_keys": options["dropped"],
                "unstored_context_keys": options["unstored"],
                "frame_length": options["frame_length"],
            },
        )

    @property
    def verifying(self) -> Sequence[KeyringUri] | None:
        """The keys that open new messages, where the new ones cannot."""
        return verifying_keys(self.new) if self.rotation["verify"] else None

    def rotation_of(self, store: LocalStore, threads: int | None) -> Rotation:
        """Return what rotates messages in this process."""
        wrapping = encrypting_keyring(self.new, store)
        writer, signing = (Client(wrapping, threads=threads, **settings) for settings in self.writers)
        verifying = self.verifying
        return Rotation(
            Client(decrypting_keyring(self.old, store), threads=threads, **self.reader),
            writer,
            signing_writer=signing,
            verifier=None if verifying is None else Client(decrypting_keyring(verifying, store), **self.verifier),
            **self.rotation,
        )


def _by_workers(
    wanted: _Wanted, items: Sequence[Item], many: Many, making: KmsCalls, options: Mapping[str, Any]
) -> ExitCode:
    from envelope_sdk import bulk
    from envelope_sdk.cli.workers import recipe_of, rotate_many, threads_each

    def recipe(keys: Sequence[KeyringUri], settings: Mapping[str, Any], *, encrypting: bool) -> CommandRecipe:
        threads = threads_each(options["threads"], many.jobs)
        store = options["kms_store"]
        return recipe_of(keys, Caching(), store=store, encrypting=encrypting, threads=threads, **settings)

    writer, signing = (recipe(wanted.new, settings, encrypting=True) for settings in wanted.writers)
    verifying = wanted.verifying
    operation = bulk.Rotate(
        recipe(wanted.old, wanted.reader, encrypting=False),
        signing_writer=signing,
        verifier=None if verifying is None else recipe(verifying, wanted.verifier, encrypting=False),
        again=options["again"],
        overwrite=options["force"],
        **wanted.rotation,
    )
    return rotate_many(items, operation, writer, many, making)
