// The ops on CPUs: tensors in, pointers out, on the device's own threads.

#include "base.h"

namespace keras_norms {
namespace {

template <class T>
class MomentsOp : public Base<T> {
 public:
  using Base<T>::Base;
  void Compute(OpKernelContext* context) override {
    keras_norms::View view;
    OP_REQUIRES_OK(context, this->View(context, &view));
    const Truth* mask;
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
    Line line;
    OP_REQUIRES_OK(context, this->Given(context, 1, &view, &line));
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
    Line line;
    OP_REQUIRES_OK(context, this->Given(context, 2, &view, &line));
    const Tensor& x = context->input(0);
    const Tensor& dy = context->input(1);
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
    Line line;
    OP_REQUIRES_OK(context, this->Given(context, 2, &view, &line));
    const Tensor& x = context->input(0);
    const Tensor& dy = context->input(1);
    const Tensor& b = context->input(6);
    const Tensor& d = context->input(7);
    const bool through = b.NumElements() > 0;
    if (through) {
      const TensorShape table({view.rows, view.channels});
      OP_REQUIRES_OK(context, this->Same("b", b, table));
      OP_REQUIRES_OK(context, this->Same("d", d, table));
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
    OP_REQUIRES_OK(context, this->Same("dy", dy, x.shape()));
    const TensorShape table({view.rows, groups.count});
    void* kept[3];
    for (int i = 0; i < 3; ++i) {
      const Tensor& found = context->input(4 + i);
      OP_REQUIRES_OK(context, this->Same("moments", found, table));
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
