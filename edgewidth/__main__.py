"""``edgewidth``, ``python -m edgewidth``, and what ``torchrun -m edgewidth`` starts."""

import os
import signal

INTERRUPTED = 130
"""The exit code of a shell's own for Ctrl-C."""


def main() -> None:
    """Run the command line; Ctrl-C while that is loaded ends the program without a word, since nothing was begun."""
    if heard := signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # nohup and others ignore it
        # Not by an exception: what is being loaded could take it for one of its own.
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from edgewidth.cli.main import main as command_line  # noqa: PLC0415  this is what takes a tenth of a second

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line()


if __name__ == "__main__":
    main()
