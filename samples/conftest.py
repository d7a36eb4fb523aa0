"""What pytest leaves alone here."""

collect_ignore = ["flower/split_training.py"]  # needs Flower, which has an environment of its own
