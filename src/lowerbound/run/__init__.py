"""What is kept of a training: its folder, settings, weights and checkpoints."""
