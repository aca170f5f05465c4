"""What every training of a network shares: recipe, processes, Lightning, accuracy."""
