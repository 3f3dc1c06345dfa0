"""PyTorch's normalizations on the tensors of workloads.py.

Its group norm needs gamma and beta in the dtype of x. Ours takes float32.
"""

from benchmarks.gpu.workloads import EPSILON
from benchmarks.gpu.workloads import GROUPS
from benchmarks.gpu.workloads import LAST
from benchmarks.gpu.workloads import Directions


def passes(work, layout, function, dtype):
    """The passes of function(x, gamma, beta), by autograd."""
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

    return Directions(forward, backward)


def group_norm(work, layout):
    return passes(work, layout, _group_norm(work), work.type)


def compiled(work):
    """The group norm by torch.compile, for one shape, channels last."""
    from torch._functorch import config

    # Donated buffers do not allow retain_graph=True.
    config.donated_buffer = False
    work.torch._dynamo.reset()
    function = work.torch.compile(_group_norm(work), dynamic=False)
    compiled_passes = passes(work, LAST, function, work.type)
    compiled_passes.backward(0)
    return compiled_passes


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
