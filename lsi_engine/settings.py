"""The choices that scoring offers, stated once."""

from __future__ import annotations

from typing import Literal

Hessian = Literal["diag", "kron", "full", "auto"]
Structure = Literal["diag", "kron", "full"]
LooPrior = Literal["rescaled", "fixed"]
Scaling = Literal["none", "standardize"]
