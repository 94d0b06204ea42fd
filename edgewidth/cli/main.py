"""The command line: verbs loaded on demand, and the one place where exceptions become exit codes."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Any

import click

from edgewidth.cli import terminal
from edgewidth.cli.verbs import VERBS, load
from edgewidth.cli.wording import goes_on, with_flags
from edgewidth.errors import EdgewidthError, InputError, OutputError, as_full_disk, as_missing, as_unusable
from edgewidth.training.loop.processes import are_several, as_full_gpu, fails_first
from edgewidth.version import __version__

TOGETHER = {"train", "finetune"}
"""What several processes of ``torchrun`` can do together."""
ENVIRONMENT = {
    # Threads that wait spin otherwise, and where anything else runs on the machine a step of training then takes
    # several times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Every pair of widths is a convolution that oneDNN compiles. It keeps 1024 of them where a supernet has eight
    # times as many. Over the first ten steps to keep more saved about a tenth of the time, for some 150 MB.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384",
}
"""What the libraries read when torch loads, unless the user has set it."""
INTERRUPTED = 130
"""The exit code of a shell's own for Ctrl-C."""
INTERNAL = 70
"""EX_SOFTWARE of sysexits.h: a defect of ours, none of the contract's answers."""


class _Verbs(click.Group):
    """Imports a verb's module only when it is called, so that help is instant and loads no framework."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        return load(cmd_name) if cmd_name in VERBS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs with their summaries, without importing their modules."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgewidth")
@click.pass_context
def edgewidth(ctx: click.Context) -> None:
    """Fit a neural network to a device.

    edgewidth measures the device, trains one slimmable network, finds the channel widths that lose the least
    accuracy within the latency budget, and hands back a quantised .tflite and .onnx with its measured latency.

    Exit codes: 0 done, and within the budget; 1 the answer is no (over the budget, infeasible, parity failed);
    2 wrong input; 3 a device or its surroundings failed, and another try may help.
    """
    if are_several() and ctx.invoked_subcommand not in TOGETHER:
        raise InputError(
            f"Several processes cannot do {ctx.invoked_subcommand} together.",
            remedy=f"Leave torchrun out; it is for {' and '.join(sorted(TOGETHER))}.",
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with the contract's exit code; no traceback reaches a user."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    terminal.prepare()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores the second
            signal.signal(number, _interrupt)
    code = exit_code(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said; what is cleaned up at the end is soon done
    sys.exit(code)


def _interrupt(*_: object) -> None:
    """End as Ctrl-C does, which keeps what was done and cleans up."""
    raise KeyboardInterrupt


def exit_code(arguments: list[str] | None) -> int:
    """Run the command line and tell its exit code: the one place where exceptions become one."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        # A run records the words it was asked for with.
        outcome: Any = edgewidth.main(args=arguments, prog_name="edgewidth", standalone_mode=False, obj=arguments)
        terminal.flush()
    except EdgewidthError as error:
        if isinstance(error, OutputError):
            terminal.give_up_output()
        _say(error.message, error.remedy)
        return error.exit_code
    except click.ClickException as error:
        if fails_first():
            shown = io.StringIO()
            error.show(shown)
            terminal.echo(shown.getvalue(), err=True, nl=False)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("Interrupted.", "The same command goes on from here." if goes_on() else None)
        return INTERRUPTED
    except BrokenPipeError:
        terminal.give_up_output()  # whoever read it has gone
        return 0
    except Exception as error:
        if os.environ.get("EDGEWIDTH_DEBUG"):
            raise
        return _unforeseen(error)
    return outcome if isinstance(outcome, int) else 0


def _unforeseen(error: Exception) -> int:
    """Tell an exception that is none of ours; its exit code."""
    known = as_full_gpu(error) or as_missing(error) or as_unusable(error) or as_full_disk(error)
    if known is not None:
        _say(known.message, known.remedy)
        return known.exit_code
    _say(
        f"This is a defect in edgewidth: {type(error).__name__}: {error}",
        "Run it again with EDGEWIDTH_DEBUG=1 to see where, and report it with that output.",
    )
    return INTERNAL


def _say(message: str, remedy: str | None) -> None:
    if not fails_first():
        return
    terminal.echo(f"Error: {with_flags(message)}", err=True)
    if remedy:
        terminal.echo(f"  → {with_flags(remedy)}", err=True)
