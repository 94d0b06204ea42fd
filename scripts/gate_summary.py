#!/usr/bin/env python3
"""Prints what ``edgewidth validate --json`` found as a table in Markdown; the standard library does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What is told, and what is said of it."""
    estimate, setting, budget, regression = (found[key] for key in ("estimate", "setting", "budget", "regression"))
    interval = f"{estimate['low_ms']:.4g} to {estimate['high_ms']:.4g} ms"
    told = [
        ("file", f"{found['file']}, {found['size_bytes'] / 1e6:.3g} MB"),
        ("device", f"{setting['device']} ({setting['hardware']})"),
        ("runtime", f"{setting['engine']['runtime']} {setting['runtime_version']}, {setting['threads']} thread(s)"),
        (f"{estimate['statistic']} latency", f"{estimate['value_ms']:.4g} ms (95 % interval {interval})"),
    ]
    if budget is not None:
        verdict = "within" if found["within_budget"] else "**over**"
        told.append(("budget", f"{budget['latency_ms']:.4g} ms: {verdict}"))
    if regression is not None:
        verdict = "allowed" if regression["within"] else "**too much**"
        slower = f"{regression['slower_percent']:+.1f} % of {regression['baseline_ms']:.4g} ms"
        told.append(("against the baseline", f"{slower}: {verdict}, {regression['most_percent']:g} % may be"))
    return told + [("warning", f"{one['message']} {one['remedy']}") for one in found["warnings"]]


def main() -> None:
    """Print the table."""
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print("| edgewidth | |\n|---|---|")
    for name, text in rows(found):
        plain = "".join(one if one.isprintable() else " " for one in text)  # a device has its own words
        safe = plain.replace("|", "\\|").replace("<", "&lt;")
        print(f"| {name} | {safe} |")


if __name__ == "__main__":
    main()
