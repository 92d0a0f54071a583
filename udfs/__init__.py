"""What runs per record on the workers: rules in plain Python, and the thin operators around them."""
