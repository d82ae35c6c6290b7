"""Finds the command, runs it, and turns whatever goes wrong into a line and a code."""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import Final

import click

from envelope_sdk.cli.signals import end_starting, raise_if_stopped
from envelope_sdk.cli.terminal import ExitCode, report

__all__ = ["cli", "run"]

_COMMANDS: Final = {
    "encrypt": "envelope_sdk.cli.commands.encrypt",
    "decrypt": "envelope_sdk.cli.commands.decrypt",
    "rotate": "envelope_sdk.cli.commands.rotate",
    "inspect": "envelope_sdk.cli.commands.inspect",
    "keygen": "envelope_sdk.cli.commands.keygen",
    "keyrings": "envelope_sdk.cli.commands.keyrings",
    "kms": "envelope_sdk.cli.commands.kms",
    "branch-keys": "envelope_sdk.cli.commands.branch_keys",
    "bench": "envelope_sdk.cli.commands.bench",
}


class _Commands(click.Group):
    """Imports a command's module only when that command is wanted, so that starting stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name]).command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; whoever else ends it, what it was asked for is not done, whatever code they give."""
        try:
            return super().invoke(ctx)
        except SystemExit as ended:
            raise_if_stopped()
            raise click.ClickException("a plug-in ended the command before it was done") from ended


def _version() -> str:
    from importlib.metadata import version

    return version("envelope-sdk")


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"envelope {_version()}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Encrypt and decrypt files in the AWS Encryption SDK message format.

    Without further ado, keys come from a local KMS in your home directory: 'envelope encrypt FILE' makes one on first
    use.
    """
    # The command's module is imported by now, and nothing is begun.
    end_starting()


def run() -> int:
    """Run the command that the arguments name, and return the code to end with.

    Raises:
        SystemExit: a signal stopped it.
    """
    try:
        return int(cli.main(prog_name="envelope", standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        with contextlib.suppress(OSError):
            error.show()
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone.
        return ExitCode.SOME_FAILED
    except SystemExit:
        # A signal's, or click's where whoever read its output has gone.
        raise
    except BaseException as error:
        # All of it: what plug-ins raise is not only what is meant to be caught.
        if os.environ.get("ENVELOPE_DEBUG"):
            raise
        return report(error)
