"""Reads the `.wandb` file of an offline run back, without W&B's own (compiled) reader.

The file is a LevelDB log of protobuf records: a header of 7 bytes, then blocks of 32 KiB; every chunk has a
checksum (4 bytes), a length (2) and a type (1: whole record, 2: its first, 3: a middle, 4: its last part).
"""

import importlib
import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
HEADER = 7


@dataclass
class OfflineRun:
    run_id: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    notes: str = ""
    project: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    defined: dict[str, str] = field(default_factory=dict)
    """Metric name or glob to the name of its step metric."""
    artifacts: dict[str, Any] = field(default_factory=dict)
    """Name to the record: `type`, `metadata` (JSON), `manifest` with its files."""
    exit_code: int | None = None

    def values(self, metric: str) -> list[Any]:
        """All values of `metric`, in the order of logging."""
        return [row[metric] for row in self.history if metric in row]


def records(content: bytes) -> Iterator[bytes]:
    assert content[:4] in (b"", b":W&B"), "not a W&B file"
    position, parts = HEADER, b""
    while position + HEADER <= len(content):
        room = BLOCK - position % BLOCK
        if room < HEADER:
            position += room  # the end of a block that is too short for a chunk is zeros
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + HEADER])
        position += HEADER
        parts += content[position : position + length]
        position += length
        if kind in (1, 4):
            yield parts
            parts = b""


def offline_folders(run_folder: Path) -> list[Path]:
    return sorted((run_folder / "wandb").glob("offline-run-*"))


def read_offline_run(folder: Path, patience: float = 10.0) -> OfflineRun:
    """The run in one `offline-run-*` folder.

    W&B may write the last records a moment after `finish()` has returned, so this waits up to `patience`
    seconds for the run's exit.
    """
    until = time.monotonic() + patience
    while (run := _read(folder)).exit_code is None and time.monotonic() < until:
        time.sleep(0.05)
    return run


def _read(folder: Path) -> OfflineRun:
    protobuf: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")  # slow, and without types
    run = OfflineRun()
    file = next(folder.glob("run-*.wandb"), None)
    for content in records(file.read_bytes() if file else b""):
        record = protobuf.Record()
        record.ParseFromString(content)
        match record.WhichOneof("record_type"):
            case "run":
                run.run_id, run.group = record.run.run_id, record.run.run_group
                run.job_type, run.name = record.run.job_type, record.run.display_name
                run.notes = record.run.notes
                run.project, run.tags = record.run.project, list(record.run.tags)
                run.config.update(items(record.run.config.update))
            case "config":
                run.config.update(items(record.config.update))
            case "history":
                run.history.append(items(record.history.item))
            case "summary":
                run.summary.update(items(record.summary.update))
            case "metric":
                run.defined[record.metric.name or record.metric.glob_name] = record.metric.step_metric
            case "request" if record.request.WhichOneof("request_type") == "log_artifact":
                artifact = record.request.log_artifact.artifact
                run.artifacts[artifact.name] = artifact
            case "artifact":
                run.artifacts[record.artifact.name] = record.artifact
            case "exit":
                run.exit_code = record.exit.exit_code
    return run


def items(pairs: Any) -> dict[str, Any]:
    return {pair.key or "/".join(pair.nested_key): json.loads(pair.value_json) for pair in pairs}
