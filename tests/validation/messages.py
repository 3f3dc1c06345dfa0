"""The full messages of the errors."""

AXIS = (
    "`axis` must be one integer, the channel axis. Received: axis={value}. "
    "Name one axis; to normalize over several, reshape the inputs so that one "
    "axis holds the channels."
)
BATCH_AXIS = (
    "`axis` must not be the batch axis. Received: axis=0. Use -1 for channels "
    "last, 1 for channels first."
)
RANK = (
    "Inputs must have a batch axis and a channel axis, rank 2 or more. "
    "Received: an input of shape {}, rank {}. Add the missing axis, for "
    "example with `keras.ops.expand_dims`."
)
BOUNDS = (
    "Axis {} is out of bounds for input shape (2, 3, 4): the channel axis "
    "lies between 1 and 2, or between -2 and -1. Received: axis={}. Use "
    "-1 for channels last, 1 for channels first."
)
UNDEFINED = (
    "Axis {} of input tensor should have a defined dimension but the "
    "layer received an input with shape {}. State the number of channels "
    "in `keras.Input`, or name another axis."
)
GROUPS = (
    "Received an invalid value for argument `groups`, expected a positive "
    "integer (or -1 for one group per channel, as in instance normalization). "
    "Received: groups={value}. Use a divisor of the number of channels."
)
MORE_GROUPS = (
    "Number of groups (5) cannot be more than the number of channels (4). "
    "Received: groups=5. Use a divisor of 4, or -1 for one group per channel."
)
NO_DIVISOR = (
    "The number of channels (4) must be a multiple of the number of groups "
    '(3); Keras words the rule as "must be a multiple of the number of '
    'channels". Received: groups=3. Use a divisor of 4, or -1 for one group '
    "per channel."
)
NOT_NEGATIVE = (
    "`{name}` must be a finite number, 0 or more. Received: {name}={value}. "
    "Use a small number such as 1e-3."
)
FRACTION = (
    "`{name}` must be a number between 0 and 1. Received: {name}={value}. Use "
    "a value in that range."
)
EXAMPLES = (
    "`{name}` must be a positive integer, or None for the whole batch. "
    "Received: {name}={value}. Use 1 or more examples."
)
EXCLUSIVE = (
    "`{name}` and `synchronized` cannot be combined: the first computes "
    "statistics of a part of a replica's batch, and the second those of the "
    "batches of all replicas. Received: {name}=2, synchronized=True. Remove "
    "one of them."
)
REPLICAS = (
    "`replicas_per_group` must be a positive integer, or None for all "
    "replicas. Received: replicas_per_group={value}. Use a divisor of the "
    "number of replicas."
)
SYNCHRONIZED = (
    "CrossReplicaBatchNormalization must be synchronized. Received: "
    "synchronized=False. Use BatchNormalization for separate statistics on "
    "each replica."
)
VIRTUAL = (
    "`virtual_batch_size` is called `ghost_batch_size` here, and need not "
    "divide the batch. Received: virtual_batch_size=4. Rename the argument."
)
KEYS = (
    "Received invalid keys for `renorm_clipping` argument: {value}. "
    "Supported keys: ['rmax', 'rmin', 'dmax']. Remove the "
    "others."
)
SWAPPED = (
    "rmax should be greater than rmin in the `renorm_clipping` argument. "
    "Received: rmax=1.0, rmin=2.0. Swap the values."
)
NEGATIVE = (
    "dmax should be non-negative in the `renorm_clipping` argument. Received: "
    "dmax=-1.0. Use 0 for no shift."
)
CLIPPING = (
    "`renorm_clipping` must be a dictionary of numbers. Received: "
    "renorm_clipping={value}. Supported keys: ['rmax', 'rmin', 'dmax']."
)
BOOLEAN = (
    "`{name}` must be True or False. Received: {name}={value}. Use one of "
    "them."
)
REAL = (
    "Inputs must be real numbers. Received: an input of dtype {}. Normalize "
    "real and imaginary parts separately, or convert text to numbers."
)
WEIGHT = (
    "`weight` must be a number, or a tensor that broadcasts to [rows, "
    "channels]. Received: a weight of shape (4,). Use `weight[None]` for one "
    "weight per channel, and `weight[:, None]` for one weight per row."
)
ALGEBRA = (
    "The algebra must return `Coefficients(center, scale, shift)`. Received: "
    "{}. `keras_norms.ops.affine(moments, ...)` computes the usual ones."
)
STRAY = (
    "An algebra and an activation must read no variables, because gradients "
    "are computed for the input and the parameters only. Received: "
    "['stray:0']. Pass variables as parameters (a custom layer extends the "
    "property `parameters`), and apply an activation that has weights after "
    "the layer."
)
WHOLE = (
    "Moments of the whole batch cannot be split into blocks. Received: "
    "examples=2. Pool moments of examples, those of `instance_moments`."
)
PART_OF_ROW = (
    "`examples` must be a multiple of the 2 examples per row of the moments. "
    "Received: examples=3. Use a multiple, or pool moments of examples, those "
    "of `instance_moments`."
)
MASK = (
    "The mask must cover the leading axes of the inputs without their channel "
    "axis, {sizes}, at least the batch. Received: mask.shape={mask}, "
    "inputs.shape={inputs}, axis={axis}. Pass a mask with one value per "
    "position, for all channels."
)
INSTALL = (
    "keras_norms needs TensorFlow 2.20 or later, which is not installed. "
    "Install it with `pip install keras-norms[cpu]`, or with `pip install "
    "keras-norms[gpu]` for NVIDIA GPUs on Linux, or set KERAS_BACKEND to a "
    "backend of Keras that is installed."
)

COSINE = (
    "`{name}` is compared with a cosine and must be a number between -1 and "
    "1. Received: {name}={value}. Use 1 for a threshold that is never "
    "exceeded."
)
REDUCTION = (
    "`reduction` must be a finite number, 1 or more: for C channels, the "
    "bottleneck has C / reduction units, at least 1. Received: "
    "reduction={value}. Use 1 for no reduction."
)
ONE_OF = (
    "`{{name}}` must be one of {}. Received: {{name}}={{value}}. Use one of "
    "these."
)
STATISTICS = ONE_OF.format(["batch", "sequential", "average"])
VARIANCES = ONE_OF.format(["within", "total"])
SCOPES = ONE_OF.format(["example", "batch"])
RUNNING = ONE_OF.format(["running", "batch"])
READINGS = ONE_OF.format(["published", "0.1"])
AFFINES = ONE_OF.format(["depthwise", "channel"])
ODD = (
    "`{name}` must be an odd positive integer, so that the window has a "
    "middle. Received: {name}={value}. Use 3, 5 or 7."
)
WRAPPED = (
    "WeightStandardization wraps convolutions, including transposed and "
    "depthwise ones, and Dense layers. Received: layer={} of type {}. Wrap "
    "the layers of the model that have a kernel."
)
