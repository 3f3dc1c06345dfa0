// The one validator of attributes and shapes: TensorFlow's shape functions and
// kernels, XLA's lowering and XLA's handlers call it, so that they accept the
// same arguments and refuse others in the same words.

#ifndef KERAS_NORMS_CONTRACT_VALIDATION_H_
#define KERAS_NORMS_CONTRACT_VALIDATION_H_

#include <cstdint>
#include <iterator>
#include <locale>
#include <sstream>
#include <string>
#include <vector>

#include "operations.h"
#include "shapes.h"

namespace keras_norms {

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
  const int64_t window = attributes.window;
  if (operation.has(kWindow) &&
      (rank > 5 || attributes.axis != rank - 1 || window % 2 != 1)) {
    return "x must have rank 2 to 5 with the channels last, and window must be "
           "odd and positive. Received: axis=" +
           std::to_string(attributes.axis) + ", window=" +
           std::to_string(window) + " for x of shape " + Describe(x) + ".";
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
  CommonArguments arguments = {};
  arguments.view = ViewOf(x, attributes.axis, attributes.examples);
  arguments.type = type;
  arguments.activation = attributes.activation;
  arguments.groups = attributes.groups;
  arguments.epsilon = attributes.epsilon;
  if (x.size() <= 5) arguments.spatial = SpatialOf(x, attributes.window);
  return arguments;
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CONTRACT_VALIDATION_H_
