"""Latent-variable models whose numbers are true."""
