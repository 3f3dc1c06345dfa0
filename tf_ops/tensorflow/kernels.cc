// The ops on CPUs: tensors in, pointers out, on the device's own threads.

#include <string>
#include <vector>

#include "../cpu/kernels.h"
#include "../cpu/pool.h"
#include "attributes.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/threadpool.h"

namespace keras_norms {
namespace {

using tensorflow::DataTypeToEnum;
using tensorflow::errors::InvalidArgument;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

Pool PoolOf(OpKernelContext* context) {
  const auto* threads = context->device()->tensorflow_cpu_worker_threads();
  return Pool(threads->num_threads,
              [workers = threads->workers](std::function<void()> task) {
                workers->Schedule(std::move(task));
              });
}

// What the kernels' ops share: how x is seen, and checks of what goes with it.
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

  static absl::Status Same(OpKernelContext* context, const char* name,
                           const Tensor& found, const TensorShape& shape) {
    if (found.shape() == shape) return absl::OkStatus();
    return InvalidArgument(name, " must have shape ", shape.DebugString(),
                           ". Received: ", found.shape().DebugString());
  }

  static absl::Status Mask(const Tensor& mask, const keras_norms::View& view,
                           const bool** data) {
    *data = nullptr;
    if (mask.NumElements() == 0) return absl::OkStatus();
    if (mask.NumElements() != view.rows * view.positions()) {
      return InvalidArgument("mask must be empty or have ",
                             view.rows * view.positions(),
                             " elements. Received: ", mask.NumElements());
    }
    *data = mask.flat<bool>().data();
    return absl::OkStatus();
  }

  // The inputs from `first` on: mask, center, scale, shift.
  absl::Status LineOf(OpKernelContext* context, int first,
                      const keras_norms::View& view, Line* line) const {
    TF_RETURN_IF_ERROR(Mask(context->input(first), view, &line->mask));
    const TensorShape table({view.rows, view.channels});
    const char* const names[] = {"center", "scale", "shift"};
    const void** to[] = {&line->tables.center, &line->tables.scale,
                         &line->tables.shift};
    for (int i = 0; i < 3; ++i) {
      const Tensor& found = context->input(first + 1 + i);
      TF_RETURN_IF_ERROR(Same(context, names[i], found, table));
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
class MomentsOp : public Base<T> {
 public:
  using Base<T>::Base;
  void Compute(OpKernelContext* context) override {
    keras_norms::View view;
    OP_REQUIRES_OK(context, this->View(context, &view));
    const bool* mask;
    OP_REQUIRES_OK(context, this->Mask(context->input(1), view, &mask));
    Tensor* out[4];
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, TensorShape({view.rows}), &out[0]));
    for (int i = 1; i < 4; ++i) {
      OP_REQUIRES_OK(
          context, context->allocate_output(
                       i, TensorShape({view.rows, view.channels}), &out[i]));
    }
    BestKernels().moments(view, this->type(), context->input(0).data(), mask,
                          out[0]->data(), out[1]->data(), out[2]->data(),
                          out[3]->data(), PoolOf(context));
  }
};

template <class T>
class ApplyOp : public Base<T> {
 public:
  using Base<T>::Base;
  void Compute(OpKernelContext* context) override {
    keras_norms::View view;
    OP_REQUIRES_OK(context, this->View(context, &view));
    Line line;
    OP_REQUIRES_OK(context, this->LineOf(context, 1, view, &line));
    Tensor* y;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                {0}, 0, context->input(0).shape(), &y));
    BestKernels().apply(view, this->type(), context->input(0).data(), line,
                        y->data(), PoolOf(context));
  }
};

template <class T>
class GradientSumsOp : public Base<T> {
 public:
  using Base<T>::Base;
  void Compute(OpKernelContext* context) override {
    keras_norms::View view;
    OP_REQUIRES_OK(context, this->View(context, &view));
    const Tensor& x = context->input(0);
    const Tensor& dy = context->input(1);
    OP_REQUIRES_OK(context, this->Same(context, "dy", dy, x.shape()));
    Line line;
    OP_REQUIRES_OK(context, this->LineOf(context, 2, view, &line));
    const TensorShape table({view.rows, view.channels});
    Tensor *sum, *product;
    OP_REQUIRES_OK(context, context->allocate_output(0, table, &sum));
    OP_REQUIRES_OK(context, context->allocate_output(1, table, &product));
    BestKernels().gradient_sums(view, this->type(), x.data(), dy.data(), line,
                                sum->data(), product->data(),
                                PoolOf(context));
  }
};

template <class T>
class GradientCombineOp : public Base<T> {
 public:
  using Base<T>::Base;
  void Compute(OpKernelContext* context) override {
    keras_norms::View view;
    OP_REQUIRES_OK(context, this->View(context, &view));
    const Tensor& x = context->input(0);
    const Tensor& dy = context->input(1);
    OP_REQUIRES_OK(context, this->Same(context, "dy", dy, x.shape()));
    Line line;
    OP_REQUIRES_OK(context, this->LineOf(context, 2, view, &line));
    const Tensor& b = context->input(6);
    const Tensor& d = context->input(7);
    const bool through = b.NumElements() > 0;
    if (through) {
      const TensorShape table({view.rows, view.channels});
      OP_REQUIRES_OK(context, this->Same(context, "b", b, table));
      OP_REQUIRES_OK(context, this->Same(context, "d", d, table));
    }
    Tensor* dx;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                {1}, 0, x.shape(), &dx));
    BestKernels().gradient_combine(view, this->type(), x.data(), dy.data(),
                                   line, through ? b.data() : nullptr,
                                   through ? d.data() : nullptr, dx->data(),
                                   PoolOf(context));
  }
};

template <class T>
class GroupBase : public Base<T> {
 public:
  explicit GroupBase(OpKernelConstruction* construction)
      : Base<T>(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("groups", &groups_));
    std::string epsilon;
    OP_REQUIRES_OK(construction, construction->GetAttr("epsilon", &epsilon));
    epsilon_ = NumberOf(epsilon);
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
      TF_RETURN_IF_ERROR(this->Same(context, i ? "beta" : "gamma", found,
                                    TensorShape({view.channels})));
      *to[i] = found.data();
    }
    return absl::OkStatus();
  }

  int64_t groups_;
  double epsilon_;
};

template <class T>
class GroupNormOp : public GroupBase<T> {
 public:
  using GroupBase<T>::GroupBase;
  void Compute(OpKernelContext* context) override {
    keras_norms::View view;
    OP_REQUIRES_OK(context, this->View(context, &view));
    Groups groups;
    OP_REQUIRES_OK(context, this->GroupsOf(context, 1, view, &groups));
    const Tensor& x = context->input(0);
    Tensor* out[4];
    // y may be x: a row is read for its moments before it is written.
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                {0}, 0, x.shape(), &out[0]));
    const TensorShape table({view.rows, groups.count});
    for (int i = 1; i < 4; ++i) {
      OP_REQUIRES_OK(context, context->allocate_output(i, table, &out[i]));
    }
    BestKernels().group_norm(
        view, this->type(), x.data(), groups, out[0]->data(),
        {out[1]->data(), out[2]->data(), out[3]->data()}, PoolOf(context));
  }
};

template <class T>
class GroupNormGradientOp : public GroupBase<T> {
 public:
  using GroupBase<T>::GroupBase;
  void Compute(OpKernelContext* context) override {
    keras_norms::View view;
    OP_REQUIRES_OK(context, this->View(context, &view));
    Groups groups;
    OP_REQUIRES_OK(context, this->GroupsOf(context, 2, view, &groups));
    const Tensor& x = context->input(0);
    const Tensor& dy = context->input(1);
    OP_REQUIRES_OK(context, this->Same(context, "dy", dy, x.shape()));
    const TensorShape table({view.rows, groups.count});
    void* kept[3];
    for (int i = 0; i < 3; ++i) {
      const Tensor& found = context->input(4 + i);
      OP_REQUIRES_OK(context, this->Same(context, "moments", found, table));
      kept[i] = found.data();
    }
    Tensor* out[3];
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                {1}, 0, x.shape(), &out[0]));
    const TensorShape channels({view.channels});
    for (int i = 1; i < 3; ++i) {
      OP_REQUIRES_OK(context, context->allocate_output(i, channels, &out[i]));
    }
    BestKernels().group_norm_gradient(
        view, this->type(), x.data(), dy.data(), groups,
        {kept[0], kept[1], kept[2]}, out[0]->data(), out[1]->data(),
        out[2]->data(), PoolOf(context));
  }
};

#define KERAS_NORMS_REGISTER(name, T, S)                    \
  REGISTER_KERNEL_BUILDER(Name("KerasNorms>" #name)         \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint<T>("T")       \
                              .TypeConstraint<S>("S"),      \
                          name##Op<T>)
#define KERAS_NORMS_REGISTER_ALL(T, S)           \
  KERAS_NORMS_REGISTER(Moments, T, S);           \
  KERAS_NORMS_REGISTER(Apply, T, S);             \
  KERAS_NORMS_REGISTER(GradientSums, T, S);      \
  KERAS_NORMS_REGISTER(GradientCombine, T, S);   \
  KERAS_NORMS_REGISTER(GroupNorm, T, S);         \
  KERAS_NORMS_REGISTER(GroupNormGradient, T, S)

KERAS_NORMS_REGISTER_ALL(float, float);
KERAS_NORMS_REGISTER_ALL(double, double);
KERAS_NORMS_REGISTER_ALL(Eigen::half, float);
KERAS_NORMS_REGISTER_ALL(Eigen::bfloat16, float);

}  // namespace
}  // namespace keras_norms
