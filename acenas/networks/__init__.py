"""The torch modules that spaces build: operations, cells and whole networks, and what they cost.

`nasbench101`, `nasbench201` and `nds` are the benchmarks' networks, each with its super-net beside it, `cost` counts
parameters and operations of any network, and `side_by_side` makes one network of several, so that small ones share the
fixed cost of each operation while they train.
"""
