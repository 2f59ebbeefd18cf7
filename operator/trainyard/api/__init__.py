"""The four kinds as pydantic models: the one source of the CRDs and of what planning reads.

Field descriptions are the documentation; they become `kubectl explain`.
"""
