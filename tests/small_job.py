"""The main job on the fake device and the digits, as small as it can be."""

from __future__ import annotations

from edgewidth.data.split import load_images
from edgewidth.graph.families.registry import search_space
from edgewidth.records.budget import BudgetRequest
from edgewidth.stages.profile import ProfilePlan
from edgewidth.stages.refine import RefinePlan
from edgewidth.stages.request import make_request
from edgewidth.stages.run import Job
from edgewidth.stages.target import make_target
from edgewidth.training.recipes import Phase, Recipe


class ReachedError(Exception):
    pass


def reached(*_: object, **__: object) -> None:
    """So far and no further."""
    raise ReachedError


def make_job(budget: str = "60%") -> Job:
    data = load_images("digits", resolution=32, seed=0)
    space = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10, max_width=0.5, levels=4)
    recipe = Recipe("tiny", Phase(images=600, passes=0), Phase(images=600, passes=0), evaluations=12)
    target = make_target("fake")
    request = make_request(
        target, space, data, recipe, budget=BudgetRequest.parse(budget), seed=0, command="edgewidth run"
    )
    plan = ProfilePlan(first=24, held_out=8, step=8, most=32)
    return Job(request, target, data, recipe, plan, RefinePlan(visits=4))
