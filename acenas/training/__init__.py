"""The training of networks: recipes, batches, processes, Lightning, accuracy; the final training and its export."""
