"""A verb's options as one typed record.

A record is a frozen dataclass. Each of its fields is declared once, as ``Annotated[type, option("--name", …)]``, or is
a record itself: a group of options that several verbs share. ``verb`` makes a click command whose options stand in
the order of the fields, and calls the function below it with the record filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from edgewidth.cli.wording import speak_for
from edgewidth.errors import InputError

R = TypeVar("R")
FIRST = ("--network", "--device", "--data", "--budget", "--out")
"""The options that matter most, in the order of the help."""
OTHERS = "Other options"
"""The heading of what belongs to no group."""


class _Option(click.Option):
    """An option that takes one value has one: click takes the last of several without a word."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser keep every value that is given."""
        if self.multiple or self.is_flag:
            super().add_to_parser(parser, ctx)
        else:
            parser.add_option(obj=self, opts=self.opts, dest=self.name, action="append", nargs=self.nargs)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Take the one value that was given, once or several times.

        Raises:
            InputError: There are different ones.
        """
        if self.name in opts and not self.multiple and not self.is_flag:
            value, *others = dict.fromkeys(opts[self.name])
            if others:
                given = " and ".join([value, *others])
                raise InputError(f"{self.opts[0]} takes one value, and was given {given}.", remedy="Give one of them.")
            opts = {**opts, self.name: value}
        return super().consume_value(ctx, opts)


@dataclass(frozen=True)
class Declaration:
    """How a field of a record is given on the command line."""

    kind: type[click.Option | click.Argument]
    flags: tuple[str, ...]
    settings: dict[str, Any]

    def named(self, name: str) -> click.Parameter:
        """The parameter of click's that fills the field of this name."""
        return self.kind([*self.flags, name], **self.settings)


def option(flag: str, *, parse: Callable[[str], Any] | None = None, **settings: Any) -> Declaration:
    """An option whose help shows its default, if it has one.

    Args:
        flag: As it is written, such as ``--name``.
        parse: Makes the value of the text that was given, of every one where the option may be repeated; None: click
            does, as its ``type`` says.
        settings: Further ones of ``click.Option``.
    """
    settings["show_default"] = "default" in settings
    if parse is not None:
        settings["callback"] = _by(parse)
    return Declaration(_Option, (flag,), settings)


def argument(**settings: Any) -> Declaration:
    """What is given without a flag; ``settings`` are those of ``click.Argument``."""
    return Declaration(click.Argument, (), settings)


class _Grouped(click.Command):
    """A command whose help shows its options in groups."""

    def __init__(self, name: str, *, record: type, **settings: Any) -> None:
        super().__init__(name, **settings)
        named = {parameter.opts[0]: parameter.name or "" for parameter in self.params}
        self._first = [named[flag] for flag in FIRST if flag in named]
        self._headings = dict.fromkeys(self._first, "What matters most") | {
            name: heading for name, heading in _headings(record) if name not in self._first
        }

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every group under its heading."""
        lines: dict[str, dict[str, tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            name, line = parameter.name or "", parameter.get_help_record(ctx)
            if line is not None:
                lines.setdefault(self._headings.get(name, OTHERS), {})[name] = line
        for heading in dict.fromkeys([*self._headings.values(), OTHERS]):
            if group := lines.get(heading):
                first = [group.pop(name) for name in self._first if name in group]
                with formatter.section(heading):
                    formatter.write_dl([*first, *group.values()])


def verb(name: str, record: type[R]) -> Callable[[Callable[[R], int | None]], click.Command]:
    """Make a command of a function that takes a record; what it returns is the exit code."""

    def decorate(function: Callable[[R], int | None]) -> click.Command:
        def call(**values: Any) -> int | None:
            speak_for(click.get_current_context().command)
            return function(_fill(record, values))

        parameters = list(_parameters(record))
        return _Grouped(name, record=record, callback=call, params=parameters, help=function.__doc__)

    return decorate


def refuse_without(lacking: str, *names: str) -> None:
    """Refuse options of the verb at hand that count only with another one, which was not given.

    Raises:
        InputError: One of them was given.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT:
            flag = parameter.opts[0]
            raise InputError(
                f"{flag} counts only with {lacking}.", remedy=f"Give {lacking} as well, or leave {flag} out."
            )


def names_of(record: type) -> tuple[str, ...]:
    """The fields of a record by name."""
    return tuple(field.name for field in fields(record))


def _declared(record: type) -> Iterator[tuple[str, Any]]:
    """Every field's name, and its declaration or the record that it is."""
    hints = get_type_hints(record, include_extras=True)
    for name in names_of(record):
        hint = hints[name]
        yield name, get_args(hint)[1] if get_origin(hint) is Annotated else hint


def _parameters(record: type) -> Iterator[click.Parameter]:
    for name, declared in _declared(record):
        if isinstance(declared, Declaration):
            yield declared.named(name)
        else:
            yield from _parameters(declared)


def _headings(record: type) -> Iterator[tuple[str, str]]:
    """The heading of every option that is in a group and is none of the first."""
    for _, declared in _declared(record):
        if not isinstance(declared, Declaration):
            heading = (declared.__doc__ or "").partition("\n")[0].rstrip(".")
            yield from ((name, heading) for name, one in _declared(declared) if isinstance(one, Declaration))
            yield from _headings(declared)


def _fill(record: type[R], values: dict[str, Any]) -> R:
    return record(
        **{
            name: values[name] if isinstance(declared, Declaration) else _fill(declared, values)
            for name, declared in _declared(record)
        }
    )


def _by(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | tuple[str, ...] | None], Any]:
    """A callback of click's that says which option it is whose text makes no sense."""

    def callback(_context: click.Context, parameter: click.Parameter, given: str | tuple[str, ...] | None) -> Any:
        try:
            if isinstance(given, tuple):
                return tuple(parse(text) for text in given)
            return None if given is None else parse(given)
        except InputError as error:
            raise InputError(f"{parameter.opts[0]}: {error.message}", remedy=error.remedy) from None

    return callback
