"""How settings are read: which keys there are, where they are written, and what is wrong with them.

In: a file, the environment, flags. Out: ``Settings``, or one Usage error that names every problem.
"""
