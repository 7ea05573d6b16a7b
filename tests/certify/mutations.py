"""Plant faults in the certificates, one at a time, and see that a test fails for each.

``make test-mutations`` runs it; parts of descriptions as arguments run those alone. A fault is
planted in a copy of the package. Prints a table; exit status 1 if a fault survives.
"""

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import autocrit_lite  # noqa: E402, F401 (all but the certificates is imported once)

PACKAGE = ROOT / "autocrit_lite" / "certify"

FIRST = {
    "balls.py": "balls",
    "pairs.py": "pairs",
    "certificate.py": "soundness",
    "emptiness.py": "soundness",
    "functions.py": "soundness",
}
"""The tests that are run first; for other files, those of third derivatives."""

FAULTS = [
    # --- the arithmetic of balls
    ("balls.py", "radius * (1.0 + 4.0 * (steps + 4) * U) + steps * TINY", "radius",
     "radii are rounded to nearest without being enlarged"),
    ("balls.py", "enlarged(self.radius + b.radius + U * np.abs(middle), 3)",
     "enlarged(self.radius + b.radius, 3)",
     "a sum is not inflated for its own rounding"),
    ("balls.py", "enlarged(radius + U * np.abs(middle), 6)", "enlarged(radius, 6)",
     "a product is not inflated for its own rounding"),
    ("balls.py", "self.radius * (np.abs(b.middle) + b.radius)", "self.radius * np.abs(b.middle)",
     "a product leaves out radius times radius"),
    ("balls.py", "enlarged(radius + 2.0 * U * np.abs(middle), 8)", "enlarged(radius, 8)",
     "a quotient is not inflated for its own rounding"),
    ("balls.py", "* (1.0 - 4.0 * U) - self.radius", "* (1.0 - 4.0 * U)",
     "a quotient takes the divisor for its middle"),
    ("balls.py", "enlarged(gamma * left + self.radius, 3) @ right",
     "enlarged(self.radius, 3) @ right", "a matrix product with an exact factor drops γ"),
    ("balls.py", "left @ enlarged(gamma * right + other.radius, 3)",
     "left @ enlarged(other.radius, 3)", "a matrix product drops γ"),
    ("balls.py", "self.radius @ enlarged(right + other.radius, 1)", "self.radius @ right",
     "a matrix product leaves out radius times radius"),
    ("balls.py", "(gamma * size + self.radius) @ M.magnitude", "self.radius @ M.magnitude",
     "products of stacks drop γ"),
    ("balls.py", "@ M.magnitude + size @ M.radius", "@ M.magnitude",
     "products of stacks take the matrix for its middle"),
    ("balls.py", "self.size * (d.radius + U * np.abs(d.middle))", "self.size * d.radius",
     "scaled stacks are not inflated for their own rounding"),
    ("balls.py", "rows * (gamma * columns + own)", "rows * own", "sums over samples drop γ"),
    ("balls.py", " + error * (columns + own)", "", "sums over samples drop the stack's radii"),
    ("balls.py", "(np.sqrt(bound) + around)", "np.sqrt(bound)",
     "norms of samples' matrices take balls for middles"),
    ("balls.py", "np.sum(gamma * np.abs(self.middle) + self.radius", "np.sum(self.radius",
     "a sum along an axis drops γ"),
    ("balls.py", "enlarged(radius + 2.0 * U * np.abs(middle), 2)", "enlarged(radius, 2)",
     "FLINT's middle is rounded to a float for nothing"),
    ("balls.py", "enlarged(np.abs(self.middle) + self.radius, 1)", "np.abs(self.middle)",
     "a magnitude is that of the middle"),
    # --- pairs of floats
    ("pairs.py", "+ 4.0 * U**2 * np.abs(high)", "", "a sum of pairs is taken for exact"),
    ("pairs.py", "radius + 8.0 * U**2 * np.abs(high)", "radius",
     "a product of pairs is taken for exact"),
    ("pairs.py", "radius + 16.0 * U**2 * np.abs(high)", "radius",
     "a quotient of pairs is taken for exact"),
    ("pairs.py", "lengths[1] * (widths[0] + widths[1])", "lengths[1] * widths[0]",
     "a product of matrices of pairs leaves out radius times radius"),
    ("pairs.py", " + (s * t) * error", "", "a product of matrices of pairs is taken for exact"),
    ("pairs.py", "(52 - int(", "(60 - int(", "integers are too long to be multiplied exactly"),
    ("pairs.py", "self.radius * (1.0 + self.radius)", "self.radius",
     "e^x leaves out that it bends"),
    ("pairs.py", "(spread + 32.0 * U**2)", "spread", "e^x is taken for exact"),
    ("pairs.py", "1e-260, np.inf", "0.0, np.inf", "e^x is taken for 0 far below"),
    # --- the theorem
    ("certificate.py", "K = enclosure.third(high, low, region)",
     "K = 0.5 * enclosure.third(high, low, region)", "K is halved"),
    ("certificate.py", "K = enclosure.third(high, low, region)",
     "K = enclosure.third(high, low, 0.0)", "K is that of the point, not of the region"),
    ("certificate.py", "/ Balls.of(eigenvalues[:, None])",
     "/ Balls.of(np.where(np.arange(len(Q)), 1.0, -1.0)[:, None] * eigenvalues[:, None])",
     "A has one sign flipped"),
    ("certificate.py", " + inverse_norm * around", "", "Z₀ takes the Hessian for its middle"),
    ("certificate.py", "if not Z0 < 1.0:", "if False:", "Z₀ ≥ 1 is allowed"),
    ("certificate.py", "Z0 + inverse_norm * K * radius) < 1.0", "Z0) < 1.0", "h > 1 is allowed"),
    ("certificate.py", "if radius > region or not", "if not",
     "a radius beyond the region is allowed"),
    ("certificate.py", "Y = _upper(inverse_norm * _norm(gradient))", "Y = _upper(_norm(gradient))",
     "Y leaves ‖A‖ out"),
    ("certificate.py", "slope = (1.0 - Z0) * (1.0 - 1e-12)", "slope = 1.0",
     "the radius leaves Z₀ out"),
    ("certificate.py", "unique = min(region, slope", "unique = min(np.inf, slope",
     "uniqueness is claimed beyond the region"),
    ("certificate.py", "slope / (inverse_norm * K) * (1.0 - 1e-12)",
     "2.5 * slope / (inverse_norm * K)", "uniqueness is claimed too far"),
    ("certificate.py", "_upper(2.0 * radius + margin +", "_upper(2.0 * radius +",
     "the loss interval leaves out how far the point is"),
    ("certificate.py", "_upper(2.0 * radius + margin +", "_upper(margin +",
     "the loss interval leaves out the radius of the loss"),
    # --- nothing near
    ("emptiness.py", "_root(s, Hv, K)", "_root(s, 0.0 * Hv, K)", "emptiness leaves out ‖Hv‖"),
    ("emptiness.py", "_root(s, Hv, K)", "_root(s, Hv, 0.0)", "emptiness leaves out K"),
    ("emptiness.py", "_root(s, Hv, K)", "_root(s, Hv, 0.5 * K)", "emptiness has K halved"),
    ("emptiness.py", "(min(reach, region), K)", "(reach, K)",
     "emptiness is claimed beyond the region"),
    ("emptiness.py", ".abs_lower()", ".abs_upper()",
     "emptiness takes the largest vᵀg that may be"),
    # --- functions
    ("functions.py", "arb(h) + arb(x) + arb(0, radius)", "arb(h) + arb(0, radius)",
     "the lower part of the point is ignored by functions"),
    ("functions.py", "arb(h) + arb(x) + arb(0, radius)", "arb(h) + arb(x)",
     "third derivatives of functions are those of the point"),
    # --- networks
    ("enclosures.py", "Pairs(*two_sum(high, low), np.zeros_like(high))", "Pairs.of(high)",
     "the lower part of the point is ignored by the gradient"),
    ("enclosures.py", "theta = Balls.of(high) + Balls.of(low)", "theta = Balls.of(high)",
     "the lower part of the point is ignored by the Hessian"),
    ("enclosures.py", "own = H[diagonal, diagonal] + Balls.of(np.array(2.0 * self.l2))",
     "own = H[diagonal, diagonal] + Balls.of(np.array(0.0 * self.l2))",
     "the penalty's 2λ/n is left off the diagonal"),
    ("enclosures.py", "return min(sharp, crude)", "return 0.5 * min(sharp, crude)",
     "the K of networks is halved"),
    ("enclosures.py", "root / 2.0 * zeta1**3", "root / 4.0 * zeta1**3",
     "the K by norms is halved"),
    ("activations.py", "(1.1, 0.5003, 0.3085, 0.5006)", "(1.1, 0.5003, 0.2085, 0.5006)",
     "a wrong bound of |σ‴| of swish"),
    ("activations.py", "(1.0001, 0.7703, 2.0001, 4.0902)", "(1.0001, 0.7703, 1.9999, 4.0902)",
     "a bound of |σ‴| of tanh that is a little too small"),
    ("enclosures.py", "else 0.70711", "else 0.07", "the third cumulant is too small"),
    # --- linear networks
    ("symmetry.py", "+ B.spectral_norm() * far", "", "a slice is across however far the point is"),
    ("symmetry.py", "return bool(lost < 1.0)", "return False", "no slice is across"),
    ("symmetry.py", "parts[layer + 1][0][:, q] -= sign", "parts[layer + 1][0][:, q] += sign",
     "a tangent of the orbit has a wrong sign"),
    ("third_derivative.py", "kink |= ~(rho * SLACK < samples.margin[layer])", "pass",
     "the kinks of ReLUs are overlooked"),
    ("pairs.py", "np.where(self.balls.least > 0.0, 0.0, np.inf)", "np.zeros_like(self.high)",
     "a ReLU whose input may vanish is taken for smooth"),
    ("third_derivative.py", "moved.append(R * Ja[-1])", "moved.append(0.0 * Ja[-1])",
     "activations are said not to move in the region"),
    ("third_derivative.py", "cholesky(top * np.eye(n) - middle)", "cholesky(np.eye(n))",
     "the largest eigenvalue is what powers find"),
    ("third_derivative.py", "top + lost + around", "top + lost",
     "the Gauss–Newton matrix is taken for its middle"),
    ("third_derivative.py", "d1.append(np.minimum(S2 * rho, 2.0 * S1))", "d1.append(0.0 * rho)",
     "σ′ is said not to change in the region"),
]  # fmt: skip


def run_tests(folder: Path, first: str) -> int:
    """Return what pytest returns with the files of ``folder`` in place of the certificates."""
    for name in [*sys.modules]:
        if name == "autocrit_lite" or name.startswith("autocrit_lite.certify"):
            del sys.modules[name]
    place = importlib.util.spec_from_file_location(
        "autocrit_lite.certify", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules[place.name] = importlib.util.module_from_spec(place)
    planted = importlib.import_module("autocrit_lite").certify
    assert planted.__globals__["__file__"] == str(folder / "certificate.py")
    options = ["-x", "-q", "-m", "not slow", "-p", "no:randomly", "-p", "no:cacheprovider"]
    likely = int(pytest.main([f"tests/certify/test_{first}.py", *options]))
    return likely or int(pytest.main(["tests/certify", *options]))


def survives(name: str, old: str, new: str) -> bool:
    """Return whether the tests pass with a fault in the package, in a process of its own."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "certify"
        shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        text = (folder / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            sys.exit(f"{name} has {text.count(old)} times, not once: {old}")
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
        output = Path(parent) / "output"
        child = os.fork()  # what is imported already need not be imported again
        if not child:
            with output.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                os._exit(run_tests(folder, FIRST.get(name, "third_derivative")))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status not in (0, 1):  # 1: a test failed
            sys.exit(output.read_text(encoding="utf-8"))
        return status == 0


def main(*wanted: str) -> int:
    """Plant each fault whose description holds any of ``wanted``; return how many survive."""
    os.chdir(ROOT)
    chosen = [fault for fault in FAULTS if not wanted or any(x in fault[3] for x in wanted)]
    survivors = 0
    for name, old, new, what in chosen:
        alive = survives(name, old, new)
        survivors += alive
        print(f"{'SURVIVES' if alive else 'caught':9} {name:20} {what}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} faults caught")
    return survivors


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
