"""Where an operator of a program comes from: the module and the line of the user's code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgewidth.capture.guard import is_users

if TYPE_CHECKING:
    from torch import fx

SUPPORTED = (
    "Write it with what edgewidth knows: convolutions, linear layers, batch normalisation, ReLU and its kin, sigmoid, "
    "tanh, SiLU, GELU, ELU, addition and multiplication of tensors and by constants, concatenation, splits and "
    "shuffles of channels, pooling, zero padding, up-sampling and flattening."
)
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in [^\n]*\n\s*(?P<code>[^\n]*)')
"""One call of the stack trace that torch.export keeps of every operator."""


def origin(node: fx.Node) -> str:
    """The module that an operator belongs to, and the last line of the user's own that led to it, as a text to add.

    A program from a file tells the lines of the machine that it was exported on.
    """
    frames = [match.groupdict() for match in _FRAME.finditer(node.meta.get("stack_trace") or "")]
    own = [frame for frame in frames if is_users(frame["file"])]
    path, kind = module_of(node)
    module = f", in {path or 'the network itself'} ({kind.rpartition('.')[2]})" if kind else ""
    line = f":\n  {own[-1]['file']}:{own[-1]['line']}  {own[-1]['code']}" if own else "."
    return module + line


def module_of(node: fx.Node) -> tuple[str, str]:
    """The path and the class of the innermost module that an operator belongs to; empty if that is not known."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = next(reversed(stack.values()), ("", ""))
    return path, kind if isinstance(kind, str) else kind.__name__
