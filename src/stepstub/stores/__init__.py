"""Where a sandbox keeps its state.

protocol.py   what a store promises; tests/stores holds every implementation to it
memory.py     the default: one process, nothing to install
"""
