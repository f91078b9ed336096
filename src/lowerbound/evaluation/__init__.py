"""How good a model is, in nats per datum with standard errors, and what its latent does."""
