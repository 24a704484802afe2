"""The checkout is what is installed."""

import importlib
from pathlib import Path

import pytest

from stepstub.errors import Unauthorized
from stepstub.handlers import bearer

ROOT = Path(__file__).parent.parent
# An unpacked source archive has copies in the place of the links.
in_a_checkout = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")


@in_a_checkout
@pytest.mark.parametrize("folder", ["handlers", "fixtures", "contract_tests"])
def test_a_folder_of_the_package_is_the_one_at_the_top(folder: str) -> None:
    # An editor that saves by renaming replaces a link to a file, but no link to its folder.
    file = importlib.import_module(f"stepstub.{folder}").__file__
    assert file == str(ROOT / "src" / "stepstub" / folder / "__init__.py")
    assert Path(file).resolve() == (ROOT / folder / "__init__.py").resolve()
    assert not Path(file).is_symlink()


@in_a_checkout
def test_a_traceback_leads_to_the_file_to_edit() -> None:
    with pytest.raises(Unauthorized) as caught:
        bearer.check_control_token("expected", b"another")
    assert Path(caught.traceback[-1].path).resolve() == (ROOT / "handlers" / "bearer.py").resolve()
