"""The reference pages of the site, made of the code when the site is built: a hook of MkDocs.

``reference/command-line.md`` is what click knows of every verb, ``reference/python.md`` the library's face and
``reference/files.md`` the documents of a run folder; the last two by mkdocstrings, of the docstrings.
"""

from __future__ import annotations

import importlib
import inspect
import json
from typing import TYPE_CHECKING

import click
from mkdocs.structure.files import File

from edgewidth import _ROOMS
from edgewidth.cli.main import edgewidth
from edgewidth.cli.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

    from edgewidth.documents import Document

DOCUMENTS = {
    "run.json": "run.RunRequest",
    "table.json, prior.json": "table.LatencyTable",
    "losses.json": "losses.UnaryLosses",
    "search.json": "search.SearchResult",
    "judged.json": "judged.Judged",
    "artifacts.json": "artifact.Artifacts",
    "validation.json": "validation.ValidationReport",
    "comparison.json": "comparison.Comparison",
    "report.json": "report.Report",
}
"""What a run folder's documents are, by their names."""
OTHERS = {
    "measurements.sqlite": "every raw run, in nanoseconds, with the device's state before and after its visit",
    "given.safetensors": "the weights that a network of your own brought, for pixels as every network here takes them",
    "trained.safetensors": "that network after it has learned your images; the supernet began with it",
    "supernet.safetensors": "the supernet's weights",
    "weights.safetensors": "the chosen network's weights",
    "weights_int8.safetensors": "the same after training for int8, where that was needed",
    "trained.jsonl, training.jsonl, finetune.jsonl, int8.jsonl": "a JSON line for every epoch of these four",
    "times.jsonl": "a JSON line for every time that `edgewidth run` was at a stage, with its seconds",
    "model_int8.tflite, model_int8.onnx, model_float32.tflite, model_float32.onnx": "the files that you deploy",
    "model_int8_vela.tflite": "the first of them compiled for an Ethos-U, where the device is one",
    "labels.txt": "the classes, one on each line, in the order of the outputs",
    "report.html": "the report for people, in one file that needs nothing else",
    "checkpoints/": "from where an interrupted training goes on",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of the code."""
    pages = {"command-line": command_line(), "python": python(), "files": documents()}
    for name, lines in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(lines)))
    for place in DOCUMENTS.values():
        schema = json.dumps(document(place).file_schema(), indent=1) + "\n"
        files.append(File.generated(config, f"reference/{_schema_file(place)}", content=schema))
    return files


def command_line() -> Iterator[str]:
    """Every verb with its arguments and options."""
    yield "# Command line\n"
    yield "Every verb takes `--json`, for one JSON document on standard output, and `--help`.\n"
    context = click.Context(edgewidth, info_name="edgewidth")
    for name in VERBS:
        yield from _command(edgewidth, name, context)


def _command(group: click.Group, name: str, parent: click.Context) -> Iterator[str]:
    command = group.get_command(parent, name)
    if command is None:
        raise LookupError(name)
    context = click.Context(command, parent=parent, info_name=name)
    yield f"## {context.command_path}\n"
    yield f"{_plain(command.help or '')}\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from _command(command, below, context)
        return
    yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield "| option | |\n|---|---|"
    for parameter in command.params:
        if record := parameter.get_help_record(context):
            option, text = (_plain(part).replace("|", "&#124;") for part in record)
            yield f"| <code>{option}</code> | {text} |"
    yield ""


def _plain(text: str) -> str:
    """A help text as Markdown shows it: no line is made a list or a heading, and nothing is HTML."""
    return inspect.cleandoc(text.replace("\b", "")).replace("<", "&lt;").replace("*", "\\*")


def python() -> Iterator[str]:
    """Everything that ``import edgewidth`` gives."""
    yield "# Python\n"
    yield "`import edgewidth` gives these names, and loads each when it is asked for.\n"
    for room, names in sorted(_ROOMS.items(), key=lambda item: item[0] != "stages.face"):
        for name in names.split():
            yield f"::: edgewidth.{room}.{name}\n    options:\n      show_root_full_path: false\n"


def documents() -> Iterator[str]:
    """Every file of a run folder."""
    yield "# Files of a run folder\n"
    yield "JSON files carry `schema` and `schema_version`; older versions are read.\n"
    yield "| file | |\n|---|---|"
    for name, text in OTHERS.items():
        yield f"| `{name}` | {text} |"
    yield ""
    for name, place in DOCUMENTS.items():
        yield f"## {name}\n"
        yield f"[JSON schema]({_schema_file(place)}), with every field.\n"
        yield f"::: edgewidth.records.{place}"
        yield "    options:\n      heading_level: 3\n      show_root_full_path: false\n"


def document(place: str) -> type[Document]:
    """The class of a document, by its module among the records and its name."""
    module, _, name = place.partition(".")
    found: type[Document] = getattr(importlib.import_module(f"edgewidth.records.{module}"), name)
    return found


def _schema_file(place: str) -> str:
    return f"schemas/{document(place).schema_name.rpartition('/')[2]}.json"
