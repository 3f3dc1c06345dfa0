// The ops under XLA, on CPUs and on GPUs: custom calls of handlers.cc, which
// has one for each platform.
//
// Registered as kernels of XLA_CPU_JIT and XLA_GPU_JIT, not by REGISTER_XLA_OP,
// which is read at a process's first compilation only: this may be loaded after
// it.

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../cpu/kernels.h"
#include "../tensorflow/attributes.h"
#include "tensorflow/compiler/tf2xla/shape_util.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "xla/hlo/builder/lib/constants.h"
#include "xla/hlo/builder/xla_builder.h"
#include "xla/shape_util.h"

namespace keras_norms {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::TensorShape;
using tensorflow::XlaOpKernel;
using tensorflow::XlaOpKernelContext;

class Lowered : public XlaOpKernel {
 public:
  explicit Lowered(OpKernelConstruction* construction)
      : XlaOpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("axis", &axis_));
    opaque_ << "{axis = " << axis_ << " : i64";
    if (construction->HasAttr("examples")) {
      OP_REQUIRES_OK(construction,
                     construction->GetAttr("examples", &examples_));
      opaque_ << ", examples = " << examples_ << " : i64";
    }
    if (construction->HasAttr("activation")) {
      std::string name;
      OP_REQUIRES_OK(construction, construction->GetAttr("activation", &name));
      Activation activation;
      OP_REQUIRES(construction, ActivationNamed(name, &activation),
                  tensorflow::errors::InvalidArgument("unknown activation ",
                                                      name));
      opaque_ << ", activation = " << static_cast<int>(activation)
              << " : i64";
    }
    if (construction->HasAttr("groups")) {
      std::string epsilon;
      OP_REQUIRES_OK(construction, construction->GetAttr("groups", &groups_));
      OP_REQUIRES_OK(construction,
                     construction->GetAttr("epsilon", &epsilon));
      double number;
      OP_REQUIRES(construction, NumberOf(epsilon, &number),
                  tensorflow::errors::InvalidArgument(
                      "epsilon must be a number. Received: ", epsilon));
      opaque_.imbue(std::locale::classic());
      opaque_.precision(17);
      opaque_ << ", groups = " << groups_ << " : i64, epsilon = "
              << std::scientific << number << " : f64";
    }
    opaque_ << "}";
  }

  void Compile(XlaOpKernelContext* context) override {
    const TensorShape x = context->InputShape(0);
    OP_REQUIRES(context, axis_ >= 1 && axis_ < x.dims(),
                tensorflow::errors::InvalidArgument(
                    "axis must be one of x's own. Received: ", axis_));
    std::vector<int64_t> sizes;
    for (int i = 0; i < x.dims(); ++i) sizes.push_back(x.dim_size(i));
    const View view = ViewOf(sizes.data(), x.dims(), axis_, examples_);
    std::vector<xla::Shape> results;
    for (const TensorShape& shape : Shapes(x, view)) {
      xla::Shape result;
      const bool first = results.empty() && like_x_;
      OP_REQUIRES_OK(context, tensorflow::TensorShapeToXLAShape(
                                  first ? context->input_type(0) : table_,
                                  shape, &result));
      results.push_back(result);
    }
    std::vector<xla::XlaOp> operands;
    for (int i = 0; i < context->num_inputs(); ++i) {
      operands.push_back(context->Input(i));
    }
    xla::XlaOp batch;
    OP_REQUIRES_OK(context, DynamicBatch(operands[0], &batch));
    for (xla::XlaOp& operand : operands) {
      OP_REQUIRES_OK(context, MakeStatic(sizes, batch, &operand));
    }
    if (batch.valid() && pools_ && examples_ == -1) {
      OP_REQUIRES_OK(context, MaskPadding(sizes, batch, &operands[1]));
    }
    std::vector<xla::Shape> shapes;
    for (const xla::XlaOp& operand : operands) {
      auto shape = context->builder()->GetShape(operand);
      OP_REQUIRES_OK(context, shape.status());
      *shape->mutable_layout() =
          xla::LayoutUtil::MakeDescendingLayout(shape->dimensions().size());
      shapes.push_back(*shape);
    }
    const bool one = results.size() == 1;
    const xla::XlaOp call = xla::CustomCallWithLayout(
        context->builder(), target_, operands,
        one ? results[0] : xla::ShapeUtil::MakeTupleShape(results), shapes,
        opaque_.str(), false, {}, nullptr,
        xla::CustomCallSchedule::SCHEDULE_NONE,
        xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
    for (size_t i = 0; i < results.size(); ++i) {
      xla::XlaOp result = one ? call : xla::GetTupleElement(call, i);
      const bool like_x = like_x_ && i == 0;
      const bool table = results[i].dimensions().size() == 2 || !like_x_;
      if (batch.valid() && (like_x || (table && examples_ == 1))) {
        result = xla::SetDimensionSize(result, batch, 0);
      }
      context->SetOutput(i, result);
    }
  }

 protected:
  // Of the results; the first has x's type where `like_x`.
  virtual std::vector<TensorShape> Shapes(const TensorShape& x,
                                          const View& view) const = 0;

  void Is(OpKernelConstruction* construction, const char* target,
          bool like_x) {
    target_ = target;
    like_x_ = like_x;
    pools_ = target_ == "keras_norms_moments";
    OP_REQUIRES_OK(construction, construction->GetAttr("S", &table_));
  }

  int groups_ = 1;

 private:
  // The number of examples where it depends on values, as after
  // tf.boolean_mask; not valid where it is known. XLA keeps such an x padded to
  // the largest size, and custom calls see the padding.
  absl::Status DynamicBatch(xla::XlaOp x, xla::XlaOp* batch) const {
    TF_ASSIGN_OR_RETURN(const xla::Shape shape, x.builder()->GetShape(x));
    for (size_t i = 0; i < shape.dimensions().size(); ++i) {
      if (!shape.is_dynamic_dimension(i)) continue;
      if (i > 0 || examples_ > 1) {
        return tensorflow::errors::InvalidArgument(
            "Under XLA the native library takes no sizes that depend on values "
            "but the number of examples, and that not with ghost batches. "
            "Received: size ", i, " of the input depends on values. Trace the "
            "function within keras_norms.ops.using_native('never').");
      }
      *batch = xla::GetDimensionSize(x, 0);
    }
    return absl::OkStatus();
  }

  // Padding becomes zeros: it adds nothing to sums, and nothing is infinite.
  absl::Status MakeStatic(const std::vector<int64_t>& sizes, xla::XlaOp batch,
                          xla::XlaOp* operand) const {
    xla::XlaBuilder* builder = operand->builder();
    TF_ASSIGN_OR_RETURN(const xla::Shape shape, builder->GetShape(*operand));
    for (size_t i = 0; i < shape.dimensions().size(); ++i) {
      if (shape.is_dynamic_dimension(i)) {
        *operand = xla::RemoveDynamicDimension(*operand, i);
      }
    }
    const auto dimensions = shape.dimensions();
    const std::vector<int64_t> own(dimensions.begin(), dimensions.end());
    if (batch.valid() && own == sizes) {
      *operand = xla::Select(Present(builder, own, batch), *operand,
                             xla::ZerosLike(*operand));
    }
    return absl::OkStatus();
  }

  // What pools all examples leaves the padding out as masked.
  absl::Status MaskPadding(std::vector<int64_t> sizes, xla::XlaOp batch,
                           xla::XlaOp* mask) const {
    xla::XlaBuilder* builder = mask->builder();
    TF_ASSIGN_OR_RETURN(const xla::Shape shape, builder->GetShape(*mask));
    sizes[axis_] = 1;
    const xla::XlaOp present = Present(builder, sizes, batch);
    *mask = xla::ShapeUtil::ElementsIn(shape) == 0
                ? present
                : xla::And(xla::Reshape(*mask, sizes), present);
    return absl::OkStatus();
  }

  static xla::XlaOp Present(xla::XlaBuilder* builder,
                            const std::vector<int64_t>& sizes,
                            xla::XlaOp batch) {
    const xla::Shape shape = xla::ShapeUtil::MakeShape(xla::S32, sizes);
    return xla::Lt(xla::Iota(builder, shape, 0), batch);
  }

  std::string target_;
  bool like_x_ = true;
  bool pools_ = false;
  tensorflow::DataType table_;
  int axis_ = 1;
  int64_t examples_ = 1;
  std::ostringstream opaque_;
};

#define KERAS_NORMS_LOWERED(name, target, like_x, ...)                       \
  class name##Lowered : public Lowered {                                     \
   public:                                                                   \
    explicit name##Lowered(OpKernelConstruction* c) : Lowered(c) {           \
      Is(c, target, like_x);                                                 \
    }                                                                        \
                                                                             \
   protected:                                                                \
    std::vector<TensorShape> Shapes(const TensorShape& x,                    \
                                    const View& v) const override {          \
      const TensorShape rows({v.rows}), table({v.rows, v.channels});         \
      const TensorShape channels({v.channels}), groups({v.rows, groups_});   \
      return {__VA_ARGS__};                                                  \
    }                                                                        \
  };                                                                         \
  REGISTER_KERNEL_BUILDER(Name("KerasNorms>" #name).Device("XLA_CPU_JIT"),   \
                          name##Lowered);                                    \
  REGISTER_KERNEL_BUILDER(                                                   \
      Name("KerasNorms>" #name)                                              \
          .Device("XLA_GPU_JIT")                                             \
          .TypeConstraint("T", {tensorflow::DT_FLOAT, tensorflow::DT_HALF,   \
                                tensorflow::DT_BFLOAT16}),                   \
      name##Lowered)

KERAS_NORMS_LOWERED(Moments, "keras_norms_moments", false, rows, table, table,
                    table);
KERAS_NORMS_LOWERED(Apply, "keras_norms_apply", true, x);
KERAS_NORMS_LOWERED(GradientSums, "keras_norms_gradient_sums", false, table,
                    table);
KERAS_NORMS_LOWERED(GradientCombine, "keras_norms_gradient_combine", true, x);
KERAS_NORMS_LOWERED(GroupNorm, "keras_norms_group_norm", true, x, groups,
                    groups, groups);
KERAS_NORMS_LOWERED(GroupNormGradient, "keras_norms_group_norm_gradient", true,
                    x, channels, channels);

}  // namespace
}  // namespace keras_norms
