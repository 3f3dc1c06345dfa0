// The ops: tensors in, pointers out. `On` is the kind of device.

#include "base.h"
#include "places.h"

namespace keras_norms {
namespace {

template <class On, class T>
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
      OP_REQUIRES_OK(context,
                     context->allocate_output(
                         i, TensorShape({view.rows, view.channels}), &out[i]));
    }
    OP_REQUIRES_OK(context,
                   On::Run(context, &On::Table::moments, view, this->type(),
                           context->input(0).data(), mask, out[0]->data(),
                           out[1]->data(), out[2]->data(), out[3]->data()));
  }
};

template <class On, class T>
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
    OP_REQUIRES_OK(context,
                   On::Run(context, &On::Table::apply, view, this->type(),
                           context->input(0).data(), line, y->data()));
  }
};

template <class On, class T>
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
    OP_REQUIRES_OK(context, On::Run(context, &On::Table::gradient_sums, view,
                                    this->type(), x.data(), dy.data(), line,
                                    sum->data(), product->data()));
  }
};

template <class On, class T>
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
    OP_REQUIRES_OK(context, On::Run(context, &On::Table::gradient_combine, view,
                                    this->type(), x.data(), dy.data(), line,
                                    through ? b.data() : nullptr,
                                    through ? d.data() : nullptr, dx->data()));
  }
};

template <class On, class T>
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
    OP_REQUIRES_OK(
        context,
        On::Run(context, &On::Table::group_norm, view, this->type(), x.data(),
                groups, out[0]->data(),
                GroupMoments{out[1]->data(), out[2]->data(), out[3]->data()}));
  }
};

template <class On, class T>
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
    OP_REQUIRES_OK(context,
                   On::Run(context, &On::Table::group_norm_gradient, view,
                           this->type(), x.data(), dy.data(), groups,
                           GroupMoments{kept[0], kept[1], kept[2]},
                           out[0]->data(), out[1]->data(), out[2]->data()));
  }
};

#define KERAS_NORMS_REGISTER(name, On, T, S)           \
  REGISTER_KERNEL_BUILDER(Name("KerasNorms>" #name)    \
                              .Device(On::kDevice)     \
                              .TypeConstraint<T>("T")  \
                              .TypeConstraint<S>("S"), \
                          name##Op<On, T>)
#define KERAS_NORMS_REGISTER_ALL(On, T, S)         \
  KERAS_NORMS_REGISTER(Moments, On, T, S);         \
  KERAS_NORMS_REGISTER(Apply, On, T, S);           \
  KERAS_NORMS_REGISTER(GradientSums, On, T, S);    \
  KERAS_NORMS_REGISTER(GradientCombine, On, T, S); \
  KERAS_NORMS_REGISTER(GroupNorm, On, T, S);       \
  KERAS_NORMS_REGISTER(GroupNormGradient, On, T, S)

KERAS_NORMS_REGISTER_ALL(OnCpu, float, float);
KERAS_NORMS_REGISTER_ALL(OnCpu, double, double);
KERAS_NORMS_REGISTER_ALL(OnCpu, Eigen::half, float);
KERAS_NORMS_REGISTER_ALL(OnCpu, Eigen::bfloat16, float);
KERAS_NORMS_REGISTER_ALL(OnGpu, float, float);
KERAS_NORMS_REGISTER_ALL(OnGpu, Eigen::half, float);
KERAS_NORMS_REGISTER_ALL(OnGpu, Eigen::bfloat16, float);

}  // namespace
}  // namespace keras_norms
