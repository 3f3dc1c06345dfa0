// What XLA calls a handler with: buffers and attributes.

#ifndef KERAS_NORMS_XLA_CALL_H_
#define KERAS_NORMS_XLA_CALL_H_

#include <string>
#include <vector>

#include "../contract/validation.h"
#include "xla/ffi/api/ffi.h"

namespace keras_norms {
namespace {

namespace ffi = xla::ffi;

class Call {
 public:
  Call(ffi::RemainingArgs arguments, ffi::RemainingRets results,
       ffi::Dictionary attributes)
      : arguments_(arguments), results_(results), attributes_(attributes) {}

  // Fills in the arguments of an operation; returns the error, or nothing.
  template <class Arguments>
  std::string Read(Arguments* arguments) const {
    const Operation& operation = OperationOf<Arguments>();
    const Attributes attributes = ReadAttributes(operation);
    std::vector<Shape> shapes;
    std::vector<void*> tensors;
    for (size_t i = 0; i < arguments_.size(); ++i) {
      const auto buffer = *arguments_.get<ffi::AnyBuffer>(i);
      const auto sizes = buffer.dimensions();
      shapes.push_back(Sizes(sizes.begin(), sizes.end()));
      tensors.push_back(buffer.element_count() > 0 ? buffer.untyped_data()
                                                   : nullptr);
    }
    const std::string error = Validate(operation, attributes, shapes);
    if (!error.empty()) return error;
    const size_t count = operation.outputs.size();
    if (results_.size() < count) {
      return std::string(operation.name) + " has " + std::to_string(count) +
             " results. Received: " + std::to_string(results_.size()) + ".";
    }
    for (size_t i = 0; i < count; ++i) {
      tensors.push_back((*results_.get<ffi::AnyBuffer>(i))->untyped_data());
    }
    static_cast<CommonArguments&>(*arguments) =
        CommonArgumentsOf(*shapes[0], type(), attributes);
    Bind(tensors.data(), arguments);
    return "";
  }

  // Scratch memory is one more result, of bytes. Returns null if there is none,
  // or if it is too small.
  template <class Arguments>
  void* Scratch(size_t bytes) const {
    const size_t index = OperationOf<Arguments>().outputs.size();
    if (results_.size() <= index) return nullptr;
    ffi::AnyBuffer scratch = **results_.get<ffi::AnyBuffer>(index);
    return scratch.size_bytes() < bytes ? nullptr : scratch.untyped_data();
  }

 private:
  Attributes ReadAttributes(const Operation& operation) const {
    Attributes attributes;
    attributes.axis = number("axis");
    if (operation.has(kExamples)) attributes.examples = number("examples");
    if (operation.has(kActivation)) {
      attributes.activation = static_cast<Activation>(number("activation"));
    }
    if (operation.has(kGroups)) {
      attributes.groups = number("groups");
      attributes.epsilon = *attributes_.get<double>("epsilon");
    }
    if (operation.has(kWindow)) attributes.window = number("window");
    return attributes;
  }

  int64_t number(const char* name) const {
    return *attributes_.get<int64_t>(name);
  }

  Type type() const {
    switch (arguments_.get<ffi::AnyBuffer>(0)->element_type()) {
      case ffi::DataType::F64:
        return Type::kDouble;
      case ffi::DataType::F16:
        return Type::kHalf;
      case ffi::DataType::BF16:
        return Type::kBfloat16;
      default:
        return Type::kFloat;
    }
  }

  ffi::RemainingArgs arguments_;
  ffi::RemainingRets results_;
  ffi::Dictionary attributes_;
};

}  // namespace
}  // namespace keras_norms

#endif  // KERAS_NORMS_XLA_CALL_H_
