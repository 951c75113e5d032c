"""Agents as specialists: the programs that they are, what such a program says, and what becomes of it.

Nothing is imported here: a configuration with an agent in it is checked by `runtimes` alone.
"""
