#include "launch.h"

#include <string>

#include "launcher.h"

namespace keras_norms {
namespace {

const float* Floats(const void* data) {
  return static_cast<const float*>(data);
}
float* Floats(void* data) { return static_cast<float*>(data); }
const MaskByte* Mask(const void* data) {
  return static_cast<const MaskByte*>(data);
}

// For Apply and its gradient.
template <class A>
AffinePointers AffinePointersOf(const A& arguments) {
  return {Floats(arguments.center),
          Floats(arguments.scale),
          Floats(arguments.shift),
          nullptr,
          nullptr,
          0,
          static_cast<int>(arguments.activation)};
}

// For GroupNorm and its gradient.
template <class A>
AffinePointers GroupPointersOf(const A& arguments) {
  return {Floats(arguments.mean),
          Floats(arguments.rstd),
          Floats(arguments.residual),
          Floats(arguments.gamma),
          Floats(arguments.beta),
          static_cast<int>(arguments.view.channels / arguments.groups),
          static_cast<int>(arguments.activation)};
}

}  // namespace

std::string RunOnDevice(const MomentsArguments& a, Device& device) {
  Launcher launcher(a, a.mask, {a.x}, device);
  const Geometry& g = launcher.geometry();
  MomentsPartial* const partials = launcher.Partials<MomentsPartial>(g);
  launcher.Pass("moments", MomentsTask{g, a.x, Mask(a.mask), partials});
  launcher.Pool("pool_moments", g.rows * g.channels,
                PoolMomentsTask{MakePoolGeometry(g, 1, g.chunks), partials,
                                0.0, Floats(a.count), Floats(a.mean),
                                Floats(a.variance), Floats(a.residual),
                                nullptr});
  return launcher.error();
}

std::string RunOnDevice(const ApplyArguments& a, Device& device) {
  Launcher launcher(a, a.mask, {a.x, a.y}, device);
  launcher.AffinePass("apply",
                      ApplyTask{launcher.geometry(), AffinePointersOf(a), a.x,
                                Mask(a.mask), a.y});
  return launcher.error();
}

std::string RunOnDevice(const GradientSumsArguments& a, Device& device) {
  Launcher launcher(a, a.mask, {a.x, a.dy}, device);
  const Geometry& g = launcher.geometry();
  SumsPartial* const partials = launcher.Partials<SumsPartial>(g);
  launcher.AffinePass("sums", SumsTask{g, AffinePointersOf(a), a.x, a.dy,
                                       Mask(a.mask), partials});
  launcher.Pool(
      "pool_sums", g.rows * g.channels,
      PoolSumsTask{MakePoolGeometry(g, 1, g.chunks), partials, nullptr, nullptr,
                   nullptr, 0.0, Floats(a.sum_g), Floats(a.sum_g_centered),
                   nullptr, nullptr});
  return launcher.error();
}

std::string RunOnDevice(const GradientCombineArguments& a, Device& device) {
  Launcher launcher(a, a.mask, {a.x, a.dy, a.dx}, device);
  launcher.AffinePass(
      "combine",
      CombineTask{launcher.geometry(), AffinePointersOf(a), a.x, a.dy,
                  Mask(a.mask), Floats(a.slope), Floats(a.offset), a.dx});
  return launcher.error();
}

std::string RunOnDevice(const GroupNormArguments& a, Device& device) {
  Launcher launcher(a, nullptr, {a.x, a.y}, device);
  const Geometry& g = launcher.geometry();
  const int64_t group_size = a.view.channels / a.groups;
  const AffinePointers affine = GroupPointersOf(a);
  const FusedPlan plan = launcher.PlanFused("fused", a.view, affine, 1);
  if (plan.cluster > 0) {
    launcher.Fused("fused", plan,
                   FusedTask{plan.geometry, affine, a.x, a.y,
                             static_cast<float>(a.epsilon), Floats(a.mean),
                             Floats(a.variance), Floats(a.residual),
                             Floats(a.rstd)});
    return launcher.error();
  }
  MomentsPartial* const partials = launcher.Partials<MomentsPartial>(g);
  launcher.Pass("moments", MomentsTask{g, a.x, nullptr, partials});
  launcher.Pool(
      "pool_moments", g.rows * a.groups,
      PoolMomentsTask{MakePoolGeometry(g, group_size, group_size * g.chunks),
                      partials, a.epsilon, nullptr, Floats(a.mean),
                      Floats(a.variance), Floats(a.residual), Floats(a.rstd)});
  launcher.AffinePass("apply", ApplyTask{g, affine, a.x, nullptr, a.y});
  return launcher.error();
}

std::string RunOnDevice(const GroupNormGradientArguments& a, Device& device) {
  Launcher launcher(a, nullptr, {a.x, a.dy, a.dx}, device);
  const Geometry& g = launcher.geometry();
  const int64_t group_size = a.view.channels / a.groups;
  const AffinePointers affine = GroupPointersOf(a);
  const double group_elements =
      static_cast<double>(group_size * a.view.positions());
  const auto affine_gradient = [&](const Geometry& geometry,
                                   const SumsPartial* partials) {
    launcher.Pool("affine_gradient", g.channels,
                  AffineGradientTask{
                      MakePoolGeometry(geometry, group_size,
                                       geometry.rows * geometry.chunks),
                      partials, affine.scale, affine.shift, Floats(a.d_gamma),
                      Floats(a.d_beta)});
  };
  const char* const fused = "fused_gradient";
  const FusedPlan plan = launcher.PlanFused(fused, a.view, affine, 2);
  if (plan.cluster > 0) {
    SumsPartial* const partials =
        launcher.Partials<SumsPartial>(plan.geometry);
    launcher.Fused(fused, plan,
                   FusedGradientTask{plan.geometry, affine, a.x, a.dy, a.dx,
                                     partials,
                                     static_cast<float>(1 / group_elements)});
    affine_gradient(plan.geometry, partials);
    return launcher.error();
  }
  // The slope and offset of each group follow the partials. Together, they have
  // the size of one partial.
  const int64_t row_groups = g.rows * a.groups;
  // In batch norm, the sums of groups are the gradients of gamma and beta.
  const bool of_channels = g.rows == 1 && group_size == 1;
  SumsPartial* const partials = launcher.Partials<SumsPartial>(g, row_groups);
  float* const slope = reinterpret_cast<float*>(partials + PartialCount(g));
  float* const offset = slope + row_groups;
  launcher.AffinePass("sums",
                      SumsTask{g, affine, a.x, a.dy, nullptr, partials});
  launcher.Pool(
      "pool_sums", row_groups,
      PoolSumsTask{MakePoolGeometry(g, group_size, group_size * g.chunks),
                   partials, affine.scale, affine.shift, affine.gamma,
                   group_elements, slope, offset,
                   of_channels ? Floats(a.d_gamma) : nullptr,
                   of_channels ? Floats(a.d_beta) : nullptr});
  launcher.AffinePass("combine", CombineTask{g, affine, a.x, a.dy, nullptr,
                                             slope, offset, a.dx});
  if (!of_channels) affine_gradient(g, partials);
  return launcher.error();
}

}  // namespace keras_norms
