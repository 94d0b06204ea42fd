"""The reference pages tell of every file of a run folder, and their schemas are what the files keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from json_schema import problems
from report import sample

from edgewidth.stages.folder import RunFolder

pytest.importorskip("mkdocs", reason="pip install 'edgewidth[docs]'")
from scripts import reference

PAGE = "\n".join(reference.documents())


def test_every_file_of_a_run_folder_is_told_of() -> None:
    folder = RunFolder(Path("run"))
    files = {getattr(folder, name) for name, value in vars(RunFolder).items() if type(value).__name__ == "_File"}
    names = {file.name for file in files if file.parent == folder.path}
    assert len(names) >= 20
    assert {name for name in names if name not in PAGE} == set()


@pytest.mark.parametrize("names", sorted(reference.DOCUMENTS.keys() - {"comparison.json", "report.json"}))
def test_a_file_is_as_its_schema_says(names: str, tmp_path: Path) -> None:
    folder = sample.sample_folder(tmp_path)
    schema = reference.document(reference.DOCUMENTS[names]).file_schema()
    content = json.loads((folder.path / names.split(",", maxsplit=1)[0]).read_text(encoding="utf-8"))
    assert problems(content, schema) == []
    assert problems(content | {"another": 1}, schema) != []
