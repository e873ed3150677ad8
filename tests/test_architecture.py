"""Who may import whom: the arrows of docs/architecture.md, read from the code's own import statements."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for room in ("lsi_engine", "dashboard") for path in (ROOT / room).rglob("*.py"))

#: Each room of the engine may import itself, the shared modules, and these.
ROOMS = {
    "numerics": set(),
    "losses": {"numerics"},
    "curvature": {"numerics", "losses"},
    "training": {"numerics", "losses", "curvature"},
    "scores": {"numerics", "losses", "curvature", "training"},
    "studies": {"numerics", "losses", "curvature", "training", "scores"},
    "samples": set(),
    "features": {"samples", "numerics"},
    "agreement": set(),
    "runs": {"samples", "features", "numerics", "losses", "curvature", "training", "scores", "studies"},
    "curation": {"samples", "runs", "agreement"},
    "cli": {"samples", "features", "numerics", "losses", "scores", "studies", "runs", "curation", "agreement"},
}
SHARED = {"errors", "files", "inputs", "progress", "settings"}
#: Files of a folder, and lines of a file, at the most.
MOST_FILES, MOST_LINES = 15, 300
#: Files that import one another today. Nothing may join them, and whoever breaks a circle takes it off the list.
CIRCLES: set[frozenset[str]] = set()


def imports(path: Path) -> set[str]:
    """Absolute names of every module that ``path`` imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import {node.module} by its full name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def import_graph(sources: dict[str, set[str]]) -> dict[str, set[str]]:
    """The modules among ``sources`` (what each imports, by its name) that each of them imports by name.

    A package counts where something is imported from its ``__init__``, not where it only lies on the way.
    """
    return {
        module: {name if name in sources else name.rpartition(".")[0] for name in named} & set(sources) - {module}
        for module, named in sources.items()
    }


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Groups of modules each of which imports all others of its group, directly or not."""

    def reached_from(start: str) -> set[str]:
        reached: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            module = waiting.pop()
            if module not in reached:
                reached.add(module)
                waiting += graph[module]
        return reached

    reached = {module: reached_from(module) for module in graph}
    return {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in graph
        if module in reached[module]
    }


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_circles_of_imports_are_seen() -> None:
    lines = {"room": {"room.a.A"}, "room.a": {"room.b"}, "room.b": {"room.c.C", "numpy"}, "room.c": {"room.a.A"}}
    graph = import_graph(lines)
    assert graph["room"] == {"room.a"}
    assert circles(graph) == {frozenset({"room.a", "room.b", "room.c"})}
    assert circles(graph | {"room.c": set()}) == set()


def test_no_files_import_one_another() -> None:
    everywhere = [path for room in ("benchmarks", "tests") for path in (ROOT / room).rglob("*.py")]
    found = circles(import_graph({module_of(path): imports(path) for path in [*FILES, *everywhere]}))
    assert found <= CIRCLES, f"these import one another, lazily or not: {[sorted(each) for each in found - CIRCLES]}"
    assert found >= CIRCLES, f"no circle any more, so take it off CIRCLES: {[sorted(each) for each in CIRCLES - found]}"


@pytest.mark.parametrize("room", ["samples", "samples/corruption"])
def test_no_function_of_a_package_is_hidden_by_a_module_of_its_name(room: str) -> None:
    package = ROOT / "lsi_engine" / room
    below = {path.stem for path in package.iterdir()}
    offered = {name.rpartition(".")[2] for name in imports(package / "__init__.py")}
    assert not below & offered


def test_every_file_was_found() -> None:
    assert len(FILES) > 30


@pytest.mark.parametrize("room", ROOMS)
def test_engine_rooms_import_along_the_arrows(room: str) -> None:
    allowed = ROOMS[room] | SHARED | {room}
    for path in (ROOT / "lsi_engine" / room).rglob("*.py"):
        rooms = {name.split(".")[1] for name in imports(path) if name.startswith("lsi_engine.")}
        assert rooms <= allowed, f"{path.relative_to(ROOT)} imports {sorted(rooms - allowed)}"


def test_the_engine_never_imports_the_dashboard() -> None:
    for path in (ROOT / "lsi_engine").rglob("*.py"):
        outside = {name.split(".")[0] for name in imports(path)} & {"streamlit", "plotly", "dashboard"}
        if path.relative_to(ROOT).as_posix() == "lsi_engine/cli/__init__.py":
            outside.discard("dashboard")  # `lsi dashboard` starts it, and only when asked to
        assert not outside, f"{path.relative_to(ROOT)} imports {sorted(outside)}"


def test_the_command_line_and_the_pages_start_without_torch() -> None:
    pages = [f"dashboard.pages.{path.stem}" for path in sorted((ROOT / "dashboard" / "pages").glob("[a-z]*.py"))]
    code = (
        "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "lsi_engine.cli", "dashboard.server", "dashboard.app", *pages],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("room", ["numerics", "losses", "curvature", "training", "scores", "studies"])
def test_what_computes_opens_no_file(room: str) -> None:
    for path in (ROOT / "lsi_engine" / room).rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "pathlib" not in imports(path), path
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "open" not in calls, path


@pytest.mark.parametrize("room", ["components", "desks", "charts", "view", "report", "sharing"])
def test_only_the_application_knows_the_pages(room: str) -> None:
    for path in (ROOT / "dashboard" / room).rglob("*.py"):
        assert not [name for name in imports(path) if name.startswith("dashboard.pages")], path


def test_the_dashboard_never_imports_the_command_line() -> None:
    for path in (ROOT / "dashboard").rglob("*.py"):
        assert not [name for name in imports(path) if name.startswith("lsi_engine.cli")], path


def test_files_can_be_read_in_one_sitting_and_folders_looked_over() -> None:
    rooms = [path for name in ("lsi_engine", "dashboard") for path in (ROOT / name).rglob("*")]
    code = [
        path for path in rooms if path.suffix in (".py", ".js", ".css", ".html") and "__pycache__" not in path.parts
    ]
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in code}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}
    folders = Counter(path.parent for path in code if path.name != "__init__.py")
    assert not {str(folder.relative_to(ROOT)): count for folder, count in folders.items() if count > MOST_FILES}


def test_charts_know_neither_streamlit_nor_the_session() -> None:
    for path in (ROOT / "dashboard" / "charts").rglob("*.py"):
        assert not [name for name in imports(path) if name.split(".")[0] == "streamlit"], path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_reads_a_pickle(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        called = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert called not in ("pickle.load", "pickle.loads", "pickle.dump", "pickle.dumps", "joblib.load"), path
        if called == "torch.load":
            assert keywords.get("weights_only") == "True", path
        if called in ("np.load", "numpy.load"):
            assert keywords.get("allow_pickle") == "False", path
