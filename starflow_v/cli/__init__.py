"""The command line `starflow-v`, one file a command.

Nothing here imports torch before a command runs, so that every `--help` is instant.
"""
