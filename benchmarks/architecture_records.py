"""What one exported network shows: the record of its checks."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from conversions import Staged, convert_staged, import_error, rows_like, run_staged

from snnconvert.convert.checking.check import check_model
from snnconvert.convert.errors import SnnConvertError
from snnconvert.convert.onnx_import import Imported, check_onnx

CALIBRATION_ROWS = 8
COMPARED_ROWS = 2

Record = dict[str, Any]


def examine(content: bytes) -> Record:
    """Import, judge, convert, stage and compare one model; return what was found.

    Returns
    -------
    dict
        ``verdict``: "converted" or "refused"; ``nodes``, ``fates``: how many nodes of the file
        became what; ``incomplete``: what the verdict leaves unsaid; ``refusals``: refused nodes by
        message; ``import_error`` and the fields of ``Staged`` for a converted one; ``seconds``.
    """
    started = time.perf_counter()
    problems = check_model(content)
    checked = time.perf_counter()
    imported = check_onnx(content)
    record: Record = {
        "verdict": "refused" if problems else "converted",
        "nodes": len(problems.nodes),
        "opset": imported.opset,
        "fates": dict(Counter(verdict.fate for verdict in problems.nodes)),
        "incomplete": _incomplete(imported),
        "refusals": dict(Counter(problem.message for problem in problems)),
        "seconds": {"check": checked - started},
    }
    for problem in problems:
        if problem.node and not (problem.place and problem.why and problem.hint):
            record["incomplete"].append(f"{problem.message}: no place, reason or remedy")
    if problems:
        return record
    rows = rows_like(imported, CALIBRATION_ROWS)
    record["import_error"] = import_error(imported, rows)
    try:
        snn = convert_staged(content, rows)
    except SnnConvertError as error:
        return record | {"verdict": "failed", "reason": str(error)}
    converted = time.perf_counter()
    few = {name: array[:COMPARED_ROWS] for name, array in rows.items()}
    staged: Staged = run_staged(snn, few)
    record["seconds"] |= {
        "convert": converted - checked,
        "staged": time.perf_counter() - converted,
    }
    return record | asdict(staged)


def _incomplete(imported: Imported) -> list[str]:
    """Return what the verdict should say and does not: each node once, each refusal in words."""
    verdicts = imported.verdicts
    positions = [verdict.position for verdict in verdicts]
    missing = [] if positions == list(range(1, len(verdicts) + 1)) else ["nodes without a verdict"]
    refused = {verdict.name for verdict in verdicts if verdict.fate == "refused"}
    named = {problem.node for problem in imported.problems if problem.node}
    missing += [f"node {name!r} is refused without a problem" for name in sorted(refused - named)]
    missing += [f"node {name!r} has a problem, not a verdict" for name in sorted(named - refused)]
    if not imported.problems and any(verdict.fate == "unjudged" for verdict in verdicts):
        missing.append("nodes unjudged, though nothing is refused")
    return missing
