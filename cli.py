"""The command line: arguments, printing, exit codes.

``snnconvert MODEL ...`` converts; ``check``, ``run``, ``tune`` and ``targets`` are verbs. The first
argument decides which, before anything is parsed. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snnconvert.convert.errors import SnnConvertError, UsageError, did_you_mean

if TYPE_CHECKING:
    from snnconvert.convert.spiking_model import SpikingModel
    from snnconvert.reports.diagnosis import Diagnosis
    from snnconvert.reports.evaluation import Evaluation

ACCURACY_MISSED, INTERRUPTED, TERMINATED = 4, 130, 143
COUNT = click.IntRange(min=1)
SPEED_SECONDS = 3600.0
"""The time left is estimated from what was done in so many seconds: a batch may take minutes."""

TUNED = b"# snnconvert tune"
"""How a configuration begins that tune wrote."""

HELP = """Usage: snnconvert MODEL [OPTIONS]          convert, evaluate and report
       snnconvert check MODEL [OPTIONS]    say whether and why a model cannot be converted
       snnconvert run NETWORK.snn [OPTIONS]  evaluate a converted network
       snnconvert tune MODEL [OPTIONS]     search the options that reach a goal
       snnconvert targets                  list the targets

Converts a trained ONNX network into a rate-coded spiking network, runs it on a target and
reports its accuracy against timesteps, operations and energy.

MODEL is an .onnx file, or the name of a model that the package ships (fashion_cnn).

  snnconvert model.onnx --target loihi --calibration train.npz --eval test.npz

Options of each verb: snnconvert MODEL --help, snnconvert check --help, and so on.
  --version    print the version
  --help       print this text

Exit status: 0 done, 1 failed, 2 usage or unreadable input, 3 the model cannot be converted for
the target, 4 goal missed, 130 interrupted, 143 terminated.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: ``sys.argv[1:]``.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in argv
    if not argv or argv[0] in ("--help", "-h"):
        click.echo(HELP, nl=False)
        return 0 if argv else 2
    if argv[0] == "--version":
        from snnconvert import __version__

        click.echo(f"snnconvert {__version__}")
        return 0
    command, rest = (VERBS[argv[0]], argv[1:]) if argv[0] in VERBS else (convert, argv)
    interruption, partial = _Interruption(), _PartialResults(argv)
    try:
        with interruption, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            name = _program(argv)
            try:
                code = command.main(rest, prog_name=name, standalone_mode=False, obj=partial)
            finally:
                partial.settle()
            return int(code or 0)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (Exception, KeyboardInterrupt) as error:
        if interruption.seen == signal.SIGTERM:
            click.echo(f"terminated; {partial.remains()}", err=True)
            return TERMINATED
        if interruption.seen is not None or _is_interrupt(error):
            click.echo(f"interrupted; {partial.remains()}", err=True)
            return INTERRUPTED
        if isinstance(error, click.ClickException):
            error = UsageError(error.format_message(), hint=_verb_hint(argv[0]))
        if not isinstance(error, SnnConvertError):
            raise
        _report_error(error, as_json)
        return error.exit_code


class _PartialResults:
    """Where an evaluation and a weight calibration keep what they have: files beside the output.

    Parameters
    ----------
    argv : list of str
        The command, to say how to go on.

    Attributes
    ----------
    path, weights : Path or None
        Of the evaluation, and of the weights that are calibrated before it. The latter stays until
        the report is written: an evaluation that goes on needs the same network once more.
    """

    def __init__(self, argv: list[str]) -> None:
        self.path: Path | None = None
        self.weights: Path | None = None
        self._argv = argv
        self._earlier: Path | None = None
        self._done = False

    def beside(self, folder: Path, *, resume: bool, weights: bool = False) -> None:
        """Choose the files; refuse foreign ones in their places, and say what becomes of ours."""
        folder = folder if folder.name else folder.resolve()
        path = folder.with_name(f"{folder.name}.resume")
        paths = [path, *([folder.with_name(f"{folder.name}.weights.resume")] if weights else [])]
        found = [path for path in paths if path.exists()]
        _refuse_foreign(found)
        home = next(p for p in path.absolute().parents if p.exists())
        if not os.access(home, os.W_OK):
            click.echo(f"note: partial results are not kept, {home} is not writable", err=True)
            return
        self.path, self.weights = path, paths[1] if weights else None
        if not resume:
            for path in found:
                text = f"{path} of an earlier run gives way to this one's"
                click.echo(f"note: {text}; --resume would go on from it", err=True)
        elif not found:
            names, start = " or ".join(map(str, paths)), "layer" if weights else "row"
            click.echo(f"note: no {names} to go on from, starting with the first {start}", err=True)

    def begin(self, *, resume: bool) -> Path | None:
        """Return the file for the evaluation that begins now."""
        if self.path is not None and not resume:
            self.path.unlink(missing_ok=True)
        return self.path

    def begin_weights(self, *, resume: bool) -> Path | None:
        """Return the file for a weight calibration; put away an earlier one that it begins anew."""
        if self.weights is not None and self.weights.exists() and not resume:
            self._earlier = self.weights.with_name(f"{self.weights.name}.earlier")
            self.weights.replace(self._earlier)
        return self.weights

    def settle(self) -> None:
        """Put an earlier run's weights back where this one kept none, else drop them."""
        if self._earlier is None or self.weights is None:
            return
        if self.weights.exists() or self._done:
            self._earlier.unlink(missing_ok=True)
        else:
            self._earlier.replace(self.weights)

    def done(self) -> None:
        """Remove the weights that were kept: the report is written."""
        self._done = True
        if self.weights is not None:
            self.weights.unlink(missing_ok=True)

    def remains(self) -> str:
        """Say what is left after an interruption."""
        left = [str(p) for p in (self.weights, self.path) if p is not None and p.exists()]
        if not left:
            return "nothing was written"
        again = self._argv if "--resume" in self._argv else [*self._argv, "--resume"]
        places = " and ".join(left)
        return f"partial results are in {places}\ngo on with: snnconvert {shlex.join(again)}"


def _refuse_foreign(paths: Sequence[Path]) -> None:
    """Refuse files in the place of partial results that are none."""
    from snnconvert.convert.errors import OutputError
    from snnconvert.convert.resume import is_resume_file

    for path in paths:
        if not is_resume_file(path):
            raise OutputError(
                f"{path} is in the place of partial results",
                hint="move it away, or choose another --output",
            )


class _Interruption:
    """Remembers Ctrl-C or SIGTERM: what they interrupt may raise anything instead.

    SIGTERM raises what Ctrl-C does, so that everything half-done is dropped on the way out.
    """

    def __init__(self) -> None:
        self.seen: int | None = None
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            ignored = signal.getsignal(number) is signal.SIG_IGN  # a job in the background
            if not ignored:
                self._earlier[number] = signal.signal(number, self._interrupt)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier.items():
            if handler is not None:  # None: not installed from Python
                signal.signal(number, handler)

    def _interrupt(self, number: int, _: object) -> None:
        self.seen = number
        raise KeyboardInterrupt


def _is_interrupt(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind an error: while it is imported, compiled code wraps that."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt | click.Abort):
            return True
        error = error.__cause__ or error.__context__
    return False


def _program(argv: list[str]) -> str:
    return f"snnconvert {argv[0]}" if argv[0] in VERBS else "snnconvert"


def _verb_hint(first: str) -> str:
    """Return what to say where a mistyped verb was read as a model."""
    near = did_you_mean(first, list(VERBS))
    return near if first not in VERBS and near.startswith("did") else ""


def _report_error(error: SnnConvertError, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": error.to_json()}, indent=2))
    click.echo(error.render(), err=True)


class _Progress:
    """Progress bars on stderr; silent where stderr is not a terminal."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Callable[[str, int, int | None], None] | None:
        if not sys.stderr.isatty():
            return None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            speed_estimate_period=SPEED_SECONDS,
        )
        self._bars.start()
        return self._advance

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _advance(self, stage: str, done: int, total: int | None) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    """Parse comma-separated numbers."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a comma-separated list of numbers") from None


def _share(_: click.Context, __: click.Parameter, share: float | None) -> float | None:
    """Check an accuracy."""
    if share is not None and not 0 <= share <= 1:
        hint = f"; {share:g} % is {share / 100:g}" if 1 < share <= 100 else ""
        raise click.BadParameter(f"{share:g} is no share of 1{hint}")
    return share


def _goal(_: click.Context, __: click.Parameter, goal: float | None) -> float | None:
    """Check a metric's goal."""
    if goal is not None and not math.isfinite(goal):
        raise click.BadParameter(f"{goal:g} is no goal: give a number")
    return goal


def _check_goal(options: dict[str, Any]) -> None:
    """Refuse a goal that the metric asked for cannot have, before any work."""
    from snnconvert.reports.metrics import find_metric

    goal, metrics = options["min_metric"], options["metric"] or {}
    metric = find_metric(metrics.get("") or metrics.get(options["score_output"]))
    if goal is None or metric is None or metric.low <= goal <= metric.high:
        return
    ends = ((metric.low, "at least"), (metric.high, "at most"))
    known = " and ".join(f"{bound} {end:g}" for end, bound in ends if math.isfinite(end))
    hint = f"{goal:g} % is {goal / 100:g}" if metric.share and 1 < goal <= 100 else ""
    raise UsageError(f"--min-metric {goal:g}: {metric.name} is {known}", hint=hint)


def _metrics(_: click.Context, __: click.Parameter, texts: Sequence[str]) -> dict[str, str] | None:
    """Parse metrics, the output's name in front; without one it is the headline's."""
    from snnconvert.reports.metrics import find_metric

    metrics = {}
    for text in texts:
        output, equals, name = text.rpartition("=")
        if equals and not output:
            raise click.BadParameter(f"{text!r} names no output in front of =")
        if output in metrics:
            raise click.BadParameter("two metrics for the same output")
        find_metric(name)
        metrics[output] = name
    return metrics or None


def _choices(_: click.Context, __: click.Parameter, text: str | None) -> list[str]:
    """Split values at commas."""
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if text is not None and not all(parts):
        raise click.BadParameter(f"{text!r} lacks a value between commas")
    return parts


def _integers(_: click.Context, __: click.Parameter, text: str | None) -> list[int]:
    """Parse comma-separated whole numbers."""
    try:
        return [] if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of whole numbers like 8,16") from None


def _names(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """Split names at commas without a backslash in front."""
    if text is None:
        return None
    parts = [part.replace("\\,", ",").strip() for part in re.split(r"(?<!\\),", text)]
    return tuple(part for part in parts if part)


def _shapes(
    _: click.Context, __: click.Parameter, texts: Sequence[str]
) -> dict[str, tuple[int, ...]] | None:
    """Parse ``3,32,32`` (the only input's) and ``name:3,32,32`` into shapes by input name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _colon, extents = text.rpartition(":")
        try:
            shape = tuple(int(part) for part in extents.split(","))
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is not a shape like 3,32,32 or image:3,32,32"
            ) from None
        if name in shapes:
            raise click.BadParameter(f"two shapes for input {name!r}")
        shapes[name] = shape
    return shapes or None


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_MODEL_OPTIONS = _options(
    click.option("--target", default="cpu", show_default=True, help="Target (snnconvert targets)."),
    click.option(
        "--input-shape",
        "input_shape",
        metavar="SHAPE",
        multiple=True,
        callback=_shapes,
        help="Shape of an input without batch: 3,32,32 or image:3,32,32.",
    ),
    click.option(
        "--inputs",
        metavar="NAMES",
        callback=_names,
        help="Cut the graph: tensors that become inputs.",
    ),
    click.option(
        "--outputs",
        metavar="NAMES",
        callback=_names,
        help="Cut the graph: tensors that become outputs.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout."),
)

_RUN_OPTIONS = _options(
    click.option("--eval", "evaluation", metavar="E.npz", help="Rows x and labels y to evaluate."),
    click.option("--num-samples", type=COUNT, metavar="N", help="Evaluate the first N rows."),
    click.option("--batch-size", type=COUNT, metavar="N", help="Samples simulated at once."),
    click.option(
        "--input",
        "input_kind",
        type=click.Choice(["auto", "neurons", "host"]),
        help="Loihi: analog values drive neurons on the chip, or the host computes the first "
        "layer's current.",
    ),
    click.option(
        "--device",
        metavar="cpu|cuda",
        help="Target cpu: simulate on the processor, or on a GPU (cuda, cuda:1). Default: cpu.",
    ),
    click.option(
        "--metric",
        metavar="[OUTPUT=]NAME",
        multiple=True,
        callback=_metrics,
        help="auto, accuracy, topK, miou, pixel_accuracy, binary_accuracy, mae, mse, r2, or "
        "package.module:function. Default: auto, by the labels.",
    ),
    click.option(
        "--diagnose",
        is_flag=False,
        flag_value="single",
        type=click.Choice(["single", "cumulative"]),
        help="Name the layers that lose most: one at a time (single) or all up to it replaced.",
    ),
    click.option("--score-output", metavar="NAME", help="The output that the report is about."),
    click.option(
        "--output",
        metavar="DIR",
        help="Folder for the report. Default: MODEL-TARGET; of run: none is written.",
    ),
    click.option("--force", is_flag=True, help="Write into a folder with foreign files."),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on from what an interrupted run kept (DIR.resume, DIR.weights.resume).",
    ),
    click.option(
        "--min-accuracy",
        type=float,
        metavar="A",
        callback=_share,
        help="Exit 4 below this accuracy, in [0, 1].",
    ),
    click.option(
        "--min-metric",
        type=float,
        metavar="V",
        callback=_goal,
        help="Exit 4 where the metric is worse than V: below, or above if lower is better.",
    ),
)


@click.command(name="snnconvert", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model")
@_MODEL_OPTIONS
@click.option("--calibration", metavar="C.npz", help="Training rows for the thresholds.")
@click.option(
    "--timesteps",
    "-T",
    type=int,
    help="Design T. Default: 64, or one less than the levels of a quantised network.",
)
@click.option(
    "--method",
    default="auto",
    show_default=True,
    help="auto, mse, gauss, balance, percentile, max.",
)
@click.option("--percentile", type=float, metavar="P", help="Means --method percentile.")
@click.option("--per-layer", is_flag=True, help="One threshold a layer, not a channel.")
@click.option("--channel-group", type=int, help="Neighbouring channels that share a threshold.")
@click.option("--neuron", default="if", show_default=True, help="if, signed or graded:K.")
@click.option("--reset", type=click.Choice(["subtract", "zero"]), help="Default: the target's.")
@click.option(
    "--schedule",
    default="none",
    show_default=True,
    help="none, full, a hold-off in steps, or auto: the best with -T steps in all.",
)
@click.option(
    "--readout", type=click.Choice(["membrane", "count"]), default="membrane", show_default=True
)
@click.option(
    "--corrections",
    default="auto",
    show_default=True,
    metavar="NAMES",
    help="auto, none, or of: weights,thresholds,bias,potentials.",
)
@click.option(
    "--weight-calibration",
    is_flag=True,
    help="Tune the weights by gradient descent as well: minutes, layer by layer.",
)
@click.option(
    "--anytime",
    is_flag=False,
    flag_value="0.01",
    type=float,
    metavar="[SHARE]",
    help="Stop samples whose answer is safe: at most this share may change (0.01).",
)
@click.option("--weight-bits", type=int, metavar="N", help="Round weights to N-bit integers.")
@click.option("--ramps", type=int, metavar="N", help="Ramps for each smooth activation,")
@click.option(
    "--curve-error", type=float, metavar="E", help="  or the error that they may have (0.01)."
)
@click.option("--scale", type=float, metavar="S", help="Preprocessing: x * S,")
@click.option("--mean", metavar="A,B,C", callback=_numbers, help="  minus the mean,")
@click.option(
    "--std", metavar="A,B,C", callback=_numbers, help="  divided by the standard deviation."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of synthetic samples, and of the order of rows in a weight calibration.",
)
@_RUN_OPTIONS
@click.option("--config", metavar="FILE", help="TOML file of options (long names; no json).")
@click.option("--strict", is_flag=True, help="Refuse what is otherwise a warning.")
@click.pass_context
def convert(context: click.Context, /, **options: Any) -> int:
    """Convert MODEL, evaluate it on the target and write the report."""
    options = _with_config(context, options)
    from snnconvert.convert.output_folder import OutputFolder
    from snnconvert.convert.report_rows import convert_for_report

    path = _model_path(options["model"])
    target = options["target"]
    _check_emit_options(target, options)
    _check_goal(options)
    folder = Path(options["output"] or f"{path.stem}-{target}")
    partial: _PartialResults = context.obj
    inputs = _files_of(options)
    with OutputFolder(folder, force=options["force"], inputs=inputs) as temporary:
        tuned = options["weight_calibration"]
        partial.beside(folder, resume=options["resume"], weights=tuned)
        with _Progress() as progress:
            snn, rows = convert_for_report(
                path,
                options["calibration"],
                options["evaluation"],
                progress=progress,
                target=target,
                method=_method(options),
                timesteps=options["timesteps"],
                percentile=options["percentile"],
                per_channel=not options["per_layer"],
                channel_group=options["channel_group"],
                neuron=options["neuron"],
                reset=options["reset"],
                schedule=_schedule(options["schedule"]),
                readout=options["readout"],
                corrections=options["corrections"],
                weight_calibration=tuned,
                resume=partial.begin_weights(resume=options["resume"]),
                anytime=options["anytime"],
                weight_bits=options["weight_bits"],
                ramps=options["ramps"],
                curve_error=options["curve_error"],
                scale=options["scale"],
                mean=options["mean"],
                std=options["std"],
                input_shapes=options["input_shape"],
                inputs=options["inputs"],
                outputs=options["outputs"],
                seed=options["seed"],
                strict=options["strict"],
                num_samples=options["num_samples"],
                metric=options["metric"],
                score_output=options["score_output"],
            )
            window = {**options, "timesteps": snn.timesteps}  # schedule auto may shorten it
            evaluation = _evaluate(snn, rows.x, rows.y, window, progress, target, partial)
        snn.save(temporary / "network.snn")
        evaluation.write(temporary)
    partial.done()
    return _finish(evaluation, folder, options)


def _evaluate(
    snn: SpikingModel,
    x: Any,
    y: Any,
    options: dict[str, Any],
    progress: Any,
    target: str | None,
    partial: _PartialResults,
) -> Evaluation:
    return snn.evaluate(
        x,
        y,
        metric=options["metric"],
        score_output=options["score_output"],
        timesteps=options["timesteps"],
        target=target,
        num_samples=options["num_samples"],
        batch_size=options["batch_size"],
        anytime=True if options.get("anytime") is not None else None,
        diagnose=options["diagnose"],
        resume=partial.begin(resume=options["resume"]),
        progress=progress,
        **_emit_options(options),
    )


def _emit_options(options: dict[str, Any]) -> dict[str, str]:
    given = {"input": options["input_kind"], "device": options["device"]}
    return {name: value for name, value in given.items() if value is not None}


def _check_emit_options(target: str, options: dict[str, Any]) -> None:
    """Refuse options that the target does not have, before any work."""
    from snnconvert.backends.base import check_options, get_backend

    given = _emit_options(options)
    if given:
        check_options(target, get_backend(target).capabilities, given)
    if given.get("device", "cpu") != "cpu":
        from snnconvert.backends.cuda.device import find_device

        find_device(given["device"])


def _finish(evaluation: Evaluation, folder: Path | None, options: dict[str, Any]) -> int:
    if options["as_json"]:
        click.echo(json.dumps(evaluation.to_json(), indent=2, allow_nan=False))
    else:
        _print_table(evaluation.summary())
        if evaluation.diagnosis is not None:
            _print_diagnosis(evaluation.diagnosis)
        if folder is not None:
            click.echo(f"report: {folder / 'report.html'}")
        else:
            click.echo("report: not written (no --output)")
    for kind, texts in (("note", evaluation.notes), ("warning", evaluation.warnings)):
        for text in texts:
            click.echo(f"{kind}: {text}", err=True)
    missed = list(_missed_goals(evaluation, options))
    for goal in missed:
        click.echo(goal, err=True)
    return ACCURACY_MISSED if missed else 0


def _print_diagnosis(diagnosis: Diagnosis) -> None:
    click.echo(f"diagnosis: {diagnosis.summary}")
    rows = diagnosis.table()
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo(f"  {'  '.join(cells)}".rstrip())
    left = len(diagnosis.layers) - len(rows) + 1
    if left:
        which = "1 layer that loses" if left == 1 else f"{left} layers that lose"
        click.echo(f"  without {which} less; all are in report.json and --json")


def _missed_goals(evaluation: Evaluation, options: dict[str, Any]) -> Iterator[str]:
    """Say which goals were missed; what is unknown has missed them."""
    goal, accuracy = options["min_accuracy"], evaluation.accuracy
    if goal is not None and (accuracy is None or accuracy < goal):
        reached = "unknown" if accuracy is None else f"{accuracy:.4f}"
        yield f"accuracy goal missed: {reached}, wanted {goal}"
    goal, value, metric = options["min_metric"], evaluation.value, evaluation.metric
    if goal is None:
        return
    if metric.against == "ann":
        yield f"metric goal missed: unknown without labels, wanted {goal}"
    elif value is None or metric.worse_by(value, goal) > 0:
        reached = "unknown" if value is None else f"{value:.6g}"
        bound = "at least" if metric.direction == "higher" else "at most"
        yield f"metric goal missed: {metric.name} {reached}, wanted {bound} {goal:g}"


def _print_table(rows: Sequence[tuple[str, str]]) -> None:
    width = max((len(label) for label, _ in rows), default=0)
    for label, text in rows:
        click.echo(f"{label:<{width}}  {text}")


@click.command(name="check", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model")
@_MODEL_OPTIONS
@click.option("--neuron", default="if", show_default=True, help="if, signed or graded:K.")
@click.option("--verbose", "-v", is_flag=True, help="List what becomes of every node.")
def check(model: str, **options: Any) -> int:
    """Say whether MODEL can be converted for the target; list every reason why not.

    Where the whole cannot be converted, look for the largest part that can.
    """
    from snnconvert.convert.checking.check import check_model
    from snnconvert.convert.errors import UnsupportedModelError

    verdict = check_model(
        _model_path(model),
        target=options["target"],
        neuron=options["neuron"],
        input_shapes=options["input_shape"],
        inputs=options["inputs"],
        outputs=options["outputs"],
    )
    if options["as_json"]:
        click.echo(json.dumps(verdict.to_json(), indent=2))
    else:
        click.echo(verdict.render(verbose=options["verbose"]))
    return 0 if verdict.convertible else UnsupportedModelError.exit_code


@click.command(name="run", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("network")
@click.option("--target", help="Default: the target that it was calibrated for.")
@click.option("--timesteps", "-T", type=int, help="Default: the design T.")
@_RUN_OPTIONS
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
@click.pass_obj
def run(partial: _PartialResults, /, network: str, **options: Any) -> int:
    """Evaluate a converted NETWORK.snn on rows of data."""
    from snnconvert.convert.output_folder import OutputFolder
    from snnconvert.convert.spiking_model import load

    if options["evaluation"] is None:
        raise UsageError("run needs rows to evaluate", hint="give --eval E.npz")
    if options["resume"] and options["output"] is None:
        raise UsageError(
            "--resume needs --output", hint="partial results are kept beside the output folder"
        )
    _check_goal(options)
    snn = load(network)
    folder = None if options["output"] is None else Path(options["output"])

    def evaluate() -> Evaluation:
        with _Progress() as progress:
            rows, target = options["evaluation"], options["target"]
            return _evaluate(snn, rows, None, options, progress, target, partial)

    if folder is None:
        return _finish(evaluate(), None, options)
    inputs = _files_of({"network": network, **options})
    with OutputFolder(folder, force=options["force"], inputs=inputs) as temporary:
        partial.beside(folder, resume=options["resume"])
        evaluation = evaluate()
        evaluation.write(temporary)
    return _finish(evaluation, folder, options)


@click.command(name="targets", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def targets(as_json: bool) -> int:
    """List the targets and whether they can be used here."""
    from snnconvert.backends.base import describe_backends

    rows = describe_backends()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        row["summary"] += f"; neurons: {row['neurons']}" if row["neurons"] else ""
    _print_table([(row["name"], f"{row['summary']}  [{row['state']}]") for row in rows])
    return 0


@click.command(name="tune", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model")
@_MODEL_OPTIONS
@click.option(
    "--goal",
    default="accuracy>=ANN-0.5",
    show_default=True,
    metavar="GOAL",
    help="accuracy>=ANN-POINTS or >=90%, agreement>=99%, latency<=STEPS, synops<=N, energy<=J, "
    "neurons<=N; several joined by and.",
)
@click.option(
    "--minimise",
    metavar="COST",
    help="latency, synops, energy or neurons, where the goal bounds the accuracy. "
    "Default: latency.",
)
@click.option("--calibration", metavar="C.npz", help="Training rows x to search with, labels y.")
@click.option("--eval", "evaluation", metavar="E.npz", help="Rows for the final figures alone.")
@click.option("--budget", metavar="N|TIME", help="Trials, or a time like 10min. Default: 48.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the configurations drawn at random.",
)
@click.option("--timesteps", "-T", metavar="A,B", callback=_integers, help="Values to try, of T,")
@click.option("--schedule", metavar="A,B", callback=_choices, help="  schedules,")
@click.option("--neuron", metavar="A,B", callback=_choices, help="  neuron models,")
@click.option("--method", metavar="A,B", callback=_choices, help="  threshold methods,")
@click.option("--readout", metavar="A,B", callback=_choices, help="  readouts,")
@click.option(
    "--granularity",
    metavar="A,B",
    callback=_choices,
    help="  what shares a threshold: channel, layer, group:N,",
)
@click.option("--weight-bits", metavar="A,B", callback=_integers, help="  weight bits,")
@click.option(
    "--corrections", metavar="NAMES", multiple=True, help="  corrections (may be repeated)."
)
@click.option("--reset", type=click.Choice(["subtract", "zero"]), help="Default: the target's.")
@click.option("--scale", type=float, metavar="S", help="Preprocessing: x * S,")
@click.option("--mean", metavar="A,B,C", callback=_numbers, help="  minus the mean,")
@click.option(
    "--std", metavar="A,B,C", callback=_numbers, help="  divided by the standard deviation."
)
@click.option("--score-output", metavar="NAME", help="The output that is judged.")
@click.option("--batch-size", type=COUNT, metavar="N", help="Samples simulated at once.")
@click.option("--write", metavar="FILE", help="Write the chosen configuration here as well.")
@click.option("--output", metavar="DIR", help="Folder for pictures, figures, tuned.toml.")
@click.option("--force", is_flag=True, help="Write into a folder with foreign files.")
def tune(model: str, **options: Any) -> int:
    """Search the options that reach a goal for MODEL; measure the choice on rows never seen.

    The folder's tuned.toml is what snnconvert MODEL --config takes.
    """
    from snnconvert.convert.output_folder import OutputFolder
    from snnconvert.tuning.goal import parse_goal
    from snnconvert.tuning.tune import tune_model

    goal = parse_goal(options["goal"], options["minimise"])
    path, target = _model_path(model), options["target"]
    folder = Path(options["output"] or f"{path.stem}-{target}-tuned")
    copy = _writable(options["write"], force=options["force"])
    searched = ("timesteps", "schedule", "neuron", "method", "readout", "granularity")
    inputs = _files_of({"model": model, **options})
    with OutputFolder(folder, force=options["force"], inputs=inputs) as temporary:
        with _Progress() as progress:
            result = tune_model(
                path,
                options["calibration"],
                goal=goal,
                target=target,
                budget=options["budget"],
                search={name: options[name] for name in (*searched, "weight_bits", "corrections")},
                evaluation_data=options["evaluation"],
                reset=options["reset"],
                scale=options["scale"],
                mean=options["mean"],
                std=options["std"],
                input_shapes=options["input_shape"],
                inputs=options["inputs"],
                outputs=options["outputs"],
                score_output=options["score_output"],
                batch_size=options["batch_size"],
                seed=options["seed"],
                progress=progress,
            )
        result.write(temporary)
        if copy is not None:
            _write_text(copy, result.to_toml())
    if options["as_json"]:
        click.echo(json.dumps(result.to_json(), indent=2, allow_nan=False))
    else:
        click.echo(result.render())
        click.echo(f"pictures: {folder / 'tuning.html'}")
        click.echo(f"configuration: {copy or folder / 'tuned.toml'}")
    for text in result.warnings:
        click.echo(f"warning: {text}", err=True)
    if not result.met:
        click.echo(result.verdict, err=True)
    return 0 if result.met else ACCURACY_MISSED


def _write_text(path: Path, text: str) -> None:
    from snnconvert.convert.errors import OutputError

    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}", why=_reason(error)) from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _writable(file: str | None, *, force: bool) -> Path | None:
    """Return where a configuration may be written; refuse before the search what cannot be."""
    if file is None:
        return None
    path = Path(file)
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(f"cannot write {path}", hint="name a file in a folder that exists")
    try:
        foreign = path.exists() and not path.read_bytes().startswith(TUNED)
    except OSError as error:
        raise UsageError(f"cannot write {path}", why=_reason(error)) from error
    if foreign and not force:
        hint = "choose another --write, or --force"
        raise UsageError(f"{path} exists and is no configuration that tune wrote", hint=hint)
    return path


VERBS: dict[str, click.Command] = {"check": check, "run": run, "targets": targets, "tune": tune}


def _files_of(options: Mapping[str, Any]) -> list[Path]:
    """Return the files that options name: whatever is written, they stay."""
    found = []
    for value in options.values():
        with suppress(OSError, ValueError):  # too long for a name, or no name at all
            if isinstance(value, str) and Path(value).is_file():
                found.append(Path(value))
    return found


def _model_path(model: str) -> Path:
    from snnconvert.models import shipped_model_path, shipped_models

    path = Path(model)
    try:
        if path.exists() and not path.is_dir():
            if path.suffix == ".snn":
                hint = f"snnconvert run {model} --eval E.npz"
                raise UsageError(f"{model} is a converted network, not an ONNX model", hint=hint)
            return path
    except OSError as error:
        raise UsageError(f"cannot read {model}", why=_reason(error)) from error
    shipped = shipped_model_path(model)
    if shipped is not None:
        return shipped
    if path.is_dir():
        raise UsageError(f"{model} is a folder, not a model")
    known = [*shipped_models(), *([] if path.suffix else VERBS)]  # mine.onnx is no tune
    raise UsageError(f"no such file or shipped model: {model}", hint=did_you_mean(path.stem, known))


def _method(options: dict[str, Any]) -> str:
    """Return the method; ``--percentile`` alone means ``--method percentile``."""
    if options["percentile"] is not None and options["method"] == "auto":
        return "percentile"
    return str(options["method"])


def _schedule(text: str) -> str | int:
    try:
        return int(text)
    except ValueError:
        return text


def _with_config(context: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Fill in options from the TOML file; what the command line says goes first."""
    if options["config"] is None:
        return options
    import tomllib

    path = Path(options["config"])
    try:
        stored = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"cannot read {path}", why=_reason(error)) from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML", why=str(error)) from error
    parameters: dict[str, click.Parameter] = {}
    for parameter in context.command.params:
        for spelling in parameter.opts:
            if parameter.name not in ("config", "model", "as_json"):
                parameters[spelling.lstrip("-")] = parameter
    for key, value in stored.items():
        if key not in parameters:
            hint = did_you_mean(key, list(parameters))
            raise UsageError(f"{path}: unknown option {key!r}", hint=hint)
        chosen = parameters[key]
        name = str(chosen.name)
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            options[name] = _configured(context, chosen, value, f"{path}: {key}")
    return options


def _configured(context: click.Context, option: click.Parameter, value: Any, where: str) -> Any:
    """Return a value of the TOML file as the command line would have read it."""
    if isinstance(value, dict):
        raise UsageError(f"{where} is a table, not an option")
    is_flag = bool(getattr(option, "is_flag", False))
    if is_flag != isinstance(value, bool):
        raise UsageError(f"{where} {'must' if is_flag else 'cannot'} be true or false")
    try:
        return option.process_value(context, value if is_flag else _spelled(option, value))
    except click.ClickException as error:
        raise UsageError(f"{where}: {error.message}") from error


def _spelled(option: click.Parameter, value: Any) -> Any:
    """Return a TOML value as text, a list as its parts between commas."""
    if not isinstance(value, list):
        texts = [str(value)]
    elif option.multiple and all(isinstance(part, str) for part in value):
        texts = value
    else:
        texts = [",".join(map(str, value))]
    return texts if option.multiple else texts[0]
