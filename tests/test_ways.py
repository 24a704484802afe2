"""Every way of the README from nothing to a first 200, each begun in a fresh checkout."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Engine, engine, make_archive
from start_times import RESULTS, shown
from ways import KINDS, Place, first_200, rows

ROWS = rows()


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    base = folder / "base.tar"
    make_archive(base)
    with engine(folder, base) as one:
        base.unlink()
        yield one


@pytest.mark.index
@pytest.mark.parametrize("way", ["make", "uv", "GitHub Actions"])
def test_with_python(way: str, tmp_path: Path) -> None:
    assert first_200(ROWS[way], Place(tmp_path / "new", tmp_path / "caches"))


@pytest.mark.languages
@pytest.mark.parametrize("way", ["TypeScript", "Java"])
def test_with_a_helper_for_another_language(way: str, tmp_path: Path) -> None:
    assert first_200(ROWS[way], Place(tmp_path / "new", tmp_path / "caches"))


@pytest.mark.image
@pytest.mark.parametrize("way", ["a container", "compose"])
def test_with_docker(way: str, docker: Engine, tmp_path: Path) -> None:
    assert first_200(ROWS[way], Place(tmp_path / "new", tmp_path / "caches", docker))


def test_each_row_is_a_way_that_is_tested() -> None:
    assert list(ROWS) == list(KINDS)


def test_the_times_of_each_row_are_those_that_were_measured() -> None:
    measured = json.loads(RESULTS.read_text("utf-8"))["seconds"]
    for name, row in ROWS.items():
        assert [row.cold, row.warm] == [shown(measured[name][kind]) for kind in ("cold", "warm")]
