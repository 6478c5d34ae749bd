"""Is it any good? Measurements with their intervals, and what they depend on."""
