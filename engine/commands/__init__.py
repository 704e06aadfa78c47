"""What a person can type, a file for each group of commands. ``cli.py`` puts them in the order of the help.

A command parses its flags, loads the settings, hands over to ``engine.runs``, reports, and ends with an exit code.
Imports of ``engine.runs`` and what is below it are inside the commands, so that ``--help`` answers at once.
The files with commands do without ``from __future__ import annotations``: typer would have to evaluate the text of
every flag of every command, whichever one is asked for, and twice.
"""
