"""The tree can be found one's way in: folders of a bounded size, and a map and citations that name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOTS = ("parsers/memtui_parsers", "profiler/memtui_profiler", "tui/memtui")
MOST_MODULES = 16
MOST_IN_A_ROOT = 10
DOCS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "FACTS.md", "SESSION-FORMAT.md")


def folders(repository: Path) -> list[Path]:
    found = [repository / root for root in ROOTS]
    for root in ROOTS:
        found += [path for path in (repository / root).rglob("*") if path.is_dir() and any(path.glob("*.py"))]
    return found


def test_no_folder_has_too_many_modules(repository: Path) -> None:
    for folder in folders(repository):
        modules = [path.name for path in folder.glob("*.py") if not path.name.startswith("__")]
        most = MOST_IN_A_ROOT if str(folder.relative_to(repository)) in ROOTS else MOST_MODULES
        assert len(modules) <= most, f"{folder}: {len(modules)} modules"


def test_every_folder_says_what_it_is_for(repository: Path) -> None:
    for folder in folders(repository):
        text = (folder / "__init__.py").read_text()
        assert text.startswith('"""') and len(text.split()) > 3, folder


def test_the_map_names_every_folder_and_only_files_that_exist(repository: Path) -> None:
    text = (repository / "docs" / "ARCHITECTURE.md").read_text()
    for folder in folders(repository)[len(ROOTS) :]:
        assert f"`{folder.name}/" in text, folder
    named = {path for path in re.findall(r"`([\w/]+\.py)`", text) if "NAME" not in path}
    assert len(named) > 30
    files = [str(path) for root in (*ROOTS, "tests") for path in (repository / root).rglob("*.py")]
    for path in named:
        assert any(file.endswith(f"/{path}") for file in files), path


@pytest.mark.parametrize("root", [*ROOTS, "tests", "scripts", "screenshots"])
def test_code_cites_documents_of_the_repository_only(root: str, repository: Path) -> None:
    sections = set(re.findall(r"^## (.+)$", (repository / "docs" / "FACTS.md").read_text(), re.MULTILINE))
    cited_at_all = False
    for path in (repository / root).rglob("*.py"):
        text = path.read_text()
        for document in re.findall(r"\b([A-Z][A-Z-]+\.md)\b", text):
            assert document in DOCS or (repository / document).exists(), f"{path} cites {document}"
        for section in re.findall(r'FACTS\.md, "([^"]+)"', text):
            cited_at_all = True
            assert section in sections, f"{path} cites {section}"
    assert cited_at_all or root != "profiler/memtui_profiler"
