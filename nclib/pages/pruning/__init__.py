"""Page 19: pruning until a network collapses."""
