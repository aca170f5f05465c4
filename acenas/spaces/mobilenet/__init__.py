"""The mobile space of ProxylessNAS: its grammar, networks and super-net."""
