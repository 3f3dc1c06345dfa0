"""PyTorch's own, on the same tensors: passes as ours in work.py.

Its group norm takes gamma and beta of x's type alone, ours float32.
"""

from benchmarks.gpu.work import EPSILON
from benchmarks.gpu.work import GROUPS
from benchmarks.gpu.work import LAST
from benchmarks.gpu.work import Passes


def passes(work, layout, function, dtype):
    """Of function(x, gamma, beta) with weights of a type; by autograd."""
    torch = work.torch
    weights = [
        weight.to(dtype).requires_grad_()
        for weight in (work.gamma.clone(), work.beta.clone())
    ]
    taken = [
        (x.detach().requires_grad_(), *weights) for x, _ in work.inputs[layout]
    ]
    ys = [function(*each) for each in taken]

    def forward(i):
        return function(*taken[i])

    def backward(i):
        _, dy = work.inputs[layout][i]
        return torch.autograd.grad(ys[i], taken[i], dy, retain_graph=True)

    return Passes(forward, backward)


def group_norm(work, layout):
    return passes(work, layout, _group_norm(work), work.type)


def compiled(work):
    """By torch.compile, for one shape, channels last."""
    from torch._functorch import config

    # What retain_graph=True is refused for.
    config.donated_buffer = False
    work.torch._dynamo.reset()
    function = work.torch.compile(_group_norm(work), dynamic=False)
    made = passes(work, LAST, function, work.type)
    made.backward(0)
    return made


def batch_norm(work):
    def function(x, gamma, beta):
        return work.torch.nn.functional.batch_norm(
            *(x, None, None, gamma, beta), training=True, eps=EPSILON
        )

    return passes(work, LAST, function, work.torch.float32)


def _group_norm(work):
    functional = work.torch.nn.functional

    def function(x, gamma, beta):
        y = functional.group_norm(x, GROUPS, gamma, beta, EPSILON)
        return functional.silu(y) if work.function == "silu" else y

    return function
