"""The official files of benchmarks, and files of one's own, turned into tables: streamed, checked, never executed."""
