"""Starts and talks to real processes: engines, the gateway, a site's agent. Standard library only.

Used by tools/quickstart and by the tests under tests/integration and tests/e2e.
"""
