"""The house: which modules stand on the top floor, and which rooms may import from which."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "adaptor"
ROOMS = ("core", "release", "encode", "fitting", "training", "evaluation", "report", "config", "spark", "console")
"""In this order: a room imports from itself and from those before it."""
INSIDE_FUNCTIONS = {
    ("core", "release"): "which version wrote a table: only load(for_table=...) asks",
    ("core", "encode"): "Arrow is an extra: adaptor.inputs looks at Arrow arrays only where it gets some",
    ("fitting", "training"): "torch is an extra: what is not trained needs none",
}
"""Imports against the order, which a function may do when it is called."""

MODULES = {
    ".".join(["adaptor", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def room_of(module: str) -> str:
    """The folder, or for the modules of the top floor `core`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else "core"


def imports_of(module: str) -> Iterator[tuple[str, bool]]:
    """What `module` imports of this package, and whether only inside a function; not what type checkers alone read."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.ImportFrom) and (child.module or "").split(".")[0] == "adaptor":
                whole = [f"{child.module}.{alias.name}" for alias in child.names]
                yield from ((name if name in MODULES else str(child.module), inside) for name in whole)
            elif isinstance(child, ast.Import):
                yield from ((alias.name, inside) for alias in child.names if alias.name in MODULES)
            else:
                yield from walk(child, inside or isinstance(child, ast.FunctionDef))

    yield from walk(ast.parse(MODULES[module].read_text()), inside=False)


def test_the_top_floor_has_twelve_modules_at_most():
    assert len(list(PACKAGE.glob("*.py"))) <= 12


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_import_goes_against_the_order_of_the_rooms(module):
    home = room_of(module)
    against = {
        (home, room_of(other), inside)
        for other, inside in imports_of(module)
        if ROOMS.index(room_of(other)) > ROOMS.index(home)
    }
    assert against <= {(*rooms, True) for rooms in INSIDE_FUNCTIONS}


def test_every_exception_is_needed():
    pairs = {(room_of(module), room_of(other)) for module in MODULES for other, _ in imports_of(module)}
    assert set(INSIDE_FUNCTIONS) <= pairs


def test_no_module_imports_itself_by_a_detour():
    graph = {module: {other for other, inside in imports_of(module) if not inside} for module in MODULES}
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_kernel_and_the_core_know_nothing_of_spark_or_a_terminal():
    for module, path in MODULES.items():
        if room_of(module) in ("core", "encode", "fitting"):
            assert not {"pyspark", "rich", "typer"} & set(path.read_text().replace(".", " ").split()), module


def test_no_function_is_longer_than_sixty_lines():
    long = [
        f"{module}.{node.name}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []
