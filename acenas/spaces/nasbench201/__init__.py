"""NAS-Bench-201: the grammar of its cells, their networks and their super-net."""
