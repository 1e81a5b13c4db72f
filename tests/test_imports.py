"""The rules of the house that no reviewer should have to check: who imports whom, and what is never written."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmassist.stages import list_stages

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[1]
MIDDLE = ("datasets", "video", "llm", "dialog", "vision", "packing")
HEAVY = (
    *("torch", "torchvision", "open_clip", "timm", "transformers", "tokenizers", "vllm", "openai"),
    *("av", "simplejpeg", "PIL", "jsonschema"),
)
LAUNCH_LIBRARIES = {"hydra", "omegaconf", "submitit"}

BELOW = {  # what a part may import of the project, besides itself
    "mmassist.core": set(),
    "mmassist.io": {"mmassist.core"},
    **{f"mmassist.{name}": {"mmassist.io", "mmassist.core"} for name in MIDDLE},
    "mmassist.loader": {"mmassist.packing", "mmassist.io", "mmassist.core"},
    "mmassist.stages": {*(f"mmassist.{name}" for name in MIDDLE), "mmassist.io", "mmassist.core"},
}


def source_files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    assert found
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def iter_imports(path: Path) -> Iterator[str]:
    """Dotted names of all imports, wherever they stand; ``from a import b`` gives ``a.b``, be it a module or not."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    """``mmassist.video.source.X`` -> ``mmassist.video``; ``mmassist.__version__`` -> ``mmassist``."""
    part = ".".join(module.split(".")[:2])
    return part if part in BELOW else module.split(".")[0]


def test_imports_go_one_way() -> None:
    wrong = []
    for path in source_files("mmassist", "launchers"):
        here = part_of(module_of(path))
        wrong += [f"{module_of(path)} imports {name}" for name in iter_imports(path) if not may_import(here, name)]
    assert wrong == []


def may_import(here: str, name: str) -> bool:
    top = name.split(".")[0]
    if here == "launchers":
        return top not in ("tools", "tests")
    if top == "mmassist":
        return part_of(name) in {here, *BELOW.get(here, set())}
    return top not in ("launchers", "tools", "tests")


def test_the_rule_itself() -> None:
    assert may_import("mmassist.stages", "mmassist.video.decoder.Decoder")
    assert may_import("mmassist.video", "av")
    assert not may_import("mmassist.video", "mmassist.dialog.turn")
    assert not may_import("mmassist.io", "mmassist.stages.encode")
    assert not may_import("mmassist.core", "launchers.run")


def test_every_part_has_its_place() -> None:
    parts = {part_of(module_of(path)) for path in source_files("mmassist")}
    assert parts == {"mmassist", *BELOW}


def test_core_is_standard_library_only() -> None:
    names = {name.split(".")[0] for path in source_files("mmassist/core") for name in iter_imports(path)}
    assert names - {"mmassist", "numpy"} <= set(sys.stdlib_module_names)  # numpy: for annotations alone, see below
    for path in source_files("mmassist/core"):
        for node in ast.parse(path.read_text()).body:
            assert not (isinstance(node, ast.Import) and any(alias.name == "numpy" for alias in node.names)), path


def test_only_launchers_know_hydra_and_submitit() -> None:
    found = {
        module_of(path)
        for path in source_files("mmassist", "tools")
        for name in iter_imports(path)
        if name.split(".")[0] in LAUNCH_LIBRARIES
    }
    assert found == set()


@pytest.mark.parametrize("module", [f"mmassist.stages.{name}" for name in list_stages()] + ["launchers.run"])
def test_planning_loads_no_heavy_package(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_mmassist_reads_no_environment() -> None:
    found = []
    for path in source_files("mmassist"):
        found += [module_of(path) for name in iter_imports(path) if name in ("os.environ", "os.getenv", "os.putenv")]
        for node in ast.walk(ast.parse(path.read_text())):
            is_read = isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv")
            if is_read and isinstance(node.value, ast.Name) and node.value.id == "os":
                found.append(f"{module_of(path)}:{node.lineno}")
    assert found == []


def test_nothing_prints_but_the_command() -> None:
    found = [
        f"{module_of(path)}:{node.lineno}"
        for path in source_files("mmassist", "launchers")
        if module_of(path) not in ("launchers.run", "launchers.ending")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert found == []


def test_only_the_loop_over_items_catches_everything() -> None:
    found = {
        module_of(path)
        for path in source_files("mmassist", "launchers", "tools")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node)
    }
    assert found <= {"launchers.work"}


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id == "Exception" for kind in kinds)


def test_modules_stay_short() -> None:
    lengths = {module_of(path): len(path.read_text().splitlines()) for path in source_files("mmassist", "launchers")}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
