"""How the pack was made and how we measure ourselves: run from a checkout, not in the wheel."""
