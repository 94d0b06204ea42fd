"""What a runtime says when a model fails, as a sentence: without the places in its own source code."""

from __future__ import annotations

import re

_NAME = re.compile(r"^\w*(?:Error|Exception|Fail|Argument|Graph|Protobuf|SuchFile|Implemented)\w*: ")
"""The name of a Python exception, which says nothing that the rest does not."""
_ONNXRUNTIME = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_LOADING = re.compile(r"Load model from \S+ failed: ?")
"""The path is one that the user never saw."""
_PLACE = re.compile(r"\S*[\w/]\.(?:cc|h|hpp|cpp|c):\d+:? ?")
"""A line of a source file."""
_SIGNATURE = re.compile(r"^[\w:<>~*&, ]*?[\w>~]+(?:::[\w~<>]+)+\(.*?\)(?: const)?(?: \[with [^\]]*\])? (?=[A-Z\d])")
"""A C++ function before a sentence."""
_MOST = 200
"""Letters: what a runtime says beyond them is advice for programmers."""


def plain_reason(text: str) -> str:
    """What a runtime said in a sentence or two, without a full stop at the end."""
    told = _LOADING.sub("", _ONNXRUNTIME.sub("", _NAME.sub("", " ".join(text.split()))))
    before, place, after = "", _PLACE.search(told), told
    if place is not None:
        before, after = told[: place.start()], told[place.end() :]
        after = _SIGNATURE.sub("", _PLACE.sub("", after))
    plain = f"{before.rstrip(': ')}: {after}" if before.strip(": ") else after
    return _shortened(plain).rstrip(". ")


def _shortened(text: str) -> str:
    """The sentences that fit; of a first one that does not, its beginning."""
    if len(text) <= _MOST:
        return text
    whole = text[:_MOST].rfind(". ")
    return text[:whole] if whole > 0 else text[:_MOST].rsplit(" ", 1)[0] + " …"
