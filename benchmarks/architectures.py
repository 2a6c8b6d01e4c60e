"""Import, check and stage dozens of architectures with random weights.

    python benchmarks/architectures.py [FILTER ...] [--exporter torchscript|dynamo|both]
                                       [--files FOLDER] [--jobs N] [--list]

Needs ``torchvision`` and ``timm`` (installed with ``--no-deps`` beside the torch of
constraints.txt) and ``onnxscript``. Each network is built with seeded random weights, exported,
compared with onnxruntime, judged by ``check``, converted, and run fully staged at T = 4 against
the network quantised to five levels. Every network has a process of its own, with limits of time
and memory. Results go to ``benchmarks/results/architectures.json``; those of earlier runs are kept
where a network was not run again. ``docs/architectures.md`` is written from them.

``--files FOLDER`` examines the files ``NAME.EXPORTER.onnx`` of a folder in place of torch modules:
those that ``export_keras.py`` and ``export_sklearn.py`` write.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

RESULTS = HERE / "results" / "architectures.json"
EXPORTERS = ("torchscript", "dynamo")
MEMORY_BYTES = 12 * 2**30
TIME_SECONDS = 420

Record = dict[str, Any]


def examine_architecture(name: str, exporters: list[str]) -> Iterator[Record]:
    """Yield a record for each exporter."""
    from architecture_zoo import architectures
    from small_networks import build_network

    architecture = architectures()[name]
    network = build_network(architecture.build, architecture.shape)
    base = {"name": name, "source": architecture.source, "input": list(architecture.shape)}
    base["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    base["expected"] = "refused" if architecture.refused else "converted"
    for exporter in exporters:
        yield base | _exported(network, architecture.shape, exporter)


def _exported(network: Any, shape: tuple[int, ...], exporter: Any) -> Record:
    from architecture_records import examine
    from conversions import export

    started = time.perf_counter()
    try:
        content = export(network, shape, exporter)
    except Exception as error:  # an exporter that gives up is a result of its own
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return {"exporter": exporter, "verdict": "not exported", "reason": reason}
    seconds = time.perf_counter() - started
    record: Record = {"exporter": exporter} | examine(content)
    record["seconds"]["export"] = seconds
    return record


def examine_file(path: Path) -> Iterator[Record]:
    """Yield the record of a file named NAME.EXPORTER.onnx."""
    from architecture_records import examine
    from conversions import rows_like

    from snnconvert.convert.onnx_import import check_onnx

    name, exporter, _ = path.name.split(".")
    content = path.read_bytes()
    imported = check_onnx(content)
    shapes = (
        [] if imported.graph is None else [row.shape[1:] for row in rows_like(imported, 1).values()]
    )
    source = "scikit-learn" if exporter == "skl2onnx" else "Keras"
    base = {"name": name, "source": source, "expected": "converted", "exporter": exporter}
    yield base | {"input": list(shapes[0]) if shapes else []} | examine(content)


def child(what: str, exporters: list[str], target: Path) -> None:
    """Examine one network and append its records to a file."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    path = Path(what)
    found = examine_file(path) if path.suffix == ".onnx" else examine_architecture(what, exporters)
    for record in found:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        record["peak_mib"] = peak // 1024
        with target.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def in_process(what: str, exporters: list[str]) -> list[Record]:
    """Run a child; what it did not live to record is recorded here."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "records"
        target.touch()
        command = [sys.executable, __file__, "--child", what, "--records", str(target)]
        command += ["--exporter", exporters[0] if len(exporters) == 1 else "both"]
        reason = ""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_SECONDS)
            if done.returncode:
                last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
                reason = f"exit status {done.returncode}: {''.join(last)}"
        except subprocess.TimeoutExpired:
            reason = f"stopped after {TIME_SECONDS} s"
        records = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    finished = {record["exporter"] for record in records}
    name, *rest = Path(what).name.split(".")
    for exporter in rest[:1] or exporters:
        if exporter not in finished:
            records.append(
                {"name": name, "exporter": exporter, "verdict": "failed", "reason": reason}
            )
    return records


def succeeded(record: Record) -> bool:
    """Tell whether a record shows what it must."""
    if record["verdict"] == "not exported":
        return True
    if record["verdict"] != record.get("expected") or record["incomplete"]:
        return False
    if record["verdict"] == "refused":
        return True
    exact = record["differing"] == record["differing_from_graph"] == 0
    return bool(record["import_error"] <= 1e-4 and record["output_error"] <= 1e-9 and exact)


def line(record: Record) -> str:
    """Return a record as a line of progress."""
    text = f"{record['name']:<26} {record['exporter']:<12} {record['verdict']:<12}"
    if record["verdict"] == "converted":
        text += f" error {record['import_error']:.1e}  {record['neurons']:>9,} neurons"
        text += f"  {record['differing']}+{record['differing_from_graph']} of {record['counts']:,}"
    elif record["verdict"] == "refused":
        text += f" {sum(record['refusals'].values())} problems"
    else:
        text += f" {record['reason'][:160]}"
    if "seconds" in record:
        text += f"  {sum(record['seconds'].values()):.1f} s"
    return text + ("" if succeeded(record) else "   <-- NOT AS IT MUST BE")


def merge(records: list[Record]) -> list[Record]:
    """Store new records over earlier ones of the same network and exporter; return all."""
    kept: dict[tuple[str, str], Record] = {}
    if RESULTS.exists():
        kept = {(r["name"], r["exporter"]): r for r in json.loads(RESULTS.read_text())}
    kept |= {(r["name"], r["exporter"]): r for r in records}
    RESULTS.parent.mkdir(exist_ok=True)
    merged = [kept[key] for key in sorted(kept)]
    RESULTS.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
    return merged


def chosen(filters: list[str], files: Path | None) -> list[str]:
    """Return the networks to examine: paths of files, or names."""
    if files is not None:
        names = sorted(str(path.resolve()) for path in files.glob("*.onnx"))
    else:
        from architecture_zoo import architectures

        names = list(architectures())
    return [name for name in names if not filters or any(f in Path(name).name for f in filters)]


def main() -> int:
    """Examine the networks that were asked for; exit 1 when one is not as it must be."""
    parser = argparse.ArgumentParser(description="Import, check and stage many architectures.")
    parser.add_argument("filters", nargs="*", help="parts of names (default: all)")
    parser.add_argument("--exporter", choices=(*EXPORTERS, "both"), default="both")
    parser.add_argument("--files", type=Path, help="folder of NAME.EXPORTER.onnx")
    parser.add_argument("--jobs", type=int, default=1, help="networks at the same time")
    parser.add_argument("--list", action="store_true", help="list the networks")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--records", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    exporters = list(EXPORTERS) if arguments.exporter == "both" else [arguments.exporter]
    if arguments.child:
        child(arguments.child, exporters, arguments.records)
        return 0
    names = chosen(arguments.filters, arguments.files)
    if not names:
        parser.error("no network has such a name; see --list")
    if arguments.list:
        print("\n".join(names))
        return 0
    from architecture_table import write_page

    records: list[Record] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for found in pool.map(lambda name: in_process(name, exporters), names):
            records += found
            print("\n".join(line(record) for record in found), flush=True)
            write_page(merge(found))
    wrong = [record for record in records if not succeeded(record)]
    print(f"{len(records) - len(wrong)} of {len(records)} as they must be", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
