// Attributes, types and shapes of TensorFlow, as ../contract has them.

#ifndef KERAS_NORMS_TENSORFLOW_ATTRIBUTES_H_
#define KERAS_NORMS_TENSORFLOW_ATTRIBUTES_H_

#include <string>

#include "../contract/validation.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/framework/types.pb.h"
#include "tensorflow/core/platform/errors.h"

namespace keras_norms {

constexpr Type TypeOf(tensorflow::DataType type) {
  switch (type) {
    case tensorflow::DT_DOUBLE:
      return Type::kDouble;
    case tensorflow::DT_HALF:
      return Type::kHalf;
    case tensorflow::DT_BFLOAT16:
      return Type::kBfloat16;
    default:
      return Type::kFloat;
  }
}

inline Sizes SizesOf(const tensorflow::TensorShape& shape) {
  Sizes sizes;
  for (int i = 0; i < shape.dims(); ++i) sizes.push_back(shape.dim_size(i));
  return sizes;
}

// `error` is empty if there is none.
inline absl::Status StatusOf(const std::string& error) {
  if (error.empty()) return absl::OkStatus();
  return tensorflow::errors::InvalidArgument(error);
}

// Of an OpKernelConstruction or a shape_inference::InferenceContext.
template <class Context>
absl::Status ReadAttributes(Context* context, const Operation& operation,
                            Attributes* attributes) {
  TF_RETURN_IF_ERROR(context->GetAttr("axis", &attributes->axis));
  if (operation.has(kExamples)) {
    TF_RETURN_IF_ERROR(context->GetAttr("examples", &attributes->examples));
  }
  if (operation.has(kActivation)) {
    std::string name;
    TF_RETURN_IF_ERROR(context->GetAttr("activation", &name));
    TF_RETURN_IF_ERROR(
        StatusOf(ParseActivation(name, &attributes->activation)));
  }
  if (operation.has(kGroups)) {
    std::string epsilon;
    TF_RETURN_IF_ERROR(context->GetAttr("groups", &attributes->groups));
    TF_RETURN_IF_ERROR(context->GetAttr("epsilon", &epsilon));
    TF_RETURN_IF_ERROR(StatusOf(ParseEpsilon(epsilon, &attributes->epsilon)));
  }
  if (operation.has(kWindow)) {
    TF_RETURN_IF_ERROR(context->GetAttr("window", &attributes->window));
  }
  return absl::OkStatus();
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_TENSORFLOW_ATTRIBUTES_H_
