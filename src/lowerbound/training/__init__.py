"""The training loop and what stands around it: settings, rates, checkpoints, progress, metrics."""
