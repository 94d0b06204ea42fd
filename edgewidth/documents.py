"""Frozen records and the versioned JSON documents made of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError

from edgewidth.errors import FileError
from edgewidth.files import write_atomic

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_DAMAGED = "It was changed or is damaged: let the verb that wrote it write it again, or take a copy from before."


class Record(BaseModel):
    """An immutable value with named, checked fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of the fields: a serializer that keeps one where defaults are left out would hide them all."""
        return handler(_without_serializer(core_schema))


class Document(Record):
    """A record that is a file of its own: JSON that names its schema and its version."""

    schema_name: ClassVar[str]
    schema_version: ClassVar[int] = 1

    def to_json(self) -> str:
        """The document as indented JSON, ``schema`` and ``schema_version`` first."""
        head = {"schema": self.schema_name, "schema_version": self.schema_version}
        return json.dumps(head | self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"

    @classmethod
    def file_schema(cls) -> dict[str, Any]:
        """The JSON schema (draft 2020-12) of the file, the head that every document has included."""
        schema = cls.model_json_schema(mode="serialization")
        head = {"schema": {"const": cls.schema_name}, "schema_version": {"const": cls.schema_version}}
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **schema,
            "properties": head | schema["properties"],
            "required": [*head, *schema["required"]],
        }

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that differ when anything in the document differs.

        Fields that were added with a default, and have it, do not count: an older document keeps its digest.
        """
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        """Write the document to ``path``, atomically.

        Raises:
            StorageError: The file cannot be written.
        """
        write_atomic(path, self.to_json().encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a document of this schema.

        Raises:
            FileError: No such file, not JSON, another schema, a newer version, or fields that are wrong.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise FileError(
                f"{path} could not be read: {reason}.",
                remedy="Give a file that is there, may be read, and is one of edgewidth's.",
            ) from error
        return cls.from_json(text, str(path))

    @classmethod
    def from_json(cls, text: str, source: str) -> Self:
        """The document of this schema that a text is; ``source`` names the text in messages.

        Raises:
            FileError: Not JSON, another schema, a newer version, or fields that are wrong.
        """
        content = _json_object(text, source)
        name, version = content.pop("schema", None), content.pop("schema_version", None)
        if name != cls.schema_name:
            raise FileError(
                f"{source} is not an {cls.schema_name} file: its schema is {name!r}.",
                remedy="Give the file of a run folder that is meant; the documentation says what each is.",
            )
        if type(version) is not int or version < 1:
            raise FileError(f"{source}: schema_version is {version!r}, and should be a number from 1.", remedy=_DAMAGED)
        if version > cls.schema_version:
            raise FileError(
                f"{source} was written by a newer edgewidth: its schema_version is {version}, "
                f"and this one reads up to {cls.schema_version}.",
                remedy="pip install --upgrade edgewidth",
            )
        try:
            current = cls._upgrade(content, version) if version < cls.schema_version else content
            return cls.model_validate_json(json.dumps(current))
        except ValidationError as error:
            raise FileError(f"{source}: {first_problem(error)}.", remedy=_DAMAGED) from error
        except (LookupError, TypeError, AttributeError) as error:  # of an upgrade, which trusts the old content
            raise FileError(f"{source} is not as schema_version {version} says: {error!r}.", remedy=_DAMAGED) from error

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        """The content of a file of an older ``version``, without its head, as this version has it.

        A document whose fields were renamed or changed overrides this, and may change ``content`` itself. Fields
        that were added with a default need nothing.
        """
        del version
        return content


def _without_serializer(core_schema: Any) -> Any:
    """The same with validators, which wrap what they validate."""
    kept = {key: value for key, value in core_schema.items() if key != "serialization"}
    return kept | {"schema": _without_serializer(kept["schema"])} if kept["type"].startswith("function-") else kept


def first_problem(error: ValidationError) -> str:
    """The first problem of a failed validation as ``where: what``, without pydantic's own wrapping."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    what = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{where}: {what}" if where else what


def _json_object(text: str, source: str) -> dict[str, Any]:
    try:
        content = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise FileError(f"{source} is not JSON: {error.msg} in line {error.lineno}.", remedy=_DAMAGED) from error
    except (ValueError, RecursionError) as error:  # an endless number, NaN, or brackets in brackets without end
        raise FileError(f"{source} is not JSON that edgewidth wrote: {error}.", remedy=_DAMAGED) from error
    if not isinstance(content, dict):
        raise FileError(f"{source} is not a JSON object.", remedy=_DAMAGED)
    return content


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number")
