"""What a person can type, a file for each group of commands. ``cli.py`` puts them in the order of the help.

A command parses its flags, loads the settings, hands over to ``engine.runs``, reports, and ends with an exit code.
Imports of ``engine.runs`` and what is below it are inside the commands, so that ``--help`` answers at once.
"""
