"""How good a latency table is, from how many measured networks, beside the reference method and random draws.

Measures on a real (or emulated) device, into a temporary folder; with --folder everything measured is kept there, so
that a run that was stopped goes on where it was. With --json one JSON document is printed; progress goes to standard
error.

    networks                 fitted networks, none of them held out
    mape_percent …           errors on held-out networks: half drawn uniformly, half spread from small to large
    rmse_over_floor          the root mean square error over the noise floor of the held-out measurements
    coverage_percent         held-out measurements inside their own 95 % intervals
    free_table.*             --compare-free-table: the reference method on uniformly drawn networks
    random.*                 --compare-random: this estimator on uniformly drawn networks
    networks_ratio           of the comparison asked for (of random draws, if both are): networks that the other way
                             needs for the same error, over ours; with reached false it needs more than that
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from edgewidth.devices.device import open_device
from edgewidth.devices.engines.table import engine_named
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.policy import Policy, default_policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import load_profile
from edgewidth.files import cache_folder
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.families.registry import FAMILIES, search_space
from edgewidth.graph.widths import variables_of
from edgewidth.latency.design import first_configs, held_out_configs, next_configs
from edgewidth.latency.fit import fit_table
from edgewidth.progress import Lines
from edgewidth.records.measurement import Clock, EngineName, Precision, Statistic
from edgewidth.stages.bench import config_visits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgewidth.devices.device import Device
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.records.measurement import Setting
    from edgewidth.records.table import ConfigVisits, LatencyTable

EXACT = Policy(rounds=1, visit_ms=1.0, min_runs=9, max_runs=9, warmup_min_ms=1.0, window_ms=1.0)
"""For a clock that repeats itself. Not fewer runs: the board's own programs interrupt about one run in twelve on its
one processor, and the median of three was off by up to a half."""

RANDOM_SIZES = (0.6, 0.8, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0)
FREE_SIZES = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0)
REPEATS = 4
"""Subsets of the random draws over which errors are averaged."""


class Plan(NamedTuple):
    """How much is measured: visits to fitted and to held-out networks."""

    networks: int
    held_out: int
    rounds: int
    held_out_rounds: int


class Bench:
    """An open device, and what was measured on it."""

    def __init__(self, device: Device, setting: Setting, space: SearchSpace, store: MeasurementStore) -> None:
        self._device, self.setting, self.space, self._store = device, setting, space, store
        self._policy = EXACT if setting.clock is Clock.ICOUNT else default_policy(setting.clock)
        self._factory = VariantFactory(
            space, Precision(setting.precision), setting.engine.file_format, cache_folder(), progress=Lines()
        )

    def measure(self, rounds: Sequence[tuple[Sequence[ChannelConfig], int]]) -> None:
        """Visit some configurations so often, and others so often, both spread over the same time."""
        steps = max(count for _, count in rounds)
        for step in range(1, steps + 1):
            for configs, count in rounds:
                policy = self._policy.model_copy(update={"rounds": -(-count * step // steps)})
                models = [self._model(config) for config in configs]
                measure(self._device, self.setting, models, self._store, policy=policy, progress=Lines())

    def visits(self, configs: Sequence[ChannelConfig]) -> list[ConfigVisits]:
        """What was measured of configurations."""
        visits = self._store.visits(self.setting)
        return [config_visits(config, visits[self._key(config)], Statistic.MEDIAN) for config in configs]

    def fit(self, fitted: Sequence[ChannelConfig], held_out: Sequence[ChannelConfig] = ()) -> LatencyTable:
        """The table of what was measured."""
        return fit_table(self.space, self.setting, Statistic.MEDIAN, self.visits(fitted), self.visits(held_out))

    def _model(self, config: ChannelConfig) -> Model:
        return Model(self._key(config), lambda: self._factory.variant(config))

    def _key(self, config: ChannelConfig) -> str:
        return f"{self.space.fingerprint}:{config}"


@contextmanager
def open_bench(options: argparse.Namespace) -> Iterator[Bench]:
    """The device that the options name, with the search space and the store."""
    space = search_space(options.network, resolution=options.resolution, num_classes=10)
    profile = load_profile(options.device)
    with (
        open_device(profile, progress=Lines()) as device,
        MeasurementStore(options.folder / "measurements.sqlite") as s,
    ):
        engine = engine_named(profile, options.runtime)
        yield Bench(device, device.setting(engine, options.precision, options.threads or profile.threads), space, s)


def designed(bench: Bench, plan: Plan, held_out: list[ChannelConfig], rng: np.random.Generator) -> list[ChannelConfig]:
    """Half chosen before anything is known, the rest in four steps by what is; all measured."""
    few = min(2, plan.rounds)
    configs = first_configs(bench.space, plan.networks // 2, rng, exclude=held_out)
    bench.measure([(configs, few)])
    while len(configs) < plan.networks:
        step = min(max(plan.networks // 8, 1), plan.networks - len(configs))
        new = next_configs(bench.fit(configs), step, rng, exclude={*configs, *held_out})
        bench.measure([(new, few)])
        configs += new
    bench.measure([(configs, plan.rounds), (held_out, plan.held_out_rounds)])
    return configs


def numbers(table: LatencyTable) -> dict[str, float]:
    """The keys of one table."""
    quality = table.quality
    errors = np.array([h.measured_ms / h.predicted_ms - 1 for h in table.held_out])
    found = quality.model_dump(exclude={"verdict", "fitted"}) | {"networks": quality.fitted}
    found["rmse_over_floor"] = float(100 * np.sqrt(np.mean(errors**2)) / quality.noise_percent)
    widths = [(h.high_ms - h.low_ms) / 2 / h.predicted_ms for h in table.held_out]
    return found | {"interval_percent": float(100 * np.median(widths))}


def own_error(measured: np.ndarray, predicted: np.ndarray, noise_percent: float, clock: Clock) -> float:
    """The root mean square error in percent less the noise of the measurements, where the clock has noise."""
    square = float(np.mean((100 * (measured / predicted - 1)) ** 2))
    return float(np.sqrt(max(square - (noise_percent**2 if clock is Clock.WALL else 0.0), 0.0)))


def table_error(table: LatencyTable) -> float:
    """``own_error`` of a table on its held-out networks."""
    measured = np.array([h.measured_ms for h in table.held_out])
    predicted = np.array([h.predicted_ms for h in table.held_out])
    return own_error(measured, predicted, table.quality.noise_percent, table.setting.clock)


def compare_random(bench: Bench, table: LatencyTable, pool: list[ChannelConfig]) -> dict[str, object]:
    """How many uniformly drawn networks this estimator needs for the designed table's error."""
    networks, held_out = table.quality.fitted, [h.config for h in table.held_out]
    errors = {}
    for size in (round(networks * share) for share in RANDOM_SIZES if round(networks * share) <= len(pool)):
        subsets = [np.random.default_rng(r).permutation(len(pool))[:size] for r in range(REPEATS)]
        tables = [bench.fit([pool[i] for i in subset], held_out) for subset in subsets]
        errors[size] = float(np.mean([table_error(one) for one in tables]))
    return comparison(errors, table_error(table), networks)


def compare_free(bench: Bench, table: LatencyTable, pool: list[ChannelConfig]) -> dict[str, object]:
    """How many uniformly drawn networks the reference method needs for our table's error."""
    networks = table.quality.fitted
    measured = np.array([h.measured_ms for h in table.held_out])
    held_out = [h.config for h in table.held_out]
    errors = {}
    for size in (round(networks * share) for share in FREE_SIZES if round(networks * share) <= len(pool)):
        predicted = free_table(table, bench.visits(pool[:size]), held_out)
        errors[size] = own_error(measured, predicted, table.quality.noise_percent, table.setting.clock)
    return comparison(errors, table_error(table), networks)


def comparison(errors: dict[int, float], wanted: float, networks: int) -> dict[str, object]:
    """The networks for an error, read between sizes on logarithmic scales, over ours."""
    sizes = sorted(errors)
    reached = next((i for i, size in enumerate(sizes) if errors[size] <= wanted), None)
    needed = float(sizes[-1] if reached is None else sizes[reached])
    if reached:
        few, many = sizes[reached - 1], sizes[reached]
        share = np.log(errors[few] / wanted) / np.log(errors[few] / max(errors[many], 1e-9))
        needed = float(few * (many / few) ** share)
    found = {"networks_ratio": needed / networks, "reached": reached is not None}
    return found | {"own_error_percent": wanted, "errors_percent": errors}


def free_table(table: LatencyTable, visits: Sequence[ConfigVisits], asked: Sequence[ChannelConfig]) -> np.ndarray:
    """The reference method: one unknown for each layer and its two widths, non-negative and softly monotone.

    Berman et al. 2020 (arXiv 2005.10481, section 3.1): least squares with a penalty on entries that fall while a
    width grows. Errors are taken relative to the latencies. Returns predictions in milliseconds.
    """
    space = table.space
    scopes = mixing_scopes(space)
    shapes = [tuple(len(space.variables[v].choices) for v in scope) for scope in scopes]
    starts = np.concatenate([[0], np.cumsum([int(np.prod(shape)) for shape in shapes])])

    def design(configs: Sequence[ChannelConfig]) -> csr_matrix:
        indices = np.array([space.indices(config) for config in configs])
        columns = [
            start + np.ravel_multi_index(tuple(indices[:, list(scope)].T), shape)
            for scope, shape, start in zip(scopes, shapes, starts, strict=False)
        ]
        rows = np.repeat(np.arange(len(configs)), len(columns))
        values = np.ones(len(rows))
        return csr_matrix((values, (rows, np.stack(columns, axis=1).ravel())), (len(configs), int(starts[-1])))

    latency = np.array([np.median(v.values_ms) for v in visits])
    system = csr_matrix(design([v.config for v in visits]).multiply(1 / latency[:, None]))
    steps = monotone_steps(shapes, starts) / float(np.median(latency))
    first = np.full(int(starts[-1]), float(np.median(latency)) / len(scopes))

    def objective(entries: np.ndarray) -> tuple[float, np.ndarray]:
        errors = system @ entries - 1
        falls = np.minimum(steps @ entries, 0)
        return float(errors @ errors + falls @ falls), 2 * (system.T @ errors + steps.T @ falls)

    bounds = [(0.0, None)] * len(first)
    found = minimize(objective, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 3000})
    predicted: np.ndarray = design(asked) @ found.x
    return predicted


def mixing_scopes(space: SearchSpace) -> list[tuple[int, ...]]:
    """For each layer that mixes channels, the places of the variables that it reads and makes; equal ones once."""
    place = {variable.name: i for i, variable in enumerate(space.variables)}
    layers = (layer for layer in space.network.layers if layer.operator.mixes)
    names = (variables_of(layer.reads[0].channels + layer.output.channels) for layer in layers)
    return list(dict.fromkeys(tuple(sorted(place[name] for name in scope)) for scope in names))


def monotone_steps(shapes: Sequence[tuple[int, ...]], starts: np.ndarray) -> csr_matrix:
    """Differences of entries whose one width is one choice apart: (pairs, entries)."""
    narrow, wide = [], []
    for shape, start in zip(shapes, starts, strict=False):
        numbers_of = start + np.arange(int(np.prod(shape))).reshape(shape)
        for axis in range(len(shape)):
            narrow.append(np.take(numbers_of, range(shape[axis] - 1), axis).ravel())
            wide.append(np.take(numbers_of, range(1, shape[axis]), axis).ravel())
    low, high = np.concatenate(narrow), np.concatenate(wide)
    rows = np.arange(len(low))
    values = np.concatenate([-np.ones(len(low)), np.ones(len(high))])
    return csr_matrix((values, (np.tile(rows, 2), np.concatenate([low, high]))), (len(low), int(starts[-1])))


def run(bench: Bench, options: argparse.Namespace) -> dict[str, object]:
    """Measure, fit, compare."""
    exact = bench.setting.clock.repeats
    defaults = Plan(36, 60, 1, 1) if exact else Plan(100, 60, 15, 15)
    plan = defaults._replace(networks=options.networks or defaults.networks)
    plan = plan._replace(held_out=options.held_out or plan.held_out)
    rng = np.random.default_rng(options.seed)
    held_out = held_out_configs(bench.space, plan.held_out, rng)
    started = time.monotonic()
    configs = designed(bench, plan, held_out, rng)
    fit_started = time.monotonic()
    table = bench.fit(configs, held_out)
    fitted = time.monotonic()
    table.write(options.folder / "table.json")
    report: dict[str, object] = {"setting": bench.setting.model_dump(mode="json"), "seed": options.seed}
    report |= numbers(table) | {"fit_s": fitted - fit_started, "measure_s": fit_started - started}
    sizes = (options.random_networks or 3 * plan.networks) if options.compare_random else 0
    sizes = max(sizes, (options.free_networks or 10 * plan.networks) if options.compare_free_table else 0)
    pool = list(dict.fromkeys(bench.space.sample(rng) for _ in range(sizes)))
    pool = [config for config in pool if config not in set(held_out)]
    if pool:
        bench.measure([(pool, plan.rounds if sizes <= 3 * plan.networks else 1)])
    if options.compare_free_table:
        report["free_table"] = free = compare_free(bench, table, pool)
        report["networks_ratio"] = free["networks_ratio"]
    if options.compare_random:
        report["random"] = random = compare_random(bench, table, pool)
        report["networks_ratio"] = random["networks_ratio"]
    return report | {"verdict": table.quality.verdict}


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="local")
    parser.add_argument("--network", choices=list(FAMILIES), default="mobilenet_v1")
    parser.add_argument("--precision", type=Precision, choices=list(Precision), default=Precision.INT8)
    parser.add_argument("--runtime", type=EngineName, choices=list(EngineName))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--networks", type=int, help="fitted networks")
    parser.add_argument("--held-out", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare-free-table", action="store_true")
    parser.add_argument("--free-networks", type=int, help="random networks to measure; default: ten times --networks")
    parser.add_argument("--compare-random", action="store_true")
    parser.add_argument("--random-networks", type=int, help="random networks to measure; default: thrice --networks")
    parser.add_argument("--folder", type=Path, help="where measurements are kept; default: nowhere")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        with open_bench(options) as bench:
            report = run(bench, options)
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        print("\n".join(f"{name}: {value}" for name, value in report.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
