"""The command line: `bench COMMAND`. A command's module is imported when the command is used, not before."""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from fedbench import __version__
from fedbench.errors import FedbenchError, unknown

COMMANDS = {
    "run": ("fedbench.commands.run:run", "Train and evaluate a grid of methods and datasets."),
    "list": (
        "fedbench.commands.list:list_",
        "Show methods, datasets, splits, backbones, suites, quirks, executors; cite papers.",
    ),
    "status": ("fedbench.commands.status:status", "Show how far the cells of a result store are."),
    "report": ("fedbench.commands.report:report", "Write the tables of a result store."),
    "plot": ("fedbench.commands.report:plot", "Draw the curves of a result store."),
    "data": ("fedbench.commands.data:data", "Show, check and download the datasets."),
    "check": ("fedbench.commands.check:check", "Check a method, split or dataset against its contract."),
    "parity": ("fedbench.commands.parity:parity", "Compare with numbers recorded from the papers' own code."),
    "perf": ("fedbench.commands.perf:perf", "Time the fast path against the plain one."),
}
"""Command to `module:attribute` and its line in `bench --help` (which therefore imports no command)."""


class LazyGroup(click.Group):
    """A group whose commands stand in `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in COMMANDS:
            raise unknown("command", cmd_name, COMMANDS)
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="bench")
def cli() -> None:
    """The referee for federated adaptation of vision-language models: one engine, one protocol, one table.

    Start with `bench run quickstart`.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The entry point. Errors are one line on stderr; FEDBENCH_DEBUG=1 shows their traceback.

    Exit status: 0; 1 on an error or a failed cell; 2 on a misused option; 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(list(arguments) or ["--help"], prog_name="bench", standalone_mode=False)
        sys.stdout.flush()  # here, so that a closed pipe is noticed while it can be answered
    except (click.Abort, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C has nothing left to stop
        sys.exit(130)
    except BrokenPipeError:  # the reader, for example `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (FedbenchError, click.ClickException, OSError) as error:
        if os.environ.get("FEDBENCH_DEBUG") == "1":
            raise
        print(f"error: {' '.join(_message(error).split())}", file=sys.stderr)
        sys.exit(2 if isinstance(error, click.UsageError) else 1)
    sys.exit(code if isinstance(code, int) else 0)


def _message(error: FedbenchError | click.ClickException | OSError) -> str:
    if isinstance(error, FedbenchError):
        return str(error)
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        return error.format_message() + (f" (see `{context.command_path} --help`)" if context else "")
    from fedbench.store.files import is_disk_full

    if is_disk_full(error):
        place = f" of {error.filename}" if error.filename else ""
        return f"no space left on the disk{place}; free some space and run the same command again"
    return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
