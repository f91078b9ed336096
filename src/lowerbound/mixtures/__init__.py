"""Mixtures p(x) = Σ_k π_k p_k(x), fitted by expectation and maximisation."""
