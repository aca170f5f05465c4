"""Benchmark tables: one Parquet schema, opened and looked up fast, with their integrity checked."""

from acenas.tables.catalogue import available_tables, check_table, find_table, table_architectures
from acenas.tables.schema import Provenance, TableMetadata, parse_column, write_table
from acenas.tables.table import BenchmarkTable
from acenas.tables.weak_labels import WeakLabels

__all__ = [
    "BenchmarkTable",
    "Provenance",
    "TableMetadata",
    "WeakLabels",
    "available_tables",
    "check_table",
    "find_table",
    "parse_column",
    "table_architectures",
    "write_table",
]
