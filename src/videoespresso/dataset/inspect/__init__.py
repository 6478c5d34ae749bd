"""A dataset looked at: counted, validated, split, searched for leaks."""
