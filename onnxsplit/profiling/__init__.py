"""Profiling: measure what each operator of a model costs on this machine."""
