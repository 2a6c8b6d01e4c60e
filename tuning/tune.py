"""Tune: rows divided, options searched, the choice measured on rows that the search never saw."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from snnconvert.backends.base import get_backend
from snnconvert.convert.calibration_rows import companion
from snnconvert.convert.choices import chosen_reset
from snnconvert.convert.errors import DataError
from snnconvert.convert.network import Reset
from snnconvert.convert.onnx_import import import_onnx
from snnconvert.convert.pipeline import convert_model
from snnconvert.tuning.budget import Budget, parse_budget
from snnconvert.tuning.goal import Goal, parse_goal
from snnconvert.tuning.result import TuningResult, plain_config
from snnconvert.tuning.rows import Division, divide, read_rows
from snnconvert.tuning.search import Search, Trial
from snnconvert.tuning.space import Space, space_for
from snnconvert.tuning.workbench import Workbench, figures_of

Progress: TypeAlias = Callable[[str, int, int | None], None]

DEFAULT_GOAL = "accuracy>=ANN-0.5"


def tune_model(
    model: Any,
    calibration_data: Any = None,
    labels: Any = None,
    *,
    goal: str | Goal = DEFAULT_GOAL,
    minimise: str | None = None,
    target: str = "cpu",
    budget: int | str | None = None,
    search: Mapping[str, Sequence[Any]] | None = None,
    evaluation_data: Any = None,
    evaluation_labels: Any = None,
    reset: Reset | None = None,
    scale: float | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    score_output: str | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TuningResult:
    """Search the options of a conversion for those that reach a goal best.

    Calibration rows are divided by what they hold: some make thresholds, others judge. The final
    figures come from rows that no trial saw, and nothing is chosen by them.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    calibration_data : array, dict, path, iterable of batches or data reader, optional
        Raw training rows. Default: ``<model>.calibration.npz`` beside the model.
    labels : array or dict of arrays by output name, optional
        Of the calibration rows, where they do not come with them. Without labels the agreement
        with the ANN stands for the accuracy.
    goal : str or Goal
        "accuracy>=ANN-0.5" (points), "accuracy>=90%", "agreement>=0.99", "latency<=32",
        "synops<=1e6", "energy<=1e-6", "neurons<=5000"; several joined by "and".
    minimise : {"latency", "synops", "energy", "neurons"}, optional
        Where the goal bounds accuracy or agreement; default "latency". Where it bounds costs
        alone, the most accurate configuration is best.
    target : str
    budget : int or str, optional
        Number of trials (default 48), or a time ("10min"): then what is found depends on the
        machine.
    search : dict of sequences, optional
        Values to try, by option: timesteps, schedule, neuron, method, readout, corrections,
        granularity ("channel", "layer", "group:N"), weight_bits.
    evaluation_data, evaluation_labels : as above, optional
        For the final figures. Default: ``<model>.eval.npz`` beside the model, else one
        calibration row in three.
    reset, scale, mean, std, input_shapes, inputs, outputs
        As for :func:`snnconvert.convert_model`; the same in every trial.
    score_output : str, optional
        The output that is judged.
    batch_size : int, optional
        Samples simulated at once.
    seed : int
        Of the few configurations that are drawn at random.
    progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    TuningResult

    Raises
    ------
    UsageError
        If the goal, the budget or a value cannot be used.
    DataError
        If the rows cannot be used, or are too few.
    UnsupportedModelError
        If no configuration can be converted for the target.
    """
    wanted = parse_goal(goal, minimise) if isinstance(goal, str) else goal
    allowance = parse_budget(budget)
    backend = get_backend(target)
    space = space_for(
        backend.capabilities,
        chosen_reset(backend, reset),
        search,
        most_steps=wanted.most("latency"),
    )
    imported = import_onnx(model, input_shapes=input_shapes, inputs=inputs, outputs=outputs)
    assert imported.graph is not None
    shapes = {node.name: node.shape for node in imported.graph.inputs}
    names = imported.graph.output_names
    calibration = _found(calibration_data, imported.path, "calibration")
    if calibration is None:
        raise DataError(
            "no calibration rows to search with",
            why="figures of random samples say nothing about real inputs",
            hint="give --calibration C.npz: some hundred training rows x, with labels y if known",
        )
    tested = _found(evaluation_data, imported.path, "eval")
    division = divide(
        read_rows(calibration, labels, shapes, names, "calibration"),
        None
        if tested is None
        else read_rows(tested, evaluation_labels, shapes, names, "evaluation"),
    )
    fixed: dict[str, Any] = {
        "reset": reset,
        "scale": scale,
        "mean": mean,
        "std": std,
        "input_shapes": input_shapes,
        "inputs": inputs,
        "outputs": outputs,
    }
    bench = Workbench(
        model, division, target, fixed, score_output=score_output, batch_size=batch_size
    )
    trials, search_run = _search(bench, space, wanted, allowance, seed, progress)
    chosen = search_run.best(search_run.last)[0]
    snn = convert_model(
        model,
        division.search.x,
        target=target,
        progress=progress,
        **fixed,
        **chosen.configuration.options,
    )
    evaluation = snn.evaluate(
        division.final.x,
        division.final.y or None,
        score_output=score_output,
        batch_size=batch_size,
        progress=progress,
    )
    config = {"target": target} | chosen.configuration.command_options | _as_command(fixed)
    config |= {"score-output": score_output}
    config |= {"calibration": _path(calibration_data), "eval": _path(evaluation_data)}
    return TuningResult(
        goal=wanted,
        space=space,
        trials=tuple(trials),
        front=tuple(search_run.front(search_run.best(search_run.last))),
        chosen=chosen,
        config=plain_config(config),
        final=figures_of(evaluation.measurement, snn, bench.energy)[-1],
        evaluation=evaluation,
        model=snn,
        labelled=bench.labelled,
        rows=division.to_json(),
        energy=bench.energy.name,
        warnings=(*division.warnings, *_warnings(bench.labelled, division)),
    )


def _search(
    bench: Workbench,
    space: Space,
    goal: Goal,
    budget: Budget,
    seed: int,
    progress: Progress | None,
) -> tuple[list[Trial], Search]:
    """Run the search; every configuration refused is an error."""

    def told(spent: Budget) -> None:
        if progress is not None:
            progress("search", spent.done, spent.trials)

    run = Search(space, goal, bench.measure, len(bench.rungs), budget, seed, told)
    trials = run.run()
    if not run.best(run.last):
        assert bench.first_error is not None
        raise bench.first_error
    return trials, run


def _found(given: Any, path: str | None, kind: str) -> Any:
    """Return rows that were given, or the file beside the model."""
    return companion(path, kind) if given is None else given


def _path(rows: Any) -> str | None:
    """Return the file that rows are in, as it was named; None for rows in memory."""
    return os.fspath(rows) if isinstance(rows, str | os.PathLike) else None


def _as_command(fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of ``convert_model`` as the command line spells them."""
    shapes = fixed["input_shapes"] or {}
    spelled = [
        f"{name}:{','.join(map(str, shape))}" if name else ",".join(map(str, shape))
        for name, shape in shapes.items()
    ]
    cuts = {
        key: None if fixed[key] is None else [name.replace(",", "\\,") for name in fixed[key]]
        for key in ("inputs", "outputs")
    }
    plain = {key: fixed[key] for key in ("reset", "scale")}
    numbers = {
        key: None if fixed[key] is None else [float(x) for x in fixed[key]]
        for key in ("mean", "std")
    }
    return plain | numbers | {"input-shape": spelled or None} | cuts


def _warnings(labelled: bool, division: Division) -> tuple[str, ...]:
    """Say what a reader of the figures should know."""
    if labelled:
        return ()
    final = (
        "the final figures as well"
        if not division.final.y
        else "the final figures compare with labels"
    )
    return (
        "the calibration rows have no labels: agreement with the ANN stands for the accuracy in "
        f"the search, and the ANN's is 100 %; {final}",
    )
