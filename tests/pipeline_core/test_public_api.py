"""The public API: its names, what importing it costs, and what it must not know of."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pipeline_core

NAMES = [
    "BatchPolicy",
    "DatasetRef",
    "FailurePolicy",
    "OutputRef",
    "PipelineSpec",
    "Prediction",
    "RowError",
    "infer",
    "load_pipeline",
    "unload",
]
SOURCES = sorted(Path(pipeline_core.__file__).parent.rglob("*.py"))


def test_the_public_names_are_these_and_sorted():
    assert pipeline_core.__all__ == NAMES
    assert sorted(NAMES) == NAMES
    assert dir(pipeline_core) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_the_object_of_its_home(name):
    value = getattr(pipeline_core, name)
    assert getattr(import_module(value.__module__), name) is value
    assert value.__doc__


def test_every_public_name_is_imported_with_a_star():
    names: dict[str, object] = {}
    exec("from pipeline_core import *", names)
    assert set(NAMES) <= set(names)


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pipeline_core.nothing
    with pytest.raises(ImportError):
        exec("from pipeline_core import nothing")


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"torch", "transformers", "prefect", "datasets", "pandas", "pyarrow", "numpy", "pydantic"}
    code = "import sys, pipeline_core; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy & set(found.stdout.split()) == set()


def imports_of(source: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
                names.add(str(node.args[0].value))
    return {name.split(".")[0] for name in names}


def test_there_are_sources_and_they_import_what_they_are_known_to():
    assert "torch" in imports_of(next(source for source in SOURCES if source.name == "memory.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_no_module_of_the_core_imports_what_lies_above_it(source):
    assert imports_of(source) & {"prefect", "tasks", "flows", "deployments"} == set()
