"""Outlook: what surrounds an answer - alternatives, baselines, sensitivity, reasons, words."""
