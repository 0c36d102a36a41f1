"""What was sampled and has no answer yet."""
