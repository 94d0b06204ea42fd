"""edgewidth: the channel widths that lose the least accuracy within a device's latency budget.

This is the library's face: the stages as functions, and the types that they take and give. Each loads when it is
asked for, so that ``import edgewidth`` is instant.

Each package under ``edgewidth/`` is called a room: it has one purpose, and a test holds which others it may import.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from edgewidth.shown import Shown

if TYPE_CHECKING:
    from edgewidth.capture.capture import Captured as Captured
    from edgewidth.capture.capture import capture as capture
    from edgewidth.data.pixels import normalise_tensor as normalise_tensor
    from edgewidth.data.split import ImageData as ImageData
    from edgewidth.data.split import load_images as load_images
    from edgewidth.errors import EdgewidthError as EdgewidthError
    from edgewidth.graph.families.registry import search_space as search_space
    from edgewidth.graph.space import ChannelConfig as ChannelConfig
    from edgewidth.graph.space import SearchSpace as SearchSpace
    from edgewidth.records.artifact import Artifacts as Artifacts
    from edgewidth.records.budget import BudgetRequest as BudgetRequest
    from edgewidth.records.losses import UnaryLosses as UnaryLosses
    from edgewidth.records.report import Report as Report
    from edgewidth.records.search import SearchResult as SearchResult
    from edgewidth.records.table import LatencyTable as LatencyTable
    from edgewidth.records.validation import ValidationReport as ValidationReport
    from edgewidth.stages.face import export as export
    from edgewidth.stages.face import finetune as finetune
    from edgewidth.stages.face import profile as profile
    from edgewidth.stages.face import refine as refine
    from edgewidth.stages.face import report as report
    from edgewidth.stages.face import run as run
    from edgewidth.stages.face import search as search
    from edgewidth.stages.face import space_for as space_for
    from edgewidth.stages.face import train as train
    from edgewidth.stages.face import validate as validate
    from edgewidth.stages.profile import ProfilePlan as ProfilePlan
    from edgewidth.stages.refine import RefinePlan as RefinePlan
    from edgewidth.stages.target import Target as Target
    from edgewidth.stages.target import make_target as make_target
    from edgewidth.training.networks.supernet import Supernet as Supernet
    from edgewidth.training.networks.weights import save_supernet as save_supernet
    from edgewidth.training.recipes import Recipe as Recipe
    from edgewidth.version import __version__ as __version__

_ROOMS = {
    "capture.capture": "Captured capture",
    "data.pixels": "normalise_tensor",
    "data.split": "ImageData load_images",
    "errors": "EdgewidthError",
    "graph.families.registry": "search_space",
    "graph.space": "ChannelConfig SearchSpace",
    "records.artifact": "Artifacts",
    "records.budget": "BudgetRequest",
    "records.losses": "UnaryLosses",
    "records.report": "Report",
    "records.search": "SearchResult",
    "records.table": "LatencyTable",
    "records.validation": "ValidationReport",
    "stages.face": "export finetune profile refine report run search space_for train validate",
    "stages.profile": "ProfilePlan",
    "stages.refine": "RefinePlan",
    "stages.target": "Target make_target",
    "training.networks.supernet": "Supernet",
    "training.networks.weights": "save_supernet",
    "training.recipes": "Recipe",
    "version": "__version__",
}
"""Where the names above are from; a test holds that both lists are the same."""
_MODULES = {name: f"edgewidth.{module}" for module, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'edgewidth' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def _inline(record: Shown) -> str:
    html: str = import_module("edgewidth.report.inline").render_inline(record)
    return html


Shown.renderer = _inline


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


class _Package(ModuleType):
    """The package as a module whose functions ``search`` and ``report`` are not hidden by the rooms of these names."""

    def __setattr__(self, name: str, value: object) -> None:
        # Importing a room sets it as an attribute of the package; whoever wants the room imports from it.
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
