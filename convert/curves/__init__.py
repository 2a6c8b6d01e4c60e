"""Functions of one variable: expressions, straight pieces, the ramps that stand in for them."""
