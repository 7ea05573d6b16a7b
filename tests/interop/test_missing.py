"""Without PyTorch or JAX everything else works, and what needs them says so."""

import subprocess
import sys

import numpy as np
import pytest

import autocrit_lite as al


def test_importing_the_package_imports_neither_library():
    program = "import sys, autocrit_lite; print({'torch', 'jax'} & sys.modules.keys())"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("library", "name", "use"),
    [
        ("torch", "TorchObjective", lambda: al.TorchObjective(None, None, None)),
        (
            "torch",
            "NetworkObjective.from_torch",
            lambda: al.NetworkObjective.from_torch(None, np.ones((1, 1)), np.ones((1, 1))),
        ),
        ("jax", "JaxObjective", lambda: al.JaxObjective(np.sum, np.ones(2))),
    ],
)
def test_a_missing_library_is_named_with_the_command_that_brings_it(
    monkeypatch, library, name, use
):
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not there
    with pytest.raises(ImportError) as caught:
        use()
    assert str(caught.value).startswith(f"{name} needs ")
    assert f'pip install "autocrit-lite[{library}]"' in str(caught.value)
