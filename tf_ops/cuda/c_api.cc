#include "c_api.h"

#include <string>

#include "../contract/operations.h"
#include "driver.h"
#include "scratch.h"

namespace keras_norms {
namespace {

CommonArguments CommonArgumentsOf(const KerasNormsCall& call) {
  return {{call.rows, call.outer, call.channels, call.inner},
          static_cast<Type>(call.type),
          static_cast<Activation>(call.activation),
          call.groups,
          call.epsilon};
}

template <class Arguments>
std::string Run(const KerasNormsCall& call, Device& device) {
  const Operation& operation = OperationOf<Arguments>();
  const size_t count = operation.inputs.size() + operation.outputs.size();
  if (static_cast<size_t>(call.tensor_count) != count) {
    return std::string(operation.kernel) + " takes " + std::to_string(count) +
           " tensors. Received: " + std::to_string(call.tensor_count) + ".";
  }
  Arguments arguments;
  static_cast<CommonArguments&>(arguments) = CommonArgumentsOf(call);
  Bind(call.tensors, &arguments);
  return RunOnDevice(arguments, device);
}

std::string Run(const std::string& kernel, const KerasNormsCall& call) {
  Stream stream(call.stream, [&](size_t bytes) {
    const bool fits = bytes <= static_cast<size_t>(call.scratch_bytes);
    return fits ? call.scratch : nullptr;
  });
#define KERAS_NORMS_FOR_GPUS
#define KERAS_NORMS_OPERATION(Name, name, ...) \
  if (kernel == #name) return Run<Name##Arguments>(call, stream);
#include "../contract/operations.def"
  return "There is no operation '" + kernel + "'.";
}

int64_t ScratchOf(const std::string& kernel, const KerasNormsCall& call) {
#define KERAS_NORMS_FOR_GPUS
#define KERAS_NORMS_OPERATION(Name, name, ...)                         \
  if (kernel == #name) {                                               \
    return static_cast<int64_t>(                                       \
        ScratchBytes<Name##Arguments>(CommonArgumentsOf(call)));       \
  }
#include "../contract/operations.def"
  return -1;
}

}  // namespace
}  // namespace keras_norms

const char* keras_norms_run(const char* kernel, const KerasNormsCall* call) {
  thread_local std::string error;
  error = keras_norms::Run(kernel, *call);
  return error.empty() ? nullptr : error.c_str();
}

int64_t keras_norms_scratch_bytes(const char* kernel,
                                  const KerasNormsCall* call) {
  return keras_norms::ScratchOf(kernel, *call);
}
