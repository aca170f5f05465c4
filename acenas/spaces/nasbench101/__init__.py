"""NAS-Bench-101: the grammar of its cells, their networks and their super-net."""
