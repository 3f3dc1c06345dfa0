// What the ops take and give: ../cpu/kernels.h says what they compute.
//
// `mask` is empty, or a boolean for each position of x, [batch, ..., 1 at the
// channel axis]. `b` and `d` may be empty, for zeros; so may `gamma` and
// `beta`, for ones and zeros. S is float, but double where T is.

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace keras_norms {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

absl::Status Axis(InferenceContext* c, int* axis) {
  TF_RETURN_IF_ERROR(c->GetAttr("axis", axis));
  ShapeHandle x;
  TF_RETURN_IF_ERROR(c->WithRankAtLeast(c->input(0), 2, &x));
  if (c->RankKnown(x) && *axis >= c->Rank(x)) {
    return tensorflow::errors::InvalidArgument(
        "axis must be less than the rank of x. Received: axis=", *axis,
        " for rank ", c->Rank(x));
  }
  return absl::OkStatus();
}

// [rows, channels].
absl::Status Table(InferenceContext* c, ShapeHandle* table) {
  int axis, examples;
  TF_RETURN_IF_ERROR(Axis(c, &axis));
  TF_RETURN_IF_ERROR(c->GetAttr("examples", &examples));
  const ShapeHandle x = c->input(0);
  if (!c->RankKnown(x)) {
    *table = c->MakeShape({c->UnknownDim(), c->UnknownDim()});
    return absl::OkStatus();
  }
  DimensionHandle rows = c->UnknownDim();
  if (examples < 0) rows = c->MakeDim(1);
  if (examples == 1) rows = c->Dim(x, 0);
  *table = c->MakeShape({rows, c->Dim(x, axis)});
  return absl::OkStatus();
}

absl::Status MomentsShape(InferenceContext* c) {
  ShapeHandle table;
  TF_RETURN_IF_ERROR(Table(c, &table));
  c->set_output(0, c->Vector(c->Dim(table, 0)));
  for (int i = 1; i < 4; ++i) c->set_output(i, table);
  return absl::OkStatus();
}

absl::Status SumsShape(InferenceContext* c) {
  ShapeHandle table;
  TF_RETURN_IF_ERROR(Table(c, &table));
  c->set_output(0, table);
  c->set_output(1, table);
  return absl::OkStatus();
}

absl::Status LikeX(InferenceContext* c) {
  int axis;
  TF_RETURN_IF_ERROR(Axis(c, &axis));
  c->set_output(0, c->input(0));
  return absl::OkStatus();
}

absl::Status GroupNormShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(LikeX(c));
  int groups;
  TF_RETURN_IF_ERROR(c->GetAttr("groups", &groups));
  const ShapeHandle x = c->input(0);
  const DimensionHandle batch =
      c->RankKnown(x) ? c->Dim(x, 0) : c->UnknownDim();
  for (int i = 1; i < 4; ++i) {
    c->set_output(i, c->MakeShape({batch, c->MakeDim(groups)}));
  }
  return absl::OkStatus();
}

absl::Status GroupNormGradientShape(InferenceContext* c) {
  int axis;
  TF_RETURN_IF_ERROR(Axis(c, &axis));
  c->set_output(0, c->input(0));
  const ShapeHandle x = c->input(0);
  const DimensionHandle channels =
      c->RankKnown(x) ? c->Dim(x, axis) : c->UnknownDim();
  c->set_output(1, c->Vector(channels));
  c->set_output(2, c->Vector(channels));
  return absl::OkStatus();
}

}  // namespace

#define KERAS_NORMS_TYPES \
  Attr("T: {float, double, half, bfloat16}").Attr("S: {float, double}")
#define KERAS_NORMS_LAYOUT Attr("axis: int >= 1").Attr("examples: int >= -1")
#define KERAS_NORMS_ACTIVATION                                              \
  Attr(                                                                     \
      "activation: {'identity', 'relu', 'silu', 'gelu', 'gelu_tanh', "      \
      "'leaky_relu', 'sigmoid', 'tanh'}")
#define KERAS_NORMS_LINE \
  Input("mask: bool").Input("center: S").Input("scale: S").Input("shift: S")

REGISTER_OP("KerasNorms>Moments")
    .Input("x: T")
    .Input("mask: bool")
    .Output("count: S")
    .Output("mean: S")
    .Output("variance: S")
    .Output("residual: S")
    .KERAS_NORMS_LAYOUT.KERAS_NORMS_TYPES.SetShapeFn(MomentsShape);

REGISTER_OP("KerasNorms>Apply")
    .Input("x: T")
    .KERAS_NORMS_LINE.Output("y: T")
    .KERAS_NORMS_ACTIVATION.KERAS_NORMS_LAYOUT.KERAS_NORMS_TYPES.SetShapeFn(
        LikeX);

REGISTER_OP("KerasNorms>GradientSums")
    .Input("x: T")
    .Input("dy: T")
    .KERAS_NORMS_LINE.Output("sum: S")
    .Output("product: S")
    .KERAS_NORMS_ACTIVATION.KERAS_NORMS_LAYOUT.KERAS_NORMS_TYPES.SetShapeFn(
        SumsShape);

REGISTER_OP("KerasNorms>GradientCombine")
    .Input("x: T")
    .Input("dy: T")
    .KERAS_NORMS_LINE.Input("b: S")
    .Input("d: S")
    .Output("dx: T")
    .KERAS_NORMS_ACTIVATION.KERAS_NORMS_LAYOUT.KERAS_NORMS_TYPES.SetShapeFn(
        LikeX);

#define KERAS_NORMS_GROUPS \
  Attr("groups: int >= 1").Attr("epsilon: string").Attr("axis: int >= 1")

REGISTER_OP("KerasNorms>GroupNorm")
    .Input("x: T")
    .Input("gamma: S")
    .Input("beta: S")
    .Output("y: T")
    .Output("mean: S")
    .Output("residual: S")
    .Output("inverse: S")
    .KERAS_NORMS_GROUPS.KERAS_NORMS_ACTIVATION.KERAS_NORMS_TYPES.SetShapeFn(
        GroupNormShape);

REGISTER_OP("KerasNorms>GroupNormGradient")
    .Input("x: T")
    .Input("dy: T")
    .Input("gamma: S")
    .Input("beta: S")
    .Input("mean: S")
    .Input("residual: S")
    .Input("inverse: S")
    .Output("dx: T")
    .Output("d_gamma: S")
    .Output("d_beta: S")
    .KERAS_NORMS_GROUPS.KERAS_NORMS_ACTIVATION.KERAS_NORMS_TYPES.SetShapeFn(
        GroupNormGradientShape);

}  // namespace keras_norms
