// The operations as data: OperationOf<Arguments>() describes an operation, and
// Bind(tensors, &arguments) fills in its pointers.

#ifndef KERAS_NORMS_CONTRACT_OPERATIONS_H_
#define KERAS_NORMS_CONTRACT_OPERATIONS_H_

#include <cstddef>
#include <initializer_list>
#include <vector>

#include "arguments.h"

namespace keras_norms {

// Attributes that not every operation has. All have `axis`, the channel axis.
enum OptionalAttribute : unsigned {
  kExamples = 1,    // `examples` of a row; -1 for all
  kActivation = 2,  // `activation`, a name of activations.def
  kGroups = 4,      // `groups` of channels, and `epsilon`
  kWindow = 8,      // `window`, an odd number of positions along each axis
};

// The type and the shape of a tensor.
enum class Extent {
  kLikeX,                // x's type and shape
  kMask,                 // booleans, one per position; empty for no mask
  kRows,                 // [rows], and so on, in the type of statistics
  kRowsChannels,         // [rows, channels]
  kRowsChannelsOrEmpty,  //
  kRowsGroups,           // [rows, groups]
  kChannels,             // [channels]
  kChannelsOrEmpty,      //
  kWindowChannels,       // [positions of a window, channels]
};

struct TensorSpec {
  const char* name;
  Extent extent;
  bool output;
};

struct Operation {
  const char* name;    // Moments
  const char* kernel;  // moments
  unsigned attributes;
  const char* doc;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  // The last input that is like x, or -1 if outputs must not overwrite it.
  int overwritable = -1;

  Operation(const char* name, const char* kernel, unsigned attributes,
            const char* doc, std::initializer_list<TensorSpec> tensors)
      : name(name), kernel(kernel), attributes(attributes), doc(doc) {
    for (const TensorSpec& spec : tensors) {
      if (!spec.output && spec.extent == Extent::kLikeX && !has(kWindow)) {
        overwritable = static_cast<int>(inputs.size());
      }
      (spec.output ? outputs : inputs).push_back(spec);
    }
  }

  bool has(OptionalAttribute attribute) const {
    return (attributes & attribute) != 0;
  }
};

template <class Arguments>
const Operation& OperationOf();

#define KERAS_NORMS_OPERATION(Name, kernel, attributes, doc) \
  template <>                                                \
  inline const Operation& OperationOf<Name##Arguments>() {   \
    static const Operation operation(#Name, #kernel, attributes, doc, {
#define KERAS_NORMS_INPUT(name, extent) {#name, Extent::extent, false},
#define KERAS_NORMS_OUTPUT(name, extent) {#name, Extent::extent, true},
#define KERAS_NORMS_END(Name) \
  });                         \
  return operation;           \
  }
#include "operations.def"

// `tensors` are the inputs and then the outputs; empty ones are null.
#define KERAS_NORMS_OPERATION(Name, ...) \
  inline void Bind(void* const* tensors, Name##Arguments* arguments) {
#define KERAS_NORMS_INPUT(name, extent) arguments->name = *tensors++;
#define KERAS_NORMS_OUTPUT(name, extent) arguments->name = *tensors++;
#define KERAS_NORMS_END(Name) }
#include "operations.def"

}  // namespace keras_norms

#endif  // KERAS_NORMS_CONTRACT_OPERATIONS_H_
