// The one validator of attributes and shapes: TensorFlow's shape functions and
// kernels, XLA's lowering and XLA's handlers call it, so that they accept the
// same arguments and refuse others in the same words.

#ifndef KERAS_NORMS_CONTRACT_VALIDATION_H_
#define KERAS_NORMS_CONTRACT_VALIDATION_H_

#include <cstdint>
#include <iterator>
#include <locale>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "operations.h"

namespace keras_norms {

// The sizes of a tensor. A size that is not known before the operation runs is
// kUnknown.
using Sizes = std::vector<int64_t>;
constexpr int64_t kUnknown = -1;
// The sizes of a tensor, or no value if its rank is unknown.
using Shape = std::optional<Sizes>;

struct Attributes {
  int64_t axis = 1;
  int64_t examples = 1;
  int64_t groups = 1;
  double epsilon = 0;
  Activation activation = Activation::kIdentity;
};

constexpr const char* kActivationNames[] = {
#define KERAS_NORMS_ACTIVATION(name, ...) #name,
#include "activations.def"
};

// "'identity', 'relu', ...".
inline std::string ActivationList() {
  std::string list;
  for (const char* name : kActivationNames) {
    list += std::string(list.empty() ? "'" : ", '") + name + "'";
  }
  return list;
}

// Functions that validate return the error, or an empty string.

inline std::string ParseActivation(const std::string& name,
                                   Activation* activation) {
  for (size_t i = 0; i < std::size(kActivationNames); ++i) {
    if (name != kActivationNames[i]) continue;
    *activation = static_cast<Activation>(i);
    return "";
  }
  return "activation must be one of " + ActivationList() + ". Received: '" +
         name + "'.";
}

// Float attributes of TensorFlow are float32, which would round the epsilon of
// a float64 layer. epsilon is therefore a string, parsed in the classic locale.
inline std::string ParseEpsilon(const std::string& digits, double* epsilon) {
  std::istringstream text(digits);
  text.imbue(std::locale::classic());
  if ((text >> *epsilon) && text.eof()) return "";
  return "epsilon must be a number. Received: '" + digits + "'.";
}

inline std::string Describe(const Sizes& sizes) {
  std::string text;
  for (const int64_t size : sizes) {
    if (!text.empty()) text += ",";
    text += size == kUnknown ? "?" : std::to_string(size);
  }
  return "[" + text + "]";
}

// The number of elements, or kUnknown if a size is unknown.
inline int64_t ElementsOf(const Sizes& sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) {
    if (size == kUnknown) return kUnknown;
    count *= size;
  }
  return count;
}

// The number of rows. A row has `examples` consecutive examples, or all
// examples if `examples` is negative. If it does not divide the batch, each
// example is a row.
inline int64_t RowsOf(int64_t batch, int64_t examples) {
  if (examples < 0) return 1;
  if (examples < 2 || batch == kUnknown) return examples < 2 ? batch : kUnknown;
  return batch % examples == 0 ? batch / examples : batch;
}

// The view of x. All sizes must be known.
inline View ViewOf(const Sizes& sizes, int64_t axis, int64_t examples) {
  const int64_t batch = sizes[0], rows = RowsOf(batch, examples);
  const int64_t row_examples = examples < 0    ? batch
                               : rows == batch ? 1
                                               : examples;
  View view = {rows, row_examples, sizes[axis], 1};
  for (int64_t i = 1; i < axis; ++i) view.outer *= sizes[i];
  for (size_t i = axis + 1; i < sizes.size(); ++i) view.inner *= sizes[i];
  return view;
}

// The sizes of a tensor with this extent if x has the sizes `x`. A mask may
// also have another shape with the same number of elements.
inline Sizes SizesOf(Extent extent, const Sizes& x,
                     const Attributes& attributes) {
  const int64_t rows = RowsOf(x[0], attributes.examples);
  const int64_t channels = x[attributes.axis];
  switch (extent) {
    case Extent::kLikeX:
      return x;
    case Extent::kMask: {
      Sizes sizes = x;
      sizes[attributes.axis] = 1;
      return sizes;
    }
    case Extent::kRows:
      return {rows};
    case Extent::kRowsChannels:
    case Extent::kRowsChannelsOrEmpty:
      return {rows, channels};
    case Extent::kRowsGroups:
      return {rows, attributes.groups};
    case Extent::kChannels:
    case Extent::kChannelsOrEmpty:
      return {channels};
  }
  return {};
}

inline bool Compatible(const Sizes& a, const Sizes& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const bool known = a[i] != kUnknown && b[i] != kUnknown;
    if (known && a[i] != b[i]) return false;
  }
  return true;
}

inline std::string ValidateTensor(const TensorSpec& spec, const Shape& shape,
                                  const Sizes& x,
                                  const Attributes& attributes) {
  if (!shape) return "";
  const int64_t elements = ElementsOf(*shape);
  const bool mask = spec.extent == Extent::kMask;
  const bool may_be_empty = mask ||
                            spec.extent == Extent::kRowsChannelsOrEmpty ||
                            spec.extent == Extent::kChannelsOrEmpty;
  if (may_be_empty && (elements == 0 || elements == kUnknown)) return "";
  const Sizes wanted = SizesOf(spec.extent, x, attributes);
  const std::string rule =
      std::string(spec.name) + " must " + (may_be_empty ? "be empty or " : "");
  if (mask) {
    const int64_t count = ElementsOf(wanted);
    if (count == kUnknown || elements == count) return "";
    return rule + "have " + std::to_string(count) +
           " elements, one for each position of x. Received: shape " +
           Describe(*shape) + ".";
  }
  if (Compatible(*shape, wanted)) return "";
  return rule + "have shape " + Describe(wanted) + ". Received: shape " +
         Describe(*shape) + ".";
}

inline std::string Validate(const Operation& operation,
                            const Attributes& attributes,
                            const std::vector<Shape>& inputs) {
  if (inputs.size() != operation.inputs.size()) {
    return std::string(operation.name) + " takes " +
           std::to_string(operation.inputs.size()) +
           " tensors. Received: " + std::to_string(inputs.size()) + ".";
  }
  const int64_t activation = static_cast<int64_t>(attributes.activation);
  if (activation < 0 ||
      activation >= static_cast<int64_t>(std::size(kActivationNames))) {
    return "activation must be the index of one of " + ActivationList() +
           ". Received: " + std::to_string(activation) + ".";
  }
  if (!inputs[0]) return "";
  const Sizes& x = *inputs[0];
  const int64_t rank = static_cast<int64_t>(x.size());
  if (rank < 2 || attributes.axis < 1 || attributes.axis >= rank) {
    return "x must have rank 2 or more, and axis must be at least 1 and less "
           "than the rank of x. Received: axis=" +
           std::to_string(attributes.axis) + " for x of shape " + Describe(x) +
           ".";
  }
  const int64_t channels = x[attributes.axis], groups = attributes.groups;
  if (groups < 1 || (channels != kUnknown && channels % groups != 0)) {
    const std::string count = channels == kUnknown ? "an unknown number of"
                                                   : std::to_string(channels);
    return "groups must be at least 1 and divide the number of channels. "
           "Received: groups=" +
           std::to_string(groups) + " for " + count + " channels.";
  }
  const TensorSpec* empty = nullptr;
  const TensorSpec* present = nullptr;
  for (size_t i = 1; i < inputs.size(); ++i) {
    const TensorSpec& spec = operation.inputs[i];
    const std::string error = ValidateTensor(spec, inputs[i], x, attributes);
    if (!error.empty()) return error;
    if (spec.extent != Extent::kRowsChannelsOrEmpty || !inputs[i]) continue;
    const int64_t count = ElementsOf(*inputs[i]);
    if (count == 0) empty = &spec;
    if (count > 0) present = &spec;
  }
  if (empty != nullptr && present != nullptr) {
    return std::string(empty->name) + " must have the shape of " +
           present->name + ", or both must be empty. Received: " + empty->name +
           " is empty.";
  }
  return "";
}

// The arguments that all operations share. The sizes of x must be known, and
// must have been validated.
inline CommonArguments CommonArgumentsOf(const Sizes& x, Type type,
                                         const Attributes& attributes) {
  return {ViewOf(x, attributes.axis, attributes.examples), type,
          attributes.activation, attributes.groups, attributes.epsilon};
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CONTRACT_VALIDATION_H_
