"""PyTorch modules as objectives, where PyTorch is installed: the extra ``torch``, or ``bench``."""

import itertools

import numpy as np
import pytest

import autocrit_lite as al
from autocrit_lite.datasets.digits import crop, resize
from autocrit_lite.datasets.mnist import shipped_digits
from tests.finders.test_driver import every_finder

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'autocrit-lite[torch]'")
nn = torch.nn


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def drawn(module, seed=0):
    """Return a module in float64 with parameters of a seed."""
    module = module.double()
    with torch.no_grad():
        for k, parameter in enumerate(module.parameters()):
            parameter.copy_(0.7 * normal(*parameter.shape, seed=seed + 100 * k))
    return module


def mlp(activation=nn.SiLU):
    return drawn(nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, 2)))


X, Y, LABELS = normal(20, 3, seed=1), normal(20, 2, seed=2), torch.arange(20) % 2
LOSSES = {"mse": (nn.MSELoss(), Y), "cross_entropy": (nn.functional.cross_entropy, LABELS)}


def objective(module=None, loss="mse", **options):
    function, targets = LOSSES[loss]
    return al.TorchObjective(mlp() if module is None else module, function, (X, targets), **options)


def starts(count, n, seed=3):
    return np.random.default_rng(seed).normal(size=(count, n))


def by_autograd(module, loss, theta):
    """Return value, gradient and Hessian of a loss at theta, written without the package."""
    function, targets = LOSSES[loss]
    sizes = [p.numel() for p in module.parameters()]

    def f(theta):
        parts = theta.split(sizes)
        state = {
            name: part.view(p.shape)
            for part, (name, p) in zip(parts, module.named_parameters(), strict=True)
        }
        return function(torch.func.functional_call(module, state, (X,)), targets)

    theta = torch.tensor(theta)
    gradient = torch.autograd.functional.jacobian(f, theta)
    return f(theta).item(), gradient.numpy(), torch.autograd.functional.hessian(f, theta).numpy()


def same(x, y, rtol=1e-12):
    """Return whether arrays agree to rounding of their largest entry."""
    return np.max(np.abs(np.asarray(x) - y)) <= rtol * max(np.max(np.abs(y)), 1e-300)


# --- the numbers ---


@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives_are_those_of_autograd_and_of_the_closed_form(loss):
    module = mlp()
    mine = objective(module, loss)
    closed = al.NetworkObjective.from_torch(module, X, LOSSES[loss][1], loss=LOSSES[loss][0])
    assert mine.n_parameters == closed.net.n_parameters == 26
    theta, v = starts(2, 26)
    value, gradient, H = by_autograd(module, loss, theta)
    for other in (mine, closed):
        point = other.linearize(theta)
        assert isinstance(point.gradient, np.ndarray)
        assert point.gradient.dtype == point.value.dtype == np.float64
        assert point.value.shape == ()
        assert same(point.value, value)
        assert same(point.gradient, gradient)
        assert same(point.hvp(v), H @ v)
        assert same(point.hvp(np.stack([v, 2.0 * v])), np.stack([H @ v, 2.0 * H @ v]))
        assert same(point.hessian(), H)
        value_there, gradient_there = other.value_and_gradient(theta)
        assert same(value_there, value)
        assert same(gradient_there, gradient)


def test_theta_is_where_the_module_is():
    module = mlp()
    mine = objective(module)
    vector = nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    assert np.array_equal(mine.theta, vector)
    with torch.no_grad():
        expected = LOSSES["mse"][0](module(X), Y).item()
    assert np.isclose(mine.value_and_gradient(mine.theta)[0], expected, rtol=1e-14)
    theta = starts(1, 26)[0]
    module.load_state_dict(mine.unflatten(theta))
    assert np.array_equal(nn.utils.parameters_to_vector(module.parameters()).detach(), theta)


def test_a_batch_is_what_its_points_are():
    mine, theta = objective(), starts(3, 26)
    v = starts(6, 26, seed=4).reshape(3, 2, 26)
    point = mine.linearize(theta)
    assert mine._together  # by torch.vmap
    for i, row in enumerate(theta):
        alone = mine.linearize(row)
        assert same(point.value[i], alone.value)
        assert same(point.gradient[i], alone.gradient)
        assert same(point.hvp(v[:, 0])[i], alone.hvp(v[i, 0]))
        assert same(point.hvp(v)[i], alone.hvp(v[i]))
        assert same(point.hessian()[i], alone.hessian())
    empty = mine.linearize(theta[:0])
    assert empty.gradient.shape == empty.hvp(theta[:0]).shape == (0, 26)
    assert mine.linearize(theta[:1]).hvp(v[:1]).shape == (1, 2, 26)


class Branching(nn.Module):
    """A module that looks at its numbers, which vmap cannot follow."""

    def __init__(self):
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        z = self.inner(x)
        return z if float(z.detach().sum()) > -1e300 else -z


def test_a_module_that_takes_no_batch_of_parameters_is_looped_over():
    mine, plain, theta = objective(Branching()), objective(), starts(3, 26)
    v = starts(3, 26, seed=4)
    there, here = plain.linearize(theta), mine.linearize(theta)
    assert not mine._together
    assert same(here.gradient, there.gradient)
    assert same(here.value, there.value)
    assert same(here.hvp(v), there.hvp(v))
    assert same(here.hessian(), there.hessian())
    assert same(mine.value_and_gradient(theta)[1], there.gradient)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("chunk_size", [1, 7, 20])
def test_chunks_change_nothing_but_rounding(reduction, chunk_size):
    loss = nn.MSELoss(reduction=reduction)
    whole = al.TorchObjective(mlp(), loss, (X, Y))
    parts = al.TorchObjective(mlp(), loss, (X, Y), chunk_size=chunk_size)
    theta = starts(2, 26)
    here, there = whole.linearize(theta), parts.linearize(theta)
    assert same(there.value, here.value)
    assert same(there.gradient, here.gradient)
    assert same(there.hessian(), here.hessian())


def test_chunks_of_a_loss_that_is_no_sum_are_refused():
    def spread(outputs, targets):
        return torch.var(outputs) + torch.mean(targets)

    al.TorchObjective(mlp(), spread, (X, Y))
    with pytest.raises(ValueError, match="chunk_size needs a loss that is a mean or a sum"):
        al.TorchObjective(mlp(), spread, (X, Y), chunk_size=6)


def test_a_point_stays_when_another_is_linearised_and_the_module_changes():
    module = mlp()
    mine, theta = objective(module), starts(2, 26)
    point = mine.linearize(theta[0])
    before = point.hvp(theta[1])
    mine.linearize(theta[1])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert np.array_equal(point.hvp(theta[1]), before)
    assert np.any(mine.theta != 0.0)


@pytest.mark.parametrize("convert", [np.array, torch.tensor])
def test_a_point_stays_when_theta_changes(convert):
    mine, theta = objective(), convert(starts(1, 26)[0])
    point, v = mine.linearize(theta), convert(starts(1, 26, seed=4)[0])
    before = np.asarray(point.hvp(v)).copy()
    theta[:] = 5.0
    assert np.array_equal(point.hvp(v), before)


@pytest.mark.parametrize("guard", [torch.no_grad, torch.enable_grad])
def test_it_works_where_gradients_are_off(guard):
    with guard():
        mine = objective()
        point = mine.linearize(mine.theta)
        assert np.any(point.hvp(mine.theta) != 0.0)


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, x):
        return x @ self.w


def test_a_loss_linear_in_its_parameters_has_the_hessian_zero():
    mine = al.TorchObjective(Linear(), lambda z, y: torch.mean(z * y), (X, Y[:, 0]))
    point = mine.linearize(np.ones((2, 3)))
    assert not np.any(point.hessian())
    assert not np.any(point.hvp(np.ones((2, 3))))


def test_it_passes_the_check_of_objectives():
    for module in (mlp(nn.Softplus), Branching()):
        al.check_objective(objective(module), starts(1, 26)[0])


# --- arrays ---


def test_numpy_in_gives_numpy_out_and_a_tensor_a_tensor():
    mine, theta = objective(), starts(2, 26)
    assert np.array_equal(
        mine.linearize(theta[0].tolist()).gradient, mine.linearize(theta[0]).gradient
    )
    for shape in ((26,), (2, 26)):
        here = theta[0] if len(shape) == 1 else theta
        given = torch.tensor(here)
        point, there = mine.linearize(here), mine.linearize(given)
        for mine_, its in (
            (point.value, there.value),
            (point.gradient, there.gradient),
            (point.hvp(here), there.hvp(given)),
            (point.hessian(), there.hessian()),
            (point.hvp(here), point.hvp(given)),
        ):
            assert isinstance(mine_, np.ndarray)
            assert isinstance(its, torch.Tensor)
            assert not its.requires_grad
            assert np.array_equal(mine_, its.numpy())
    frozen = theta.copy()
    frozen.flags.writeable = False
    point = mine.linearize(frozen)
    point.hvp(frozen)[:] = 0.0
    point.gradient[:] = 0.0


def test_float32_stays_float32():
    module, theta = mlp(), starts(2, 26)
    single = al.TorchObjective(module.float(), nn.MSELoss(), (X, Y))
    exact = objective(module.double())
    assert "float32" in repr(single)
    assert "float32" in single.hint
    point = single.linearize(theta)
    assert point.gradient.dtype == np.float64
    assert same(point.gradient, exact.linearize(theta).gradient, 1e-5)
    assert not same(point.gradient, exact.linearize(theta).gradient, 1e-12)
    assert single.linearize(torch.tensor(theta)).gradient.dtype == torch.float32
    al.check_objective(single, theta[0], rtol=1e-2)


# --- finders ---


@every_finder
def test_every_finder_does_what_it_does_with_the_closed_form(find):
    closed = al.NetworkObjective.from_torch(mlp(), X, Y, l2=30.0)

    def penalised(theta):
        return 30.0 * torch.mean(theta**2)

    class Penalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            return self.inner(x), penalised(nn.utils.parameters_to_vector(self.inner.parameters()))

    mine = al.TorchObjective(
        Penalised(), lambda found, y: nn.functional.mse_loss(found[0], y) + found[1], (X, Y)
    )
    for theta0 in (0.5 * starts(4, 26), 0.5 * starts(1, 26)[0]):
        found, expected = (find(f, theta0, max_iterations=3) for f in (mine, closed))
        assert type(found.theta) is np.ndarray
        assert found.theta.shape == theta0.shape
        assert np.allclose(found.theta, expected.theta, rtol=1e-7, atol=1e-9)
        assert np.array_equal(found.stop_reason, expected.stop_reason)


def digits(n_samples):
    images, labels = shipped_digits()
    small = resize(crop(images[:n_samples], 20), 8).astype(float) / 255.0
    return small[:, None], labels[:n_samples]


def test_newton_mr_on_a_convolutional_network():
    module = drawn(
        nn.Sequential(
            nn.Conv2d(1, 2, 3, stride=2),
            nn.BatchNorm2d(2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(18, 10),
        )
    ).eval()
    mine = al.TorchObjective(module, nn.CrossEntropyLoss(), digits(100))
    assert mine.n_parameters == 20 + 4 + 190
    al.check_objective(mine, mine.theta)
    theta0 = np.stack([mine.theta, 0.9 * mine.theta])
    trace = al.newton_mr(mine, theta0, 4)
    # the line search accepts no step along which ‖∇f‖ grows
    assert np.all(np.diff(trace.squared_gradient_norm, axis=1) <= 0.0)
    assert np.all(trace.squared_gradient_norm[:, -1] < trace.squared_gradient_norm[:, 0])


# --- modules ---


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(3, 2)
        self.decode = nn.Linear(2, 3)
        self.decode.weight = nn.Parameter(self.encode.weight.T.clone())
        self.again = self.encode

    def forward(self, x):
        return self.again(self.decode(torch.tanh(self.encode(x))))


def test_a_parameter_in_two_places_is_there_once():
    module = drawn(Tied())
    mine = objective(module)
    assert mine.n_parameters == 8 + 9
    al.check_objective(mine, mine.theta)


def test_frozen_parameters_are_no_part_of_theta():
    module = mlp()
    module[0].weight.requires_grad_(False)
    mine = objective(module)
    assert mine.n_parameters == 26 - 12
    whole = objective()
    assert same(mine.linearize(mine.theta).gradient, whole.linearize(whole.theta).gradient[12:])
    assert mine.unflatten(mine.theta).keys() == {"0.bias", "2.weight", "2.bias"}
    with pytest.raises(ValueError, match="module must have parameters that require a gradient"):
        objective(mlp().requires_grad_(False))


def test_buffers_and_dropout_of_a_module_in_evaluation_mode_are_fine():
    module = drawn(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)))
    module[1].running_mean.copy_(normal(4))
    mine = objective(module.eval())
    al.check_objective(mine, mine.theta)
    assert not any(layer.training for layer in module)


class Drops(nn.Module):
    def __init__(self, training):
        super().__init__()
        self.inner, self.on = mlp(), training
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        return nn.functional.dropout(self.inner(x), 0.5, training=self.on)


class Counts(Drops):
    def forward(self, x):
        self.calls += 1
        return self.inner(x)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 2)),
            r"its layer 1 \(Dropout\) drops out units at random; call module.eval\(\) first",
        ),
        (
            nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)),
            r"its layer 1 \(BatchNorm1d\) normalises by the statistics of the batch",
        ),
        (Drops(True), "module and loss must repeat: they draw at random"),
        (Counts(False), "its buffer calls does"),
    ],
)
def test_what_is_no_function_of_the_parameters_is_refused(module, message):
    with pytest.raises(ValueError, match=message):
        objective(module.double())


def test_dropout_of_nothing_is_no_dropout():
    objective(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.0)).double())
    objective(Drops(False))


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(3, 2).double()
        self.two = nn.Linear(3, 2)


NAN = torch.where(torch.arange(3) == 1, torch.nan, X)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"module": torch.sum}, TypeError, "module must be a torch.nn.Module"),
        ({"loss": "mse"}, TypeError, "loss must be callable"),
        ({"module": Mixed()}, ValueError, "parameters of one dtype on one device"),
        ({"module": mlp().half()}, TypeError, "module must be of float64 or float32"),
        ({"data": X}, TypeError, r"data must be a pair \(X, Y\)"),
        ({"data": (X, Y[:3])}, ValueError, "X and Y must hold as many samples"),
        ({"data": (X[:0], Y[:0])}, ValueError, "X and Y must hold as many samples, 1 or more"),
        ({"data": (NAN, Y)}, ValueError, "X must be finite"),
        ({"data": (NAN.numpy(), Y)}, ValueError, "X must be finite"),
        ({"data": (X, torch.tensor(1.0))}, ValueError, "Y must hold samples along its first axis"),
        ({"data": (X.numpy().astype(str), Y)}, TypeError, "X must hold real numbers"),
        ({"chunk_size": 0}, ValueError, "chunk_size must be at least 1"),
        (
            {"loss": nn.MSELoss(reduction="none")},
            TypeError,
            r"loss must return a scalar tensor, not \(20, 2\)",
        ),
        ({"loss": lambda z, y: 1.0}, TypeError, "loss must return a scalar tensor, not float"),
        (
            {"loss": lambda z, y: torch.mean(z.detach() - y)},
            TypeError,
            "must depend on the module's parameters",
        ),
    ],
)
def test_bad_arguments_are_named(change, error, message):
    good = {"module": mlp(), "loss": nn.MSELoss(), "data": (X, Y)}
    given = {**good, **change}
    module, loss, data = (given.pop(name) for name in good)
    with pytest.raises(error, match=message):
        al.TorchObjective(module, loss, data, **given)


def test_bad_points_and_vectors_are_named():
    mine = objective()
    for bad in (np.zeros(25), np.zeros((1, 2, 26)), torch.zeros(25), torch.zeros(1, 2, 26)):
        with pytest.raises(ValueError, match=r"theta must have shape \(26,\) or \(B, 26\), not"):
            mine.linearize(bad)
        with pytest.raises(ValueError, match="theta must have shape"):
            mine.value_and_gradient(bad)
    with pytest.raises(ValueError, match=r"theta must have shape \(26,\), not"):
        mine.unflatten(np.zeros((1, 26)))
    point = mine.linearize(np.zeros((2, 26)))
    for bad in (np.zeros(26), np.zeros((2, 25)), torch.zeros(3, 26), np.zeros((3, 4, 26))):
        with pytest.raises(ValueError, match=r"v must have shape \(2, 26\) or \(2, k, 26\), not"):
            point.hvp(bad)
    with pytest.raises(TypeError, match="theta must hold real numbers"):
        mine.linearize(np.zeros(26, dtype=complex))


# --- fully connected networks ---


ACTIVATIONS = {
    nn.SiLU: "swish",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.ReLU: "relu",
    nn.Identity: "linear",
}


@pytest.mark.parametrize(("layer", "name"), ACTIVATIONS.items())
@pytest.mark.parametrize("bias", [True, False])
def test_a_fully_connected_network_is_recognised(layer, name, bias):
    module = nn.Sequential(
        nn.Sequential(nn.Linear(3, 4, bias), layer()),
        nn.Linear(4, 5, bias),
        layer(),
        nn.Identity(),
        nn.Linear(5, 2, bias),
    )
    mine = objective(drawn(module))
    closed = al.NetworkObjective.from_torch(module, X.float(), Y.numpy(), nn.MSELoss(), l2=0.0)
    assert closed.net == al.MLP((3, 4, 5, 2), activation=name, bias=bias)
    closed = al.NetworkObjective.from_torch(module, X, Y)
    here, there = (f.linearize(mine.theta) for f in (mine, closed))
    assert same(here.value, there.value)
    assert same(here.gradient, there.gradient)
    assert same(here.hvp(mine.theta), there.hvp(mine.theta))
    assert 'NetworkObjective.from_torch(module, X, Y, loss="mse")' in mine.hint
    assert mine.hint in repr(mine)


def with_hook():
    module = mlp()
    module[0].register_forward_hook(lambda *_: None)
    return module


def frozen():
    module = mlp()
    module[0].weight.requires_grad_(False)
    return module


SHARED = nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (torch.sum, TypeError, "module must be a torch.nn.Module"),
        (Linear(), ValueError, "not of Linear"),
        (nn.Sequential(nn.Linear(3, 2), nn.Softplus()), ValueError, "not of Softplus"),
        (nn.Sequential(nn.Linear(3, 2), nn.Tanh()), ValueError, "must end with a Linear"),
        (nn.Sequential(nn.Tanh(), nn.Linear(3, 2)), ValueError, "begins with a Linear"),
        (nn.Sequential(), ValueError, "begins with a Linear"),
        (
            nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2, bias=False)),
            ValueError,
            "biases in all of its Linear layers, or in none",
        ),
        (
            nn.Sequential(*itertools.chain(mlp(), [nn.Tanh()], [nn.Linear(2, 2)])),
            ValueError,
            "the same activation after each layer",
        ),
        (
            nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Tanh(), nn.Linear(2, 2)),
            ValueError,
            "the same activation after each layer",
        ),
        (nn.Sequential(SHARED, nn.Tanh(), SHARED), ValueError, "a parameter in two places"),
        (with_hook(), ValueError, "module must have no hooks, as Linear has"),
        (frozen(), ValueError, "must not have frozen parameters"),
        (nn.utils.parametrizations.orthogonal(nn.Linear(3, 2)), ValueError, "Parametrized"),
    ],
)
def test_what_is_no_such_network_is_said(module, error, message):
    with pytest.raises(error, match=message):
        al.NetworkObjective.from_torch(module, X, Y)


def test_of_a_module_that_is_no_such_network_nothing_is_said():
    assert objective(mlp(nn.Softplus)).hint == ""
    assert repr(objective(mlp(nn.Softplus))) == "TorchObjective of 26 parameters, float64 on cpu."


@pytest.mark.parametrize(
    "loss",
    [nn.MSELoss(reduction="sum"), nn.L1Loss(), nn.CrossEntropyLoss(label_smoothing=0.1), None],
)
def test_other_losses_are_not_taken_for_those_that_are_known(loss):
    with pytest.raises(ValueError, match="loss must be MSELoss"):
        al.NetworkObjective.from_torch(mlp(), X, Y, loss)
    if callable(loss):
        assert al.TorchObjective(mlp(), loss, (X, Y)).hint == ""


@pytest.mark.parametrize("double", [True, False])
def test_a_point_is_described_as_that_of_the_closed_form(double):
    closed = al.NetworkObjective.from_torch(mlp(), X, Y)
    module = mlp() if double else mlp().float()
    data = (X, Y) if double else (X.float(), Y.float())
    mine, theta = al.TorchObjective(module, nn.MSELoss(), data), starts(1, 26)[0]
    expected, rtol = al.describe(closed, theta), 1e-9 if double else 1e-4
    for found in (al.describe(mine, theta), al.describe(mine, theta, memory=0)):
        assert found.kind == expected.kind
        assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=rtol)
        assert found.eigenvalue_range == pytest.approx(expected.eigenvalue_range, rel=1e3 * rtol)
        assert found.proof is None
    if double:
        assert found.index.low - 1e-9 <= expected.index.value <= found.index.high + 1e-9
