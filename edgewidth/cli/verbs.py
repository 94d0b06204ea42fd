"""The verbs: what each does, and its command, whose module is imported only when it is asked for."""

from __future__ import annotations

import importlib

import click

VERBS = {
    "run": "Everything: measure, train, search, export, validate, report; goes on where it stopped.",
    "network": "What a network is made of, its width variables, what stays fixed and why.",
    "devices": "What is there, and is it fit to measure on.",
    "init": "Ask a device what it is, and write a device profile for it.",
    "profile": "Measure a device and fit its latency table.",
    "table": "Look at a latency table, or refit it without a device.",
    "train": "Train the supernet and estimate what every width costs in loss.",
    "search": "The best widths within the budget, and the frontier.",
    "finetune": "Train the chosen network.",
    "export": "Write .tflite and .onnx: float32, int8 and any other precision.",
    "validate": "Measure a model file; exit 0 within the budget, 1 over it.",
    "report": "Write report.json and report.html of a run folder.",
}


def load(verb: str) -> click.Command:
    """The command of a verb."""
    command = importlib.import_module(f"edgewidth.cli.{verb}").command
    assert isinstance(command, click.Command)  # noqa: S101  every verb's module defines one
    return command
