"""Laplace Sample Information: what each training sample is worth."""
