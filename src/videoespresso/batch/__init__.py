"""Many questions as one run: lines in, records out, and what is recorded is not asked again."""
