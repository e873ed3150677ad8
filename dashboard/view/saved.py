"""Views by name, for everybody who uses the same cache folder: one small file a view in ``<cache>/views``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dashboard.view.view import View
from lsi_engine.errors import InputError
from lsi_engine.files import write_json

#: Longest name of a view, in characters.
MOST_CHARACTERS = 60


def saved(cache: Path) -> dict[str, View]:
    """The stored views by name, sorted; files that are no view are passed over."""
    found = {}
    for path in (cache / "views").glob("*.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found[str(content["name"])] = View.from_query(content["query"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return dict(sorted(found.items(), key=lambda one: one[0].casefold()))


def save(cache: Path, name: str, view: View) -> None:
    """Store ``view`` as ``name``, in place of an earlier one of that name. Raises ``InputError`` for no name."""
    name = " ".join(name.split())
    if not name or len(name) > MOST_CHARACTERS:
        raise InputError(f"a view's name has 1 to {MOST_CHARACTERS} characters, not {len(name)}")
    write_json(_path(cache, name), {"name": name, "query": view.to_query()})


def forget(cache: Path, name: str) -> None:
    """Remove the view called ``name``, if there is one."""
    _path(cache, name).unlink(missing_ok=True)


def _path(cache: Path, name: str) -> Path:
    # By hash: a name may hold anything, and never becomes a path.
    return cache / "views" / f"{hashlib.blake2b(name.encode(), digest_size=10).hexdigest()}.json"
