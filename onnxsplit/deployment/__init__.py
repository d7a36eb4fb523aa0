"""Stages for engines that others run: repositories that Triton and its kin load as they are."""
