"""The command line: one file a command. It reads settings, shows records, and decides nothing."""
