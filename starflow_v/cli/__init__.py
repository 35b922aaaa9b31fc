"""The command line `starflow-v`, one file a command; `common` is what they share.

Nothing here imports torch before a command runs, so that every `--help` is instant.
"""
