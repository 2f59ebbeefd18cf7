"""Logs of trainers: splicing cut streams, and the store that outlives the pods. Knows no Kubernetes."""
