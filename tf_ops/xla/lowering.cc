// Lowers the operations to custom calls of the handlers in handlers.cc, on CPUs
// and on GPUs.
//
// The lowerings are registered as kernels of XLA_CPU_JIT and XLA_GPU_JIT, not
// with REGISTER_XLA_OP. XLA reads the latter's registry once, at the first
// compilation of a process, and this library may be loaded after it.

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../cuda/scratch.h"
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

// `kScratch` computes the bytes of scratch memory of handlers for GPUs. It is
// null for CPUs.
template <class Arguments, size_t (*kScratch)(const CommonArguments&)>
class Lowering : public XlaOpKernel {
 public:
  explicit Lowering(OpKernelConstruction* construction)
      : XlaOpKernel(construction) {
    OP_REQUIRES_OK(construction,
                   ReadAttributes(construction, operation_, &attributes_));
    OP_REQUIRES_OK(construction, construction->GetAttr("S", &statistics_type_));
  }

  void Compile(XlaOpKernelContext* context) override {
    std::vector<Shape> inputs;
    std::vector<xla::XlaOp> operands;
    for (int i = 0; i < context->num_inputs(); ++i) {
      inputs.push_back(SizesOf(context->InputShape(i)));
      operands.push_back(context->Input(i));
    }
    OP_REQUIRES_OK(context,
                   StatusOf(Validate(operation_, attributes_, inputs)));
    const Sizes& sizes = *inputs[0];
    std::vector<xla::Shape> results;
    for (const TensorSpec& spec : operation_.outputs) {
      const bool like_x = spec.extent == Extent::kLikeX;
      xla::Shape result;
      OP_REQUIRES_OK(
          context,
          tensorflow::TensorShapeToXLAShape(
              like_x ? context->input_type(0) : statistics_type_,
              TensorShape(SizesOf(spec.extent, sizes, attributes_)), &result));
      results.push_back(result);
    }
    if (kScratch != nullptr) {
      const size_t bytes = kScratch(CommonArgumentsOf(
          sizes, TypeOf(context->input_type(0)), attributes_));
      results.push_back(xla::ShapeUtil::MakeShape(
          xla::U8, {static_cast<int64_t>(bytes)}));
    }
    xla::XlaOp batch;
    OP_REQUIRES_OK(context, DynamicBatch(operands[0], &batch));
    for (xla::XlaOp& operand : operands) {
      OP_REQUIRES_OK(context, MakeStatic(sizes, batch, &operand));
    }
    // If one row covers the whole batch, Moments must not count the padding.
    const bool has_count = operation_.outputs[0].extent == Extent::kRows;
    if (batch.valid() && has_count && attributes_.examples == -1) {
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
    const bool single = results.size() == 1;
    const xla::XlaOp call = xla::CustomCallWithLayout(
        context->builder(), std::string("keras_norms_") + operation_.kernel,
        operands, single ? results[0] : xla::ShapeUtil::MakeTupleShape(results),
        shapes, Dictionary(), false, {}, nullptr,
        xla::CustomCallSchedule::SCHEDULE_NONE,
        xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
    for (size_t i = 0; i < operation_.outputs.size(); ++i) {
      xla::XlaOp result = single ? call : xla::GetTupleElement(call, i);
      if (batch.valid() && HasBatch(operation_.outputs[i].extent)) {
        result = xla::SetDimensionSize(result, batch, 0);
      }
      context->SetOutput(i, result);
    }
  }

 private:
  // The attributes as the text of an MLIR dictionary, from which XLA makes the
  // attributes of a handler.
  std::string Dictionary() const {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << "{axis = " << attributes_.axis << " : i64";
    if (operation_.has(kExamples)) {
      text << ", examples = " << attributes_.examples << " : i64";
    }
    if (operation_.has(kActivation)) {
      text << ", activation = " << static_cast<int>(attributes_.activation)
           << " : i64";
    }
    if (operation_.has(kGroups)) {
      text.precision(17);
      text << ", groups = " << attributes_.groups
           << " : i64, epsilon = " << std::scientific << attributes_.epsilon
           << " : f64";
    }
    if (operation_.has(kWindow)) {
      text << ", window = " << attributes_.window << " : i64";
    }
    text << "}";
    return text.str();
  }

  // Whether the first dimension of a result is the batch.
  bool HasBatch(Extent extent) const {
    if (extent == Extent::kLikeX) return true;
    const bool has_rows =
        extent != Extent::kChannels && extent != Extent::kWindowChannels;
    return has_rows && attributes_.examples == 1;
  }

  // Sets `batch` to the batch size if x has a dynamic one, as after
  // tf.boolean_mask, and otherwise leaves it invalid. XLA pads a tensor with
  // dynamic sizes to its largest size, and custom calls see the padding.
  absl::Status DynamicBatch(xla::XlaOp x, xla::XlaOp* batch) const {
    TF_ASSIGN_OR_RETURN(const xla::Shape shape, x.builder()->GetShape(x));
    for (size_t i = 0; i < shape.dimensions().size(); ++i) {
      if (!shape.is_dynamic_dimension(i)) continue;
      // GroupNorm has no mask to exclude the padding by.
      const bool counts_padding =
          operation_.has(kGroups) && attributes_.examples < 0;
      if (i > 0 || attributes_.examples > 1 || counts_padding) {
        return tensorflow::errors::InvalidArgument(
            "Under XLA, the batch size is the only size of an input of the "
            "native library that may depend on values, and only without ghost "
            "batches, in functions that are first called under XLA. Received: "
            "dimension ",
            i,
            " has a dynamic size. Trace the function within "
            "keras_norms.ops.using_native('never').");
      }
      *batch = xla::GetDimensionSize(x, 0);
    }
    return absl::OkStatus();
  }

  // Removes the dynamic dimensions of an operand, because custom calls have
  // only static ones. In an operand of the shape of x, it replaces the padding
  // by zeros: the padding may be NaN, and zeros of dy add nothing to the sums
  // of gradients. MaskPadding excludes the zeros of x from moments.
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
    const std::vector<int64_t> operand_sizes(dimensions.begin(),
                                             dimensions.end());
    if (batch.valid() && operand_sizes == sizes) {
      *operand = xla::Select(InBatch(builder, sizes, batch), *operand,
                             xla::ZerosLike(*operand));
    }
    return absl::OkStatus();
  }

  // Excludes the padding by the mask.
  absl::Status MaskPadding(std::vector<int64_t> sizes, xla::XlaOp batch,
                           xla::XlaOp* mask) const {
    xla::XlaBuilder* builder = mask->builder();
    TF_ASSIGN_OR_RETURN(const xla::Shape shape, builder->GetShape(*mask));
    sizes[attributes_.axis] = 1;
    const xla::XlaOp in_batch = InBatch(builder, sizes, batch);
    *mask = xla::ShapeUtil::ElementsIn(shape) == 0
                ? in_batch
                : xla::And(xla::Reshape(*mask, sizes), in_batch);
    return absl::OkStatus();
  }

  // Booleans of these sizes: false in the padding.
  static xla::XlaOp InBatch(xla::XlaBuilder* builder,
                            const std::vector<int64_t>& sizes,
                            xla::XlaOp batch) {
    const xla::Shape shape = xla::ShapeUtil::MakeShape(xla::S32, sizes);
    return xla::Lt(xla::Iota(builder, shape, 0), batch);
  }

  const Operation& operation_ = OperationOf<Arguments>();
  Attributes attributes_;
  tensorflow::DataType statistics_type_;
};

#define KERAS_NORMS_OPERATION(Operation, ...)                  \
  REGISTER_KERNEL_BUILDER(                                     \
      Name("KerasNorms>" #Operation).Device("XLA_CPU_JIT"),    \
      Lowering<Operation##Arguments, nullptr>);
#include "../contract/operations.def"

#define KERAS_NORMS_FOR_GPUS
#define KERAS_NORMS_OPERATION(Operation, ...)                              \
  REGISTER_KERNEL_BUILDER(                                                 \
      Name("KerasNorms>" #Operation)                                       \
          .Device("XLA_GPU_JIT")                                           \
          .TypeConstraint("T", {tensorflow::DT_FLOAT, tensorflow::DT_HALF, \
                                tensorflow::DT_BFLOAT16}),                 \
      Lowering<Operation##Arguments, ScratchBytes<Operation##Arguments>>);
#include "../contract/operations.def"

}  // namespace
}  // namespace keras_norms
