"""Template tags of the evolution app."""
