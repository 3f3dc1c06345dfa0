// Registers the operations of ../contract/operations.def with TensorFlow.

#include <string>
#include <vector>

#include "attributes.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace keras_norms {
namespace {

using tensorflow::register_op::OpDefBuilderWrapper;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

Shape ShapeOf(InferenceContext* context, ShapeHandle handle) {
  if (!context->RankKnown(handle)) return {};
  Sizes sizes;
  for (int i = 0; i < context->Rank(handle); ++i) {
    const DimensionHandle size = context->Dim(handle, i);
    sizes.push_back(context->ValueKnown(size) ? context->Value(size)
                                              : kUnknown);
  }
  return sizes;
}

// The shape of a tensor of an extent. Sizes are x's own handles where they can
// be: TensorFlow then knows of unknown sizes that they are equal.
ShapeHandle OutputShape(InferenceContext* context, Extent extent,
                        const Attributes& attributes) {
  const ShapeHandle x = context->input(0);
  if (extent == Extent::kLikeX) return x;
  DimensionHandle rows = context->UnknownDim();
  DimensionHandle channels = context->UnknownDim();
  if (attributes.examples < 0) rows = context->MakeDim(1);
  if (context->RankKnown(x)) {
    channels = context->Dim(x, static_cast<int>(attributes.axis));
    if (attributes.examples == 1) rows = context->Dim(x, 0);
  }
  switch (extent) {
    case Extent::kRows:
      return context->Vector(rows);
    case Extent::kRowsGroups:
      return context->MakeShape({rows, context->MakeDim(attributes.groups)});
    case Extent::kChannels:
      return context->Vector(channels);
    case Extent::kWindowChannels: {
      DimensionHandle positions = context->UnknownDim();
      if (context->RankKnown(x)) {
        const size_t rank = context->Rank(x);
        positions = context->MakeDim(WindowPositions(rank, attributes.window));
      }
      return context->Matrix(positions, channels);
    }
    default:
      return context->MakeShape({rows, channels});
  }
}

absl::Status InferShapes(InferenceContext* context,
                         const Operation& operation) {
  Attributes attributes;
  TF_RETURN_IF_ERROR(ReadAttributes(context, operation, &attributes));
  std::vector<Shape> inputs;
  for (int i = 0; i < context->num_inputs(); ++i) {
    inputs.push_back(ShapeOf(context, context->input(i)));
  }
  TF_RETURN_IF_ERROR(StatusOf(Validate(operation, attributes, inputs)));
  for (size_t i = 0; i < operation.outputs.size(); ++i) {
    const Extent extent = operation.outputs[i].extent;
    context->set_output(static_cast<int>(i),
                        OutputShape(context, extent, attributes));
  }
  return absl::OkStatus();
}

// The tensor as the declaration of an operation names it. T is the type of x
// and S that of statistics: float, or double where T is.
std::string Declaration(const TensorSpec& spec) {
  const std::string name = spec.name;
  if (spec.extent == Extent::kLikeX) return name + ": T";
  return name + (spec.extent == Extent::kMask ? ": bool" : ": S");
}

OpDefBuilderWrapper Definition(const Operation& operation) {
  const std::string name = std::string("KerasNorms>") + operation.name;
  OpDefBuilderWrapper builder(name.c_str());
  for (const TensorSpec& spec : operation.inputs) {
    builder.Input(Declaration(spec));
  }
  for (const TensorSpec& spec : operation.outputs) {
    builder.Output(Declaration(spec));
  }
  if (operation.has(kGroups)) {
    builder.Attr("groups: int >= 1").Attr("epsilon: string");
  }
  if (operation.has(kActivation)) {
    builder.Attr("activation: {" + ActivationList() + "}");
  }
  builder.Attr("axis: int >= 1");
  if (operation.has(kExamples)) builder.Attr("examples: int >= -1");
  if (operation.has(kWindow)) builder.Attr("window: int >= 1");
  builder.Attr("T: {float, double, half, bfloat16}")
      .Attr("S: {float, double}")
      .Doc(operation.doc)
      .SetShapeFn([&operation](InferenceContext* context) {
        return InferShapes(context, operation);
      });
  return builder;
}

#define KERAS_NORMS_OPERATION(Name, ...)                  \
  const tensorflow::InitOnStartupMarker register_##Name = \
      tensorflow::InitOnStartupMarker{}                   \
      << Definition(OperationOf<Name##Arguments>());
#include "../contract/operations.def"

}  // namespace
}  // namespace keras_norms
