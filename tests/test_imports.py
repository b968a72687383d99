import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("bench", "methods", "tasks", "reports")
HEAVY = {"torch", "transformers", "datasets", "tokenizers", "safetensors", "peft", "evaluate"}
BOTTOM = ("registry", "record", "claim", "store", "spec", "suite", "recipe", "weights")
LATER = (
    *(
        "plan",
        "cells",
        "named",
        "tune",
        "rounds",
        "job",
        "desk",
        "reporting",
        "listing",
        "cli",
        "progress",
    ),
    *("loading", "where", "typed", "papertable", "__main__"),
    *(f"executors.{name}" for name in ("local", "agenda", "room", "ranks", "group")),
    *(f"doctor.{name}" for name in ("visit", "check", "supplies", "machine")),
)
LOW = {f"bench.{name}" for name in BOTTOM}
SIDE = (
    *("backbone", "pretrained", "families", "unfuse", "heads", "masked", "past", "device", "cache"),
    *("text", "pairs", "prompts", "hidden", "twice", "tokencache", "cachefolder"),
)
MODEL = {f"bench.{name}" for name in (*SIDE, "steppers", "vocabulary", "checkpoint")}
COMMANDS = [
    f"commands.{name}" for name in ("asked", "merging", "models", "records", "suites", "trials")
]
LIGHT = {f"bench.{name}" for name in (*BOTTOM, *LATER, *COMMANDS)}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {
    module_name(path): path.read_text(encoding="utf-8")
    for package in OURS
    for path in sorted((ROOT / package).rglob("*.py"))
}


def nodes(tree: ast.AST, *, inside: bool) -> Iterator[ast.AST]:
    """Every node; with inside=False only those that run when the module is read."""
    for node in ast.iter_child_nodes(tree):
        if not inside and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if not inside and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from nodes(ast.Module([other], []), inside=False)
            continue
        yield node
        yield from nodes(node, inside=inside)


def imports(text: str, *, inside: bool = False) -> set[str]:
    """The modules that a source imports; a plug-in's package stands for what it declares itself."""
    found = set()
    for node in nodes(ast.parse(text), inside=inside):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & SOURCES.keys() or {node.module}
    return found


def foreign(modules: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """Ours among the modules that are neither allowed nor in an allowed package."""
    ours = [m for m in modules if m.split(".")[0] in OURS]
    return sorted(m for m in ours if not any(m == a or m.startswith(f"{a}.") for a in allowed))


def reached(module: str) -> set[str]:
    """Everything that is imported when the module is read, at any distance."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parents = {name.rpartition(".")[0]} & SOURCES.keys()
        new = (imports(SOURCES[name]) | parents) - found
        found |= new
        waiting += new & SOURCES.keys()
    return found


def among(package: str) -> list[str]:
    return [name for name in SOURCES if name == package or name.startswith(f"{package}.")]


ASKED = [*among("bench.commands"), "bench.reporting"]
LAYERS = among("methods.layers")
MERGING = among("methods.merging")
HOOKS = [name for name in among("methods") if name not in (*LAYERS, *MERGING)]


@pytest.mark.parametrize(
    ("text", "at_once", "at_any_time"),
    [
        ("import torch.nn as nn", {"torch.nn"}, {"torch.nn"}),
        ("from torch import nn", {"torch"}, {"torch"}),
        ("from bench import spec, registry", *[{"bench.spec", "bench.registry"}] * 2),
        ("from methods import method", {"methods"}, {"methods"}),
        ("def f():\n import torch", set(), {"torch"}),
        ("class A:\n import torch", {"torch"}, {"torch"}),
        ("class A:\n def f(self):\n  import torch", set(), {"torch"}),
        ("try:\n import torch\nexcept ImportError:\n import numpy", *[{"torch", "numpy"}] * 2),
        ("if TYPE_CHECKING:\n import torch\nelse:\n import json", {"json"}, {"torch", "json"}),
        ("if sys.version:\n with x:\n  import torch", {"torch"}, {"torch"}),
    ],
)
def test_reader_tells_what_is_imported_at_once_from_what_is_later(text, at_once, at_any_time):
    assert imports(text) == at_once
    assert imports(text, inside=True) == at_any_time


def test_reader_sees_this_project():
    assert {"bench.cli", "methods.lora", "tasks.glue", "reports.tables"} <= SOURCES.keys()
    assert "bench.spec" in reached("methods.lora")
    assert "torch" in reached("bench.backbone")


@pytest.mark.parametrize("name", sorted(LIGHT | {*HOOKS, *among("tasks"), *among("reports")}))
def test_module_is_read_without_torch(name):
    assert not {module.split(".")[0] for module in reached(name)} & HEAVY


@pytest.mark.parametrize("name", sorted(LOW))
def test_bottom_module_imports_only_the_bottom_and_small_parsers(name):
    modules = imports(SOURCES[name])
    assert foreign(modules, LOW) == []
    others = {module.split(".")[0] for module in modules} - {"bench"}
    assert others <= {*sys.stdlib_module_names, "pydantic"}


@pytest.mark.parametrize("name", sorted(MODEL))
def test_model_side_imports_only_the_bottom_and_itself(name):
    assert foreign(imports(SOURCES[name], inside=True), LOW | MODEL) == []


@pytest.mark.parametrize("name", HOOKS)
def test_method_knows_the_backbone_and_no_task_runner_or_report(name):
    assert foreign(imports(SOURCES[name]), {"bench.registry", "bench.spec", *HOOKS}) == []
    later = {"bench.registry", "bench.spec", "methods", *MODEL}
    assert foreign(imports(SOURCES[name], inside=True), later) == []


@pytest.mark.parametrize("name", LAYERS)
def test_layer_knows_other_layers_only(name):
    assert foreign(imports(SOURCES[name], inside=True), {"methods.layers"}) == []


@pytest.mark.parametrize("name", MERGING)
def test_merging_knows_states_and_what_a_model_and_its_batches_are(name):
    types = {"bench.backbone", "bench.text"}
    ours = {"methods.merging", "methods.layers", "methods.trained"}
    assert foreign(imports(SOURCES[name]), ours) == []
    assert foreign(imports(SOURCES[name], inside=True), ours | types) == []


@pytest.mark.parametrize("name", among("tasks"))
def test_task_never_imports_torch_or_what_tests_it(name):
    modules = imports(SOURCES[name], inside=True)
    assert foreign(modules, {"bench.registry", "bench.spec", "tasks"}) == []
    assert not {module.split(".")[0] for module in modules} & {"torch", "transformers"}


@pytest.mark.parametrize("name", among("reports"))
def test_report_reads_records_and_nothing_else(name):
    modules = imports(SOURCES[name], inside=True)
    allowed = {"bench.registry", "bench.record", "bench.store", "reports"}
    assert foreign(modules - {"bench"}, allowed) == []  # its version
    assert not {module.split(".")[0] for module in modules} & HEAVY


@pytest.mark.parametrize("name", [*among("bench"), *among("methods"), *among("tasks")])
def test_reports_are_imported_by_the_command_line_and_reporting_alone(name):
    modules = imports(SOURCES[name], inside=name not in ASKED)
    assert not {module for module in modules if module.split(".")[0] == "reports"}


def test_command_line_imports_ours_inside_commands():
    for name in ("bench.cli", *among("bench.commands")):
        assert foreign(imports(SOURCES[name]), ["bench.commands"]) == []
