"""The status server: training pods post their progress to it over TLS, and the agent asks it for the verdict.

Separate from `reconcile` because requests come from outside: here is who may say what, how often and how much. What is
said goes to `reconcile.reported`, and decides nothing here. The protocol is in docs/status-server.md.
"""
