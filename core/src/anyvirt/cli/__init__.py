"""The command line: one function for each command, parsed by Typer, or by a table made from it."""
