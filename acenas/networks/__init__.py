"""The torch modules that spaces build: operations, cells and whole networks, and what they cost.

`nasbench201` is the benchmark's network, `cost` counts parameters and operations of any network, and `side_by_side`
makes one network of several, so that small ones share the fixed cost of each operation while they train.
"""
