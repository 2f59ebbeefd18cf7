"""Trainyard's data image: checks what was pulled, and carries out the actions on datasets.

It shares no code with the operator: it runs where the data is, with the fewest packages that it can.
"""
