"""Laplace Sample Information: what each training sample is worth.

>>> from lsi_engine import score
>>> table = score(features, labels)          # doctest: +SKIP
>>> table.to_frame().sort_values("lsi")      # doctest: +SKIP
"""

import lazy_loader

# torch takes seconds to import, and whoever only reads runs (the dashboard, `lsi show`) does not need it: each public
# name is imported on first use, from where `__init__.pyi` says.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
