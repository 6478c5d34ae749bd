"""Who thinks: one role a file, a prompt and a typed reply. Knows no graph and no files."""
