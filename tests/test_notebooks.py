"""Notebooks are kept without outputs and become pages with them; ``scripts/docs`` executes those of the site."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="pip install 'edgewidth[docs]'")
from nbclient.exceptions import CellExecutionError

from scripts import notebooks

ROOT = Path(__file__).parents[1]
KEPT = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_in_the_navigation(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)
    assert f"- notebooks/{path.stem}.md\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def notebook(code: str) -> str:
    """One with a single cell."""
    cell: dict[str, object] = {
        "cell_type": "code",
        "id": "one",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": code,
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_a_page_has_what_cells_show() -> None:
    """As HTML where there is such, and what they wrote is gone with their folder."""
    code = "from pathlib import Path\nfrom IPython.display import HTML\n"
    code += "Path('written').touch()\nHTML(f'<div>{Path().resolve()}</div>')"
    page = notebooks.executed(notebook(code))
    assert f"```python\n{code}\n```" in page
    folder = Path(page.split("<div>")[-1].split("</div>")[0])
    assert folder.is_absolute()
    assert not folder.exists()


def test_a_cell_that_fails_fails_the_site() -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        notebooks.executed(notebook("1 / 0"))
