// What the kernels of the ops share: how x is seen, and checks of what goes
// with it.

#ifndef KERAS_NORMS_TENSORFLOW_BASE_H_
#define KERAS_NORMS_TENSORFLOW_BASE_H_

#include <string>
#include <utility>
#include <vector>

#include "../cpu/kernels.h"
#include "attributes.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace keras_norms {

using tensorflow::DataTypeToEnum;
using tensorflow::errors::InvalidArgument;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

template <class T>
class Base : public OpKernel {
 public:
  explicit Base(OpKernelConstruction* construction) : OpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("axis", &axis_));
    if (construction->HasAttr("examples")) {
      OP_REQUIRES_OK(construction,
                     construction->GetAttr("examples", &examples_));
    }
    if (construction->HasAttr("activation")) {
      std::string name;
      OP_REQUIRES_OK(construction, construction->GetAttr("activation", &name));
      OP_REQUIRES(construction, ActivationNamed(name, &activation_),
                  InvalidArgument("unknown activation ", name));
    }
  }

 protected:
  static constexpr Type type() { return TypeOf(DataTypeToEnum<T>::value); }

  absl::Status View(OpKernelContext* context, keras_norms::View* view) const {
    const TensorShape& shape = context->input(0).shape();
    if (shape.dims() < 2 || axis_ < 1 || axis_ >= shape.dims()) {
      return InvalidArgument("x must have rank 2 or more and axis ", axis_,
                             " be one of its own. Received: shape ",
                             shape.DebugString());
    }
    std::vector<int64_t> sizes;
    for (int i = 0; i < shape.dims(); ++i) sizes.push_back(shape.dim_size(i));
    *view = ViewOf(sizes.data(), shape.dims(), axis_, examples_);
    return absl::OkStatus();
  }

  static absl::Status Same(const char* name, const Tensor& found,
                           const TensorShape& shape) {
    if (found.shape() == shape) return absl::OkStatus();
    return InvalidArgument(name, " must have shape ", shape.DebugString(),
                           ". Received: ", found.shape().DebugString());
  }

  static absl::Status Mask(const Tensor& mask, const keras_norms::View& view,
                           const Truth** data) {
    *data = nullptr;
    if (mask.NumElements() == 0) return absl::OkStatus();
    if (mask.NumElements() != view.rows * view.positions()) {
      return InvalidArgument("mask must be empty or have ",
                             view.rows * view.positions(),
                             " elements. Received: ", mask.NumElements());
    }
    *data = static_cast<const Truth*>(mask.data());
    return absl::OkStatus();
  }

  // The inputs: x, dy where `first` is 2, and from `first` on mask, center,
  // scale, shift.
  absl::Status Given(OpKernelContext* context, int first,
                     keras_norms::View* view, Line* line) const {
    TF_RETURN_IF_ERROR(View(context, view));
    if (first == 2) {
      const Tensor& x = context->input(0);
      TF_RETURN_IF_ERROR(Same("dy", context->input(1), x.shape()));
    }
    TF_RETURN_IF_ERROR(Mask(context->input(first), *view, &line->mask));
    const TensorShape table({view->rows, view->channels});
    const char* const names[] = {"center", "scale", "shift"};
    const void** to[] = {&line->tables.center, &line->tables.scale,
                         &line->tables.shift};
    for (int i = 0; i < 3; ++i) {
      const Tensor& found = context->input(first + 1 + i);
      TF_RETURN_IF_ERROR(Same(names[i], found, table));
      *to[i] = found.data();
    }
    line->function = activation_;
    return absl::OkStatus();
  }

  int axis_ = 1;
  int64_t examples_ = 1;
  Activation activation_ = Activation::kIdentity;
};

template <class T>
class GroupBase : public Base<T> {
 public:
  explicit GroupBase(OpKernelConstruction* construction)
      : Base<T>(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("groups", &groups_));
    std::string epsilon;
    OP_REQUIRES_OK(construction, construction->GetAttr("epsilon", &epsilon));
    OP_REQUIRES(construction, NumberOf(epsilon, &epsilon_),
                InvalidArgument("epsilon must be a number. Received: ",
                                epsilon));
  }

 protected:
  // gamma and beta are the inputs from `first` on.
  absl::Status GroupsOf(OpKernelContext* context, int first,
                        const keras_norms::View& view, Groups* groups) const {
    if (groups_ < 1 || view.channels % groups_ != 0) {
      return InvalidArgument("groups must divide the channels. Received: ",
                             "groups=", groups_, " for ", view.channels);
    }
    *groups = {groups_, epsilon_, this->activation_, nullptr, nullptr};
    const void** to[] = {&groups->gamma, &groups->beta};
    for (int i = 0; i < 2; ++i) {
      const Tensor& found = context->input(first + i);
      if (found.NumElements() == 0) continue;
      TF_RETURN_IF_ERROR(this->Same(i ? "beta" : "gamma", found,
                                    TensorShape({view.channels})));
      *to[i] = found.data();
    }
    return absl::OkStatus();
  }

  int64_t groups_;
  double epsilon_;
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_TENSORFLOW_BASE_H_
