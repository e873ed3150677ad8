"""Frozen feature extractors, samples → float matrix ``(N, D)``, and the cache that never computes a row twice.

Import the submodules: ``extract`` and ``cache`` need no torch, ``torchvision_backbone`` does.
"""
